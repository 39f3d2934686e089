"""Losses, weights and gradients of whole tasks.

Row losses and their cotangent are arrays [..., K] with the tasks last; task
gradients are trees with the tasks first.
"""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def mean_losses(cotangent: jax.Array, losses: jax.Array) -> jax.Array:
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
  weighted = jnp.where(cotangent == 0.0, 0.0, cotangent * losses)
  rows = tuple(range(cotangent.ndim - 1))
  sums = jnp.sum(weighted, axis=rows, dtype=jnp.float32)
  return cotangent.shape[-1] * sums


def observed(cotangent: jax.Array) -> jax.Array:
  """Whether any row has the task's label, bool[K]: cotangent not 0."""
  return jnp.any(cotangent != 0.0, axis=tuple(range(cotangent.ndim - 1)))


def unless_absent(losses: jax.Array | None, new_state: Any, state: Any) -> Any:
  """The new state; the old one after a batch without any row of some task.

  Such a task has neither a loss nor a gradient to learn from.

  Args:
    losses: of the tasks, f32[K]; None: all have rows.
    new_state: after the batch.
    state: before it.
  """
  if losses is None:
    return new_state
  return jax.tree.map(
    lambda new, old: jnp.where(jnp.all(losses != 0.0), new, old),
    new_state,
    state,
  )


def scale(cotangent: jax.Array, weights: jax.Array) -> jax.Array:
  """The cotangent [..., K] times f32[K], in its dtype."""
  aligned = weights.reshape((1,) * (cotangent.ndim - 1) + (-1,))
  return (cotangent * aligned).astype(cotangent.dtype)


def apart(gradients: Any) -> list[Any]:
  """The gradient of each task, a tree like the parameters.

  What follows is elementwise then, and XLA builds no array of all tasks: CPUs
  do that several times as fast as products and reductions of [K, ...].

  Args:
    gradients: a tree whose leaves are [K, ...].
  """
  leaves, structure = jax.tree.flatten(gradients)
  tasks = min((len(leaf) for leaf in leaves), default=0)
  return [
    structure.unflatten(
      jax.lax.index_in_dim(leaf, k, keepdims=False) for leaf in leaves
    )
    for k in range(tasks)
  ]


def masked(gradients: Any, masks: Any) -> Any:
  """The gradients of tasks, 0 where a parameter does not count.

  Args:
    gradients: a tree whose leaves are [K, ...].
    masks: where they count, a tree like the parameters (updates/shared.py).
  """

  def of_task(gradient):
    return jax.tree.map(
      lambda g, mask: g if mask is np.True_ else jnp.where(mask, g, 0),
      gradient,
      masks,
    )

  each = map(of_task, apart(gradients))
  return jax.tree.map(lambda *parts: jnp.stack(parts), *each)


def product(left: Any, right: Any) -> jax.Array:
  """The scalar product of two trees of arrays, f32[]."""

  def of_leaf(a, b):
    return jnp.sum(a.astype(jnp.float32) * b.astype(jnp.float32))

  return jax.tree.reduce(
    jnp.add, jax.tree.map(of_leaf, left, right), jnp.zeros(())
  )


def gram(gradients: Any) -> jax.Array:
  """Products of all pairs of task gradients, f32[K, K].

  Args:
    gradients: a tree whose leaves are [K, ...].
  """
  each = apart(gradients)
  tasks = range(len(each))
  found = {
    (i, j): product(each[i], each[j]) for i in tasks for j in range(i + 1)
  }
  return jnp.stack(
    [jnp.stack([found[max(i, j), min(i, j)] for j in tasks]) for i in tasks]
  )


def total(gradients: Any) -> Any:
  """The sum over tasks of a tree of [K, ...] leaves."""
  return functools.reduce(_add, apart(gradients))


def combine(gradients: Any, weights: jax.Array) -> Any:
  """The sum over tasks of weight times gradient.

  Args:
    gradients: a tree of [K, ...] leaves.
    weights: f32[K].
  """

  def weighted(k, gradient):
    return jax.tree.map(
      lambda leaf: weights[k].astype(leaf.dtype) * leaf, gradient
    )

  return functools.reduce(
    _add, (weighted(k, own) for k, own in enumerate(apart(gradients)))
  )


def _add(left: Any, right: Any) -> Any:
  """The sum of two trees."""
  return jax.tree.map(jnp.add, left, right)
