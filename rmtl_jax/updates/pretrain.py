"""Stage 1: the actor by the mean of its tasks' cross-entropies."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from rmtl_jax import types
from rmtl_jax.networks import functional
from rmtl_jax.updates import forward, state

Metrics = dict[str, jax.Array]


def make_pretrain_step(
  network: functional.Network,
  optimizer: optax.GradientTransformation,
  label_smoothing: float = 0.0,
) -> Callable[
  [state.ActorState, types.Batch, jax.Array],
  tuple[state.ActorState, Metrics],
]:
  """The step of stage 1.

  Args:
    network: the actor.
    optimizer: of its parameters.
    label_smoothing: of the loss that is descended.

  Returns:
    step(state, batch, key) -> (new state, metrics): `loss` is the batch's
    sum of row losses (mean over tasks, labels as they are), `rows` its number
    of rows.
  """

  def step(actor, batch, key):
    def objective(params):
      descended, row_losses, _ = forward.actor_losses(
        network, params, batch, key, label_smoothing
      )
      return descended, row_losses

    _, pullback, row_losses = forward.pull_back(objective, actor.params)
    cotangent = forward.mean_cotangent(batch.mask, row_losses.shape[-1])
    new_actor = apply_gradients(actor, pullback(cotangent), optimizer)
    return new_actor, loss_metrics(row_losses, batch.mask)

  return step


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


def loss_metrics(row_losses: jax.Array, mask: jax.Array) -> Metrics:
  """Sums over the batch, so that they add up over steps."""
  return {
    'loss': jnp.sum(jnp.mean(row_losses, -1), where=mask),
    'rows': jnp.sum(mask).astype(jnp.float32),
  }
