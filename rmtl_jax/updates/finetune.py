"""Stage 3: the actor by losses that the critics weigh (paper, section 3.4)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import jax
import jax.numpy as jnp
import optax

from rmtl_jax import config as config_lib
from rmtl_jax import types
from rmtl_jax.networks import functional
from rmtl_jax.updates import critic as critic_lib
from rmtl_jax.updates import forward, pretrain, state
from rmtl_jax.weighting import factory

Metrics = dict[str, jax.Array]


def make_finetune_step(
  network: functional.Network,
  optimizer: optax.GradientTransformation,
  weighting: optax.GradientTransformationExtraArgs,
  config: config_lib.Config,
  critic_network: functional.Network,
  critic_optimizer: optax.GradientTransformation,
) -> Callable[
  [state.FinetuneState, types.Batch, jax.Array],
  tuple[state.FinetuneState, Metrics],
]:
  """The step of stage 3, for any weighting.

  The action that critics judge is the one whose loss is weighed: the training
  forward pass's own output (with dropout), so that a step needs no second
  pass of the actor. `ddpg` descends -Q of that action instead of a loss.

  Args:
    network: the actor.
    optimizer: of the actor.
    weighting: the chain over the cotangent of row losses.
    config: `weighting.name` says whether Q-values are needed,
      `critic.in_finetune` whether the critics learn along,
      `finetune.label_smoothing` what loss is descended.
    critic_network: the critics.
    critic_optimizer: of the critics.

  Returns:
    step(state, batch, key) -> (new state, metrics). `loss` is the sum of row
    losses without weights, whatever is descended; `weight_<k>` and
    `weight_square_<k>` are the batch's sums of task k's weights and of their
    squares.
  """
  asks = factory.needs_critic(config.weighting.name)
  learns = asks and config.critic.in_finetune == 'learning'
  actor_step = _make_actor_step(
    network,
    optimizer,
    weighting,
    config.weighting.name,
    config.finetune.label_smoothing,
  )
  critic_step = critic_lib.make_critic_step(
    critic_network, critic_optimizer, config.critic
  )

  def step(full, batch, key):
    # The same dropout key as a step without critics: the control sees it too.
    shuffle_key, critic_key = jax.random.split(jax.random.fold_in(key, 1))

    def judge(actions):
      params = full.critic.params if learns else full.critic
      dropout = critic_key if config.critic.target_dropout else None
      return forward.judge(
        critic_network, params, batch.inputs, actions, dropout
      )

    new_actor, metrics, actions = actor_step(
      full.actor, batch, key, shuffle_key, judge
    )
    if not learns:
      return full._replace(actor=new_actor), metrics
    target_policy = forward.policy(network, full.target_actor, batch.inputs)
    new_critic, critic_metrics = critic_step(
      full.critic, batch, critic_key, actions, target_policy
    )
    new_target_actor = critic_lib.soft_update(
      new_actor.params, full.target_actor, new_actor.step, config.critic
    )
    new_full = state.FinetuneState(new_actor, new_target_actor, new_critic)
    return new_full, metrics | critic_metrics

  return step


def _make_actor_step(
  network: functional.Network,
  optimizer: optax.GradientTransformation,
  weighting: optax.GradientTransformationExtraArgs,
  name: str,
  label_smoothing: float,
) -> Callable[..., tuple[state.ActorState, Metrics, jax.Array]]:
  """The actor's half of a step.

  Returns:
    step(actor, batch, key, shuffle_key, judge) -> (new actor, metrics, the
    actions without gradient f32[L, T, K]); judge(actions) gives Q_k(s, a_k)
    and how much the critics' members disagree.
  """
  ascends = name == 'ddpg'
  weighs = factory.needs_critic(name) and not ascends

  def step(actor, batch, key, shuffle_key, judge):
    def objective(params):
      descended, row_losses, actions = forward.actor_losses(
        network, params, batch, key, label_smoothing
      )
      if ascends:
        # The critics' parameters are not differentiated: Q moves by the action.
        descended = -judge(actions)[0]
      return descended, (row_losses, actions)

    _, pullback, (row_losses, actions) = forward.pull_back(
      objective, actor.params
    )
    actions = jax.lax.stop_gradient(actions)
    extra = {}
    if weighs:
      extra['q_values'], extra['q_deviation'] = judge(actions)
    weighted, new_weighting_state = weighting.update(
      forward.mean_cotangent(batch.mask, row_losses.shape[-1]),
      actor.weighting_state,
      losses=row_losses,
      labels=batch.labels,
      mask=batch.mask,
      key=shuffle_key,
      **extra,
    )
    weighted = cast(jax.Array, weighted)
    new_actor = pretrain.apply_gradients(actor, pullback(weighted), optimizer)
    new_actor = new_actor._replace(weighting_state=new_weighting_state)
    metrics = pretrain.loss_metrics(row_losses, batch.mask)
    return new_actor, metrics | weight_metrics(weighted, batch.mask), actions

  return step


def weight_metrics(weighted: Any, mask: jax.Array) -> Metrics:
  """Sums of weights and their squares over the batch's rows, per task."""
  rows = jnp.maximum(jnp.sum(mask), 1)
  tasks = weighted.shape[-1]
  weights = jnp.where(mask[..., None], weighted * (rows * tasks), 0.0)
  sums = jnp.sum(weights, (0, 1))
  squares = jnp.sum(jnp.square(weights), (0, 1))
  return {f'weight_{k}': sums[k] for k in range(tasks)} | {
    f'weight_square_{k}': squares[k] for k in range(tasks)
  }


def init_finetune(
  actor_params: Any,
  critic_params: Any,
  optimizer: optax.GradientTransformation,
  critic_optimizer: optax.GradientTransformation,
  weighting: optax.GradientTransformationExtraArgs,
  config: config_lib.Config,
) -> state.FinetuneState:
  """Stage 3's state before its first step; all parameters are copied."""
  actor = state.init_actor(actor_params, optimizer, weighting)
  if not factory.needs_critic(config.weighting.name):
    return state.FinetuneState(actor, (), ())
  if config.critic.in_finetune == 'frozen':
    return state.FinetuneState(actor, (), state.copy(critic_params))
  return state.FinetuneState(
    actor,
    state.copy(actor_params),
    state.init_critic(critic_params, critic_optimizer),
  )
