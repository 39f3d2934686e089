"""Rewards of the session MDP (paper, section 3.2)."""

from __future__ import annotations

import jax.numpy as jnp

from rmtl_jax import types

# The paper's code clips actions to this distance from 0 and 1.
ACTION_MARGIN = 1e-4


def log_likelihood(actions: types.Array, labels: types.Array) -> types.Array:
  """Eq. (3): r = y log a + (1 - y) log(1 - a) <= 0, elementwise.

  Args:
    actions: f32[...], probabilities; clipped to [1e-4, 1 - 1e-4].
    labels: f32[...], 0 or 1.

  Returns:
    f32[...], in nats.
  """
  types.check_same_shape(actions, labels)
  a = jnp.clip(actions, ACTION_MARGIN, 1.0 - ACTION_MARGIN)
  return labels * jnp.log(a) + (1.0 - labels) * jnp.log1p(-a)


def absolute_error(actions: types.Array, labels: types.Array) -> types.Array:
  """r = -|a - y|, elementwise: the other reward of the authors' code.

  Args:
    actions: f32[...], probabilities.
    labels: f32[...], 0 or 1.

  Returns:
    f32[...] in [-1, 0].
  """
  types.check_same_shape(actions, labels)
  return -jnp.abs(actions - labels)


REWARDS = {'log_likelihood': log_likelihood, 'absolute_error': absolute_error}
