"""One step of the actor, the same in stage 1 and in stage 3.

A step has four parts: the losses of the batch's rows and their pullback, the
weight of every loss, the gradient (one backward pass, or one per task where a
balancer combines them), and the optimizer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, cast

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


class Step(NamedTuple):
  """A step that was taken, for whatever comes after it.

  Attributes:
    before: the actor before the step.
    batch: what it was taken on.
    key: of its dropout.
    actions: pi(s) of its forward pass, without gradient, f32[L, T, K].
    weigh: weighting state -> (weighted cotangent f32[L, T, K], next weighting
      state), of this batch.
  """

  before: state.ActorState
  batch: types.Batch
  key: jax.Array
  actions: jax.Array
  weigh: Callable[[Any], tuple[Any, Any]]


def make_actor_step(
  network: functional.Network,
  optimizer: optax.GradientTransformation,
  weighting: optax.GradientTransformationExtraArgs,
  balance: balance_lib.Balance | None = None,
) -> Callable[..., tuple[state.ActorState, Metrics, Step]]:
  """Makes the actor's step; a weighting chain scales its row losses.

  The chain gets `losses`, `labels`, `mask`, `key` and `task_gradients` in both
  stages, and in stage 3 what critics say beside them.

  Args:
    network: the actor.
    weighting: the chain over the cotangent of row losses; its state is in the
      actor's, and so in checkpoints.
    balance: what balances the tasks, after the weighting; None: nothing.

  Returns:
    step(actor, batch, key, weighting_key, values=None, instead=None) -> (new
    actor, metrics, Step). `values(actions)` gives more extra arguments of the
    chain by name. `instead(row losses, actions)` gives what is descended
    instead of the row losses, f32[L, T, K]. In the metrics are the losses of
    `loss_metrics` without weights, whatever is descended, and `weight_<k>` and
    `weight_square_<k>` are the sums of task k's weights and of their squares, a
    balancer's weights of tasks included; `solver_failures` is 1 where the
    balancer has a solver that did not converge.
  """

  def step(actor, batch, key, weighting_key, values=None, instead=None):
    def forward_pass(params):
      return forward.actor_losses(network, params, batch, key)

    def losses_of(params):
      row_losses, actions = forward_pass(params)
      descended = row_losses
      if instead is not None:
        descended = instead(row_losses, actions)
      return descended, (row_losses, actions)

    rows = weighted_grad.differentiate(
      losses_of, actor.params, batch.mask, batch.sample_weight
    )
    row_losses, actions = rows.aux
    # Weights are constants of the step: no gradient goes through the action
    # whose value makes them.
    actions = jax.lax.stop_gradient(actions)
    extra = {} if values is None else values(actions)
    if batch.sample_weight is not None:
      extra['sample_weight'] = batch.sample_weight

    def weigh(weighting_state):
      return weighted_grad.weigh(
        rows,
        weighting,
        weighting_state,
        actor.params,
        mask=batch.mask,
        # Point-wise, whatever is descended: what a reader compares.
        losses=row_losses,
        # As actions: between 0 and 1 for every kind of task.
        labels=task_losses.actions(network.tasks, batch.labels),
        key=weighting_key,
        **extra,
      )

    weighted, new_weighting_state = weigh(actor.weighting_state)
    weighted = cast(jax.Array, weighted)
    balanced = balance_lib.balanced(
      balance,
      rows,
      weighted,
      actor.balancing_state,
      actor.params,
      jax.random.fold_in(weighting_key, _BALANCING),
    )
    new_actor = apply_gradients(actor, balanced.gradient, optimizer)
    new_balancing_state = balance_lib.observed(
      balance,
      balanced.state,
      weighted,
      losses_after=lambda: forward_pass(new_actor.params)[0],
    )
    new_actor = new_actor._replace(
      weighting_state=new_weighting_state, balancing_state=new_balancing_state
    )
    even = None if batch.sample_weight is None else rows.mean_cotangent
    metrics = loss_metrics(row_losses, batch.mask, even)
    metrics |= weight_metrics(balanced.weighted, batch.mask, even)
    metrics |= _failed_solver(actor.balancing_state, balanced.state)
    return new_actor, metrics, Step(actor, batch, key, actions, weigh)

  return step


def _failed_solver(old_state: Any, new_state: Any) -> Metrics:
  """Whether a balancer's solver did not converge in the step."""
  old, new = map(balance_lib.failures, (old_state, new_state))
  if old is None or new is None:
    return {}
  return {'solver_failures': (new - old).astype(jnp.float32)}


def apply_gradients(
  actor: state.ActorState,
  gradients: optax.Updates,
  optimizer: optax.GradientTransformation,
) -> state.ActorState:
  """One step of the actor's optimizer."""
  updates, new_opt_state = optimizer.update(
    gradients, actor.opt_state, actor.params
  )
  return actor._replace(
    params=optax.apply_updates(actor.params, updates),
    opt_state=new_opt_state,
    step=actor.step + 1,
  )


def loss_metrics(
  row_losses: jax.Array, mask: jax.Array, even: jax.Array | None = None
) -> Metrics:
  """Sums over the batch, so that they add up over steps.

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
  weighted: Any, mask: jax.Array, even: jax.Array | None = None
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
