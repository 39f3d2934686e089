"""A row's features as one vector, for agents that take nothing else."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

from rmtl_jax import types


def one_hot(
  spec: types.FeatureSpec, largest: int = 64
) -> Callable[[types.Inputs], jax.Array]:
  """Makes an `encode` without parameters: one-hots, counts and numbers.

  Examples:
    >>> spec = types.FeatureSpec((3,), ((4, 2),), numeric=1, num_tasks=1)
    >>> row = types.Inputs(*map(jnp.array, ([2], [1, -1], [0.5])))
    >>> one_hot(spec)(row).tolist()
    [0.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.5]

  Args:
    spec: the data's fields.
    largest: fields with a larger vocabulary are left out, such as ids.

  Returns:
    encode(inputs of one row) -> f32[D]: a one-hot per categorical field, per
    multi-valued field how often it has each value, then the numeric fields, 0
    where they are missing.
  """

  def encode(inputs: types.Inputs) -> jax.Array:
    parts, at = [], 0
    for f, size in enumerate(spec.categorical):
      if size <= largest:
        parts.append(jax.nn.one_hot(inputs.categorical[f], size))
    for size, width in spec.multi_valued:
      if size <= largest:  # an unused slot, -1, is no value's
        values = inputs.multi_valued[at : at + width]
        parts.append(jax.nn.one_hot(values, size).sum(0))
      at += width
    parts.append(jnp.nan_to_num(jnp.asarray(inputs.numeric, jnp.float32)))
    return jnp.concatenate(parts)

  return encode
