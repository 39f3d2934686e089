"""Stage 3: the actor by losses that the critics weigh (paper, section 3.4)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import jax
import jax.numpy as jnp
import optax

from rmtl_jax import config as config_lib
from rmtl_jax import types
from rmtl_jax.config import rules
from rmtl_jax.networks import functional
from rmtl_jax.ops import actions as actions_lib
from rmtl_jax.updates import critic as critic_lib
from rmtl_jax.updates import forward, meta, pretrain, state
from rmtl_jax.weighting import factory, registry

Metrics = dict[str, jax.Array]
# Weighting state -> (weighted cotangent, new weighting state).
_Weigh = Callable[[Any], tuple[Any, Any]]


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
  pass of the actor. `ddpg` descends -Q of that action instead of a loss,
  `td3_bc` the loss minus a share of it.

  Args:
    network: the actor.
    optimizer: of the actor.
    weighting: the chain over the cotangent of row losses.
    config: `weighting` says whether Q-values are needed and what is descended,
      `critic.in_finetune` whether the critics learn along,
      `finetune.label_smoothing` what loss is descended.
    critic_network: the critics.
    critic_optimizer: of the critics.

  Returns:
    step(state, batch, key) -> (new state, metrics); where lambda is learnt
    step(state, batch, key, guide), with a batch of validation rows. `loss` is
    the sum of row losses without weights, whatever is descended; `weight_<k>`
    and `weight_square_<k>` are the batch's sums of task k's weights and of
    their squares.
  """
  asks = registry.find(config.weighting.name).asks == registry.STEP
  learns = asks and config.critic.in_finetune == 'learning'
  actor_step = _make_actor_step(
    network,
    optimizer,
    weighting,
    config.weighting,
    config.finetune.label_smoothing,
  )
  learns_lambda = factory.learns_lambda(config.weighting)
  critic_step = critic_lib.make_critic_step(
    critic_network, critic_optimizer, config.critic
  )

  def step(full, batch, key, guide: Any = None):
    # The same dropout key as a step without critics: the control sees it too.
    shuffle_key, critic_key = jax.random.split(jax.random.fold_in(key, 1))

    def judge(actions):
      """Q_k(s, a_k) and its deviation over the critics' members."""
      params = full.critic.params if learns else full.critic
      dropout = critic_key if config.critic.target_dropout else None
      return forward.judge(
        critic_network, params, batch.inputs, actions, dropout
      )

    new_actor, metrics, actions, weigh = actor_step(
      full.actor, batch, key, shuffle_key, judge
    )
    new_meta = full.meta
    if learns_lambda:
      new_actor, new_meta = _learn_lambda(
        network, config, full, new_actor, batch, guide, key, weigh
      )
    if not learns:
      return full._replace(actor=new_actor, meta=new_meta), metrics
    target_policy = forward.policy(network, full.target_actor, batch.inputs)
    logged = actions
    if config.critic.behaviour == 'uniform':
      logged = actions_lib.uniform(jax.random.fold_in(critic_key, 1), actions)
    new_critic, critic_metrics = critic_step(
      full.critic, batch, critic_key, logged, target_policy
    )
    new_target_actor = critic_lib.soft_update(
      new_actor.params, full.target_actor, new_actor.step, config.critic
    )
    new_full = state.FinetuneState(
      new_actor, new_target_actor, new_critic, new_meta
    )
    return new_full, metrics | critic_metrics

  return step


