"""Random bits by a hash of a key, a number and the position.

Some ten integer operations per element, a fraction of what `jax.random` takes,
and nothing is stored: the same key, number and position give the same bits on
every device and in every program.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

# Multipliers and shifts of a 32-bit mixer with low bias (the `lowbias32` of
# C. Wellons' hash prospector); tests/networks/test_dropout.py tests the bits.
_FIRST = np.uint32(0x7FEB352D)
_SECOND = np.uint32(0x846CA68B)
_GOLDEN = np.uint32(0x9E3779B9)


def _mix(x: jax.Array, inner: jax.Array | np.uint32) -> jax.Array:
  """Mixes 32 bits so that each bit of `x` and `inner` moves half of them."""
  x = (x ^ (x >> np.uint32(16))) * _FIRST
  x = x ^ inner
  x = (x ^ (x >> np.uint32(15))) * _SECOND
  return x ^ (x >> np.uint32(16))


def salts(key: jax.Array, first: int, count: int) -> jax.Array:
  """Salts of `count` arrays of bits from one key.

  Args:
    key: a typed key (`jax.random.key`) or the raw bits of one.
    first: number of the first array; two users of one key must not share a
      number.
    count: arrays wanted, numbered from `first` on.

  Returns:
    u32[count, 2].
  """
  if jnp.issubdtype(key.dtype, jax.dtypes.prng_key):
    key = jax.random.key_data(key)
  words = [key[i] for i in range(key.shape[0])]
  numbers = jnp.arange(first + 1, first + 1 + count, dtype=jnp.uint32)
  chains = []
  # Two chains over the key's words, so that two arrays coincide only if 64
  # bits do.
  for order in (words, words[::-1]):
    state = numbers * _GOLDEN + np.uint32(len(chains))
    for word in order:
      state = _mix(state, word) + _GOLDEN
    chains.append(state)
  return jnp.stack(chains, axis=-1)


def bits(salt: jax.Array, shape: tuple[int, ...]) -> jax.Array:
  """Random bits of every position.

  Args:
    salt: one row of `salts`, u32[2].
    shape: of the array.

  Returns:
    u32[shape].
  """
  position = jnp.zeros(shape, jnp.uint32)
  for axis, size in enumerate(shape):
    own = jax.lax.broadcasted_iota(jnp.uint32, shape, axis)
    position = position * np.uint32(size) + own
  return _mix(position + salt[0], salt[1])
