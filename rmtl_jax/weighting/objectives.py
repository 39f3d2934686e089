"""What an actor descends that climbs Q, instead of weighted row losses."""

from __future__ import annotations

import jax


def ddpg_losses(
  row_losses: jax.Array,
  q_values: jax.Array,
  mask: jax.Array,
  lambda_: jax.Array,
  sample_weight: jax.Array | None = None,
) -> jax.Array:
  """D-PLE's objective: -Q_k(s, pi_k(s)), no loss of labels at all.

  Lillicrap et al. (ICLR 2016), Eq. 6, with the multi-task model for the policy.

  Args:
    q_values: Q, with a gradient through the action alone, f32[L, T, K].

  Returns:
    f32[L, T, K].
  """
  del row_losses, mask, lambda_, sample_weight
  return -q_values
