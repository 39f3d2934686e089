"""From settings to what an actor descends."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import jax

from rmtl_jax import config as config_lib
from rmtl_jax import types
from rmtl_jax.objectives import registry, within_session

Mix = Callable[
  [jax.Array, jax.Array, jax.Array, within_session.Lane], jax.Array
]


def check(
  config: config_lib.ObjectiveConfig,
  parents: Sequence[int | None],
  only_after: Sequence[str] = (),
) -> None:
  """Refuses an objective that these tasks can't have.

  Args:
    parents: the place of the task that each one comes after, or None.
    only_after: tasks that the data judge on their parent's positives alone.

  Raises:
    types.InputError: it is about tasks that come after others, and there are
      none, or such as the data judge on their parent's positives.
  """
  record = registry.find(config.name)
  if record.needs_parents and set(parents) <= {None}:
    raise types.InputError(
      f'config.objective.name: {record.name} is about tasks that come after'
      ' others ("after" in the schema), found none'
    )
  if record.needs_parents and only_after:
    raise types.InputError(
      f'config.objective.name: {record.name} needs the labels of all rows, and'
      f' the data judge {", ".join(only_after)} after a positive alone'
      ' (only_after)'
    )


def make_objective(config: config_lib.ObjectiveConfig) -> Mix | None:
  """The row losses that are descended, of one lane.

  Returns:
    mix(point-wise losses f32[T, K], logits f32[T, K], labels f32[T, K], lane)
    -> f32[T, K]; None where the point-wise losses are descended as they are.

  Raises:
    types.InputError: no such objective.
  """
  record = registry.find(config.name)
  function = record.function
  if function is None:
    return None
  own_settings = {name: getattr(config, name) for name in record.settings}
  share = config.pointwise_share

  def mix(pointwise, logits, labels, lane):
    own = function(logits, labels, lane, **own_settings)
    return share * pointwise + (1.0 - share) * own if share else own

  return mix
