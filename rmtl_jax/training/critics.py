"""Stage 2: the initial critics, their inputs, and the test of convergence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from rmtl_jax import config as config_lib
from rmtl_jax.evaluation import critic_statistics
from rmtl_jax.ops import rewards, task_losses
from rmtl_jax.training import context as context_lib
from rmtl_jax.training import epoch_loop, feed, split_data
from rmtl_jax.training import models as models_lib
from rmtl_jax.updates import state

# Tells the draws of logged actions apart from shuffles of the same seed.
_LOGGED = 103
# Relative improvement of the validation error, against the best of the last two
# passes, under which critics have converged.
_MIN_IMPROVEMENT = 0.01


class Policies(NamedTuple):
  """pi(s) of the pre-trained actor, f32[R, K] each.

  It stays as it is in stage 2, so every pass reads the same numbers.
  """

  train: np.ndarray
  validation: np.ndarray


def policies(context: context_lib.Context, actor_params: Any) -> Policies:
  """Computes pi(s) of all train and validation rows."""
  return Policies(
    *(
      context.models.policy(context.config, actor_params, split)
      for split in (context.train, context.validation)
    )
  )


def start(
  context: context_lib.Context, actor_params: Any, policies: Policies
) -> dict[str, epoch_loop.Arm]:
  """The critics of all tasks before their first pass."""
  config, models = context.config, context.models
  draws, params = context.init_draws('critic'), None
  if context.start:
    params = context.start.critic(models, draws, actor_params)
  if params is None:
    values = None
    if config.critic.initial_value == 'mean_return':
      values = _returns(context, context.train, policies.train).mean(0)
    params = models.init_critic(config, draws, actor_params, values)
  optimizer = models_lib.critic_optimizer(config)
  first = models.place(state.init_critic(params, optimizer))
  best = state.copy(first.params) if keeps_best(config.critic) else ()
  program = models.train_critics(config)
  return {'critic': epoch_loop.Arm(program, first, best, [-np.inf])}


def keeps_best(config: config_lib.CriticConfig) -> bool:
  """Whether stage 2 keeps its best pass.

  TD errors of two passes have different targets, so the least of them is not
  the best: the last pass is kept.
  """
  return config.stopping == 'return_error'


def extras(
  context: context_lib.Context,
  split: split_data.Split,
  policy: np.ndarray,
) -> tuple[jax.Array | np.ndarray, ...]:
  """Arrays of a split's rows that a step of stage 2 reads, besides the batch.

  pi(s), and the logged actions if they are uniform. These are drawn here, once
  per row, as if they were in the log: the same in every pass, however rows are
  shuffled.

  Args:
    policy: pi(s), f32[R, K].
  """
  if context.config.critic.behaviour != 'uniform':
    return (split.put(policy),)
  number = int(split is context.validation)
  generator = np.random.default_rng((context.config.seed, _LOGGED, number))
  logged = generator.random(policy.shape, np.float32)
  return split.put(policy), split.put(logged)


def stopping(
  context: context_lib.Context, policies: Policies
) -> epoch_loop.Stopping:
  """Critics train until their validation error has converged."""
  config, models = context.config, context.models
  rows, policy = context.validation, policies.validation
  of_rows = extras(context, rows, policy)
  by_return = keeps_best(config.critic)
  returns = _returns(context, rows, policy) if by_return else None
  words = config.critic.stopping.replace('_', ' ').replace('td ', 'TD ')

  def validate(name: str, arm: epoch_loop.Arm):
    del name
    critic, totals = arm.state, arm.totals
    td_error = totals['td_error'] / max(totals['td_rows'], 1.0)
    # Only the error that decides, because each compiles a program.
    if by_return:
      q_values = models.values(config, critic.params, rows, policy)
      error = float(np.mean(np.square(q_values - returns)))
    else:
      errors, valid = feed.map_rows(
        models.td_errors(config),
        # The same draws every time.
        (critic.params, critic.target_params, context.draws('critic')),
        rows,
        of_rows,
      )
      error = float(errors.mean(-1).sum() / max(valid.sum(), 1))
    figures = {'td_error': td_error}
    figures[f'validation_{config.critic.stopping}'] = error
    if not np.isfinite(error):
      raise FloatingPointError(f'validation {words} is not finite')
    shown = f'validation {words} {error:#.4g}'
    return -error, figures, [f'TD error {td_error:#.4g}', shown]

  return epoch_loop.Stopping(
    validate,
    lambda arms: converged(errors_of(arms), config.critic),
    config.critic.max_passes,
    lambda value: f'validation {words} {-value:#.4g}',
    keeps_last=not by_return,
    unit='pass',
  )


def _returns(
  context: context_lib.Context, split: split_data.Split, policy: np.ndarray
) -> np.ndarray:
  """The discounted returns that a policy realises in a split, f64[R, K]."""
  config, host = context.config.critic, split.host
  reward = task_losses.reward_function(context.models.spec.losses)
  found = np.asarray(reward(policy, host.labels))
  return critic_statistics.discounted_returns(
    np.asarray(rewards.observed(found, host.sample_weight)),
    host.session,
    config.discount,
  )


def warn(
  context: context_lib.Context, arms: Mapping[str, epoch_loop.Arm]
) -> None:
  """Warns of critics that have not converged."""
  errors = errors_of(arms)
  if not converged(errors, context.config.critic):
    context.progress.say(
      f'WARNING: critics have not converged after {len(errors)} passes'
      ' (--config.critic.max_passes)'
    )


def errors_of(arms: Mapping[str, epoch_loop.Arm]) -> list[float]:
  """The validation error that decides, after each pass."""
  return [-value for value in arms['critic'].values[1:]]


def converged(errors: Sequence[float], config: config_lib.CriticConfig) -> bool:
  """The last validation error is hardly better than the best of two before."""
  if len(errors) < max(config.min_passes, 3):
    return False
  best = min(errors[-3:-1])
  return errors[-1] > (1.0 - _MIN_IMPROVEMENT) * best
