"""Stage 3: the actor by losses that the critics weigh (paper, section 3.4)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import optax

from rmtl_jax import config as config_lib
from rmtl_jax import types
from rmtl_jax.networks import functional
from rmtl_jax.ops import actions as actions_lib
from rmtl_jax.updates import actor as actor_lib
from rmtl_jax.updates import critic as critic_lib
from rmtl_jax.updates import forward, state, weighted_grad
from rmtl_jax.weighting import weighting_registry


def make_finetune_step(
  network: functional.Network,
  optimizer: optax.GradientTransformation,
  weighting: optax.GradientTransformationExtraArgs,
  config: config_lib.Config,
  critic_network: functional.Network,
  critic_optimizer: optax.GradientTransformation,
) -> Callable[
  [state.FinetuneState, types.Batch, jax.Array],
  tuple[state.FinetuneState, actor_lib.Metrics],
]:
  """Makes the step of stage 3 for a weighting that uses critics.

  The critics value the action whose loss they weight: the output of the
  training forward pass (with dropout), so that a step needs no second pass of
  the actor.

  Args:
    network: the actor.
    optimizer: of the actor.
    weighting: the chain over the cotangent of row losses.
    config: `weighting.name` and `critic`.
    critic_network: the critics.
    critic_optimizer: of critics that learn along (`critic.in_finetune`).

  Returns:
    step(state, batch, key) -> (new state, metrics of updates/actor.py).
  """
  ascends_q = weighting_registry.find(config.weighting.name).ascends_q
  train_critics = critic_lib.make_critic_step(
    critic_network, critic_optimizer, config.critic
  )

  def step(full, batch, key):
    actor, critic = full.actor, full.critic
    # The actor keeps the key as it is: the same dropout as in a step without
    # critics, so that the control differs in its weights alone.
    weighting_key, critic_key = jax.random.split(jax.random.fold_in(key, 1))

    def values(actions):
      return functional.apply(
        critic_network,
        critic.params,
        batch.inputs,
        actions,
        dropout_key=critic_key if config.critic.official_targets else None,
      )

    def descended(params):
      losses, actions = forward.actor_losses(network, params, batch, key)
      # D-PLE descends -Q instead (Lillicrap et al., ICLR 2016, Eq. 6).
      return -values(actions) if ascends_q else losses, (losses, actions)

    # Forward: the loss of every row and task, and their pullback.
    objective, pullback, (losses, actions) = jax.vjp(
      descended, actor.params, has_aux=True
    )
    # The weights: no gradient flows through the action that they depend on.
    actions = jax.lax.stop_gradient(actions)
    extra = actor_lib.weighting_inputs(network, batch, weighting_key)
    if not ascends_q:
      extra['q_values'] = values(actions)
    even = weighted_grad.mean_cotangent(
      batch.mask, losses.shape[-1], batch.sample_weight
    )
    weighted, new_weighting_state = weighted_grad.weigh(
      *(weighting, even, actor.weighting_state, actor.params),
      losses=objective,
      **extra,
    )
    # Backward, and one step of the optimizer.
    (gradient,) = pullback(weighted)
    updates, new_opt_state = optimizer.update(
      gradient, actor.opt_state, actor.params
    )
    new_actor = state.ActorState(
      optax.apply_updates(actor.params, updates),
      new_opt_state,
      new_weighting_state,
      actor.step + 1,
    )
    metrics = actor_lib.metrics_of(batch, losses, even, weighted)
    if config.critic.in_finetune == 'frozen':
      return full._replace(actor=new_actor), metrics

    # Critics learn from the same actions. The targets come
    # from the target actor of before this step, as in stage 2.
    target_policy = forward.policy(network, full.target_actor, batch.inputs)
    if config.critic.behaviour == 'uniform':
      actions = actions_lib.uniform(jax.random.fold_in(critic_key, 1), actions)
    new_critic, critic_metrics = train_critics(
      critic, batch, critic_key, actions, target_policy
    )
    new_target_actor = critic_lib.soft_update(
      new_actor.params, full.target_actor, new_actor.step, config.critic
    )
    new_full = state.FinetuneState(new_actor, new_target_actor, new_critic)
    return new_full, metrics | critic_metrics

  return step


def init_finetune(
  actor: state.ActorState,
  critic_params: Any,
  critic_optimizer: optax.GradientTransformation,
  config: config_lib.CriticConfig,
) -> state.FinetuneState:
  """Stage 3's state before its first step; all parameters are copied.

  Args:
    actor: of `state.init_actor`.
    critic_params: the critics'.
    critic_optimizer: of critics that learn along.
    config: `in_finetune`.
  """
  if config.in_finetune == 'frozen':
    frozen = state.copy(critic_params), (), (), jax.device_put(np.int32(0))
    return state.FinetuneState(actor, (), state.CriticState(*frozen))
  return state.FinetuneState(
    actor,
    state.copy(actor.params),
    state.init_critic(critic_params, critic_optimizer),
  )
