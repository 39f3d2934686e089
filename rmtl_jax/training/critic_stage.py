"""Stage 2: the critics, until their validation error has converged."""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import numpy as np

from rmtl_jax import config as config_lib
from rmtl_jax import json_files
from rmtl_jax.evaluation import critic_statistics
from rmtl_jax.networks import critic as critic_network
from rmtl_jax.ops import rewards
from rmtl_jax.training import context as context_lib
from rmtl_jax.training import models as models_lib
from rmtl_jax.training import population as population_lib
from rmtl_jax.training import splits as splits_lib
from rmtl_jax.training import trainer
from rmtl_jax.updates import state

# Tells the draws of logged actions apart from shuffles of the same seed.
_LOGGED = 103


@dataclasses.dataclass
class Training:
  """The critics of a run in training.

  The actor is frozen, so pi(s) and pi'(s) are the same numbers in every pass:
  they are computed once per split. So are uniform actions.

  Attributes:
    context: the run.
    program: the step that trains them.
    critic: their state.
    extras: of the train rows, f32[R, K] each: pi(s), and the logged actions
      where they are uniform.
    validation_extras: the same of the validation rows.
    errors: the validation error that decides, after each pass.
    validation_returns: what pi(s) realises on the validation rows, f64[R, K],
      or None where nothing is measured by it.
    best_params: the critics at the pass with the least such error, or None
      where the last pass is kept.
    position: in a pass that was cut off.
  """

  context: context_lib.Context
  program: models_lib.Program
  critic: state.CriticState
  extras: tuple[jax.Array | np.ndarray, ...]
  validation_extras: tuple[jax.Array | np.ndarray, ...]
  errors: list[float] = dataclasses.field(default_factory=list)
  validation_returns: np.ndarray | None = None
  best_params: Any = None
  position: trainer.Position = trainer.START

  @property
  def validation_policy(self) -> np.ndarray:
    """pi(s) of the validation rows, f32[R, K]."""
    return np.asarray(self.validation_extras[0])

  @property
  def params(self) -> Any:
    """What stage 2 leaves: the best pass, or the last (`stopping`).

    TD errors of two passes have different targets, so the least of them is
    not the best.
    """
    best = self.best_params
    return self.critic.params if best is None else best

  @property
  def goes_on(self) -> bool:
    """Until that validation error has converged."""
    config = self.context.config.critic
    return len(self.errors) < config.max_passes and not converged(
      self.errors, config
    )


def start(context: context_lib.Context, actor_params: Any) -> Training:
  """Stage 2 of a run, before its first pass.

  Args:
    context: the run.
    actor_params: the pre-trained actor's.
  """
  config = context.config
  policies = [
    context.predict(actor_params, split)
    for split in (context.train, context.validation)
  ]
  params = context.init_critic(actor_params)
  if config.critic.initial_value == 'mean_return':
    params = critic_network.with_initial_values(
      params,
      _returns(context, context.train, policies[0]).mean(0),
      config.critic.head,
    )
  critic = context.models.made(
    lambda params: state.init_critic(
      params, state.make_optimizer(config.critic)
    ),
    params,
  )
  program = context.models.train_critics(config)
  extras = _extras(context, context.train, policies[0], 0)
  validation_extras = _extras(context, context.validation, policies[1], 1)
  training = Training(context, program, critic, extras, validation_extras)
  if config.critic.stopping == 'return_error':
    training.validation_returns = _returns(
      context, context.validation, policies[1]
    )
    training.best_params = state.copy(params)
  return training


def _extras(
  context: context_lib.Context,
  split: splits_lib.Split,
  policy: np.ndarray,
  number: int,
) -> tuple[jax.Array | np.ndarray, ...]:
  """What a step of stage 2 sees of a split's rows beside their columns.

  Uniform actions are drawn here, once per row, as a log would hold them: the
  same in every pass, however rows are shuffled.

  Args:
    context: the run.
    split: the rows.
    policy: pi(s), f32[R, K].
    number: tells the draws of splits apart.
  """
  if context.config.critic.behaviour != 'uniform':
    return (split.beside(policy),)
  generator = np.random.default_rng((context.config.seed, _LOGGED, number))
  logged = generator.random(policy.shape, np.float32)
  return split.beside(policy), split.beside(logged)


def _returns(
  context: context_lib.Context, split: splits_lib.Split, policy: np.ndarray
) -> np.ndarray:
  """The discounted returns that a policy realises in a split, f64[R, K]."""
  config = context.config.critic
  return critic_statistics.discounted_returns(
    np.asarray(rewards.REWARDS[config.reward](policy, split.host.labels)),
    split.host.session,
    config.discount,
  )


def fit(trainings: Sequence[Training], population: int = 1) -> None:
  """Trains critics until each run's have converged.

  Args:
    trainings: changed in place; one whose run has saved an unfinished stage
      goes on from there.
    population: most runs of one program that are trained together; 1 trains
      one after the other.
  """
  if not trainings:
    return
  for training in trainings:
    restored = training.context.resume('critic', _saved(training))
    if restored is not None:
      if training.best_params is None:
        training.critic = restored.arrays
      else:
        training.critic, training.best_params = restored.arrays
      training.errors = list(restored.record['errors'])
      with json_files.parsing('checkpoint of critic'):
        position = restored.record.get('position')
        training.position = trainer.position_of(position)
  groups = population_lib.Groups(population)
  groups.reserve(training.program for training in trainings)
  live = trainings[0].context.progress
  with live.stage(_rows_left(trainings), lambda: _ends(trainings)):
    while running := [training for training in trainings if training.goes_on]:
      members = [(training.program, training) for training in running]
      for program, group in groups.cut(members):
        _train_pass(groups, program, group)
  for training in trainings:
    if not converged(training.errors, training.context.config.critic):
      training.context.progress.say(
        training.context.title(
          f'WARNING: critics have not converged after {len(training.errors)}'
          ' passes (--config.critic.max_passes)'
        )
      )


