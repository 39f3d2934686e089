"""What an actor is worth on the validation rows: what early stopping sees."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from rmtl_jax import config as config_lib
from rmtl_jax import json_files, types
from rmtl_jax.evaluation import evaluator, labelled
from rmtl_jax.evaluation import monitor as monitor_lib
from rmtl_jax.training import context as context_lib


class Validation(NamedTuple):
  """What an actor is worth on the validation rows.

  Attributes:
    auc: of each task, f64[K], XAUC where it is not binary; NaN where only one
      class exists.
    logloss: of each task, f64[K]; RMSE where it is not binary.
    relative: the error in units of that of the task's rate or mean, f64[K]; NaN
      where only one class exists.
    score: of a monitor that is a weighted sum of metrics.
  """

  auc: np.ndarray
  logloss: np.ndarray
  relative: np.ndarray
  score: float = float('nan')

  def figures(self, context: context_lib.Context) -> dict[str, float | None]:
    """What the record of an epoch has of it."""
    found = {
      f'validation_{name}_{task}': json_files.number(value)
      for name in ('auc', 'logloss')
      for task, value in zip(context.tasks, getattr(self, name), strict=True)
    }
    monitor = monitor_lib.of(context.config.evaluation.monitor)
    if monitor != monitor_lib.AUC:
      found[monitor.figure] = self.value(monitor)
    return found

  def value(self, monitor: monitor_lib.Monitor) -> float:
    """What is monitored."""
    if monitor.terms:
      return self.score
    of_tasks = self.auc if monitor == monitor_lib.AUC else self.relative
    return float(np.nanmean(of_tasks))

  def monitored(self, config: config_lib.Config) -> float:
    """The value that early stopping wants high (evaluation.monitor)."""
    monitor = monitor_lib.of(config.evaluation.monitor)
    return monitor.sign * self.value(monitor)

  def in_words(self, config: config_lib.Config) -> str:
    """The monitored figure, then others: means over the tasks."""
    monitor = monitor_lib.of(config.evaluation.monitor)
    others = [
      one for one in (monitor_lib.AUC, monitor_lib.LOGLOSS) if one != monitor
    ]
    figures = '  '.join(
      f'{one.word} {self.value(one):.4f}' for one in (monitor, *others)
    )
    return figures.replace('relative', 'rel.')  # 80 columns hold few words


def validate(context: context_lib.Context, params: Any) -> Validation:
  """What the actor is worth on the validation rows.

  Raises:
    FloatingPointError: a prediction is not finite.
    types.InputError: every task has one class only.
  """
  predictions = context.probabilities(params, context.validation)
  if not np.all(np.isfinite(predictions)):
    # The step that broke the parameters was the last before validation.
    raise FloatingPointError('predictions on validation are not finite')
  rows = labelled.Labelled.of(context.validation.host, context.tasks)
  auc = evaluator.validation_auc(predictions, rows)
  if np.all(np.isnan(auc)):
    raise types.InputError(
      'validation: every task has one class only, so AUC is undefined and'
      ' early stopping has nothing to look at'
    )
  errors = evaluator.validation_errors(predictions, rows)
  return Validation(auc, *errors, _score(context, predictions, rows))


def _score(
  context: context_lib.Context,
  predictions: np.ndarray,
  rows: labelled.Labelled,
) -> float:
  """The monitored sum, where a sum is monitored.

  Raises:
    types.InputError: a metric is undefined on the validation rows.
  """
  config = context.config.evaluation
  monitor = monitor_lib.of(config.monitor)
  if not monitor.terms:
    return float('nan')
  found = evaluator.monitored_sum(monitor, predictions, rows, config)
  if not np.isfinite(found):
    raise types.InputError(
      f'evaluation.monitor: {monitor.name!r} is undefined on the validation'
      ' rows, so stages have nothing to stop on'
    )
  return found
