"""Spaces of actions, observations and states, as in gymnax."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


@dataclasses.dataclass(frozen=True, eq=False)
class Box:
  """Arrays between two bounds.

  Attributes:
    low: the lower bound, included, of the shape or a number.
    high: the upper bound, included.
    shape: of the arrays.
    dtype: float32 or int32.
  """

  low: Any
  high: Any
  shape: tuple[int, ...]
  dtype: Any = np.float32

  def sample(self, key: jax.Array) -> jax.Array:
    """Draws an array: uniform between bounds, else from a normal."""
    if np.dtype(self.dtype).kind == 'i':
      low = jnp.broadcast_to(jnp.asarray(self.low, self.dtype), self.shape)
      high = jnp.broadcast_to(jnp.asarray(self.high, self.dtype), self.shape)
      return jax.random.randint(key, self.shape, low, high + 1, self.dtype)
    if not (np.isfinite(self.low).all() and np.isfinite(self.high).all()):
      return jax.random.normal(key, self.shape, self.dtype)
    low, high = (
      jnp.broadcast_to(jnp.asarray(bound, self.dtype), self.shape)
      for bound in (self.low, self.high)
    )
    return jax.random.uniform(key, self.shape, self.dtype, low, high)

  def contains(self, x: Any) -> jax.Array:
    """Whether an array is within the bounds, bool[]."""
    low, high = (np.broadcast_to(b, self.shape) for b in (self.low, self.high))
    return jnp.all(x >= low) & jnp.all(x <= high)


@dataclasses.dataclass(frozen=True, eq=False)
class Dict:
  """Arrays by name.

  Attributes:
    spaces: of each.
  """

  spaces: Mapping[str, Box]

  def sample(self, key: jax.Array) -> dict[str, jax.Array]:
    """Draws an array of each space."""
    keys = jax.random.split(key, len(self.spaces))
    return {
      name: space.sample(one)
      for (name, space), one in zip(self.spaces.items(), keys, strict=True)
    }

  def contains(self, x: Any) -> jax.Array:
    """Whether all arrays are within their bounds, bool[]."""
    found = [space.contains(x[name]) for name, space in self.spaces.items()]
    return jnp.all(jnp.stack(found))
