"""Dropout by a hash of the key, the layer and the position.

No mask is stored and none is drawn: the forward pass hashes the position of
every unit, the backward pass reads from the output which units were kept. So
a mask costs some ten integer operations per unit, and the same key, layer and
position give the same mask on every device and in every form of the network.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np

# Multipliers and shifts of a 32-bit mixer with low bias (the `lowbias32` of
# C. Wellons' hash prospector); tests/networks/test_dropout.py tests the masks.
_FIRST = np.uint32(0x7FEB352D)
_SECOND = np.uint32(0x846CA68B)
_GOLDEN = np.uint32(0x9E3779B9)


def _mix(x: jax.Array, inner: jax.Array | np.uint32) -> jax.Array:
  """Mixes 32 bits so that each bit of `x` and `inner` moves half of them."""
  x = (x ^ (x >> np.uint32(16))) * _FIRST
  x = x ^ inner
  x = (x ^ (x >> np.uint32(15))) * _SECOND
  return x ^ (x >> np.uint32(16))


def salts(key: jax.Array, layer: int, count: int) -> jax.Array:
  """The bits that tell `count` masks of one key apart.

  Args:
    key: a typed key (`jax.random.key`) or the raw bits of one.
    layer: number of the first mask; two layers of one network that share a
      key must not share a number.
    count: masks wanted, numbered from `layer` on.

  Returns:
    u32[count, 2].
  """
  if jnp.issubdtype(key.dtype, jax.dtypes.prng_key):
    key = jax.random.key_data(key)
  words = [key[i] for i in range(key.shape[0])]
  numbers = jnp.arange(layer + 1, layer + 1 + count, dtype=jnp.uint32)
  chains = []
  # Two chains over the key's words, so that two masks coincide only if 64
  # bits do.
  for order in (words, words[::-1]):
    state = numbers * _GOLDEN + np.uint32(len(chains))
    for word in order:
      state = _mix(state, word) + _GOLDEN
    chains.append(state)
  return jnp.stack(chains, axis=-1)


def keep(salt: jax.Array, shape: tuple[int, int], rate: float) -> jax.Array:
  """Which units stay.

  Args:
    salt: one row of `salts`, u32[2].
    shape: (rows, units).
    rate: share of units that is dropped.

  Returns:
    bool[rows, units], each true with probability 1 - rate.
  """
  row = jax.lax.broadcasted_iota(jnp.uint32, shape, 0)
  unit = jax.lax.broadcasted_iota(jnp.uint32, shape, 1)
  position = row * np.uint32(shape[1]) + unit
  bits = _mix(position + salt[0], salt[1])
  return bits >= np.uint32(round(rate * 2**32))


def drop(x: jax.Array, salt: jax.Array, rate: float) -> jax.Array:
  """Dropout after any activation; see `relu_dropout`, which is faster."""
  kept = keep(salt, (x.shape[0], x.shape[1]), rate)
  return jnp.where(kept, x * (1 / (1 - rate)), 0.0)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def relu_dropout(x: jax.Array, salt: jax.Array, rate: float) -> jax.Array:
  """ReLU, then dropout: kept units are scaled by 1 / (1 - rate).

  Args:
    x: pre-activations of one layer, f32[rows, units].
    salt: which mask, u32[2].
    rate: share of units that is dropped, 0 <= rate < 1, static.

  Returns:
    f32[rows, units].
  """
  kept = keep(salt, (x.shape[0], x.shape[1]), rate)
  return jnp.where(kept & (x > 0), x * (1 / (1 - rate)), 0.0)


def _forward(x, salt, rate):
  y = relu_dropout(x, salt, rate)
  return y, y


def _backward(rate, y, cotangent):
  # The output is positive exactly where the unit was active and kept, and the
  # next layer's gradient needs the output anyway: nothing else is stored.
  return jnp.where(y > 0, cotangent * (1 / (1 - rate)), 0.0), None


relu_dropout.defvjp(_forward, _backward)
