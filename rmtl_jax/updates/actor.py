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

    def losses_of(params):
      row_losses, _ = forward.actor_losses(network, params, batch, key)
      return row_losses, ()

    # Forward: the loss of every row and task, and their pullback.
    rows = weighted_grad.differentiate(
      losses_of, actor.params, batch.mask, batch.sample_weight
    )
    # The cotangent of their mean, with constant weights in it if there are any.
    weighted, new_weighting_state = weigh(
      network, weighting, rows, actor, batch, weighting_key
    )
    # Backward, and one step of the optimizer.
    new_actor, weighted = descend(
      actor,
      rows,
      losses_of,
      weighted,
      optimizer,
      balance,
      jax.random.fold_in(weighting_key, _BALANCING),
    )
    new_actor = new_actor._replace(weighting_state=new_weighting_state)
    if weighting is None and balance is None:
      return new_actor, loss_metrics(
        rows.losses, batch.mask, _even(batch, rows)
      )
    metrics = metrics_of(batch, rows, rows.losses, weighted)
    return new_actor, metrics

  return step


def weigh(
  network: functional.Network,
  weighting: optax.GradientTransformationExtraArgs | None,
  rows: weighted_grad.RowLosses,
  actor: state.ActorState,
  batch: types.Batch,
  key: jax.Array,
  **extra: Any,
) -> tuple[Any, Any]:
  """The cotangent of the weighted mean, and the weighting's next state.

  Args:
    rows: the losses that are descended.
    **extra: further arguments of the chain, such as `q_values`.
  """
  if weighting is None:
    return rows.mean_cotangent, actor.weighting_state
  if batch.sample_weight is not None:
    extra['sample_weight'] = batch.sample_weight
  return weighted_grad.weigh(
    rows,
    weighting,
    actor.weighting_state,
    actor.params,
    mask=batch.mask,
    # As actions: between 0 and 1 for every kind of task.
    labels=task_losses.actions(network.tasks, batch.labels),
    key=key,
    **extra,
  )


def descend(
  actor: state.ActorState,
  rows: weighted_grad.RowLosses,
  losses_of: Callable[[Any], tuple[jax.Array, Any]],
  weighted: jax.Array,
  optimizer: optax.GradientTransformation,
  balance: balance_lib.Balance | None = None,
  key: jax.Array | None = None,
) -> tuple[state.ActorState, jax.Array]:
  """One step of the optimizer along the pullback of a cotangent.

  Args:
    losses_of: what `rows` are of.
    weighted: the cotangent, f32[L, T, K].
    balance: what balances the tasks, or None.
    key: of its draws.

  Returns:
    (the actor, with the old state of its weighting; the cotangent with the
    balancer's weights of tasks).
  """
  balanced = balance_lib.balanced(
    balance, rows, weighted, actor.balancing_state, actor.params, key
  )
  updates, new_opt_state = optimizer.update(
    balanced.gradient, actor.opt_state, actor.params
  )
  new_params = optax.apply_updates(actor.params, updates)
  new_actor = actor._replace(
    params=new_params,
    opt_state=new_opt_state,
    step=actor.step + 1,
    balancing_state=balance_lib.observed(
      balance, balanced.state, weighted, lambda: losses_of(new_params)[0]
    ),
  )
  return new_actor, balanced.weighted


def metrics_of(
  batch: types.Batch,
  rows: weighted_grad.RowLosses,
  row_losses: jax.Array,
  weighted: jax.Array,
) -> Metrics:
  """Sums over the batch, so that they add up over steps.

  `loss_metrics` of the losses without weights, and `weight_<k>` and
  `weight_square_<k>`, the sums of task k's weights and of their squares.
  """
  even = _even(batch, rows)
  return loss_metrics(row_losses, batch.mask, even) | weight_metrics(
    weighted, batch.mask, even
  )


def _even(batch: types.Batch, rows: weighted_grad.RowLosses) -> Any:
  return None if batch.sample_weight is None else rows.mean_cotangent


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
