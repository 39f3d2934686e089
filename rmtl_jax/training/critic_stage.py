"""Stage 2: the critics, until their validation TD error has converged."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from typing import Any

import jax

from rmtl_jax import config as config_lib
from rmtl_jax.training import context as context_lib
from rmtl_jax.training import models as models_lib
from rmtl_jax.training import population as population_lib
from rmtl_jax.training import trainer
from rmtl_jax.updates import state


@dataclasses.dataclass
class Training:
  """The critics of a run in training.

  The actor is frozen, so pi(s) and pi'(s) are the same numbers in every pass:
  they are computed once per split.

  Attributes:
    context: the run.
    program: the step that trains them.
    critic: their state.
    policy: pi(s) of the train rows, f32[R, K].
    validation_policy: pi(s) of the validation rows.
    errors: the validation TD error after each pass.
  """

  context: context_lib.Context
  program: models_lib.Program
  critic: state.CriticState
  policy: jax.Array
  validation_policy: jax.Array
  errors: list[float] = dataclasses.field(default_factory=list)

  @property
  def goes_on(self) -> bool:
    """Until the validation TD error has converged."""
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
  critic = state.init_critic(
    context.init_critic(actor_params), state.make_optimizer(config.critic)
  )
  policy, validation_policy = (
    trainer.on_device(context.predict(actor_params, split))
    for split in (context.train, context.validation)
  )
  program = context.models.train_critics(config)
  return Training(context, program, critic, policy, validation_policy)


def fit(trainings: Sequence[Training], population: int = 1) -> None:
  """Trains critics until each run's have converged.

  Args:
    trainings: changed in place; one whose run has saved an unfinished stage
      goes on from there.
    population: most runs of one program that are trained together; 1 trains
      one after the other.
  """
  for training in trainings:
    restored = training.context.resume('critic', training.critic)
    if restored is not None:
      training.critic = restored.arrays
      training.errors = list(restored.record['errors'])
  groups = population_lib.Groups(population)
  groups.reserve(training.program for training in trainings)
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
      t.context.plan('critic', len(t.errors) + 1),
      t.context.key('critic'),
      (t.policy,),
    )
    for t in trainings
  ]
  first = trainings[0]
  label = f'critic pass {len(first.errors) + 1}'
  outcomes = groups.run(first.context, label, program, passes)
  seconds = (time.perf_counter() - begin) / len(trainings)
  for training, (critic, sums) in zip(trainings, outcomes, strict=True):
    training.critic = critic
    training.errors = [*training.errors, _validation_error(training)]
    _record(training, sums, seconds)


def _record(training: Training, sums: dict[str, float], seconds: float) -> None:
  context, number = training.context, len(training.errors)
  record = {
    'stage': 'critic',
    'epoch': number,
    'td_error': sums['td_error'] / max(sums['td_rows'], 1.0),
    'validation_td_error': training.errors[-1],
    'seconds': seconds,
  }
  context.progress.finish(
    f'TD error {record["td_error"]:.5f}'
    f'  validation {record["validation_td_error"]:.5f}',
    label=context.title(f'critic pass {number}'),
  )
  context.record(**record)
  context.save('critic', number, training.critic, errors=training.errors)


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


def _validation_error(training: Training) -> float:
  """Mean squared TD error over validation rows, the same noise every time."""
  context, critic = training.context, training.critic
  key = jax.random.fold_in(context.key('critic'), 0)
  losses, valid = trainer.map_rows(
    context.models.td_errors(context.config),
    (critic.params, critic.target_params, key),
    context.validation,
    context.config.batch,
    (training.validation_policy,),
  )
  return float(losses.mean(-1).sum() / max(valid.sum(), 1))
