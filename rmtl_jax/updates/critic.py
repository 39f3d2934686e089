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
# That of the target's action in the authors' code.
TARGET_NOISE, TARGET_NOISE_CLIP = 0.4, 3e-3


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
  target_values = make_target_values(network, config)

  def step(critic, batch, key, logged, target_policy):
    noise_key, smooth_key, dropout_key = jax.random.split(key, 3)
    # Q of the logged actions, for which rewards are paid. The online critics
    # learn what to expect of unseen categories too.
    actions = behaviour_actions(noise_key, logged, config)
    inputs = network.perturb(batch.inputs, dropout_key)

    # The target (Eq. 7): reward and discounted value of pi' at the next row.
    target_actions = smoothed_actions(smooth_key, target_policy, config)
    target_q = target_values(
      critic.params,
      critic.target_params,
      batch.inputs,
      inputs,
      target_actions,
      dropout_key,
    )
    target, valid = td_targets(
      network, batch, actions, target_actions, target_q, config
    )
    rows = jnp.sum(valid).astype(jnp.float32)

    def loss(params):  # Eq. 8
      q = functional.apply(
        network, params, inputs, actions, dropout_key=dropout_key
      )
      errors = jnp.where(valid[..., None], losses.td_error(q, target), 0.0)
      total = jnp.sum(jnp.mean(errors, -1))
      # Separate critics share nothing: each descends its own mean over rows.
      networks = batch.labels.shape[-1] if separate else 1
      return networks * total / jnp.maximum(rows, 1.0), total

    gradients, total = jax.grad(loss, has_aux=True)(critic.params)
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


def make_target_values(
  network: functional.Network, config: config_lib.CriticConfig
) -> Callable[..., jax.Array]:
  """Makes the estimate of Q'(s, pi'(s)) that targets are made of.

  Returns:
    values(params, target_params, inputs, seen, actions, key) -> the target
    critics' values, f32[L, T, K]; the official ones are the minimum of theirs
    and the online critics', with dropout. `seen` are the inputs as the online
    critics see them, `key` is of dropout, or None.
  """

  def plain(params, target_params, inputs, seen, actions, key):
    del params, seen, key
    return functional.apply(network, target_params, inputs, actions)

  def official(params, target_params, inputs, seen, actions, key):
    def values(params, inputs, number):
      # Other masks than those of Q(s_t, a_t).
      mask_key = None if key is None else jax.random.fold_in(key, number)
      return functional.apply(
        network, params, inputs, actions, dropout_key=mask_key
      )

    return jnp.minimum(
      values(target_params, inputs, 1), values(params, seen, 2)
    )

  return official if config.official_targets else plain


def td_targets(
  network: functional.Network,
  batch: types.Batch,
  actions: jax.Array,
  target_actions: jax.Array,
  target_q: types.Array,
  config: config_lib.CriticConfig,
) -> tuple[types.Array, types.Array]:
  """TD targets of every row and task (Eq. 7), without gradient.

  A label that is not observed has no reward (ops/rewards.observed).

  Args:
    network: the critics.
    batch: [L, T].
    actions: the behaviour's, f32[L, T, K]; rewards come from them.
    target_actions: pi'(s), f32[L, T, K].
    target_q: of `make_target_values`, f32[L, T, K].
    config: discount and TD(lambda).

  Returns:
    (targets f32[L, T, K]; bool[L, T], where there is one).
  """
  of_action = task_losses.reward_function(network.tasks)

  def reward(actions):
    found = of_action(actions, batch.labels)
    return rewards.observed(found, batch.sample_weight)

  if config.td_lambda:
    goes_on = jax.vmap(targets.goes_on)(batch.segment)
    of_lane = jax.vmap(targets.lambda_values, (0, 0, 0, 0, None, None))
    target_q = of_lane(
      reward(target_actions),
      target_q,
      batch.is_last,
      goes_on,
      config.discount,
      config.td_lambda,
    )
  of_lane = jax.vmap(targets.lane_targets, (0, 0, 0, None))
  found = of_lane(reward(actions), target_q, batch.is_last, config.discount)
  valid = jax.vmap(targets.td_mask)(batch.mask, batch.is_last, batch.segment)
  return found, valid


def make_td_errors(
  network: functional.Network, config: config_lib.CriticConfig
) -> Callable[..., tuple[types.Array, types.Array]]:
  """Squared TD errors of a batch, for validation: no dropout.

  Returns:
    errors(params, target_params, batch, logged, target_policy, key) ->
    (f32[L, T, K], 0 where there is no target; bool[L, T], where there is
    one); arguments as for a step.
  """
  target_values = make_target_values(network, config)

  def errors(params, target_params, batch, logged, target_policy, key):
    noise_key, smooth_key = jax.random.split(key)
    actions = behaviour_actions(noise_key, logged, config)
    target_actions = smoothed_actions(smooth_key, target_policy, config)
    inputs = batch.inputs
    target_q = target_values(
      params, target_params, inputs, inputs, target_actions, None
    )
    target, valid = td_targets(
      network, batch, actions, target_actions, target_q, config
    )
    q = functional.apply(network, params, inputs, actions)
    found = losses.td_error(q, target)
    return jnp.where(valid[..., None], found, 0.0), valid

  return errors


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
  """pi'(s), in the official form with noise; f32[L, T, K]."""
  if not config.official_targets:
    return target_policy
  return actions_lib.common_noise(
    key, target_policy, TARGET_NOISE, TARGET_NOISE_CLIP
  )


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
