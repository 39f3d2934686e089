"""Stage 1: the actor by the mean of its tasks' cross-entropies."""

from __future__ import annotations

from collections.abc import Callable

import jax
import optax

from rmtl_jax import types
from rmtl_jax.networks import functional
from rmtl_jax.updates import actor as actor_lib
from rmtl_jax.updates import balance as balance_lib
from rmtl_jax.updates import state


def make_pretrain_step(
  network: functional.Network,
  optimizer: optax.GradientTransformation,
  weighting: optax.GradientTransformationExtraArgs | None = None,
  balance: balance_lib.Balance | None = None,
) -> Callable[
  [state.ActorState, types.Batch, jax.Array],
  tuple[state.ActorState, actor_lib.Metrics],
]:
  """The step of stage 1.

  Args:
    network: the actor.
    optimizer: of its parameters.
    weighting: a chain that asks no critics, since there are none yet; None
      leaves the plain mean.
    balance: what balances the tasks; None: nothing.

  Returns:
    step(state, batch, key) -> (new state, metrics): those of the actor's step,
    without weights where all are 1.
  """
  actor_step = actor_lib.make_actor_step(
    network,
    optimizer,
    weighting or optax.with_extra_args_support(optax.identity()),
    balance,
  )

  def step(actor, batch, key):
    # Stage 3's draws: its control runs this step beside other weightings.
    weighting_key, _ = jax.random.split(jax.random.fold_in(key, 1))
    new_actor, metrics, _ = actor_step(actor, batch, key, weighting_key)
    if weighting is None and balance is None:  # every weight is 1
      metrics = {
        name: value
        for name, value in metrics.items()
        if not name.startswith('weight_')
      }
    return new_actor, metrics

  return step
