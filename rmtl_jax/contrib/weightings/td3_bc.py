"""TD3+BC: the row losses, and the actor climbs Q."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from rmtl_jax.weighting import relative


def td3_bc_losses(
  row_losses: jax.Array,
  q_values: jax.Array,
  mask: jax.Array,
  lambda_: jax.Array,
  sample_weight: jax.Array | None = None,
) -> jax.Array:
  """BCE_k - lambda / mean |Q_k| Q_k(s, pi_k(s)): climbs Q, stays calibrated.

  TD3+BC (Fujimoto and Gu, "A Minimalist Approach to Offline Reinforcement
  Learning", NeurIPS 2021, Eqs. 3 to 5) with the cross-entropy of the labels
  for its regression on logged actions, and a mean per task: neither the scale
  of rewards nor the session's length decides how much Q counts.

  Args:
    row_losses: the loss to descend, f32[L, T, K].
    q_values: Q, with a gradient through the action alone, f32[L, T, K].
    mask: the rows that |Q| is averaged over, bool[L, T].
    lambda_: f32[].
    sample_weight: how much a row counts for a task in that mean, f32[L, T, K];
      None: 1.

  Returns:
    f32[L, T, K]; where Q of a task is 0 everywhere, its row losses.
  """
  size = jnp.abs(jax.lax.stop_gradient(q_values))
  scale = relative.row_mean(size, mask, sample_weight)
  share = jnp.where(
    scale > 0.0, lambda_ / jnp.where(scale > 0.0, scale, 1.0), 0
  )
  return row_losses - share * q_values
