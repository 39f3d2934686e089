"""Stages 1 and 3: the actor, with early stopping on validation AUC."""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import optax

from rmtl_jax import config as config_lib
from rmtl_jax import types
from rmtl_jax.data import batches
from rmtl_jax.evaluation import evaluator
from rmtl_jax.training import context as context_lib
from rmtl_jax.training import feed, trainer
from rmtl_jax.training import models as models_lib
from rmtl_jax.training import population as population_lib
from rmtl_jax.updates import finetune as finetune_lib
from rmtl_jax.updates import state
from rmtl_jax.weighting import critic as weights_lib
from rmtl_jax.weighting import factory

# Tells the order of validation rows that guide lambda from other shuffles.
_GUIDE = 7
# More than the dispatches of a pass: numbers of checkpoints rise.
_ARM = 200_000


@dataclasses.dataclass(frozen=True)
class Stopping:
  """Early stopping of one actor on its mean validation AUC.

  Attributes:
    best: the best value so far.
    best_epoch: its epoch; 0 is before the first.
    bad: epochs since.
  """

  best: float = -np.inf
  best_epoch: int = 0
  bad: int = 0

  def update(self, epoch: int, value: float) -> Stopping:
    """After an epoch."""
    if value > self.best:
      return Stopping(value, epoch, 0)
    return dataclasses.replace(self, bad=self.bad + 1)


@dataclasses.dataclass(frozen=True)
class Arm:
  """An actor in training.

  Attributes:
    program: the step that trains it.
    state: an ActorState or a FinetuneState.
    best_params: the actor's parameters at its best epoch.
    stopping: when to stop.
    epoch: passes that it has trained.
    position: in a pass that was cut off.
  """

  program: models_lib.Program
  state: Any
  best_params: Any
  stopping: Stopping
  epoch: int = 0
  position: trainer.Position = trainer.START


@dataclasses.dataclass
class Team:
  """Arms that see the same batches and keys, for the same number of epochs.

  Attributes:
    context: their run.
    stage: 'pretrain' or 'finetune'.
    arms: by name.
    epoch: epochs that all of them have trained.
  """

  context: context_lib.Context
  stage: str
  arms: dict[str, Arm]
  epoch: int = 0

  @property
  def limits(self) -> config_lib.StageConfig:
    """The stage's settings."""
    return getattr(self.context.config, self.stage)

  @property
  def goes_on(self) -> bool:
    """Until the patience with each arm has run out."""
    return self.epoch < self.limits.max_epochs and any(
      arm.stopping.bad < self.limits.patience for arm in self.arms.values()
    )


def pretrain_team(context: context_lib.Context) -> Team:
  """Stage 1 of a run: one arm, 'pretrain'.

  Its `best_params` are the pre-trained actor's in the end.
  """
  config = context.config
  params = context.init_actor()
  unweighted = factory.make_weighting(
    config_lib.WeightingConfig(name='constant')
  )
  optimizer = _optimizer(context, 'pretrain', config.pretrain)
  actor = context.models.made(
    lambda params: state.init_actor(params, optimizer, unweighted), params
  )
  program = context.models.pretrain(config)
  arm = Arm(program, actor, params, Stopping())
  return Team(context, 'pretrain', {'pretrain': arm})


def finetune_team(
  context: context_lib.Context,
  weightings: Mapping[str, str],
  actor_params: Any,
  critic_params: Any,
) -> Team:
  """Stage 3 of a run: arms that start from the same actor.

  That is the pre-trained one, which stays a candidate: it is every arm's
  epoch 0. Under `finetune.start=scratch` it is the actor as stage 1 began, and
  epoch 1 is the first candidate.

  Args:
    context: the run.
    weightings: the weighting of each arm, by the arm's name.
    actor_params: the pre-trained actor's.
    critic_params: the critics' after stage 2, or () where none are needed.
  """
  initial, start = actor_params, Stopping()
  if context.config.finetune.start == 'scratch':
    initial = context.init_actor()
  else:
    before = float(np.nanmean(validation_auc(context, actor_params)))
    start = start.update(0, before)
  arms = {}
  for name, weighting in weightings.items():
    means = None
    if weighting == 'constant_mean':
      # Of the policy that the critics know, wherever the arm starts.
      means = mean_weights(context, actor_params, critic_params)
    arms[name] = _finetune_arm(
      context, weighting, initial, critic_params, means, start
    )
  return Team(context, 'finetune', arms)


def _finetune_arm(
  context: context_lib.Context,
  weighting_name: str,
  initial_params: Any,
  critic_params: Any,
  means: np.ndarray | None,
  start: Stopping,
) -> Arm:
  config = dataclasses.replace(
    context.config,
    weighting=dataclasses.replace(
      context.config.weighting, name=weighting_name
    ),
  )
  steps = _scheduled_steps(
    context, 'finetune', config.weighting.lambda_schedule
  )
  optimizer = _optimizer(context, 'finetune', config.finetune)
  weighting = factory.make_weighting(config.weighting, means, steps)
  initial = context.models.made(
    lambda actor_params, critic_params: finetune_lib.init_finetune(
      actor_params,
      critic_params,
      optimizer,
      state.make_optimizer(config.critic),
      weighting,
      config,
    ),
    initial_params,
    critic_params,
  )
  return Arm(context.models.finetune(config), initial, initial_params, start)


