"""All metrics of all tasks, as JSON values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from rmtl_jax import config as config_lib
from rmtl_jax import types
from rmtl_jax.config import kinds
from rmtl_jax.evaluation import intervals, metrics, monitor

TaskMetrics = dict[str, Any]


def evaluate(
  predictions: np.ndarray,
  labels: np.ndarray,
  session: np.ndarray,
  user: np.ndarray | None,
  tasks: Sequence[str],
  config: config_lib.EvaluationConfig,
  seed: int,
  losses: Sequence[types.TaskLoss] = (),
) -> dict[str, TaskMetrics]:
  """Computes every metric of every task.

  Args:
    predictions: f32[R, K] or f64[R, K], on the labels' scale; of binary tasks
      probabilities.
    labels: [R, K], of binary tasks 0 or 1.
    session: i64[R], the row's session.
    user: i64[R], the row's user, negative where unknown (such rows are left
      out of GAUC by user), or None where the data has no users.
    tasks: K names.
    config: intervals, bins, and what GAUC groups by.
    seed: of the bootstrap.
    losses: K of them; () if all tasks are binary.

  Returns:
    Per task: `rows`, `positives` (labels other than 0), every metric of its
    kind (`metrics.RECORDS`), and `<metric>_interval` as [low, high] of those
    that have one. Of a binary task `rarer_sessions`, how many sessions hold
    the rarer label, and `undefined_draws`, resamples with one label only, which
    the AUC's interval leaves out; of others `kind`, and `deciles`, mean
    prediction / mean label of each tenth of the rows by prediction. Undefined
    values are None.

  Raises:
    ValueError: shapes that don't fit, or a prediction that is no probability,
      or not finite.
  """
  of = _kinds(tasks, losses)
  _check(predictions, labels, session, user, tasks, of)
  rows = rows_of(session, user, config)
  bounds, extra = _intervals([predictions], labels, session, of, config, seed)
  results = {}
  for k, task in enumerate(tasks):
    p, y = predictions[:, k], labels[:, k]
    record: TaskMetrics = {} if of[k] == kinds.BINARY else {'kind': of[k]}
    record |= {
      'rows': len(y),
      'positives': int(np.count_nonzero(y > 0.5 if not record else y)),
      **{
        one.name: _number(one.function(y, p, rows))
        for one in metrics.of_kind(of[k])
      },
    }
    for name, found in bounds[k].items():
      record[f'{name}_interval'] = _interval(found)
    record |= extra[k]
    if of[k] != kinds.BINARY:
      record['deciles'] = [
        a / b if b else None for a, b, _ in metrics.deciles(y, p)
      ]
    results[task] = record
  return results


def _kinds(
  tasks: Sequence[str], losses: Sequence[types.TaskLoss]
) -> tuple[str, ...]:
  return tuple(one.kind for one in losses) or (kinds.BINARY,) * len(tasks)


def _intervals(
  predictions: Sequence[np.ndarray],
  labels: np.ndarray,
  session: np.ndarray,
  of: Sequence[str],
  config: config_lib.EvaluationConfig,
  seed: int,
) -> tuple[list[dict[str, np.ndarray]], list[TaskMetrics]]:
  """Intervals of each task's metrics, or of the first set minus the second.

  Returns:
    {metric: f64[2]} of each task, and what else the bootstrap says.
  """
  bounds: list[dict[str, np.ndarray]] = [{} for _ in of]
  extra: list[TaskMetrics] = [{} for _ in of]
  binary = [k for k, kind in enumerate(of) if kind == kinds.BINARY]
  others = [k for k, kind in enumerate(of) if kind != kinds.BINARY]

  def columns(places: list[int]) -> list[np.ndarray]:
    return [
      values if len(places) == len(of) else values[:, places]
      for values in (*predictions, labels)
    ]

  rest = session, config.bootstrap, config.confidence, seed
  if binary:
    *sets, y = columns(binary)
    estimate = (
      intervals.session_intervals
      if len(sets) == 1
      else intervals.difference_intervals
    )
    found = estimate(*sets, y, *rest)
    rarer = intervals.rarer_sessions(y, session)
    for i, k in enumerate(binary):
      bounds[k] = {name: found.bounds[name][i] for name in intervals.METRICS}
      extra[k] = {
        'rarer_sessions': int(rarer[i]),
        'undefined_draws': int(found.undefined_draws[i]),
      }
  if others:
    *sets, y = columns(others)
    errors = intervals.error_intervals(sets, y, *rest)
    for i, k in enumerate(others):
      bounds[k] = {name: found[i] for name, found in errors.items()}
  return bounds, extra


def evaluate_difference(
  first: np.ndarray,
  second: np.ndarray,
  labels: np.ndarray,
  session: np.ndarray,
  tasks: Sequence[str],
  config: config_lib.EvaluationConfig,
  seed: int,
  user: np.ndarray | None = None,
  losses: Sequence[types.TaskLoss] = (),
) -> dict[str, TaskMetrics]:
  """Computes metric(first) - metric(second) of two models on the same rows.

  Args:
    first: [R, K], as for `evaluate`.
    second: [R, K].
    labels: [R, K].
    session: i64[R], the row's session.
    tasks: K names.
    config: of the intervals, and what groups are.
    seed: of the bootstrap.
    user: i64[R], as for `evaluate`.
    losses: as for `evaluate`.

  Returns:
    Per task: differences of the registered metrics of its kind that are
    compared, with `<metric>_interval` over paired resamples of sessions where
    there is one; None where undefined.

  Raises:
    ValueError: as for `evaluate`.
  """
  of = _kinds(tasks, losses)
  for predictions in (first, second):
    _check(predictions, labels, session, user, tasks, of)
  bounds, _ = _intervals([first, second], labels, session, of, config, seed)
  rows, results = rows_of(session, user, config), {}
  for k, task in enumerate(tasks):
    record: TaskMetrics = {}
    for name in metrics.compared(of[k]):
      value = metrics.RECORDS[name].function
      a, b = (value(labels[:, k], p[:, k], rows) for p in (first, second))
      record[name] = _number(a - b)
      if name in bounds[k]:
        record[f'{name}_interval'] = _interval(bounds[k][name])
    results[task] = record
  return results


def validation_auc(
  predictions: np.ndarray,
  labels: np.ndarray,
  losses: Sequence[types.TaskLoss] = (),
) -> np.ndarray:
  """Computes the AUC of every task, for early stopping; of others the XAUC.

  Args:
    predictions: [R, K].
    labels: [R, K], of binary tasks 0 or 1.
    losses: as for `evaluate`.

  Returns:
    f64[K]; NaN where a task has one class only, or a prediction is NaN.
  """
  types.check_ranks((2, 2), predictions, labels)
  types.check_same_shape(predictions, labels)
  return np.array(
    [
      (
        metrics.xauc
        if losses and losses[k].kind != kinds.BINARY
        else metrics.auc
      )(labels[:, k], predictions[:, k])
      for k in range(labels.shape[1])
    ]
  )


def validation_errors(
  predictions: np.ndarray,
  labels: np.ndarray,
  losses: Sequence[types.TaskLoss] = (),
) -> tuple[np.ndarray, np.ndarray]:
  """Computes every task's logloss, of others the RMSE, for early stopping.

  Args:
    predictions: [R, K].
    labels: [R, K], of binary tasks 0 or 1.
    losses: as for `evaluate`.

  Returns:
    The errors, f64[K], and the same in units of those of the label's mean
    (metrics.relative_error), f64[K]; NaN where all labels are equal.
  """
  columns = range(labels.shape[1])
  if not losses:
    logloss = np.array(
      [metrics.logloss(labels[:, k], predictions[:, k]) for k in columns]
    )
    return logloss, logloss / monitor.rates_logloss(labels)
  errors, relative = np.empty((2, labels.shape[1]))
  for k, one in enumerate(losses):
    y, p = labels[:, k], predictions[:, k]
    if one.kind == kinds.BINARY:
      errors[k] = metrics.logloss(y, p)
      relative[k] = errors[k] / monitor.rates_logloss(y[:, None])[0]
    else:
      errors[k] = metrics.rmse(y, p)
      relative[k] = metrics.relative_error(one.name, y, p)
  return errors, relative


def rows_of(
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
  return metrics.Rows(
    session, grouped, group, config.calibration_bins, config.top
  )


def _check(
  predictions: np.ndarray,
  labels: np.ndarray,
  session: np.ndarray,
  user: np.ndarray | None,
  tasks: Sequence[str],
  of: Sequence[str],
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
  is_binary = np.array([kind == kinds.BINARY for kind in of], bool)
  wrong = np.where(
    is_binary,
    ~((predictions >= 0.0) & (predictions <= 1.0)),  # true for NaN too
    ~np.isfinite(predictions),
  )
  if wrong.any():
    row, task = np.argwhere(wrong)[0]
    raise ValueError(
      f'task {tasks[task]!r}: prediction of row {row} is'
      f' {predictions[row, task]}, expected a'
      f' {"probability" if is_binary[task] else "finite number"}'
      f' ({np.count_nonzero(wrong)} predictions are none)'
    )


def _number(value: float) -> float | None:
  """Turns NaN into None: JSON has no NaN."""
  return float(value) if math.isfinite(value) else None


def _interval(bounds: np.ndarray) -> list[float] | None:
  return [float(b) for b in bounds] if np.isfinite(bounds).all() else None
