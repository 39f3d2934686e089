"""Rewards of the session MDP (paper, section 3.2)."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

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
  xp = np if isinstance(actions, np.ndarray) else jnp
  a = xp.clip(actions, ACTION_MARGIN, 1.0 - ACTION_MARGIN)
  return labels * xp.log(a) + (1.0 - labels) * xp.log1p(-a)


def observed(
  rewards_t: types.Array, sample_weight: types.Array | None
) -> types.Array:
  """Rewards with 0 where the label is not observed, elementwise.

  A row without a label of a task pays nothing; its value is that of the
  later rows of the session. So critics learn the sum of what is observed, and
  keep a TD error at such a row too: the row before looks at its value. Weights
  above 0 don't scale rewards: they set how much a row counts in a mean, not
  what it pays.

  Args:
    rewards_t: f32[...].
    sample_weight: f32[...], 0 where the label is not observed; None: all are.
  """
  if sample_weight is None:
    return rewards_t
  xp = np if isinstance(rewards_t, np.ndarray) else jnp
  return xp.where(sample_weight > 0.0, rewards_t, 0.0)
