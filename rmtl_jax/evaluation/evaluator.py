"""All metrics of all tasks, as JSON values."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from rmtl_jax import config as config_lib
from rmtl_jax import types
from rmtl_jax.evaluation import intervals, metrics

TaskMetrics = dict[str, float | int | list[float] | None]


def evaluate(
  predictions: np.ndarray,
  labels: np.ndarray,
  session: np.ndarray,
  user: np.ndarray | None,
  tasks: Sequence[str],
  config: config_lib.EvaluationConfig,
  seed: int,
) -> dict[str, TaskMetrics]:
  """Computes every metric of every task.

  Args:
    predictions: f32[R, K] or f64[R, K], probabilities.
    labels: [R, K], 0 or 1.
    session: i64[R], the row's session.
    user: i64[R], the row's user, negative where unknown (such rows are left
      out of GAUC by user), or None where the data has no users.
    tasks: K names.
    config: intervals, bins, and what GAUC groups by.
    seed: of the bootstrap.

  Returns:
    Per task: `rows`, `positives`, `auc`, `logloss`, `session_logloss`,
    `gauc`, `pr_auc`, `calibration_error`, `predicted_over_actual`, and
    `auc_interval`, `logloss_interval`, `session_logloss_interval` as
    [low, high]; `rarer_sessions`, how many sessions hold the rarer label, and
    `undefined_draws`, resamples with one label only, which the AUC's interval
    leaves out. Undefined values are None.

  Raises:
    ValueError: shapes that don't fit, or a prediction that is no probability.
  """
  _check(predictions, labels, session, user, tasks)
  use, group = _groups(session, user, config.group)
  rarer = intervals.rarer_sessions(labels, session)
  found = intervals.session_intervals(
    predictions, labels, session, config.bootstrap, config.confidence, seed
  )
  results = {}
  for k, task in enumerate(tasks):
    p, y = predictions[:, k], labels[:, k]
    record: TaskMetrics = {
      'rows': len(y),
      'positives': int(np.count_nonzero(y > 0.5)),
      'auc': _number(metrics.auc(y, p)),
      'logloss': _number(metrics.logloss(y, p)),
      'session_logloss': _number(metrics.session_logloss(y, p, session)),
      'gauc': _number(metrics.gauc(y[use], p[use], group)),
      'pr_auc': _number(metrics.pr_auc(y, p)),
      'calibration_error': _number(
        metrics.calibration_error(y, p, config.calibration_bins)
      ),
      'predicted_over_actual': _number(metrics.predicted_over_actual(y, p)),
    }
    for name in intervals.METRICS:
      record[f'{name}_interval'] = _interval(found.bounds[name][k])
    record['rarer_sessions'] = int(rarer[k])
    record['undefined_draws'] = int(found.undefined_draws[k])
    results[task] = record
  return results


def evaluate_difference(
  first: np.ndarray,
  second: np.ndarray,
  labels: np.ndarray,
  session: np.ndarray,
  tasks: Sequence[str],
  config: config_lib.EvaluationConfig,
  seed: int,
) -> dict[str, TaskMetrics]:
  """Computes metric(first) - metric(second) of two models on the same rows.

  Args:
    first: [R, K], probabilities.
    second: [R, K], probabilities.
    labels: [R, K], 0 or 1.
    session: i64[R], the row's session.
    tasks: K names.
    config: of the intervals.
    seed: of the bootstrap.

  Returns:
    Per task: `auc`, `logloss` and `session_logloss` (differences), each with
    its `<metric>_interval` over paired resamples of sessions; None where
    undefined.

  Raises:
    ValueError: as for `evaluate`.
  """
  for predictions in (first, second):
    _check(predictions, labels, session, None, tasks)
  bounds = intervals.difference_intervals(
    first, second, labels, session, config.bootstrap, config.confidence, seed
  ).bounds
  results = {}
  for k, task in enumerate(tasks):
    y = labels[:, k]
    a, b = (
      {
        'auc': metrics.auc(y, p),
        'logloss': metrics.logloss(y, p),
        'session_logloss': metrics.session_logloss(y, p, session),
      }
      for p in (first[:, k], second[:, k])
    )
    record: TaskMetrics = {}
    for name in intervals.METRICS:
      record[name] = _number(a[name] - b[name])
      record[f'{name}_interval'] = _interval(bounds[name][k])
    results[task] = record
  return results


def validation_auc(predictions: np.ndarray, labels: np.ndarray) -> np.ndarray:
  """Computes the AUC of every task, for early stopping.

  Args:
    predictions: [R, K].
    labels: [R, K], 0 or 1.

  Returns:
    f64[K]; NaN where a task has one class only, or a prediction is NaN.
  """
  types.check_ranks((2, 2), predictions, labels)
  types.check_same_shape(predictions, labels)
  return np.array(
    [
      metrics.auc(labels[:, k], predictions[:, k])
      for k in range(labels.shape[1])
    ]
  )


def _groups(
  session: np.ndarray, user: np.ndarray | None, group: str
) -> tuple[np.ndarray, np.ndarray]:
  """Selects the rows of GAUC, and their groups; none without users."""
  if group == 'session':
    return np.arange(len(session)), session
  if user is None:
    return np.zeros(0, np.int64), np.zeros(0, np.int64)
  use = np.flatnonzero(user >= 0)
  return use, user[use]


def _check(
  predictions: np.ndarray,
  labels: np.ndarray,
  session: np.ndarray,
  user: np.ndarray | None,
  tasks: Sequence[str],
) -> None:
  types.check_ranks((2, 2, 1), predictions, labels, session)
  types.check_same_shape(predictions, labels)
  for ids in (session, user):
    if ids is not None and ids.shape != labels.shape[:1]:
      raise ValueError(
        f'expected {len(labels)} session and user ids, found {ids.shape}'
      )
  if labels.shape[1] != len(tasks):
    raise ValueError(
      f'expected {len(tasks)} tasks ({", ".join(tasks)}), found'
      f' {labels.shape[1]} columns of labels'
    )
  wrong = ~((predictions >= 0.0) & (predictions <= 1.0))  # true for NaN too
  if wrong.any():
    row, task = np.argwhere(wrong)[0]
    raise ValueError(
      f'task {tasks[task]!r}: prediction of row {row} is'
      f' {predictions[row, task]}, expected a probability'
      f' ({np.count_nonzero(wrong)} predictions are none)'
    )


def _number(value: float) -> float | None:
  """Turns NaN into None: JSON has no NaN."""
  return float(value) if math.isfinite(value) else None


def _interval(bounds: np.ndarray) -> list[float] | None:
  return [float(b) for b in bounds] if np.isfinite(bounds).all() else None
