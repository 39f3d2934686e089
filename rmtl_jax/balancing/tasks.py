"""Losses and weights of whole tasks, from those of rows.

Row losses are an array [..., K] with the tasks last, or a pytree of such whose
tasks stand one after the other.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from rmtl_jax.weighting import leafwise


def count(cotangent: Any) -> int:
  """K, over all leaves."""
  return sum(leaf.shape[-1] for leaf in jax.tree.leaves(cotangent))


def mean_losses(cotangent: Any, losses: Any) -> jax.Array:
  """Each task's mean loss, f32[K].

  K times the sum of cotangent times loss: the plain mean's cotangent is
  1 / (rows K), and where rows have weights already, theirs are in the mean.

  Examples:
    >>> cotangent = jnp.array([[0.25, 0.25], [0.25, 0.25], [0.0, 0.0]])
    >>> losses = jnp.array([[1.0, 2.0], [3.0, 4.0], [jnp.inf, 5.0]])
    >>> mean_losses(cotangent, losses).tolist()
    [2.0, 3.0]

  Args:
    cotangent: of the mean of the row losses, or of a weighted mean; rows that
      don't count have 0, and may have any loss.
    losses: of the rows, like `cotangent`.
  """
  leaves, structure = jax.tree.flatten(cotangent)
  by_leaf = leafwise.split('losses', losses, leaves, structure)
  # Of pytrees every leaf's cotangent holds its share of K already.
  tasks = count(cotangent)
  sums = [
    jnp.sum(
      jnp.where(leaf == 0.0, 0.0, leaf * own),
      axis=tuple(range(leaf.ndim - 1)),
      dtype=jnp.float32,
    )
    for leaf, own in zip(leaves, by_leaf, strict=True)
  ]
  return tasks * jnp.concatenate(sums)


def scale(cotangent: Any, weights: jax.Array) -> Any:
  """The cotangent with each task's part times its weight, in its dtype.

  Args:
    cotangent: [..., K], or a pytree of such.
    weights: f32[K], over all leaves.
  """
  leaves, structure = jax.tree.flatten(cotangent)
  new_leaves, start = [], 0
  for leaf in leaves:
    own = weights[start : start + leaf.shape[-1]]
    start += leaf.shape[-1]
    aligned = own.reshape((1,) * (leaf.ndim - 1) + (-1,))
    new_leaves.append((leaf * aligned).astype(leaf.dtype))
  return structure.unflatten(new_leaves)


def gram(gradients: Any) -> jax.Array:
  """Products of all pairs of task gradients, f32[K, K].

  Args:
    gradients: a tree whose leaves are [K, ...].
  """

  def of_leaf(leaf):
    flat = leaf.reshape(*leaf.shape[:1], -1).astype(jnp.float32)
    return jnp.einsum(
      'ki,li->kl', flat, flat, precision=jax.lax.Precision.HIGHEST
    )

  return sum(map(of_leaf, jax.tree.leaves(gradients)), jnp.zeros(()))


def total(gradients: Any, axes: int = 1) -> Any:
  """The sum over leading axes, as a product, which CPUs do much faster.

  Args:
    gradients: a tree whose leaves have these axes.
    axes: how many.
  """

  def of_leaf(leaf):
    flat = leaf.reshape(-1, *leaf.shape[axes:])
    return jnp.tensordot(jnp.ones(len(flat), leaf.dtype), flat, 1)

  return jax.tree.map(of_leaf, gradients)


def combine(gradients: Any, weights: jax.Array) -> Any:
  """The sum over tasks of weight times gradient.

  Args:
    gradients: a tree whose leaves are [K, ...].
    weights: f32[K].
  """
  return jax.tree.map(
    lambda leaf: jnp.tensordot(weights.astype(leaf.dtype), leaf, 1), gradients
  )
