"""Weights relative to the batch's other rows: their mean is one, per task.

RMTL's weights are at least one, so they lengthen the steps too, and those of
tasks with low values more. These only change which rows count more:
the step sizes of the tasks and of all together are those of constant weights.
None is below 0: no loss is ascended. Transformations as in
weighting/scale_by_q.py, with the extra argument `mask` bool[...]. With sample
weights (`sample_weight` f32[..., K]) means and deviations are over these.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import optax

from rmtl_jax import types
from rmtl_jax.weighting import scale_by_q

# Of the largest |Q|: what varies less is rounding, and would be blown up.
_LEAST_DEVIATION = 1e-6


def scale_by_advantage(
  lambda_: jax.Array | float = 0.7,
) -> optax.GradientTransformationExtraArgs:
  """1 - lambda A, where A is Q centred and normalised over the batch.

  Examples:
    >>> link, ones = scale_by_advantage(0.5), jnp.ones((1, 2, 1))
    >>> weights, _ = link.update(
    ...   ones, link.init(ones), q_values=jnp.array([[[-2.0], [0.0]]]),
    ...   mask=jnp.array([[True, True]]))
    >>> weights.ravel().tolist()
    [1.5, 0.5]

  Args:
    lambda_: the weight that a row gains by a Q that is one standard deviation
      below the mean; a negative one gives more weight to rows with a future
      good.

  Returns:
    A transformation that needs `q_values` and `mask`.
  """
  return scale_by_q.stateless(
    lambda updates, q_values, mask, sample_weight=None, **_: (
      updates * advantage_weights(q_values, mask, lambda_, sample_weight)
    )
  )


def advantage_weights(
  q_values: types.Array,
  mask: types.Array,
  lambda_: types.Array | float,
  sample_weight: types.Array | None = None,
) -> jax.Array:
  """1 - lambda (Q - mean) / std over the valid rows of a task, mean one.

  Weights below 0 become 0, and then all are divided by their mean, which that
  raises. Where Q does not vary the weights are 1.

  Args:
    q_values: f32[..., K].
    mask: bool[...].
    lambda_: f32[].
    sample_weight: f32[..., K], or None.

  Returns:
    f32[..., K], without gradient; 1 where there is no row.
  """
  scale_by_q.check_mask(q_values, mask)
  valid = jnp.asarray(mask)[..., None]
  q = jnp.where(valid, jax.lax.stop_gradient(q_values), 0.0)
  # Differences from one row are exactly 0 where Q is one number.
  top = jnp.max(q, _rows(q), keepdims=True, where=valid, initial=-jnp.inf)
  below = jnp.where(valid, q - top, 0.0)
  mean = row_mean(below, mask, sample_weight)
  centred = jnp.where(valid, below - mean, 0.0)
  deviation = jnp.sqrt(row_mean(jnp.square(centred), mask, sample_weight))
  largest = jnp.max(jnp.abs(q), _rows(q), keepdims=True)
  varies = deviation > _LEAST_DEVIATION * largest
  advantage = jnp.where(
    varies, centred / jnp.where(varies, deviation, 1.0), 0.0
  )
  return mean_one(1.0 - lambda_ * advantage, mask, sample_weight)


def mean_one(
  weights: types.Array,
  mask: types.Array,
  sample_weight: types.Array | None = None,
) -> jax.Array:
  """Weights bounded below by 0, by their mean over the valid rows of a task.

  Args:
    weights: f32[..., K].
    mask: bool[...].
    sample_weight: f32[..., K], or None.

  Returns:
    f32[..., K]; 1 where there is no row, and for a task without a
    weight above 0.
  """
  bounded = jnp.maximum(weights, 0.0)
  mean = row_mean(bounded, mask, sample_weight)
  some = mean > 0.0
  scaled = bounded / jnp.where(some, mean, 1.0)
  return jnp.where(jnp.asarray(mask)[..., None] & some, scaled, 1.0)


def row_mean(
  values: types.Array,
  mask: types.Array,
  sample_weight: types.Array | None = None,
) -> jax.Array:
  """The mean over a batch's valid rows, per task; 0 without any.

  Args:
    values: f32[..., K].
    mask: bool[...].
    sample_weight: f32[..., K], or None: every row counts 1.

  Returns:
    f32[..., K] with ones for the axes of rows, which multiplies values.
  """
  scale_by_q.check_mask(values, mask)
  valid = jnp.asarray(mask)[..., None]
  if sample_weight is not None:
    counted = jnp.where(valid, sample_weight, 0.0)
    sums = jnp.sum(
      jnp.where(valid, values, 0.0) * counted, _rows(values), keepdims=True
    )
    total = jnp.sum(counted, _rows(values), keepdims=True)
    return sums / jnp.where(total > 0.0, total, 1.0)
  total = jnp.sum(jnp.where(valid, values, 0.0), _rows(values), keepdims=True)
  return total / jnp.maximum(jnp.sum(valid), 1)


def _rows(values: types.Array) -> tuple[int, ...]:
  """All axes of [..., K] but the tasks'."""
  return tuple(range(values.ndim - 1))
