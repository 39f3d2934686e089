"""A trained run's metrics.json: the end of `run.train`."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from rmtl_jax import json_files
from rmtl_jax.data import columns as columns_lib
from rmtl_jax.results import (
  ensemble,
  finetuned,
  reference,
  row_values,
  served,
  summary,
)
from rmtl_jax.results import record as run_record
from rmtl_jax.runtime import processes, workdir, writers
from rmtl_jax.training import splits as splits_lib


def write(
  run: workdir.Run,
  trained: ensemble.Ensemble,
  rows: Mapping[str, splits_lib.Split],
  writer: writers.Writer,
) -> dict[str, Any]:
  """Evaluates a trained run and writes metrics.json, which it returns.

  Args:
    trained: its finished stages, of every member of an ensemble.
    rows: train, validation and test, by name.
  """
  begin, history = time.perf_counter(), trained.history
  data = run_record.Data(
    run.manifest, rows['train'], rows['validation'], rows['test']
  )
  values = row_values.critic_values(trained, data.validation)
  _plot_critics(writer, run, trained, data, values)
  predicted = run_record.predict_validation(run, trained, data.validation)
  maps = run_record.fit_calibrations(run, predicted, data.validation)
  chosen = served.decide(
    predicted, data.validation.host, run.manifest.task_names, run.config
  )
  record = {
    'split': 'test',
    **run_record.build(run, trained, data, maps, values, chosen),
  }
  record['warnings'] += summary.history_warnings(
    history, run.config.weighting.name
  )
  record = finetuned.extend(record, run, trained, data, history)
  if run.started_from:
    record['started_from'] = run.started_from
  if run.refit_of:
    record['refit_of'] = {
      name: run.refit_of[name] for name in ('run', 'epochs')
    }
  record |= run_record.paper_model(run)
  record['seconds'] = _seconds(history)
  record['seconds']['evaluation'] = time.perf_counter() - begin
  record = json_files.sealed(record)
  if processes.is_first():
    reference.write(run)
    writers.write_json(run.path / 'metrics.json', record)
  writer.finish(record)
  return record


def _plot_critics(
  writer: writers.Writer,
  run: workdir.Run,
  trained: ensemble.Ensemble,
  data: run_record.Data,
  values: Sequence[row_values.CriticValues],
) -> None:
  """Histograms for TensorBoard, of validation rows: Q, stage 3's weights.

  Weights are of rows where the task's label is observed: no loss has others.
  """
  weights = row_values.weights(
    run.config,
    values,
    data.validation,
    lambda: row_values.critic_values(trained, data.train),
  )
  sample_weight = data.validation.host.sample_weight
  for group, name, members in (
    ('critic', 'q', [one.q_values for one in values]),
    ('finetune', 'weight', weights),
  ):
    for member, rows in enumerate(members):
      own = f'{group}/member_{member}' if len(members) > 1 else group
      for k, task in enumerate(run.manifest.task_names):
        shown = rows[:, k]
        if group == 'finetune':
          shown = shown[columns_lib.observed(sample_weight, k)]
        if len(shown):
          writer.histogram(f'{own}/{name}_{task}', shown)


def _seconds(history: Sequence[dict[str, Any]]) -> dict[str, float]:
  """Seconds per stage, over all epochs."""
  seconds: dict[str, float] = {}
  for entry in history:
    name = entry['stage']
    seconds[name] = seconds.get(name, 0.0) + entry.get('seconds', 0.0)
  return seconds