def _rows_left(trainings: Sequence[Training]) -> int:
  """Rows of all passes that the critics may still see."""
  return sum(
    max(t.context.config.critic.max_passes - len(t.errors), 0)
    * t.context.train.host.rows
    for t in trainings
  )


def _ends(trainings: Sequence[Training]) -> Iterator[str]:
  """One line per run."""
  for training in trainings:
    stopping = _spoken(training.context.config.critic.stopping)
    errors = training.errors
    yield training.context.title(
      f'critic  {len(errors)} passes  validation {stopping} {errors[-1]:.5f}'
    )


def _spoken(name: str) -> str:
  return name.replace('_', ' ').replace('td ', 'TD ')


def _train_pass(
  groups: population_lib.Groups,
  program: models_lib.Program,
  trainings: list[Training],
) -> None:
  """One pass of some runs' critics, their validation, their records."""
  begin = time.perf_counter()
  passes = [
    population_lib.Pass(
      t.critic,
      t.context.epoch('critic', len(t.errors) + 1),
      t.context.key('critic'),
      t.extras,
      start=t.position,
      after=functools.partial(_save_within, t),
    )
    for t in trainings
  ]
  first = trainings[0]
  label = f'critic pass {len(first.errors) + 1}'
  outcomes = groups.run(first.context, label, program, passes)
  seconds = (time.perf_counter() - begin) / len(trainings)
  for training, (critic, sums) in zip(trainings, outcomes, strict=True):
    training.critic, training.position = critic, trainer.START
    figures = {'validation_td_error': _validation_td_error(training)}
    if training.validation_returns is not None:
      figures['validation_return_error'] = _validation_return_error(training)
    stopping = training.context.config.critic.stopping
    error = figures[f'validation_{stopping}']
    if not np.isfinite(error):
      raise FloatingPointError(
        training.context.title(
          f'critic pass {len(training.errors) + 1}: validation'
          f' {stopping.replace("_", " ")} is not finite;'
          f' {training.context.suspects()}'
        )
      )
    keeps = training.best_params is not None
    if keeps and error < min(training.errors, default=np.inf):
      training.best_params = state.copy(critic.params)
    training.errors = [*training.errors, error]
    _record(training, sums, figures, seconds)


def _saved(training: Training, critic: state.CriticState | None = None) -> Any:
  """What a checkpoint of an unfinished stage holds."""
  critic, best = critic or training.critic, training.best_params
  return critic if best is None else (critic, best)


def _save_within(
  training: Training,
  critic: state.CriticState,
  position: trainer.Position,
  interrupted: bool,
) -> None:
  """A checkpoint inside of a pass, if it is time."""
  if interrupted or training.context.due():
    training.context.save(
      'critic',
      len(training.errors),
      _saved(training, critic),
      position.dispatches,
      errors=training.errors,
      position=position.as_json(),
    )


def _record(
  training: Training,
  sums: dict[str, float],
  figures: dict[str, float],
  seconds: float,
) -> None:
  context, number = training.context, len(training.errors)
  record = {
    'stage': 'critic',
    'epoch': number,
    'td_error': sums['td_error'] / max(sums['td_rows'], 1.0),
    **figures,
    'seconds': seconds,
  }
  if sums.get('skipped'):
    record['skipped_steps'] = int(sums['skipped'])
  context.progress.finish(
    f'TD error {record["td_error"]:.5f}'
    + ''.join(
      f'  {_spoken(name)} {value:.5f}' for name, value in figures.items()
    ),
    label=context.title(f'critic pass {number}'),
    note=f'TD error {figures["validation_td_error"]:.4f}',
  )
  context.record(**record)
  context.save('critic', number, _saved(training), errors=training.errors)


def converged(errors: list[float], config: config_lib.CriticConfig) -> bool:
  """The last validation error is hardly better than the best of two before.

  Args:
    errors: of all passes.
    config: `min_improvement`, `min_passes`.
  """
  if len(errors) < max(config.min_passes, 3):
    return False
  best = min(errors[-3:-1])
  return errors[-1] > (1.0 - config.min_improvement) * best


def _validation_td_error(training: Training) -> float:
  """Mean squared TD error over validation rows, the same noise every time."""
  context, critic = training.context, training.critic
  key = jax.random.fold_in(context.key('critic'), 0)
  losses, valid = trainer.map_rows(
    context.models.td_errors(context.config),
    (critic.params, critic.target_params, key),
    context.validation,
    context.config.batch,
    training.validation_extras,
  )
  return float(losses.mean(-1).sum() / max(valid.sum(), 1))


def _validation_return_error(training: Training) -> float:
  """Mean squared error of Q(s, pi(s)) as a prediction of the returns."""
  context = training.context
  policy = training.validation_policy
  q_values = context.values(training.critic.params, context.validation, policy)
  return float(np.mean(np.square(q_values - training.validation_returns)))
