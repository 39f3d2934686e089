"""What the metrics of an actor's steps, summed over an epoch, say of it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np


def mean_loss(sums: Mapping[str, float], num_tasks: int) -> float:
  """The epoch's mean loss over tasks, of each over the batches that have it.

  Args:
    sums: of the step's metrics (`updates/actor.loss_metrics`).
    num_tasks: K.
  """
  if 'loss' in sums:
    return sums['loss'] / sums['rows']
  means = [
    sums[f'loss_{k}'] / sums[f'rows_{k}']
    for k in range(num_tasks)
    if sums[f'rows_{k}']
  ]
  return float(np.mean(means)) if means else 0.0


def weight_statistics(
  sums: Mapping[str, float], tasks: tuple[str, ...]
) -> dict[str, float]:
  """Mean and standard deviation of the epoch's weights, per task.

  Over the batches that have the task, whose rows are counted.
  """
  if 'weight_0' not in sums:
    return {}
  result = {}
  for k, task in enumerate(tasks):
    rows = max(sums.get(f'rows_{k}', sums['rows']), 1.0)
    mean = sums[f'weight_{k}'] / rows
    variance = sums[f'weight_square_{k}'] / rows - mean**2
    result[f'weight_mean_{task}'] = mean
    result[f'weight_deviation_{task}'] = max(variance, 0.0) ** 0.5
  return result


def with_weights(sums: Mapping[str, float], num_tasks: int) -> dict[str, float]:
  """The sums, with those of weights of 1 where a step has no weights.

  Args:
    sums: of the step's metrics.
    num_tasks: K.
  """
  rows = [sums.get(f'rows_{k}', sums['rows']) for k in range(num_tasks)]
  names = ('weight', 'weight_square')
  return {f'{n}_{k}': r for n in names for k, r in enumerate(rows)} | dict(sums)