def _make_actor_step(
  network: functional.Network,
  optimizer: optax.GradientTransformation,
  weighting: optax.GradientTransformationExtraArgs,
  config: config_lib.WeightingConfig,
  label_smoothing: float,
) -> Callable[..., tuple[state.ActorState, Metrics, jax.Array, _Weigh]]:
  """The actor's half of a step.

  Returns:
    step(actor, batch, key, shuffle_key, judge) -> (new actor, metrics, the
    actions without gradient f32[L, T, K], weigh); judge(actions) gives
    Q_k(s, a_k) and its deviation over the critics' members, f32[L, T, K] each;
    weigh(weighting state) the weighted cotangent and the next such state.
  """
  record = registry.find(config.name)
  objective_of = record.objective
  weighs = record.asks == registry.STEP and objective_of is None

  def step(actor, batch, key, shuffle_key, judge):
    def objective(params):
      descended, row_losses, actions = forward.actor_losses(
        network, params, batch, key, label_smoothing
      )
      if objective_of is not None:
        # The critics' parameters are not differentiated: Q moves by the action.
        q_values, _ = judge(actions)
        lambda_ = factory.current_lambda(actor.weighting_state, config)
        descended = objective_of(descended, q_values, batch.mask, lambda_)
      return descended, (row_losses, actions)

    _, pullback, (row_losses, actions) = forward.pull_back(
      objective, actor.params
    )
    actions = jax.lax.stop_gradient(actions)
    extra = {}
    if weighs:
      extra['q_values'], extra['q_deviation'] = judge(actions)

    def weigh(weighting_state):
      return weighting.update(
        forward.mean_cotangent(batch.mask, row_losses.shape[-1]),
        weighting_state,
        losses=row_losses,
        labels=batch.labels,
        mask=batch.mask,
        key=shuffle_key,
        **extra,
      )

    weighted, new_weighting_state = weigh(actor.weighting_state)
    weighted = cast(jax.Array, weighted)
    new_actor = pretrain.apply_gradients(actor, pullback(weighted), optimizer)
    new_actor = new_actor._replace(weighting_state=new_weighting_state)
    metrics = pretrain.loss_metrics(row_losses, batch.mask)
    metrics |= weight_metrics(weighted, batch.mask)
    return new_actor, metrics, actions, weigh

  return step


def _learn_lambda(
  network: functional.Network,
  config: config_lib.Config,
  full: state.FinetuneState,
  new_actor: state.ActorState,
  batch: types.Batch,
  guide: types.Batch,
  key: jax.Array,
  weigh: _Weigh,
) -> tuple[state.ActorState, Any]:
  """Moves lambda so that the step just taken would have helped more.

  Args:
    network: the actor.
    config: `weighting`, `finetune`.
    full: the state before the step.
    new_actor: after it.
    batch: that the step saw, with `key`.
    guide: validation rows.
    key: of the step.
    weigh: weighting state -> (weighted cotangent, new weighting state).

  Returns:
    (the actor with another lambda, the state of lambda's optimizer).
  """
  old_state = full.actor.weighting_state

  def row_losses(params):
    smoothing = config.finetune.label_smoothing
    return forward.actor_losses(network, params, batch, key, smoothing)[0]

  def guide_loss(params):
    _, losses, _ = forward.actor_losses(network, params, guide, None)
    return jnp.sum(
      losses * forward.mean_cotangent(guide.mask, losses.shape[-1])
    )

  lambda_ = factory.lambda_of(old_state)
  gradient = meta.hypergradient(
    row_losses,
    guide_loss,
    full.actor.params,
    new_actor.params,
    meta.adam_scale(new_actor.opt_state),
    lambda value: weigh(factory.with_values(old_state, lambda_=value))[0],
    lambda_,
  )
  new_lambda, new_meta = meta.new_lambda(
    gradient,
    full.meta,
    lambda_,
    config.weighting.meta_learning_rate,
    rules.lowest_lambda(config.weighting),
  )
  new_state = factory.with_values(new_actor.weighting_state, lambda_=new_lambda)
  return new_actor._replace(weighting_state=new_state), new_meta


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
  if registry.find(config.weighting.name).asks != registry.STEP:
    return state.FinetuneState(actor, (), ())
  new_meta = ()
  if factory.learns_lambda(config.weighting):
    new_meta = meta.OPTIMIZER.init(jnp.zeros(()))
  if config.critic.in_finetune == 'frozen':
    return state.FinetuneState(actor, (), state.copy(critic_params), new_meta)
  return state.FinetuneState(
    actor,
    state.copy(actor_params),
    state.init_critic(critic_params, critic_optimizer),
    new_meta,
  )