def _optimizer(
  context: context_lib.Context, stage: str, config: config_lib.StageConfig
) -> optax.GradientTransformation:
  """The stage's, with its learning rate's schedule and the priors' share."""
  steps = _scheduled_steps(context, stage, config.schedule)
  terms = context.train.host.rows * len(context.tasks)
  return state.make_optimizer(config, steps, 1 / terms)


def _scheduled_steps(
  context: context_lib.Context, stage: str, schedule: str
) -> int:
  """Steps of max_epochs epochs; 0 for a schedule that does not ask.

  Every epoch is taken to be as long as the first: packing makes them differ
  by a step or so.
  """
  if schedule == 'constant':
    return 0
  epochs = getattr(context.config, stage).max_epochs
  return epochs * context.epoch(stage, 1).steps


def fit(teams: Sequence[Team], population: int = 1) -> None:
  """Trains teams until each has finished its stage.

  Args:
    teams: changed in place; a team whose run has saved an unfinished stage
      goes on from there.
    population: most arms of one program that are trained together; 1 trains
      one after the other.
  """
  if not teams:
    return
  for team in teams:
    _resume(team)
  groups = population_lib.Groups(population)
  groups.reserve(arm.program for team in teams for arm in team.arms.values())
  with teams[0].context.progress.stage(_rows_left(teams), lambda: _ends(teams)):
    while running := [team for team in teams if team.goes_on]:
      members = [
        (arm.program, (team, name))
        for team in running
        for name, arm in team.arms.items()
        if arm.epoch == team.epoch
      ]
      for program, group in groups.cut(members):
        _train_epoch(groups, program, group)
      for team in running:
        team.epoch += 1
        _save(team)


def _rows_left(teams: Sequence[Team]) -> int:
  """Rows of all epochs that the teams may still train."""
  return sum(
    max(team.limits.max_epochs - team.epoch, 0)
    * len(team.arms)
    * team.context.train.host.rows
    for team in teams
  )


def _ends(teams: Sequence[Team]) -> Iterator[str]:
  """One line per arm."""
  for team in teams:
    for name, arm in team.arms.items():
      yield team.context.title(
        f'{name}  {team.epoch} epochs  validation AUC {arm.stopping.best:.4f}'
        f' (mean over tasks) at epoch {arm.stopping.best_epoch}'
      )


def _train_epoch(
  groups: population_lib.Groups,
  program: models_lib.Program,
  members: list[tuple[Team, str]],
) -> None:
  """One pass of some arms of one program, their validation, their records."""
  begin = time.perf_counter()
  team, name = members[0]
  passes = [
    population_lib.Pass(
      _before_epoch(t, n),
      t.context.epoch(t.stage, t.epoch + 1),
      t.context.key(t.stage),
      guide=_guide(t, n),
      start=t.arms[n].position,
      after=functools.partial(_save_within, t, n),
    )
    for t, n in members
  ]
  label = f'{name} epoch {team.epoch + 1}'
  outcomes = groups.run(team.context, label, program, passes)
  seconds = (time.perf_counter() - begin) / len(members)
  for (team, name), (new_state, sums) in zip(members, outcomes, strict=True):
    _validate(team, name, new_state, sums, seconds)


def _guide(team: Team, name: str) -> feed.Guide | None:
  """Validation rows for an arm that learns lambda, in an order of their own."""
  arm_state = team.arms[name].state
  if team.stage == 'pretrain' or not arm_state.meta:
    return None
  context = team.context
  return feed.Guide(
    context.validation,
    batches.training_plan(
      context.validation.host.starts,
      (context.config.seed, context_lib.NUMBERS[team.stage], _GUIDE),
      team.epoch + 1,
      context.config.batch,
    ),
  )


def _before_epoch(team: Team, name: str) -> Any:
  """The state from which an arm's next epoch starts.

  The checkpoint of the epoch before is older than the reset: a resumed stage
  draws the same tables again, from the seed and the epoch.
  """
  arm_state = team.arms[name].state
  if team.arms[name].position.dispatches:
    return arm_state  # which was saved after the reset
  if team.stage != 'pretrain' or not (
    team.limits.reset_embeddings and team.epoch
  ):
    return arm_state
  params = team.context.init_actor(team.epoch + 1)
  return team.context.models.made(state.with_new_embeddings, arm_state, params)


