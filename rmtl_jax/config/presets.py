"""Presets: the paper's settings, and those of the authors' released code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rmtl_jax import types
from rmtl_jax.config import run_settings
from rmtl_jax.config import values as config_values

_PAPER: Mapping[str, Any] = {
  'backbone': 'mmoe',
  'ensemble': 1,
  'variants': '',
  'network.embedding_dim': 128,
  'network.bottom_units': (512, 256),
  'network.tower_units': (128, 64),
  'network.num_experts': 8,
  'network.dropout': 0.2,
  'network.crosses': '',
  'network.numeric_encoding': 'linear',
  'network.binned_fields': 'categories',
  'pretrain.max_epochs': 20,
  'pretrain.patience': 2,
  'critic.td_lambda': 0.0,
  'critic.initial_value': 'constant',
  'critic.sees_remaining': False,
  'critic.stopping': 'td_error',
  'finetune.learning_rate': 1e-3,
  'finetune.max_epochs': 20,
  'batch.lanes': 32,
  'evaluation.monitor': 'auc',
}
# {name: settings over the defaults}.
PRESETS: Mapping[str, Mapping[str, Any]] = {
  'recommended': {},
  'paper': _PAPER,
  'official': {
    **_PAPER,
    'network.official': True,
    'critic.form': 'separate',
    'critic.head': 'neg_relu',
    'critic.discount': 0.9,
    'critic.behaviour': 'uniform',
    'critic.official_targets': True,
    'critic.update_period': 2,
    'weighting.lambda_': 1.0,
  },
}


def paper_model(
  config: run_settings.Config, manifest: Any
) -> run_settings.Config:
  """Settings of the paper's model, which a first run is compared with.

  The released code's backbone in the paper's sizes, without as-of features; a
  shared bottom if a task counts on another's positives only, which ESMM can't
  model.

  Args:
    config: of the run.
    manifest: of its data.
  """
  chain = not any(task.only_after for task in manifest.tasks)
  shared = {
    name: value
    for name, value in config_values.flatten(config).items()
    if name in ('seed', 'network.table_multiple')
    or name.startswith('evaluation.')
  }
  paper = {
    'backbone': 'esmm' if chain else 'shared_bottom',
    'network.ignore': 'asof',
  }
  return config_values.with_settings(preset('paper'), shared | paper)


def preset(name: str) -> run_settings.Config:
  """The settings of a preset: `recommended`, `paper` or `official`.

  Raises:
    types.InputError: no such preset.
  """
  if name not in PRESETS:
    raise types.InputError(
      f'preset: {name!r:.80} is not one of {", ".join(PRESETS)}'
    )
  return config_values.with_settings(run_settings.Config(), PRESETS[name])
