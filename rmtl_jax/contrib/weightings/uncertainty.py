"""Weights by how much a row's critics disagree."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import optax

from rmtl_jax import types
from rmtl_jax.weighting import critic, relative


def scale_by_uncertainty(
  lambda_: jax.Array | float = 0.7,
) -> optax.GradientTransformationExtraArgs:
  """1 + lambda (u - mean u) / mean u, where u is the critics' disagreement.

  u is `q_deviation`: the standard deviation over several critics of one task.

  Args:
    lambda_: positive gives more weight to rows on which the critics disagree,
      negative to rows on which they agree.

  Returns:
    A transformation that needs `q_deviation` and `mask`.
  """
  return critic.stateless(
    lambda updates, q_deviation, mask, sample_weight=None, **_: (
      updates * uncertainty_weights(q_deviation, mask, lambda_, sample_weight)
    )
  )


def uncertainty_weights(
  q_deviation: types.Array,
  mask: types.Array,
  lambda_: types.Array | float,
  sample_weight: types.Array | None = None,
) -> jax.Array:
  """1 + lambda (u - mean u) / mean u over the valid rows of a task, mean one.

  Bounded and normalised as `relative.advantage_weights`; 1 where all u are 0,
  as those of one critic.

  Args:
    q_deviation: u >= 0, f32[..., K].
    mask: bool[...].
    lambda_: f32[].
    sample_weight: f32[..., K], or None.

  Returns:
    f32[..., K], without gradient; 1 where there is no row.
  """
  u = jax.lax.stop_gradient(q_deviation)
  mean = relative.row_mean(u, mask, sample_weight)
  by_mean = jnp.where(mean > 0.0, u / jnp.where(mean > 0.0, mean, 1.0), 1.0)
  return relative.mean_one(1.0 + lambda_ * (by_mean - 1.0), mask, sample_weight)
