"""Stage 3: the actor by losses that the critics weigh (paper, section 3.4)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from rmtl_jax import config as config_lib
from rmtl_jax.networks import functional
from rmtl_jax.ops import actions as actions_lib
from rmtl_jax.updates import actor as actor_lib
from rmtl_jax.updates import balance as balance_lib
from rmtl_jax.updates import critic as critic_lib
from rmtl_jax.updates import forward, state
from rmtl_jax.weighting import factory, registry, tuners


def make_finetune_step(
  network: functional.Network,
  optimizer: optax.GradientTransformation,
  weighting: optax.GradientTransformationExtraArgs,
  config: config_lib.Config,
  critic_network: functional.Network,
  critic_optimizer: optax.GradientTransformation,
  balance: balance_lib.Balance | None = None,
) -> Callable[..., tuple[state.FinetuneState, actor_lib.Metrics]]:
  """The step of stage 3, for any weighting.

  The critics value the very action that the weighed loss is of: the
  training forward pass's own output (with dropout), so that a step needs no
  second pass of the actor. A weighting with an objective, such as `ddpg`,
  descends that instead of a weighted loss.

  Args:
    network: the actor.
    optimizer: of the actor.
    weighting: the chain over the cotangent of row losses.
    config: `weighting` says whether Q-values are needed and what is descended,
      `critic.in_finetune` whether the critics learn along.
    critic_network: the critics.
    critic_optimizer: of the critics.
    balance: what balances the tasks, after the weighting; None: nothing.

  Returns:
    step(state, batch, key) -> (new state, metrics) of updates/actor.py; with a
    tuner step(state, batch, key, validation), a batch of validation rows.
  """
  record = registry.find(config.weighting.name)
  learns = record.asks_every_step and config.critic.in_finetune == 'learning'
  actor_step = actor_lib.make_actor_step(
    network,
    optimizer,
    weighting,
    balance,
  )
  critic_step = critic_lib.make_critic_step(
    critic_network, critic_optimizer, config.critic
  )
  tuner = tuners.chosen(config.weighting)
  tune = tuner.make(network, config) if tuner else None

  def step(full, batch, key, validation: Any = None):
    # The actor keeps the key as it is: the same dropout as in a step without
    # critics, so that the control differs in its weights alone.
    weighting_key, critic_key = jax.random.split(jax.random.fold_in(key, 1))

    def values(actions):
      q_values, q_deviation = forward.values_and_deviation(
        critic_network,
        full.critic.params,
        batch.inputs,
        actions,
        critic_key if config.critic.target_dropout else None,
      )
      return {'q_values': q_values, 'q_deviation': q_deviation}

    def instead(row_losses, actions):
      # The critics' parameters are not differentiated: Q moves by the action.
      lambda_ = factory.current_lambda(
        full.actor.weighting_state, config.weighting
      )
      q_values = values(actions)['q_values']
      assert record.objective is not None
      return record.objective(
        row_losses, q_values, batch.mask, lambda_, batch.sample_weight
      )

    has_objective = record.objective is not None
    new_actor, metrics, taken = actor_step(
      full.actor,
      batch,
      key,
      weighting_key,
      # What is descended instead of weighted losses holds Q already.
      values if record.asks_every_step and not has_objective else None,
      instead if has_objective else None,
    )
    new_tuner = full.tuner
    if tune is not None:
      new_actor, new_tuner = tune(taken, new_actor, validation, full.tuner)
    new_full = full._replace(actor=new_actor, tuner=new_tuner)
    if not learns:
      return new_full, metrics

    # Critics learn from the actions that were just weighed. The targets come
    # from the target actor of before this step, as in stage 2.
    target_policy = forward.policy(network, full.target_actor, batch.inputs)
    logged = taken.actions
    if config.critic.behaviour == 'uniform':
      logged = actions_lib.uniform(jax.random.fold_in(critic_key, 1), logged)
    new_critic, critic_metrics = critic_step(
      full.critic, batch, critic_key, logged, target_policy
    )
    new_target_actor = critic_lib.soft_update(
      new_actor.params, full.target_actor, new_actor.step, config.critic
    )
    new_full = new_full._replace(
      target_actor=new_target_actor, critic=new_critic
    )
    return new_full, metrics | critic_metrics

  return step


def init_finetune(
  actor_params: Any,
  critic_params: Any,
  optimizer: optax.GradientTransformation,
  critic_optimizer: optax.GradientTransformation,
  weighting: optax.GradientTransformationExtraArgs,
  config: config_lib.Config,
  num_tasks: int = 1,
  balancer: optax.GradientTransformation | None = None,
) -> state.FinetuneState:
  """Stage 3's state before its first step; all parameters are copied.

  Args:
    actor_params: the actor's.
    critic_params: the critics', or () where no step asks them.
    optimizer: of the actor.
    critic_optimizer: of the critics.
    weighting: the chain over the row losses' cotangent.
    config: of the run.
    num_tasks: K, which weightings of whole tasks need for their state.
    balancer: of the tasks, or None.
  """
  actor = state.init_actor(
    actor_params, optimizer, weighting, num_tasks, balancer
  )
  tuner = tuners.chosen(config.weighting)
  new_tuner = tuner.init() if tuner else ()
  if not registry.find(config.weighting.name).asks_every_step:
    return state.FinetuneState(actor, (), None, new_tuner)
  if config.critic.in_finetune == 'frozen':
    frozen = state.copy(critic_params), (), (), jnp.zeros((), jnp.int32)
    critic = state.CriticState(*frozen)
    return state.FinetuneState(actor, (), critic, new_tuner)
  return state.FinetuneState(
    actor,
    state.copy(actor_params),
    state.init_critic(critic_params, critic_optimizer),
    new_tuner,
  )
