"""Validation metrics for early stopping."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from rmtl_jax import config as config_lib
from rmtl_jax import json_files, types
from rmtl_jax.evaluation import evaluator, labelled, validation_monitor
from rmtl_jax.training import context as context_lib
from rmtl_jax.training import split_data


class Validation(NamedTuple):
  """Validation metrics of an actor.

  Attributes:
    auc: of each task, f64[K], XAUC where it is not binary; NaN where only one
      class exists.
    logloss: of each task, f64[K]; RMSE where it is not binary.
    relative: the error in units of that of the task's rate or mean, f64[K]; NaN
      where only one class exists.
    monitor: what early stopping looks at (evaluation.monitor).
  """

  auc: np.ndarray
  logloss: np.ndarray
  relative: np.ndarray
  monitor: validation_monitor.Monitor

  def figures(self, tasks: Sequence[str]) -> dict[str, float | None]:
    """Its entries in the record of an epoch."""
    found = {
      f'validation_{name}_{task}': json_files.number(value)
      for name in ('auc', 'logloss')
      for task, value in zip(tasks, getattr(self, name), strict=True)
    }
    if self.monitor != validation_monitor.AUC:
      found[self.monitor.figure] = self.value(self.monitor)
    return found

  def value(self, monitor: validation_monitor.Monitor) -> float:
    """The monitored value."""
    of_tasks = self.auc if monitor == validation_monitor.AUC else self.relative
    return float(np.nanmean(of_tasks))

  @property
  def monitored(self) -> float:
    """The value that early stopping wants high."""
    return self.monitor.sign * self.value(self.monitor)

  def in_words(self) -> str:
    """The monitored figure, then others: means over the tasks."""
    means = validation_monitor.AUC, validation_monitor.LOGLOSS
    shown = [self.monitor, *(one for one in means if one != self.monitor)]
    figures = '  '.join(f'{one.word} {self.value(one):.4f}' for one in shown)
    return figures.replace('relative', 'rel.')  # lines have 80 columns


def validate(context: context_lib.Context, params: Any) -> Validation:
  """Evaluates the actor on the validation rows; see `measure`."""
  predictions = context.models.probabilities(
    context.config, params, context.validation
  )
  return measure(predictions, context.validation, context.tasks, context.config)


def measure(
  predictions: np.ndarray,
  split: split_data.Split,
  tasks: tuple[str, ...],
  config: config_lib.Config,
) -> Validation:
  """Evaluates predictions of the validation rows, [R, K].

  Raises:
    FloatingPointError: a prediction is not finite.
    types.InputError: every task has one class only.
  """
  if not np.all(np.isfinite(predictions)):
    # The step that broke the parameters was the last before validation.
    raise FloatingPointError('predictions on validation are not finite')
  rows = labelled.Labelled.of(split.host, tasks)
  auc = evaluator.validation_auc(predictions, rows)
  if np.all(np.isnan(auc)):
    raise types.InputError(
      'validation: every task has one class only, so AUC is undefined and'
      ' early stopping has nothing to look at'
    )
  errors = evaluator.validation_errors(predictions, rows)
  monitor = validation_monitor.of(config.evaluation.monitor)
  return Validation(auc, *errors, monitor)
