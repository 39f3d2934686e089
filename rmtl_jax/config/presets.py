"""Presets: named starting points of settings.

The paper, the authors' released code, and a recipe per public log. What each
gained and how it was chosen: docs/public_logs.md.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from rmtl_jax import registry, types
from rmtl_jax.config import recommended, run_settings

Settings = Mapping[str, Any]
# The preset without --preset.
DEFAULT_PRESET = 'recommended'


class Preset(NamedTuple):
  """Settings by name.

  Attributes:
    name: what `--preset` takes.
    help: one line for `--help`.
    settings: {'group.field': value} over the paper's, or a function that makes
      them from the manifest of the prepared data.
  """

  name: str
  help: str
  settings: Settings | Callable[[Any], Settings]

  @property
  def needs_data(self) -> bool:
    """Whether the settings are made from prepared data."""
    return callable(self.settings)


def preset(name: str, manifest: Any = None) -> run_settings.Config:
  """The settings of a preset.

  Args:
    name: a name of PRESETS: `paper`, `official`, ...
    manifest: of the prepared data, for a preset that is made from them.

  Raises:
    types.InputError: no such preset, or one that needs data without them.
  """
  found = PRESETS.find(name)
  changes = found.settings
  if callable(changes):
    if manifest is None:
      raise types.InputError(f'preset: {name} is made from prepared data')
    changes = changes(manifest)
  return _changed(run_settings.Config(), {'preset': name, **changes})


def start(manifest: Any = None, name: str = '') -> run_settings.Config:
  """A named starting point of settings.

  Args:
    manifest: of the prepared data; without it, a preset that is made from data
      uses the paper's settings.
    name: of a preset; the default if empty.

  Raises:
    types.InputError: no such preset.
  """
  name = name or DEFAULT_PRESET
  if manifest is None and PRESETS.find(name).needs_data:
    return run_settings.Config(preset=name)
  return preset(name, manifest)


class _Split(NamedTuple):
  rows: int


class _Data(NamedTuple):
  """Minimal manifest of the default preset, for `defaults`."""

  splits: Mapping[str, _Split]
  fields: tuple[()] = ()
  tasks: tuple[()] = ()
  split_by_time: bool = True


def defaults() -> dict[str, Any]:
  """Default settings, {'group.field': value}, for help.

  Those that the default preset makes from the data are 'by the data'.
  """
  small, large = (
    recommended.settings(_Data({'train': _Split(rows)}))
    for rows in (10**3, 10**9)
  )
  return {
    name: 'by the data' if not value or value != large[name] else value
    for name, value in small.items()
  } | {'variants': 'by the data'}


def paper_model(
  manifest: Any, config: run_settings.Config
) -> run_settings.Config:
  """The paper's model, which a run is compared with.

  The released code's backbone in the paper's sizes, without as-of features;
  a shared bottom if a task counts on another's positives only, which ESMM
  can't be.

  Args:
    manifest: of the prepared data.
    config: of the run, from which seed and intervals come.
  """
  chain = not any(task.only_after for task in manifest.tasks)
  return _changed(
    run_settings.Config(seed=config.seed),
    {
      'preset': 'paper',
      'backbone': 'esmm' if chain else 'shared_bottom',
      'network.ignore': 'asof',
      # Of the mesh, which both are trained on.
      'network.table_multiple': config.network.table_multiple,
      'evaluation.bootstrap': config.evaluation.bootstrap,
      'evaluation.calibration': config.evaluation.calibration,
    },
  )


def _changed(group: Any, changes: Settings) -> Any:
  """A group of settings with some changed, by dotted names."""
  values, inner = {}, {}
  for name, value in changes.items():
    first, _, rest = name.partition('.')
    if rest:
      inner.setdefault(first, {})[rest] = value
    else:
      values[first] = value
  for name, theirs in inner.items():
    values[name] = _changed(getattr(group, name), theirs)
  return dataclasses.replace(group, **values)


_OFFICIAL = {
  'network.official': True,
  'critic.form': 'separate',
  'critic.head': 'neg_relu',
  'critic.discount': 0.9,
  'critic.behaviour': 'uniform',
  'critic.official_targets': True,
  'critic.update_period': 2,
  'weighting.lambda_': 1.0,
}
# What recipes are judged by: it ignores as-of features, so that it runs on the
# same prepared data as they do.
_PLAIN = {
  'backbone': 'ple',
  'network.embedding_dim': 16,
  'network.bottom_units': (128, 64),
  'network.tower_units': (64, 32),
  'network.num_experts': 4,
  'network.ignore': 'asof',
  'pretrain.max_epochs': 40,
}
# Chosen on validation, one seed a candidate.
_RETAILROCKET = {
  'network.embedding_scale': 0.3,
  'network.id_dropout': '0.3',
  'network.ignore': 'recency+tastes',
  'network.session_encoder': 'mean',
  'pretrain.embedding_l2': 0.001,
}
# From a search of `rmtl tune` over `plain` with network.ignore=''. On test rows
# the two tie.
_REES46 = {
  'network.dropout': 0.0833,
  'network.embedding_scale': 0.0355,
  'network.id_dropout': '0.5',
  'network.ignore': 'gap+recency+tastes',
  'network.session_encoder': 'target_attention',
  'pretrain.embedding_l2': 0.000462,
  'pretrain.l2': 1.17e-7,
  'pretrain.learning_rate': 0.00267,
}
# Not measured: the log at hand had 131 rows. The little L2 on embeddings gained
# a little on RetailRocket.
_KUAIRAND = {
  'network.ignore': 'recency+tastes',
  'pretrain.embedding_l2': 0.0001,
}
# Chosen on validation of simulated seeds 5, 0 and 7.
_SIMULATED = {
  'backbone': 'esmm',
  'batch.lanes': 10,
  'batch.lane_length': 200,
  'network.embedding_scale': 0.3,
  'network.ignore': 'views+counts+rates+recency+tastes+history+gap',
  'pretrain.embedding_l2': 0.005,
  'pretrain.learning_rate': 0.002,
  'pretrain.patience': 5,
}

PRESETS: registry.Registry[Preset] = registry.Registry(
  'preset',
  [
    Preset(
      'recommended',
      'sizes, batches and ids by the data (the default)',
      recommended.settings,
    ),
    Preset('paper', "the paper's form", {}),
    Preset('official', "the form of the authors' released code", _OFFICIAL),
    Preset('plain', 'PLE with small networks, without as-of features', _PLAIN),
    Preset(
      'retailrocket', 'recipe for RetailRocket', {**_PLAIN, **_RETAILROCKET}
    ),
    Preset('rees46', "recipe for REES46's store log", {**_PLAIN, **_REES46}),
    Preset(
      'kuairand', 'start for KuaiRand, not measured', {**_PLAIN, **_KUAIRAND}
    ),
    Preset(
      'simulated', 'recipe for simulated sessions', {**_PLAIN, **_SIMULATED}
    ),
  ],
)
