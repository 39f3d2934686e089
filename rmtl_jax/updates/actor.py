"""A step of the actor without critics: stage 1, and stage 3's controls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from rmtl_jax import types
from rmtl_jax.networks import functional
from rmtl_jax.ops import task_losses
from rmtl_jax.updates import balance as balance_lib
from rmtl_jax.updates import forward, state, weighted_grad

Metrics = dict[str, jax.Array]
# Tells a balancer's draws from a weighting's.
_BALANCING = 3


def make_actor_step(
  network: functional.Network,
  optimizer: optax.GradientTransformation,
  weighting: optax.GradientTransformationExtraArgs | None = None,
  balance: balance_lib.Balance | None = None,
) -> Callable[
  [state.ActorState, types.Batch, jax.Array],
  tuple[state.ActorState, Metrics],
]:
  """Makes the step of stage 1, and of the arms of stage 3 without critics.

  Args:
    network: the actor.
    optimizer: of its parameters.
    weighting: a chain over the cotangent of row losses without critics;
      None: the plain mean.
    balance: what balances the tasks, after the weighting; None: nothing.

  Returns:
    step(state, batch, key) -> (new state, metrics of `metrics_of`), without
    weights where all are 1.
  """

  def step(actor, batch, key):
    weighting_key, _ = jax.random.split(jax.random.fold_in(key, 1))

    def row_losses(params):
      return forward.actor_losses(network, params, batch, key)[0]

    # Forward: the loss of every row and task, and their pullback.
    losses, pullback = jax.vjp(row_losses, actor.params)
    # The cotangent of their mean, times constant weights if there are any.
    weighted = even = weighted_grad.mean_cotangent(
      batch.mask, losses.shape[-1], batch.sample_weight
    )
    new_weighting_state = actor.weighting_state
    if weighting is not None:
      extra = weighting_inputs(network, batch, weighting_key)
      weighted, new_weighting_state = weighted_grad.weigh(
        *(weighting, even, actor.weighting_state, actor.params),
        losses=losses,
        **extra,
      )
    # Backward, with all weights in the cotangent, or balanced over tasks.
    unbalanced, new_balancing_state = weighted, ()
    if balance is None:
      (gradient,) = pullback(weighted)
    else:
      balancing_key = jax.random.fold_in(weighting_key, _BALANCING)
      gradient, weighted, new_balancing_state = balance_lib.balanced(
        balance, losses, pullback, weighted, actor, balancing_key
      )
    # One step of the optimizer.
    updates, new_opt_state = optimizer.update(
      gradient, actor.opt_state, actor.params
    )
    new_params = optax.apply_updates(actor.params, updates)
    if balance is not None:
      new_balancing_state = balance_lib.observed(
        balance, new_balancing_state, unbalanced, lambda: row_losses(new_params)
      )
    new_actor = state.ActorState(
      new_params,
      new_opt_state,
      new_weighting_state,
      actor.step + 1,
      new_balancing_state,
    )
    if weighting is None and balance is None:
      weighted = None
    return new_actor, metrics_of(batch, losses, even, weighted)

  return step


def weighting_inputs(
  network: functional.Network, batch: types.Batch, key: jax.Array
) -> dict[str, Any]:
  """The extra arguments of a weighting that a batch has, by name."""
  extra: dict[str, Any] = {
    'mask': batch.mask,
    # As actions: between 0 and 1 for every kind of task.
    'labels': task_losses.actions(network.tasks, batch.labels),
    'key': key,
  }
  if batch.sample_weight is not None:
    extra['sample_weight'] = batch.sample_weight
  return extra


def metrics_of(
  batch: types.Batch,
  losses: jax.Array,
  even: jax.Array,
  weighted: jax.Array | None,
) -> Metrics:
  """Sums over the batch, so that they add up over steps.

  `loss_metrics` of the losses without weights, and `weight_<k>` and
  `weight_square_<k>`, the sums of task k's weights and of their squares.

  Args:
    losses: of rows, f32[L, T, K].
    even: the cotangent of their mean.
    weighted: the weighted cotangent; None where all weights are 1.
  """
  shares = None if batch.sample_weight is None else even
  metrics = loss_metrics(losses, batch.mask, shares)
  if weighted is None:
    return metrics
  return metrics | weight_metrics(weighted, batch.mask, shares)


def loss_metrics(
  row_losses: jax.Array, mask: types.Array, even: jax.Array | None = None
) -> Metrics:
  """Sums of the losses over a batch.

  Args:
    row_losses: f32[L, T, K].
    mask: bool[L, T].
    even: of rows with sample weights, the cotangent of their mean loss: the
      `loss_<k>` are each task's mean times the number of rows, and `rows_<k>`
      this number, 0 where no row of the batch counts for the task; None: every
      row counts 1, and `loss` is of all tasks.
  """
  rows = jnp.sum(mask).astype(jnp.float32)
  if even is None:
    return {'loss': jnp.sum(jnp.mean(row_losses, -1), where=mask), 'rows': rows}
  # A row that does not count may have any loss.
  losses = jnp.where(even > 0.0, even * row_losses, 0.0)
  counts = rows * jnp.any(even > 0.0, (0, 1))
  sums = rows * row_losses.shape[-1] * jnp.sum(losses, (0, 1))
  return {'rows': rows} | _by_task(loss=sums, rows=counts)


def weight_metrics(
  weighted: Any, mask: types.Array, even: jax.Array | None = None
) -> Metrics:
  """Sums of weights and their squares over the batch's rows, per task.

  Args:
    weighted: the weighted cotangent, f32[L, T, K].
    mask: bool[L, T].
    even: as for `loss_metrics`: means over sample weights, times the rows.
  """
  rows = jnp.maximum(jnp.sum(mask), 1)
  tasks = weighted.shape[-1]
  if even is not None:
    weights = jnp.where(even > 0.0, weighted / jnp.where(even > 0, even, 1), 0)
    sums, squares = (
      rows * tasks * jnp.sum(even * x, (0, 1))
      for x in (weights, jnp.square(weights))
    )
    return _by_task(weight=sums, weight_square=squares)
  # The cotangent of the plain mean is 1 / (rows * tasks).
  weights = jnp.where(mask[..., None], weighted * (rows * tasks), 0.0)
  sums = jnp.sum(weights, (0, 1))
  squares = jnp.sum(jnp.square(weights), (0, 1))
  return _by_task(weight=sums, weight_square=squares)


def _by_task(**values: jax.Array) -> Metrics:
  """Metrics `<name>_<k>` of arrays f32[K]."""
  return {
    f'{name}_{k}': value
    for name, of_tasks in values.items()
    for k, value in enumerate(of_tasks)
  }
