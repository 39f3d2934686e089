"""From settings to what an actor descends."""

from __future__ import annotations

from collections.abc import Callable

import jax

from rmtl_jax import config as config_lib
from rmtl_jax.objectives import registry, within_session

Mix = Callable[
  [jax.Array, jax.Array, jax.Array, within_session.Lane], jax.Array
]


def make_objective(config: config_lib.ObjectiveConfig) -> Mix | None:
  """The row losses that are descended, of one lane.

  Args:
    config: name and settings.

  Returns:
    mix(point-wise losses f32[T, K], logits f32[T, K], labels f32[T, K], lane)
    -> f32[T, K]; None where the point-wise losses are descended as they are.

  Raises:
    types.InputError: no such objective.
  """
  function = registry.find(config.name).function
  if function is None:
    return None
  share = config.pointwise_share

  def mix(pointwise, logits, labels, lane):
    own = function(logits, labels, lane)
    return share * pointwise + (1.0 - share) * own if share else own

  return mix
