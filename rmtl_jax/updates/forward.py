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
  """Outputs and predictions of an actor.

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
