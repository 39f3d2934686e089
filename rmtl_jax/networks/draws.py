"""Random initial values, drawn by one compiled program for all shapes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import core

Params = Any
# Values that the programs draw, of which the first ones are taken: most arrays
# of a network are small. Larger ones are drawn in their own shape.
_ROOMS = 2**14, 2**20


def draw(
  sample: Callable[..., jax.Array], key: jax.Array, shape: Sequence[int]
) -> jax.Array:
  """sample(key, shape), bit for bit, compiled at most twice for small shapes.

  Compiling a draw costs a third of a CPU second for every shape, and networks
  have a dozen. A value depends on the key and its place in the flattened array
  alone, so that the first values of a long vector are those of any array.

  Args:
    sample: `jax.random.uniform` or the like, of 32-bit values.
    key: of the draw; while it is traced, the array is drawn in its own shape.
  """
  size = math.prod(shape)
  if not _is_small(key, size):
    return sample(key, shape)
  room = next(room for room in _ROOMS if size <= room)
  values = jax.device_get(sample(key, (room,)))[:size].reshape(shape)
  return jnp.array(values)  # a copy, so that the rest of the draw is freed


def _is_small(key: jax.Array, size: int) -> bool:
  """Whether an array is cut from a vector of `_ROOMS` values."""
  return (
    size <= _ROOMS[-1]
    and not isinstance(key, core.Tracer)
    and getattr(jax.config, 'jax_threefry_partitionable', True)
  )


def stacked(
  init: Callable[[jax.Array], Params], key: jax.Array, count: int
) -> Params:
  """Parameters of `count` networks on a new leading axis, a key for each.

  Args:
    init: key -> one network's parameters.
    key: of all; while it is traced, they are drawn together.
    count: how many.
  """
  keys = jax.random.split(key, count)
  if isinstance(key, core.Tracer):
    return jax.vmap(init)(keys)
  ones = [jax.device_get(init(one)) for one in keys]
  return jax.tree.map(lambda *leaves: jax.device_put(np.stack(leaves)), *ones)
