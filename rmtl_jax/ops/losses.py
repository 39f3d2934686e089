"""Losses of one row and one task; the caller vmaps or broadcasts."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from rmtl_jax import types


def binary_cross_entropy(logits: jax.Array, labels: jax.Array) -> jax.Array:
  """-(y log p + (1 - y) log(1 - p)) with p = sigmoid(logits), elementwise.

  Args:
    logits: f32[...].
    labels: f32[...], 0 or 1.

  Returns:
    f32[...], in nats; exact for logits of any size.
  """
  types.check_same_shape(logits, labels)
  return jax.nn.softplus(logits) - labels * logits


def td_error(q_t: types.Array, target_t: types.Array) -> jax.Array:
  """(Q(s_t, a_t) - target_t)^2, elementwise; the target gets no gradient.

  Args:
    q_t: f32[...].
    target_t: f32[...].

  Returns:
    f32[...].
  """
  types.check_same_shape(q_t, target_t)
  return jnp.square(q_t - jax.lax.stop_gradient(target_t))
