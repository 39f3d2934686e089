"""The figure of the validation rows that decides: `evaluation.monitor`.

Stages 1 and 3 stop on it, `rmtl tune` searches by it, and `rmtl compare`
chooses the learning rates of stage 3 by it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import special

from rmtl_jax.evaluation import metrics

Record = Mapping[str, Any]


class Monitor(NamedTuple):
  """A figure by which models are chosen, a mean over the tasks.

  Attributes:
    name: as evaluation.monitor has it.
    word: in texts.
    sign: 1 if high values are good, -1 if low ones are.
    worst: the value of a run that diverged.
    long: what it is, on an axis.
  """

  name: str
  word: str
  sign: float
  worst: float
  long: str

  @property
  def figure(self) -> str:
    """Its key in records of runs and trials."""
    return f'validation_{self.name}'

  @property
  def direction(self) -> str:
    """Optuna's direction: minimize or maximize."""
    return 'maximize' if self.sign > 0 else 'minimize'

  def gain(self, value: float, other: float) -> float:
    """By how much `value` is better than `other`."""
    return self.sign * (value - other)


AUC = Monitor('auc', 'AUC', 1.0, 0.0, 'mean validation AUC over tasks')
LOGLOSS = Monitor(
  'logloss',
  'relative logloss',
  -1.0,
  # Far above what any model has that learns: the mean rate's is 1.
  100.0,
  "validation logloss (1: the mean rate's)",
)


def of(name: str) -> Monitor:
  """The monitor of a setting, `auc` or `logloss`."""
  return {'auc': AUC, 'logloss': LOGLOSS}[name]


def of_record(record: Record) -> Monitor:
  """The monitor of a record with `config`; records without one have AUC."""
  evaluation = record.get('config', {}).get('evaluation', {})
  return of(evaluation.get('monitor', AUC.name))


def of_history(history: Sequence[Record]) -> Monitor:
  """The monitor of a run's history, one record per epoch."""
  has_logloss = any(LOGLOSS.figure in entry for entry in history)
  return LOGLOSS if has_logloss else AUC


def rates_logloss(
  labels: np.ndarray, weights: np.ndarray | None = None
) -> np.ndarray:
  """The logloss of each task's mean rate, the unit of monitored loglosses.

  Args:
    labels: [R, K], 0 or 1.
    weights: [R, K] >= 0, or None.

  Returns:
    Nats, f64[K]; NaN where a task has one class only.

  Examples:
    >>> rates_logloss(np.array([[0, 1], [1, 1]]))  # log 2
    array([0.69314718,        nan])
  """
  rates = metrics.mean_labels(labels, weights)
  of_rates = np.where((rates > 0) & (rates < 1), special.entr(rates), np.nan)
  return of_rates + special.entr(1 - rates)


def mean(values: Sequence[float | None] | np.ndarray) -> float | None:
  """The mean of the values that are defined; None if none is."""
  defined = [v for v in values if v is not None and not np.isnan(v)]
  return float(np.mean(defined)) if defined else None
