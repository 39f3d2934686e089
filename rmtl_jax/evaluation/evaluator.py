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
  weights: np.ndarray | None = None,
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
    weights: [R, K] >= 0, how much a row counts for a task, 0 where its label
      is not observed; None: every row counts 1.

  Returns:
    Per task: `rows` and `positives` (where its label is observed), with
    weights `rate` (the weighted share of positives), every metric
    (`metrics.RECORDS`), and `auc_interval`, `logloss_interval`,
    `session_logloss_interval` as [low, high]; `rarer_sessions`, how many
    sessions hold the rarer label, and `undefined_draws`, resamples with one
    label only, which the AUC's interval leaves out. Undefined values are None.

  Raises:
    ValueError: shapes that don't fit, or a prediction that is no probability.
  """
  _check(predictions, labels, session, user, tasks)
  rarer = intervals.rarer_sessions(labels, session, weights)
  found = intervals.session_intervals(
    predictions,
    labels,
    session,
    config.bootstrap,
    config.confidence,
    seed,
    weights,
  )
  every, results = _rows(session, user, config), {}
  for k, task in enumerate(tasks):
    p, y, rows = predictions[:, k], labels[:, k], every
    if weights is not None:
      seen, rows = _observed(session, user, config, weights[:, k])
      p, y = p[seen], y[seen]
    record: TaskMetrics = {
      'rows': len(y),
      'positives': int(np.count_nonzero(y > 0.5)),
      **({'rate': _rate(y, rows)} if weights is not None else {}),
      **{
        name: _number(one.function(y, p, rows))
        for name, one in metrics.RECORDS.items()
      },
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
  user: np.ndarray | None = None,
  weights: np.ndarray | None = None,
) -> dict[str, TaskMetrics]:
  """Computes metric(first) - metric(second) of two models on the same rows.

  Args:
    first: [R, K], probabilities.
    second: [R, K], probabilities.
    labels: [R, K], 0 or 1.
    session: i64[R], the row's session.
    tasks: K names.
    config: of the intervals, and what groups are.
    seed: of the bootstrap.
    user: i64[R], as for `evaluate`.
    weights: [R, K], as for `evaluate`.

  Returns:
    Per task: differences of `auc`, `logloss` and `session_logloss`, each with
    its `<metric>_interval` over paired resamples of sessions, and of the
    registered metrics that are compared; None where undefined.

  Raises:
    ValueError: as for `evaluate`.
  """
  for predictions in (first, second):
    _check(predictions, labels, session, user, tasks)
  bounds = intervals.difference_intervals(
    first,
    second,
    labels,
    session,
    config.bootstrap,
    config.confidence,
    seed,
    weights,
  ).bounds
  every, results = _rows(session, user, config), {}
  for k, task in enumerate(tasks):
    record: TaskMetrics = {}
    y, pair, rows = labels[:, k], (first[:, k], second[:, k]), every
    if weights is not None:
      seen, rows = _observed(session, user, config, weights[:, k])
      y, pair = y[seen], tuple(p[seen] for p in pair)
    for name in metrics.compared():
      value = metrics.RECORDS[name].function
      a, b = (value(y, p, rows) for p in pair)
      record[name] = _number(a - b)
      if name in bounds:
        record[f'{name}_interval'] = _interval(bounds[name][k])
    results[task] = record
  return results


def validation_auc(
  predictions: np.ndarray,
  labels: np.ndarray,
  weights: np.ndarray | None = None,
) -> np.ndarray:
  """Computes the AUC of every task, for early stopping.

  Args:
    predictions: [R, K].
    labels: [R, K], 0 or 1.
    weights: [R, K] >= 0, or None.

  Returns:
    f64[K]; NaN where a task has one class only, or a prediction is NaN.
  """
  types.check_ranks((2, 2), predictions, labels)
  types.check_same_shape(predictions, labels)
  return np.array(
    [
      metrics.auc(
        labels[:, k],
        predictions[:, k],
        None if weights is None else weights[:, k],
      )
      for k in range(labels.shape[1])
    ]
  )


def validation_logloss(
  predictions: np.ndarray,
  labels: np.ndarray,
  weights: np.ndarray | None = None,
) -> np.ndarray:
  """Computes the logloss of every task, f64[K]; arguments as above."""
  return np.array(
    [
      metrics.logloss(
        labels[:, k],
        predictions[:, k],
        None if weights is None else weights[:, k],
      )
      for k in range(labels.shape[1])
    ]
  )


def _rows(
  session: np.ndarray,
  user: np.ndarray | None,
  config: config_lib.EvaluationConfig,
) -> metrics.Rows:
  """The rows as metrics see them; without users none has a group."""
  grouped, group = np.arange(len(session)), session
  if config.group != 'session':
    found = np.zeros(0, np.int64) if user is None else user
    grouped = np.flatnonzero(found >= 0)
    group = found[grouped]
  return metrics.Rows(session, grouped, group, config.calibration_bins)


def _observed(
  session: np.ndarray,
  user: np.ndarray | None,
  config: config_lib.EvaluationConfig,
  weight: np.ndarray,
) -> tuple[np.ndarray, metrics.Rows]:
  """Places of the rows in which a task is observed, and these as metrics see
  them; weights that are all 1 are none."""
  seen = np.flatnonzero(weight > 0.0)
  rows = _rows(session[seen], None if user is None else user[seen], config)
  own = np.asarray(weight[seen], np.float64)
  return seen, rows._replace(weight=None if np.all(own == 1.0) else own)


def _rate(labels: np.ndarray, rows: metrics.Rows) -> float | None:
  if not len(labels):
    return None
  return float(np.average(labels > 0.5, weights=rows.weight))


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