def _validate(
  team: Team,
  name: str,
  new_state: Any,
  sums: dict[str, float],
  seconds: float,
) -> None:
  """Early stopping and the record of an arm's epoch."""
  context, epoch, arm = team.context, team.epoch + 1, team.arms[name]
  actor = new_state if team.stage == 'pretrain' else new_state.actor
  try:
    auc = validation_auc(context, actor.params)
  except FloatingPointError as error:
    told = f'{name} epoch {epoch}: {error}; {context.suspects()}'
    raise FloatingPointError(context.title(told)) from None
  stopping = arm.stopping.update(epoch, float(np.nanmean(auc)))
  improved = stopping.best_epoch == epoch
  record = {
    'stage': name,
    'epoch': epoch,
    'loss': sums['loss'] / sums['rows'],
    **{
      f'validation_auc_{t}': context_lib.finite(a)
      for t, a in zip(context.tasks, auc, strict=True)
    },
    **_weight_statistics(sums, context.tasks),
    'seconds': seconds,
  }
  if team.stage != 'pretrain' and new_state.meta:
    record['lambda'] = float(factory.lambda_of(actor.weighting_state))
  if sums.get('skipped'):
    record['skipped_steps'] = int(sums['skipped'])
  if 'td_error' in sums:
    record['td_error'] = sums['td_error'] / max(sums['td_rows'], 1.0)
  context.progress.finish(
    f'loss {record["loss"]:.4f}  validation AUC '
    + '  '.join(f'{t} {a:.4f}' for t, a in zip(context.tasks, auc, strict=True))
    + ('  best' if improved else ''),
    label=context.title(f'{name} epoch {epoch}'),
    note=('' if len(team.arms) == 1 else f'{name} ')
    + f'AUC {np.nanmean(auc):.4f}',
  )
  context.record(**record)
  best_params = state.copy(actor.params) if improved else arm.best_params
  team.arms[name] = Arm(arm.program, new_state, best_params, stopping, epoch)


def _save(team: Team) -> None:
  arms = team.arms
  team.context.save(
    team.stage,
    team.epoch,
    {name: (arm.state, arm.best_params) for name, arm in arms.items()},
    # Of the pass that is not done: whole ones of some arms, part of another.
    sum(
      arm.position.dispatches + _ARM * (arm.epoch > team.epoch)
      for arm in arms.values()
    ),
    stopping={n: dataclasses.asdict(arm.stopping) for n, arm in arms.items()},
    epochs={name: arm.epoch for name, arm in arms.items()},
    positions={name: arm.position.as_json() for name, arm in arms.items()},
  )


def _save_within(
  team: Team,
  name: str,
  new_state: Any,
  position: trainer.Position,
  interrupted: bool,
) -> None:
  """A checkpoint inside of an arm's pass, if it is time."""
  if not (interrupted or team.context.due()):
    return
  arm = team.arms[name]
  now = dataclasses.replace(arm, state=new_state, position=position)
  _save(dataclasses.replace(team, arms={**team.arms, name: now}))


def _resume(team: Team) -> None:
  restored = team.context.resume(
    team.stage,
    {name: (arm.state, arm.best_params) for name, arm in team.arms.items()},
  )
  if restored is None:
    return
  team.epoch = restored.record['epoch']
  for name, (arm_state, best_params) in restored.arrays.items():
    record = restored.record
    team.arms[name] = Arm(
      team.arms[name].program,
      arm_state,
      best_params,
      Stopping(**record['stopping'][name]),
      record.get('epochs', {}).get(name, team.epoch),
      trainer.position_of(record.get('positions', {}).get(name)),
    )


def _weight_statistics(
  sums: dict[str, float], tasks: tuple[str, ...]
) -> dict[str, float]:
  """Mean and standard deviation of the epoch's weights, per task."""
  if 'weight_0' not in sums:
    return {}
  result = {}
  for k, task in enumerate(tasks):
    mean = sums[f'weight_{k}'] / sums['rows']
    variance = sums[f'weight_square_{k}'] / sums['rows'] - mean**2
    result[f'weight_mean_{task}'] = mean
    result[f'weight_deviation_{task}'] = max(variance, 0.0) ** 0.5
  return result


def validation_auc(context: context_lib.Context, params: Any) -> np.ndarray:
  """Validation AUC of each task, f64[K]; NaN where only one class exists."""
  predictions = context.predict(params, context.validation)
  if not np.all(np.isfinite(predictions)):
    # The step that broke the parameters was the last before validation.
    raise FloatingPointError('predictions on validation are not finite')
  auc = evaluator.validation_auc(predictions, context.validation.host.labels)
  if np.all(np.isnan(auc)):
    raise types.InputError(
      'validation: every task has one class only, so AUC is undefined and'
      ' early stopping has nothing to look at'
    )
  return auc


def mean_weights(
  context: context_lib.Context, actor_params: Any, critic_params: Any
) -> np.ndarray:
  """Mean of 1 - lambda Q over all train rows, f32[K]: constant_mean's.

  Lambda is that of the settings, before its schedule.
  """
  policy = context.predict(actor_params, context.train)
  q_values = context.values(critic_params, context.train, policy)
  weights = weights_lib.critic_weights(
    q_values, context.config.weighting.lambda_
  )
  return np.asarray(weights, np.float64).mean(0).astype(np.float32)
