"""Stage 2: the critics by temporal differences along the log's sessions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from rmtl_jax import config as config_lib
from rmtl_jax import types
from rmtl_jax.networks import functional
from rmtl_jax.ops import actions as actions_lib
from rmtl_jax.ops import losses, rewards, targets, task_losses
from rmtl_jax.updates import state

Metrics = dict[str, jax.Array]

# Noise of the logged actions: standard deviation, largest absolute value.
BEHAVIOUR_NOISE, BEHAVIOUR_NOISE_CLIP = 0.05, 0.1
# Largest absolute noise of the target's action.
_TARGET_NOISE_CLIP = 3e-3


def td_losses(
  network: functional.Network,
  params: Any,
  target_params: Any,
  batch: types.Batch,
  actions: jax.Array,
  target_actions: jax.Array,
  config: config_lib.CriticConfig,
  key: jax.Array | None = None,
) -> tuple[jax.Array, jax.Array]:
  """(Q(s_t, a_t) - target_t)^2 of every row and task (Eqs. 7 and 8).

  A label that is not observed has no reward (ops/rewards.observed).

  Args:
    network: the critics.
    params: the online critics' parameters.
    target_params: the target critics'.
    batch: [L, T].
    actions: the behaviour's, f32[L, T, K]; rewards come from them.
    target_actions: pi'(s), f32[L, T, K].
    config: discount, reward, estimate, TD(lambda).
    key: of dropout, or None.

  Returns:
    (losses f32[L, T, K], 0 where there is no target; bool[L, T], where there
    is one).
  """
  frozen = jax.lax.stop_gradient(params)
  # Dropout masks of the two estimates, where targets have dropout, are others
  # than those of Q(s_t, a_t).
  target_mask, online_mask = 1, 2
  # The online critics learn what to expect of unseen categories too.
  seen = network.perturb(batch.inputs, key)
  shared = network.share(params, seen)
  target_shared = network.share(target_params, batch.inputs)
  of_action = task_losses.reward_function(network.tasks)

  def lane(shared, seen, target_shared, lane_batch, a_t, target_a_t, lane_key):
    q_t = network.lane(params, shared, seen, a_t, dropout_key=lane_key)

    def masks(number):
      if lane_key is None or not config.target_dropout:
        return None
      return jax.random.fold_in(lane_key, number)

    target_q_t = network.lane(
      target_params,
      target_shared,
      lane_batch.inputs,
      target_a_t,
      dropout_key=masks(target_mask),
    )
    if config.estimate == 'minimum':
      online_q_t = network.lane(
        frozen,
        jax.lax.stop_gradient(shared),
        seen,
        target_a_t,
        dropout_key=masks(online_mask),
      )
      target_q_t = jnp.minimum(target_q_t, online_q_t)

    def reward(actions):
      found = of_action(actions, lane_batch.labels)
      return rewards.observed(found, lane_batch.sample_weight)

    r_t = reward(a_t)
    if config.td_lambda:
      target_q_t = targets.lambda_values(
        reward(target_a_t),
        target_q_t,
        lane_batch.is_last,
        targets.goes_on(lane_batch.segment),
        config.discount,
        config.td_lambda,
      )
    target_t = targets.lane_targets(
      r_t, target_q_t, lane_batch.is_last, config.discount
    )
    valid = targets.td_mask(
      lane_batch.mask, lane_batch.is_last, lane_batch.segment
    )
    errors = losses.td_error(q_t, target_t)
    return jnp.where(valid[:, None], errors, 0.0), valid

  axes = network.shared_axes
  return jax.vmap(lane, (axes, 0, axes, 0, 0, 0, 0))(
    shared,
    seen,
    target_shared,
    batch,
    actions,
    target_actions,
    functional.lane_keys(key, batch.mask.shape[0]),
  )


def behaviour_actions(
  key: jax.Array, logged: jax.Array, config: config_lib.CriticConfig
) -> jax.Array:
  """The logged actions.

  Args:
    logged: pi(s), which gets clipped noise; with `uniform` the actions
      themselves, f32[L, T, K].
    config: behaviour.
  """
  if config.behaviour == 'uniform':
    return logged
  return actions_lib.clipped_noise(
    key, logged, BEHAVIOUR_NOISE, BEHAVIOUR_NOISE_CLIP
  )


def smoothed_actions(
  key: jax.Array, target_policy: jax.Array, config: config_lib.CriticConfig
) -> jax.Array:
  """pi'(s), with TD3's clipped noise where set; f32[L, T, K]."""
  if not config.target_noise:
    return target_policy
  per_row = config.target_noise_draw == 'row'
  draw = actions_lib.clipped_noise if per_row else actions_lib.common_noise
  return draw(key, target_policy, config.target_noise, _TARGET_NOISE_CLIP)


def make_critic_step(
  network: functional.Network,
  optimizer: optax.GradientTransformation,
  config: config_lib.CriticConfig,
) -> Callable[..., tuple[state.CriticState, Metrics]]:
  """The step of stage 2, and of critics that learn along in stage 3.

  Returns:
    step(state, batch, key, logged, target_policy) -> (new state, metrics);
    `logged` as for `behaviour_actions`, both f32[L, T, K]. `td_error` is the
    batch's sum over rows of the mean over tasks, `td_rows` the number of rows
    that have a target.
  """
  separate = config.form == 'separate'

  def step(critic, batch, key, logged, target_policy):
    noise_key, smooth_key, dropout_key = jax.random.split(key, 3)
    actions = behaviour_actions(noise_key, logged, config)
    target_actions = smoothed_actions(smooth_key, target_policy, config)

    def loss(params):
      errors, valid = td_losses(
        network,
        params,
        critic.target_params,
        batch,
        actions,
        target_actions,
        config,
        dropout_key,
      )
      total = jnp.sum(jnp.mean(errors, -1))
      rows = jnp.sum(valid).astype(jnp.float32)
      # Separate critics share nothing: each descends its own mean over rows.
      networks = batch.labels.shape[-1] if separate else 1
      return networks * total / jnp.maximum(rows, 1.0), (total, rows)

    gradients, (total, rows) = jax.grad(loss, has_aux=True)(critic.params)
    updates, new_opt_state = optimizer.update(
      gradients, critic.opt_state, critic.params
    )
    new_params = optax.apply_updates(critic.params, updates)
    new_step = critic.step + 1
    new_target_params = soft_update(
      new_params, critic.target_params, new_step, config
    )
    new_critic = state.CriticState(
      new_params, new_target_params, new_opt_state, new_step
    )
    return new_critic, {'td_error': total, 'td_rows': rows}

  return step


def soft_update(
  params: Any, target_params: Any, step: jax.Array, config: Any
) -> Any:
  """theta' <- beta theta + (1 - beta) theta', now and then.

  It happens after step 1 and every `update_period` steps from there on.

  Args:
    params: the online network's.
    target_params: the target network's.
    step: i32[], steps taken, this one included.
    config: a CriticConfig: `soft_update` (beta) and `update_period`.
  """
  due = (step - 1) % config.update_period == 0
  beta = jnp.where(due, config.soft_update, 0.0)
  return optax.incremental_update(params, target_params, beta)
