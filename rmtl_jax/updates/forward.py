"""Networks over a batch: what lanes share first, then one lane, vmapped."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from rmtl_jax import types
from rmtl_jax.networks import functional
from rmtl_jax.ops import losses, task_losses


def actor_losses(
  network: functional.Network,
  params: Any,
  batch: types.Batch,
  key: jax.Array | None,
) -> tuple[jax.Array, jax.Array]:
  """Every row's loss of every task, and the actions.

  Args:
    network: the actor.
    batch: [L, T].
    key: of dropout, or None.

  Returns:
    (losses, pi(s)), f32[L, T, K] each.
  """
  inputs = network.perturb(batch.inputs, key)
  shared = network.share(params, inputs)
  tasks = network.tasks

  def lane(shared, inputs, labels, lane_key):
    logits = network.lane(params, shared, inputs, dropout_key=lane_key)
    if tasks:
      row_losses = task_losses.row_losses(tasks, logits, labels)
      predicted = task_losses.predictions(tasks, logits)
      return row_losses, jnp.asarray(task_losses.actions(tasks, predicted))
    row_losses = losses.binary_cross_entropy(logits, labels)
    return row_losses, jax.nn.sigmoid(logits)

  keys = functional.lane_keys(key, batch.mask.shape[0])
  return jax.vmap(lane, (network.shared_axes, 0, 0, 0))(
    shared, inputs, batch.labels, keys
  )


def policy(
  network: functional.Network,
  params: Any,
  inputs: types.Inputs,
) -> jax.Array:
  """pi(s) without dropout, f32[L, T, K]: predictions as actions in [0, 1]."""
  found = predictions(network, params, inputs)
  return jnp.asarray(task_losses.actions(network.tasks, found))


class Predicted(NamedTuple):
  """What an actor says of rows.

  Attributes:
    outputs: of its tasks, f32[..., O], of binary ones logits.
    predictions: on the labels' scale, f32[..., K], of binary tasks
      probabilities.
  """

  outputs: Any
  predictions: Any


def predicted(
  network: functional.Network, params: Any, inputs: types.Inputs
) -> Predicted:
  """Outputs and predictions without dropout, of inputs [L, T]."""
  outputs = functional.apply(network, params, inputs)
  return Predicted(outputs, task_losses.predictions(network.tasks, outputs))


def predictions(
  network: functional.Network, params: Any, inputs: types.Inputs
) -> types.Array:
  """The predictions alone, f32[L, T, K]."""
  return predicted(network, params, inputs).predictions


def values(
  network: functional.Network,
  params: Any,
  inputs: types.Inputs,
  actions: jax.Array,
  key: jax.Array | None = None,
) -> jax.Array:
  """Q_k(s_t, a_{k,t}) of the critics, f32[L, T, K].

  Args:
    network: the critics.
    inputs: leading dimensions [L, T].
    actions: f32[L, T, K].
    key: of dropout, or None.
  """
  return functional.apply(network, params, inputs, actions, dropout_key=key)


def mean_cotangent(
  mask: types.Array, tasks: int, sample_weight: types.Array | None = None
) -> jax.Array:
  """d(mean over valid rows of the mean over tasks) / d(losses).

  The batch's sum divided by its own number of valid rows, over all devices,
  never a mean of per-session means. With sample weights a task's mean is its
  weighted sum over the sum of its own weights. Divided by all rows, a task that
  is observed in few of them, such as conversions among clicks, would have a
  share of the gradient as small as its share of the rows, and a row of weight 2
  would not be the same as the row twice. A task without weight in the batch has
  no gradient.

  Examples:
    >>> mask = jnp.array([True, True, False])
    >>> mean_cotangent(mask, tasks=2).tolist()
    [[0.25, 0.25], [0.25, 0.25], [0.0, 0.0]]
    >>> weight = jnp.array([[1.0, 0.0], [3.0, 2.0], [1.0, 1.0]])
    >>> mean_cotangent(mask, 2, weight).tolist()
    [[0.125, 0.0], [0.375, 0.5], [0.0, 0.0]]

  Args:
    mask: which rows count, bool[...].
    tasks: K.
    sample_weight: f32[..., K] >= 0; None: every row counts 1.

  Returns:
    f32[..., K], which a weighting multiplies and a pullback takes.
  """
  if sample_weight is not None:
    counted = jnp.where(jnp.asarray(mask)[..., None], sample_weight, 0.0)
    total = jnp.sum(counted, tuple(range(counted.ndim - 1)), keepdims=True)
    return counted / (jnp.where(total > 0.0, total, 1.0) * tasks)
  rows = jnp.maximum(jnp.sum(mask), 1)
  weights = jnp.where(mask, 1.0 / (rows * tasks), 0.0)
  return jnp.broadcast_to(weights[..., None], (*mask.shape, tasks))
