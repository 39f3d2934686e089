"""The opening of a run on the screen: its data, settings and terms."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence

from rmtl_jax import config as config_lib
from rmtl_jax import terminal
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.evaluation import validation_monitor
from rmtl_jax.preparation import summary
from rmtl_jax.runtime import stages as stages_lib


def text(
  config: config_lib.Config,
  manifest: manifest_lib.Manifest,
  data_dir: str | os.PathLike[str],
  stages: Sequence[str] = stages_lib.ORDER,
) -> str:
  """Some paragraphs of at most 80 columns, unless names are longer."""
  paragraphs = [
    data(manifest, data_dir),
    terminal.filled(_settings(config, manifest)),
    terminal.filled(_stages(config, stages)),
  ]
  return '\n\n'.join(paragraphs) + '\n'


def data(
  manifest: manifest_lib.Manifest, data_dir: str | os.PathLike[str]
) -> str:
  """Rows, sessions and the tasks' rates of every split."""
  fields = f'{len(manifest.fields)} fields'
  as_of = sum(len(names) for names in manifest.as_of_groups().values())
  if as_of:
    fields += f', {as_of} of them as-of features'
  return '\n'.join(
    [terminal.filled(f'data: {data_dir} ({fields})'), *summary.splits(manifest)]
  )


def _settings(
  config: config_lib.Config, manifest: manifest_lib.Manifest
) -> str:
  network, batch = config.network, config.batch
  slots = batch.lanes * batch.lane_length
  steps = math.ceil(manifest.splits['train'].rows / slots)
  words = (
    f'settings: {config.backbone}, embeddings of {network.embedding_dim},'
    f' layers of {_units(network.bottom_units)}, towers of'
    f' {_units(network.tower_units)}; batches of {slots:,} rows, about'
    f' {steps:,} steps an epoch'
  )
  if config.ensemble > 1:
    words += f'; {config.ensemble} members, which predict as one'
  return f'{words}. Every setting: rmtl train --helpfull.'


def _units(units: tuple[int, ...]) -> str:
  return '-'.join(map(str, units)) or '0'


def _stages(config: config_lib.Config, stages: Sequence[str]) -> str:
  monitor = validation_monitor.of(config.evaluation.monitor)
  return (
    f'stages: {", ".join(stages)}. Their lines have the loss of the train rows'
    " and, of the validation rows, the mean of the tasks' AUC and logloss (1 is"
    f' that of the mean rate). best: the best {monitor.word} so far, which is'
    ' kept.'
  )
