"""All metrics of all tasks, as JSON values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from rmtl_jax import clock, json_files, types
from rmtl_jax import config as config_lib
from rmtl_jax.config import kinds
from rmtl_jax.evaluation import (
  bootstrap,
  intervals,
  labelled,
  metric_registry,
  metrics,
  regression,
  validation_monitor,
)

TaskMetrics = dict[str, Any]
Replicates = Mapping[str, np.ndarray]

# Equal-mass bins of the calibration error; ranks that NDCG counts.
CALIBRATION_BINS, _TOP = 20, 10


@clock.part('intervals')
def replicates(
  predictions: labelled.Predicted,
  rows: labelled.Labelled,
  config: config_lib.EvaluationConfig,
  seed: int,
) -> Replicates:
  """Metrics of resampled sessions, as many as `config.bootstrap`."""
  return bootstrap.replicates(predictions, rows, config.bootstrap, seed)


def evaluate(
  predictions: labelled.Predicted,
  rows: labelled.Labelled,
  drawn: Replicates,
) -> dict[str, TaskMetrics]:
  """Computes every metric of every task.

  Args:
    drawn: the `replicates` of the predictions; {}: no intervals.

  Returns:
    Per task: `rows`, `positives` (labels other than 0) and `sessions` where its
    label is observed, with weights `rate` (the weighted share of positives),
    every metric of its kind (`registry.RECORDS`), and `<metric>_interval` as
    [low, high] of those that have one. Of a binary task `rarer_sessions`, how
    many sessions have the rarer label; of others `kind`. Metrics of lists are
    there if `predictions` has lists, with `list_rows`, how many rows with an
    observed label these have. Undefined values are None.
  """
  bounds = intervals.session_intervals(drawn, rows)
  rarer = intervals.rarer_sessions(rows)
  sessions = intervals.observed_sessions(rows)
  results = {}
  for k, (task, kind) in enumerate(zip(rows.tasks, rows.kinds, strict=True)):
    seen, seen_rows = observed(rows, rows.weight(k))
    y = rows.labels[seen, k]
    is_binary = kind == kinds.BINARY
    record: TaskMetrics = {} if is_binary else {'kind': kind}
    is_positive = y > 0.5 if is_binary else y != 0
    record |= {
      'rows': len(y),
      'positives': int(np.count_nonzero(is_positive)),
      'sessions': int(sessions[k]),
    }
    if rows.weights is not None:
      record['rate'] = _rate(is_positive, seen_rows)
    for one in metric_registry.of_kind(kind):
      value = measured(one.name, predictions, rows, k)
      if value is not None:
        record[one.name] = json_files.number(value)
    for name, found in bounds.items():
      if name in record:
        record[f'{name}_interval'] = intervals.as_json(found[k])
    if is_binary:
      record['rarer_sessions'] = int(rarer[k])
    if predictions.lists is not None:
      own = rows.take(predictions.lists.rows).weight(k)
      count = len(predictions.lists.rows)
      record['list_rows'] = count if own is None else int(np.count_nonzero(own))
    results[task] = record
  return results


def measured(
  name: str,
  predictions: labelled.Predicted,
  rows: labelled.Labelled,
  k: int,
) -> float | None:
  """A metric of task k; None if it is of lists and there are none."""
  one = metric_registry.RECORDS[name]
  values = predictions.rows
  if one.of_lists:
    if predictions.lists is None:
      return None
    places, number, values = predictions.lists
    rows = rows.take(places)._replace(session=number)
  seen, seen_rows = observed(rows, rows.weight(k))
  return one.function(rows.labels[seen, k], values[seen, k], seen_rows)


def evaluate_difference(
  first: labelled.Predicted,
  second: labelled.Predicted,
  rows: labelled.Labelled,
  drawn: tuple[Replicates, Replicates],
) -> dict[str, TaskMetrics]:
  """Computes metric(first) - metric(second) of two models on the same rows.

  Args:
    drawn: the `replicates` of both, by the same seed.

  Returns:
    Per task: differences of the registered metrics of its kind that are
    compared, with `<metric>_interval` over paired resamples of sessions where
    there is one; None where undefined.
  """
  a, b = drawn
  bounds = intervals.session_intervals({n: a[n] - b[n] for n in a}, rows)
  results = {}
  for k, task in enumerate(rows.tasks):
    record: TaskMetrics = {}
    for name in metric_registry.compared(rows.kinds[k]):
      a, b = (measured(name, p, rows, k) for p in (first, second))
      if a is None or b is None:
        continue
      record[name] = json_files.number(a - b)
      if name in bounds:
        record[f'{name}_interval'] = intervals.as_json(bounds[name][k])
    results[task] = record
  return results


def validation_auc(
  predictions: np.ndarray, rows: labelled.Labelled
) -> np.ndarray:
  """Computes the AUC of every task, for early stopping; of others the XAUC.

  Args:
    predictions: [R, K].

  Returns:
    f64[K]; NaN where a task has one class only, or a prediction is NaN.
  """
  types.check_ranks((2, 2), predictions, rows.labels)
  types.check_same_shape(predictions, rows.labels)
  found = []
  for k, kind in enumerate(rows.kinds):
    auc = metrics.auc if kind == kinds.BINARY else regression.xauc
    found.append(auc(rows.labels[:, k], predictions[:, k], rows.weight(k)))
  return np.array(found)


def validation_errors(
  predictions: np.ndarray, rows: labelled.Labelled
) -> tuple[np.ndarray, np.ndarray]:
  """Computes every task's logloss, of others the RMSE, for early stopping.

  Args:
    predictions: [R, K].

  Returns:
    The errors, f64[K], and the same in units of those of the label's mean
    (regression.relative_error), f64[K]; NaN where all labels are equal.
  """
  errors, relative = np.empty((2, len(rows.tasks)))
  rates = validation_monitor.rates_logloss(rows.labels, rows.weights)
  for k, kind in enumerate(rows.kinds):
    y, p, w = rows.labels[:, k], predictions[:, k], rows.weight(k)
    if kind == kinds.BINARY:
      errors[k] = metrics.logloss(y, p, w)
      relative[k] = errors[k] / rates[k]
    else:
      errors[k] = regression.rmse(y, p, w)
      loss = rows.losses[k].name
      relative[k] = regression.relative_error(loss, y, p, w)
  return errors, relative


def observed(
  rows: labelled.Labelled,
  weight: np.ndarray | None,
) -> tuple[np.ndarray | slice, metric_registry.Rows]:
  """Places of the rows in which a task is observed, and these as metrics see
  them; weights that are all 1 are none.

  Args:
    weight: [R] >= 0, of the task; None: all rows are observed and count 1.
  """
  seen, own = slice(None), None
  if weight is not None:
    seen = np.flatnonzero(weight > 0.0)
    own = np.asarray(weight[seen], np.float64)
    own = None if np.all(own == 1.0) else own
  return seen, metric_registry.Rows(
    rows.session[seen], CALIBRATION_BINS, _TOP, own
  )


def _rate(is_positive: np.ndarray, rows: metric_registry.Rows) -> float | None:
  if not len(is_positive):
    return None
  return float(np.average(is_positive, weights=rows.weight))
