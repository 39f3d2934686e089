"""Kinds of tasks, and the registry of their losses.

A record describes a loss for preparation, without JAX; the loss itself
is in ops/task_losses.py. docs/your_data.md#kinds-of-tasks has the formulas.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from rmtl_jax import registry

BINARY, REGRESSION, ORDINAL = 'binary', 'regression', 'ordinal'
KINDS = (BINARY, REGRESSION, ORDINAL)
# Statistics of train labels, by kind: mean, deviation,
# share of zeros, least and largest; mean and deviation of the logarithms of
# those above 0, and the mean of y log(y / mean); shares of the levels.
STATISTICS = {
  BINARY: (),
  REGRESSION: (
    'mean',
    'deviation',
    'zeros',
    'least',
    'largest',
    'log_mean',
    'log_deviation',
    'deviance',
  ),
  ORDINAL: ('mean', 'deviation', 'shares'),
}
# Most levels of an ordinal label: each is an output of the network.
MOST_LEVELS = 100


@dataclasses.dataclass(frozen=True)
class LossRecord:
  """A loss of one kind of task.

  Attributes:
    name: value of a schema's `loss`.
    kind: of the tasks that may have it.
    make: types.TaskLoss -> task_losses.Loss.
    units: outputs of the task's tower.
    labels: `any` number, from `zero` on, or `positive`.
    settings: keys that the schema may add to `loss`, positive numbers.
  """

  name: str
  kind: str
  make: Any
  units: int = 1
  labels: str = 'any'
  settings: tuple[str, ...] = ()


def _loss(name: str, kind: str, class_name: str, **rest: Any) -> LossRecord:
  make = registry.lazy('rmtl_jax.ops.task_losses', class_name)
  return LossRecord(name, kind, make, **rest)


# The first loss of a kind is its default.
LOSSES = registry.Registry(
  'loss',
  (
    _loss('cross_entropy', BINARY, 'CrossEntropy'),
    _loss('squared', REGRESSION, 'Squared'),
    _loss('huber', REGRESSION, 'Huber', settings=('delta',)),
    _loss('poisson', REGRESSION, 'Poisson', labels='zero'),
    _loss('weighted_logistic', REGRESSION, 'WeightedLogistic', labels='zero'),
    _loss('log_normal', REGRESSION, 'LogNormal', units=2, labels='positive'),
    _loss(
      'zero_inflated_log_normal',
      REGRESSION,
      'ZeroInflatedLogNormal',
      units=3,
      labels='zero',
    ),
    _loss('cumulative_logits', ORDINAL, 'CumulativeLogits'),
  ),
)


def losses_of(kind: str) -> tuple[str, ...]:
  """Names of the losses of a kind, its default first."""
  return tuple(one.name for one in LOSSES.values() if one.kind == kind)


def expected(record: LossRecord, levels: tuple[int, ...] = ()) -> str:
  """Allowed labels, to end an error.

  >>> expected(LOSSES['poisson'])
  'a number of at least 0 (loss poisson)'
  """
  if record.kind == BINARY:
    return '0 or 1'
  if record.kind == ORDINAL:
    if not levels:
      return 'a whole number, the level'
    return f'one of the levels {", ".join(map(str, levels))}'
  rest = {'any': '', 'zero': ' of at least 0', 'positive': ' above 0'}
  loss = f' (loss {record.name})' if rest[record.labels] else ''
  return f'a {"" if loss else "finite "}number{rest[record.labels]}{loss}'


def numbers(*parts: Mapping[str, Any]) -> tuple[tuple[str, float], ...]:
  """Settings and statistics as TaskLoss.numbers."""
  return tuple(
    (name, float(value)) for part in parts for name, value in part.items()
  )
