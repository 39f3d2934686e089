"""RMTL's weights by their mean over the batch."""

from __future__ import annotations

import jax
import optax

from rmtl_jax.weighting import critic, relative


def scale_by_mean_one(
  lambda_: jax.Array | float = 0.7,
) -> optax.GradientTransformationExtraArgs:
  """RMTL's weights, 1 - lambda Q, divided by their mean over the batch.

  Examples:
    >>> import jax.numpy as jnp
    >>> link, ones = scale_by_mean_one(1.0), jnp.ones((1, 2, 1))
    >>> weights, _ = link.update(
    ...   ones, link.init(ones), q_values=jnp.array([[[-2.0], [0.0]]]),
    ...   mask=jnp.array([[True, True]]))
    >>> weights.ravel().tolist()
    [1.5, 0.5]

  Args:
    lambda_: the paper's lambda; a negative one gives rows more weight whose
      future looks good.

  Returns:
    A transformation that needs `q_values` and `mask`.
  """
  return critic.stateless(
    lambda updates, q_values, mask, sample_weight=None, **_: (
      updates
      * relative.mean_one(
        critic.critic_weights(q_values, lambda_), mask, sample_weight
      )
    )
  )
