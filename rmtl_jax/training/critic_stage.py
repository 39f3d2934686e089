"""Stage 2: the critics, until their validation TD error has converged."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import jax

from rmtl_jax import config as config_lib
from rmtl_jax.training import context as context_lib
from rmtl_jax.training import trainer
from rmtl_jax.updates import critic as critic_lib
from rmtl_jax.updates import loop, state


def train_critics(
  context: context_lib.Context, actor_params: Any, critic_params: Any
) -> Any:
  """Stage 2: until the validation TD error has converged.

  The actor is frozen, so pi(s) and pi'(s) are the same numbers in every pass:
  they are computed once per split.

  Args:
    context: the run.
    actor_params: the pre-trained actor's.
    critic_params: initial parameters.

  Returns:
    The critics' parameters after the last pass.
  """
  config = context.config.critic
  batch_config = context.config.batch
  optimizer = state.make_optimizer(config)
  critic_step = critic_lib.make_critic_step(
    context.models.critic, optimizer, config
  )
  critic_loop = loop.make_loop(
    lambda s, batch, key, policy: critic_step(s, batch, key, policy, policy)
  )
  policies = [
    trainer.on_device(context.models.predict(actor_params, s))
    for s in (context.train, context.validation)
  ]
  validate = _make_td_error(context, policies[1])
  critic = state.init_critic(critic_params, optimizer)
  errors: list[float] = []
  restored = context.resume('critic', critic)
  if restored is not None:
    critic, errors = restored.arrays, restored.record['errors']
  while len(errors) < config.max_passes and not converged(errors, config):
    begin = time.perf_counter()
    number = len(errors) + 1
    context.progress.start(f'critic pass {number}', context.train.host.rows)
    critic, sums = trainer.run_epoch(
      critic_loop,
      critic,
      context.train,
      context.plan('critic', number),
      context.key('critic'),
      batch_config,
      context.progress,
      (policies[0],),
      context.interrupted,
    )
    errors = [*errors, validate(critic)]
    record = {
      'stage': 'critic',
      'epoch': number,
      'td_error': sums['td_error'] / max(sums['td_rows'], 1.0),
      'validation_td_error': errors[-1],
      'seconds': time.perf_counter() - begin,
    }
    context.progress.finish(
      f'TD error {record["td_error"]:.5f}  validation {errors[-1]:.5f}'
    )
    context.record(**record)
    context.save('critic', number, critic, errors=errors)
  if not converged(errors, config):
    context.progress.say(
      f'WARNING: critics have not converged after {len(errors)} passes'
      ' (--config.critic.max_passes)'
    )
  return critic.params


def converged(errors: list[float], config: config_lib.CriticConfig) -> bool:
  """The last validation TD error is hardly better than the best of two before.

  Args:
    errors: of all passes.
    config: `min_improvement`, `min_passes`.
  """
  if len(errors) < max(config.min_passes, 3):
    return False
  best = min(errors[-3:-1])
  return errors[-1] > (1.0 - config.min_improvement) * best


def _make_td_error(
  context: context_lib.Context, policy: jax.Array
) -> Callable[[state.CriticState], float]:
  """Mean squared TD error over validation rows, the same noise every time."""
  config = context.config.critic

  def errors(params, batch, policy):
    online, target, key = params
    noise_key, smooth_key = jax.random.split(key)
    losses, valid = critic_lib.td_losses(
      context.models.critic,
      online,
      target,
      batch,
      critic_lib.behaviour_actions(noise_key, policy, config),
      critic_lib.smoothed_actions(smooth_key, policy, config),
      config,
    )
    return losses, valid

  row_map = loop.make_row_map(errors)
  key = jax.random.fold_in(context.key('critic'), 0)

  def validate(critic):
    losses, valid = trainer.map_rows(
      row_map,
      (critic.params, critic.target_params, key),
      context.validation,
      context.config.batch,
      (policy,),
    )
    return float(losses.mean(-1).sum() / max(valid.sum(), 1))

  return validate
