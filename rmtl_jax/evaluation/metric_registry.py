"""The registry of metrics."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from rmtl_jax import registry
from rmtl_jax.config import kinds
from rmtl_jax.evaluation import metrics, regression


class Rows(NamedTuple):
  """Inputs of metrics besides labels and predictions.

  Attributes:
    session: i64[R], the row's session, in any order; of metrics of lists the
      row's list.
    bins: of calibration errors.
    top: ranks that NDCG counts.
    weight: f64[R] > 0, how much each row counts; None: 1. Rows in which the
      task's label is not observed are not among the R.
  """

  session: np.ndarray
  bins: int
  top: int = 10
  weight: np.ndarray | None = None


Function = Callable[[np.ndarray, np.ndarray, Rows], float]


@dataclasses.dataclass(frozen=True)
class Metric:
  """One metric of a task's predictions.

  Attributes:
    name: its key in metrics.json.
    label: what it is, in tables.
    function: (labels [R], probabilities [R], rows) -> its value, NaN where the
      rows don't define it.
    better: `higher` or `lower`; '' where neither is.
    compared: whether it stands in the first table of a report, and
      comparisons test it.
    form: its figures in tables, as `format` takes it.
    kinds: of the tasks that have it.
    of_lists: whether it judges the order of lists at one moment; its rows are
      those of lists, predicted with the past at the list's start.
  """

  name: str
  label: str
  function: Function
  better: str = ''
  compared: bool = False
  form: str = '.4f'
  kinds: tuple[str, ...] = (kinds.BINARY,)
  of_lists: bool = False

  def __post_init__(self):
    """Raises types.InputError for a direction or a kind that there is not."""
    what, given = f'metric {self.name}', [self.better] if self.better else ()
    registry.check(f'{what}: better', given, ('higher', 'lower'))
    registry.check(f'{what}: kinds', self.kinds, kinds.KINDS)


# Metrics of verdicts: a task has one of them.
RANKING = ('auc', 'xauc')


def _of_rows(function: Callable[..., float]) -> Function:
  """A metric of labels, predictions and the weights of rows."""
  return lambda y, p, rows: function(y, p, rows.weight)


def _of_numbers(
  name: str, label: str, function: Callable[..., float], *details: Any
) -> Metric:
  kinds_ = (kinds.REGRESSION, kinds.ORDINAL)
  return Metric(name, label, _of_rows(function), *details, kinds=kinds_)


RECORDS = registry.Registry(
  'metric',
  (
    Metric('auc', 'AUC', _of_rows(metrics.auc), 'higher', True),
    Metric(
      'gauc',
      'GAUC',
      lambda y, p, rows: metrics.gauc(y, p, rows.session, rows.weight),
      'higher',
      True,
      of_lists=True,
    ),
    Metric('logloss', 'logloss', _of_rows(metrics.logloss), 'lower', True),
    Metric(
      'session_logloss',
      's-logloss',
      lambda y, p, rows: metrics.session_logloss(
        y, p, rows.session, rows.weight
      ),
      'lower',
      True,
    ),
    Metric('pr_auc', 'PR-AUC', _of_rows(metrics.pr_auc), 'higher'),
    Metric(
      'ndcg',
      'NDCG',
      lambda y, p, rows: metrics.ndcg(
        y, p, *metrics.group_codes(rows.session), rows.top
      ),
      'higher',
      kinds=(kinds.BINARY, kinds.ORDINAL),
      of_lists=True,
    ),
    Metric(
      'calibration_error',
      'calibration error',
      lambda y, p, rows: metrics.calibration_error(
        y, p, rows.bins, rows.weight
      ),
      'lower',
    ),
    Metric(
      'predicted_over_actual',
      'predicted / actual',
      _of_rows(metrics.predicted_over_actual),
      kinds=kinds.KINDS,
    ),
    _of_numbers('xauc', 'XAUC', regression.xauc, 'higher', True),
    _of_numbers('mae', 'MAE', regression.mae, 'lower', True, '.4g'),
    _of_numbers('rmse', 'RMSE', regression.rmse, 'lower', True, '.4g'),
  ),
)


def register_metric(
  name: str,
  function: Function,
  *,
  label: str = '',
  better: str = 'higher',
  compared: bool = True,
  form: str = '.4f',
  of_kinds: tuple[str, ...] = (kinds.BINARY,),
) -> None:
  """Adds a metric of the caller's own under a new name, in this process.

  From then on it is in metrics.json, reports and comparisons.

  Examples:
    The share of the rows whose probability is on the label's side of a half:

        def accuracy(labels, probabilities, rows):
          return float(np.mean((probabilities > 0.5) == (labels > 0.5)))

        register_metric('accuracy', accuracy)

  Args:
    name: not one that exists.
    function: (labels [R], probabilities [R], rows) -> its value; NaN where the
      rows, see `Rows`, don't define it.
    label: what it is, in tables; the name if empty.
    better: `higher` or `lower`.
    compared: whether it stands in the first table of a report, and
      comparisons test it: every test makes Holm's correction stricter.
    form: its figures in tables, as `format` takes it.
    of_kinds: kinds of the tasks that have it.

  Raises:
    types.InputError: the name is taken, or there is no such direction or kind.
  """
  RECORDS.register(
    Metric(name, label or name, function, better, compared, form, of_kinds)
  )


def of_kind(kind: str) -> list[Metric]:
  """The metrics of tasks of a kind."""
  return [one for one in RECORDS.values() if kind in one.kinds]


def compared(kind: str = kinds.BINARY) -> tuple[str, ...]:
  """Names of the metrics of such tasks that comparisons test."""
  return tuple(one.name for one in of_kind(kind) if one.compared)


def kind_of(record: Mapping[str, Any]) -> str:
  """The kind of a task, of its metrics (evaluator.evaluate)."""
  return record.get('kind', kinds.BINARY)


def short(record: Mapping[str, Any]) -> list[Metric]:
  """The main metrics of a task, for example AUC, GAUC and logloss."""
  names = compared(kind_of(record))
  names = names[:3] if names[1] == 'gauc' else names[:2]
  return [RECORDS[name] for name in names if name in record]


def ranking_of(record: Mapping[str, Any]) -> str:
  """The metric of a task's metrics or differences that a verdict is about."""
  return next((name for name in RANKING if name in record), RANKING[0])


def known(values: Iterable[str], compared: bool) -> list[Metric]:
  """The records of the metrics among some names, in the registry's order.

  Args:
    values: keys of a task's metrics, in a record of this or an earlier process.
    compared: which of the two kinds is wanted.
  """
  names = set(values)
  return [
    one
    for one in RECORDS.values()
    if one.name in names and one.compared == compared
  ]


def describe(name: str) -> Metric:
  """The record of a metric; one that is not registered here stays a name."""
  undefined = Metric(name, name, lambda *_: float('nan'), compared=True)
  return RECORDS.get(name) or undefined
