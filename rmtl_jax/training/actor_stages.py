"""Stages 1 and 3: the actor, with early stopping on validation AUC."""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from rmtl_jax import json_files
from rmtl_jax.data import batches
from rmtl_jax.training import actor_teams, feed, trainer
from rmtl_jax.training import context as context_lib
from rmtl_jax.training import models as models_lib
from rmtl_jax.training import population as population_lib
from rmtl_jax.updates import state
from rmtl_jax.weighting import tuners

# Tells the order of the validation rows of tuners from other shuffles.
_GUIDE = 7
# More than the dispatches of a pass: numbers of checkpoints rise.
_ARM = 200_000


def fit(teams: Sequence[actor_teams.Team], population: int = 1) -> None:
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


def _rows_left(teams: Sequence[actor_teams.Team]) -> int:
  """Rows of all epochs that the teams may still train."""
  return sum(
    max(team.limits.max_epochs - team.epoch, 0)
    * len(team.arms)
    * team.context.train.host.rows
    for team in teams
  )


def _ends(teams: Sequence[actor_teams.Team]) -> Iterator[str]:
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
  members: list[tuple[actor_teams.Team, str]],
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


def _guide(team: actor_teams.Team, name: str) -> feed.Guide | None:
  """Validation rows for an arm with a tuner, in an order of their own."""
  arm_state = team.arms[name].state
  if team.stage == 'pretrain' or not arm_state.tuner:
    return None
  context = team.context
  return feed.Guide(
    context.validation,
    batches.Epoch(
      context.validation.host.starts,
      (context.config.seed, context_lib.NUMBERS[team.stage], _GUIDE),
      team.epoch + 1,
      context.config.batch,
      context.validation.cuts,
    ).plan,
  )


def _before_epoch(team: actor_teams.Team, name: str) -> Any:
  """The state from which an arm's next epoch starts.

  The checkpoint of the epoch before is older than the reset: a resumed stage
  draws the same tables again, from the seed and the epoch.
  """
  arm_state = team.arms[name].state
  if team.arms[name].position.dispatches:
    return arm_state  # which was saved after the reset
  if team.stage != 'pretrain' or not (
    team.context.config.pretrain.reset_embeddings and team.epoch
  ):
    return arm_state
  params = team.context.init_actor(team.epoch + 1)
  return team.context.models.made(state.with_new_embeddings, arm_state, params)


def _validate(
  team: actor_teams.Team,
  name: str,
  new_state: Any,
  sums: dict[str, float],
  seconds: float,
) -> None:
  """Early stopping and the record of an arm's epoch."""
  context, epoch, arm = team.context, team.epoch + 1, team.arms[name]
  actor = new_state if team.stage == 'pretrain' else new_state.actor
  try:
    auc = actor_teams.validation_auc(context, actor.params)
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
  if team.stage != 'pretrain' and new_state.tuner:
    record |= tuners.numbers(actor.weighting_state)
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
  team.arms[name] = actor_teams.Arm(
    arm.program, new_state, best_params, stopping, epoch
  )


def _save(team: actor_teams.Team) -> None:
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
  team: actor_teams.Team,
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


def _resume(team: actor_teams.Team) -> None:
  restored = team.context.resume(
    team.stage,
    {name: (arm.state, arm.best_params) for name, arm in team.arms.items()},
  )
  if restored is None:
    return
  team.epoch = restored.record['epoch']
  for name, (arm_state, best_params) in restored.arrays.items():
    record = restored.record
    with json_files.parsing(f'checkpoint of {team.stage}'):
      team.arms[name] = actor_teams.Arm(
        team.arms[name].program,
        arm_state,
        best_params,
        actor_teams.Stopping(**record['stopping'][name]),
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
