"""Balancers that weigh the rows of every task by their losses.

As in balancing/by_losses.py, one backward pass: every maker here gives an Optax
transformation of the cotangent of the row losses that takes `losses`.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from rmtl_jax.balancing import checks
from rmtl_jax.weighting import leafwise


def focal(
  num_tasks: int, alpha: float = 2.0
) -> optax.GradientTransformationExtraArgs:
  """Weights of rows: the focal loss in place of the cross-entropy.

  Lin et al., "Focal Loss for Dense Object Detection" (ICCV 2017), Eq. (4):
  (1 - p)^gamma L, where L = -log p is a row's cross-entropy. Its weight is the
  exact derivative in L, so what is descended is the focal loss itself, in the
  paper's scale: weights don't average 1, and are small where L is.

  Args:
    alpha: gamma of the paper; 0 is the cross-entropy.

  Returns:
    A transformation that needs `losses`, which must be cross-entropies.

  Raises:
    types.InputError: a gamma below 0.
  """
  checks.check_at_least('focal', 'alpha', alpha, 0)

  def weights_of(losses, cotangent):
    del cotangent
    missed = -jnp.expm1(-losses)  # 1 - p
    # L / (1 - p) is 1 at L = 0.
    ratio = jnp.where(missed > 0.0, losses, 1.0) / jnp.where(
      missed > 0.0, missed, 1.0
    )
    return missed**alpha * (1.0 + alpha * jnp.exp(-losses) * ratio)

  return _of_rows(num_tasks, weights_of)


def hard_examples(
  num_tasks: int, alpha: float = 0.5
) -> optax.GradientTransformationExtraArgs:
  """Weights of rows: only those with a task's largest losses count.

  Shrivastava et al., "Training Region-based Object Detectors with Online Hard
  Example Mining" (CVPR 2016), section 4, for rows. All hard rows of a task
  have one weight, so that its cotangent sums to what it summed to: without
  weights of rows, weights average 1. Rows that tie with the last of the hard
  ones are hard too.

  Args:
    alpha: share of the batch's rows that are hard, rounded up.

  Raises:
    types.InputError: a share that is not in (0, 1].
  """
  checks.check_above_0('hard_examples', 'alpha', alpha)
  checks.check_share('hard_examples', 'alpha', alpha)

  def weights_of(losses, cotangent):
    counts = cotangent != 0.0
    rows = jnp.sum(counts, 0)
    hardness = jnp.where(counts, losses, -jnp.inf)
    # A share such as 0.3 is slightly more than 0.3 in single precision.
    kept = jnp.ceil(alpha * rows * (1.0 - 1e-6)).astype(jnp.int32)
    last = jnp.maximum(kept - 1, 0)[None]
    bound = jnp.take_along_axis(
      jnp.sort(hardness, 0, descending=True), last, axis=0
    )
    is_hard = counts & (hardness >= bound)
    left = jnp.sum(jnp.where(is_hard, cotangent, 0.0), 0)
    share = jnp.sum(cotangent, 0) / jnp.where(rows, left, 1.0)
    return is_hard * share[None]

  return _of_rows(num_tasks, weights_of)


def _of_rows(
  num_tasks: int, weights_of: Callable[[jax.Array, jax.Array], jax.Array]
) -> optax.GradientTransformationExtraArgs:
  """A transformation from weights of rows.

  Args:
    weights_of: (losses f32[rows, K], their cotangent f32[rows, K], 0 where
      one does not count) -> weights f32[rows, K]; called for each leaf of the
      row losses.
  """

  def of_leaf(leaf, losses):
    # Rows that don't count may have any loss.
    own = jnp.where(leaf != 0.0, losses.astype(jnp.float32), 0.0)
    flat = (-1, leaf.shape[-1])
    weights = weights_of(
      jax.lax.stop_gradient(own).reshape(flat),
      leaf.astype(jnp.float32).reshape(flat),
    )
    return (leaf * weights.reshape(leaf.shape)).astype(leaf.dtype)

  def update(updates, state, params=None, *, losses=None, **extra):
    del params, extra
    checks.check_losses(updates, losses, num_tasks)
    leaves, structure = jax.tree.flatten(updates)
    by_leaf = leafwise.split('losses', losses, leaves, structure)
    return structure.unflatten(map(of_leaf, leaves, by_leaf)), state

  return optax.GradientTransformationExtraArgs(
    lambda params: optax.EmptyState(), update
  )
