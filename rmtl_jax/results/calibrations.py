"""The calibration maps of a run: fitting, reading, applying.

`tasks` are K names; `predictions` are of the validation rows, f32[R, K] by
stage.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from rmtl_jax import json_files
from rmtl_jax.config import kinds
from rmtl_jax.data import columns as columns_lib
from rmtl_jax.evaluation import calibration, labelled, metrics
from rmtl_jax.runtime import workdir

# {stage: {task: map}}
Maps = dict[str, dict[str, calibration.Platt]]


def saved(run: workdir.Run) -> Maps:
  """Reads the maps of RUN/metrics.json; none before the run is evaluated.

  Raises:
    types.InputError: the file has no valid maps.
  """
  path = run.path / 'metrics.json'
  if not path.exists():
    return {}
  return of_record(json_files.read(path), f'{path}: calibration')


def of_record(record: Mapping[str, Any], where: str) -> Maps:
  """Reads the maps of metrics.json or evaluation/<split>.json.

  Args:
    record: its content; `calibration` may be missing.
    where: name of that entry in errors.

  Raises:
    types.InputError: an entry is no map.
  """
  with json_files.parsing(where):
    return {
      stage: {
        task: calibration.from_json(fitted, f'{where}.{stage}.{task}')
        for task, fitted in maps.items()
      }
      for stage, maps in record.get('calibration', {}).items()
    }


def fit(
  predictions: Mapping[str, np.ndarray],
  validation: columns_lib.Rows,
  tasks: tuple[str, ...],
  method: str,
) -> Maps:
  """Fits a map per stage and binary task.

  Args:
    method: `config.evaluation.calibration`.
  """
  losses = validation.losses
  columns = [
    (k, task)
    for k, task in enumerate(tasks)
    if not losses or losses[k].kind == kinds.BINARY
  ]
  if method == 'none' or not columns:
    return {}
  weights = columns_lib.mean_one(columns_lib.metric_weight(validation))
  return {
    stage: {
      task: _fit_if_it_lasts(
        validation.labels[:, k],
        found[:, k],
        None if weights is None else weights[:, k],
      )
      for k, task in columns
    }
    for stage, found in predictions.items()
  }


def _fit_if_it_lasts(
  labels: np.ndarray, predictions: np.ndarray, weights: np.ndarray | None
) -> calibration.Platt:
  """The map of all rows, if that of the first half gains on the last half.

  Where rates move within validation they move after it: a map that is right for
  its own rows then makes later predictions worse.

  Args:
    labels: [R], in the order of time.
    predictions: [R], the model's.
    weights: [R] >= 0, or None.
  """
  first, last = np.array_split(np.arange(len(labels)), 2)

  def of(values: np.ndarray | None, rows: np.ndarray) -> np.ndarray | None:
    return None if values is None else values[rows]

  tried = calibration.fit_platt(
    labels[first], predictions[first], of(weights, first)
  )
  y, p, w = labels[last], predictions[last], of(weights, last)
  if not metrics.logloss(y, tried.apply(p), w) < metrics.logloss(y, p, w):
    return calibration.Platt()
  return calibration.fit_platt(labels, predictions, weights)


def apply(
  maps: Maps,
  predictions: Mapping[str, labelled.Predicted],
  tasks: tuple[str, ...],
) -> dict[str, labelled.Predicted]:
  """Calibrated predictions of the stages that have maps."""

  def calibrate(by_task: dict[str, calibration.Platt]):
    return lambda found: np.stack(
      [
        by_task[task].apply(found[:, k]) if task in by_task else found[:, k]
        for k, task in enumerate(tasks)
      ],
      axis=1,
    )

  return {
    stage: found.map(calibrate(maps[stage]))
    for stage, found in predictions.items()
    if stage in maps
  }
