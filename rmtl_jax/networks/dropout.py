"""Dropout by a hash of the key, the layer and the position.

No mask is stored and none is drawn: the forward pass hashes the position of
every unit, the backward pass reads from the output which units were kept. So
a mask costs some ten integer operations per unit, and the same key, layer and
position give the same mask on every device and in every form of the network.
A mask's salt is one of `hashing.salts(key, layer, count)`; two layers of one
network that share a key must not share a number.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np

from rmtl_jax.ops import hashing


def keep(salt: jax.Array, shape: tuple[int, int], rate: float) -> jax.Array:
  """Which units stay.

  Args:
    salt: one row of `hashing.salts`, u32[2].
    shape: (rows, units).
    rate: share of units that is dropped.

  Returns:
    bool[rows, units], each true with probability 1 - rate.
  """
  return hashing.bits(salt, shape) >= np.uint32(round(rate * 2**32))


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
