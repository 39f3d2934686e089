"""Parses `evaluation.monitor`."""

from __future__ import annotations

import math
import re
from typing import NamedTuple

from rmtl_jax import types
from rmtl_jax.config import limits

# Figures that have their own monitor: means over all tasks.
MEANS = ('auc', 'logloss')


class Term(NamedTuple):
  """One metric of one task in a weighted sum.

  Attributes:
    task: its name.
    metric: its key in metrics.json.
    weight: finite, not 0.
  """

  task: str
  metric: str
  weight: float


def terms(text: str) -> tuple[Term, ...]:
  """The weighted sum that a monitor is; () for one of MEANS.

  Examples:
    >>> terms('click.auc=1,watch.mae=-0.5')[1]
    Term(task='watch', metric='mae', weight=-0.5)
    >>> terms('auc')
    ()

  Args:
    text: of MEANS, or TASK.METRIC=WEIGHT joined by commas or plus signs.

  Raises:
    types.InputError: anything else, or a metric of a task that occurs twice.
  """
  if text in MEANS:
    return ()
  found: dict[tuple[str, str], Term] = {}
  for part in re.split('[,+]', text):
    name, _, number = part.partition('=')
    task, _, metric = name.strip().rpartition('.')
    weight = limits.number(number)
    if not (task and metric and weight and math.isfinite(weight)):
      raise types.InputError(
        f'evaluation.monitor: {part!r:.80} is neither {" nor ".join(MEANS)}'
        ' nor TASK.METRIC=WEIGHT (joined by commas, weights not 0)'
      )
    if (task, metric) in found:
      raise types.InputError(
        f'evaluation.monitor: {task}.{metric} occurs twice'
      )
    found[task, metric] = Term(task, metric, weight)
  return tuple(found.values())
