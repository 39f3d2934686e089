"""The tuner: after a step of the actor, a step of lambda."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from rmtl_jax import config as config_lib
from rmtl_jax import types
from rmtl_jax.config import rules
from rmtl_jax.contrib.learnt_lambda import hypergradient
from rmtl_jax.networks import functional, pretrained
from rmtl_jax.updates import actor as actor_lib
from rmtl_jax.updates import forward, state
from rmtl_jax.weighting import factory


def init() -> Any:
  """The state of lambda's own optimizer."""
  return hypergradient.OPTIMIZER.init(jnp.zeros(()))


def numbers(weighting_state: Any) -> dict[str, float]:
  """Lambda as it is now."""
  return {'lambda': float(factory.lambda_of(weighting_state))}


def make(
  network: functional.Network, config: config_lib.Config
) -> Callable[..., tuple[state.ActorState, Any]]:
  """Moves lambda so that the step just taken would have helped more.

  Returns:
    tune(taken, new actor, validation batch, state) -> (the actor with another
    lambda, the next state of lambda's optimizer).
  """

  def tune(
    taken: actor_lib.Step,
    new_actor: state.ActorState,
    validation: types.Batch,
    tuner_state: Any,
  ) -> tuple[state.ActorState, Any]:
    old_state = taken.before.weighting_state

    def row_losses(params):
      return forward.actor_losses(
        network,
        params,
        taken.batch,
        taken.key,
      )[0]

    def validation_loss(params):
      losses, _ = forward.actor_losses(network, params, validation, None)
      return jnp.sum(
        losses
        * forward.mean_cotangent(
          validation.mask, losses.shape[-1], validation.sample_weight
        )
      )

    def weigh(value: jax.Array) -> jax.Array:
      return taken.weigh(factory.with_values(old_state, lambda_=value))[0]

    lambda_ = factory.lambda_of(old_state)
    gradient = hypergradient.hypergradient(
      row_losses,
      validation_loss,
      taken.before.params,
      new_actor.params,
      pretrained.with_frozen(
        hypergradient.adam_scale(new_actor.opt_state), new_actor.params
      ),
      weigh,
      lambda_,
    )
    new_lambda, new_tuner_state = hypergradient.new_lambda(
      gradient,
      tuner_state,
      lambda_,
      config.weighting.meta_learning_rate,
      rules.lowest_lambda(config.weighting),
    )
    new_state = factory.with_values(
      new_actor.weighting_state, lambda_=new_lambda
    )
    return new_actor._replace(weighting_state=new_state), new_tuner_state

  return tune
