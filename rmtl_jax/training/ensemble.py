"""The members of an ensemble: their settings, their training, their trees.

A member is a run of its own with another seed: parameters, shuffles, dropout
and noise. Each has its own early stopping, history and checkpoints of an
unfinished stage; what a stage leaves is one tree, stacked over members.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from rmtl_jax import config as config_lib
from rmtl_jax.evaluation import metrics
from rmtl_jax.training import actor_stages, actor_teams, critic_stage, trainer
from rmtl_jax.training import context as context_lib

# A prime: ensembles whose seeds are nearer to each other share no member.
SEED_STRIDE = 1_000_003
_SEEDS = 2**31


class Fitted(NamedTuple):
  """What is kept of a trained actor.

  Attributes:
    params: at its best epoch.
    stopping: how it ended.
  """

  params: Any
  stopping: actor_teams.Stopping


def member_seed(seed: int, member: int) -> int:
  """The seed with which `--config.seed` trains this member alone.

  (seed + 1,000,003 member) mod 2^31: member 0 is the single model of the seed,
  the members of a seed differ (64 strides are far below 2^31), and ensembles
  of two seeds share a member only if the seeds lie a stride or more apart.

  >>> [member_seed(7, m) for m in range(3)]
  [7, 1000010, 2000013]
  """
  return (seed + SEED_STRIDE * member) % _SEEDS


def members(config: config_lib.Config) -> tuple[config_lib.Config, ...]:
  """The settings of each member, as those of a single model."""
  return tuple(
    dataclasses.replace(
      config, ensemble=1, seed=member_seed(config.seed, member)
    )
    for member in range(config.ensemble)
  )


def stack(trees: Sequence[Any]) -> Any:
  """The members' trees as the ensemble's; of one member its own."""
  return trainer.stack(*trees) if len(trees) > 1 else trees[0]


def unstack(tree: Any, count: int) -> list[Any]:
  """The trees of `count` members from the ensemble's."""
  return trainer.unstack(tree, count) if count > 1 else [tree]


def fit_actors(
  contexts: Sequence[context_lib.Context],
  population: int,
  start: Callable[[int], actor_teams.Team],
) -> list[dict[str, Fitted]]:
  """Stage 1 or 3 of every member.

  Members that are not trained together finish one after the other, so that no
  more than `population` optimizers are held at a time.

  Args:
    contexts: one per member.
    population: how many are trained together at most.
    start: the stage of a member, by its number.

  Returns:
    Per member what is kept of each arm.
  """
  results = []
  for group in _groups(len(contexts), population):
    teams = [start(member) for member in group]
    actor_stages.fit(teams, population)
    results += [
      {
        name: Fitted(arm.best_params, arm.stopping)
        for name, arm in team.arms.items()
      }
      for team in teams
    ]
  return results


def fit_critics(
  contexts: Sequence[context_lib.Context],
  population: int,
  actors: Sequence[Any],
) -> list[Any]:
  """Stage 2 of every member: parameters of the critics of its own actor.

  Args:
    contexts: one per member.
    population: how many are trained together at most.
    actors: the pre-trained parameters of each member.
  """
  results = []
  for group in _groups(len(contexts), population):
    trainings = [critic_stage.start(contexts[m], actors[m]) for m in group]
    critic_stage.fit(trainings, population)
    results += [training.params for training in trainings]
  return results


def _groups(count: int, population: int) -> Iterator[range]:
  for begin in range(0, count, population):
    yield range(begin, min(begin + population, count))


def member_metrics(
  predictions: Sequence[np.ndarray],
  labels: np.ndarray,
  tasks: Sequence[str],
) -> dict[str, dict[str, list[float | None]]]:
  """How good the members are on their own.

  Args:
    predictions: each member's, f32[R, K].
    labels: f32[R, K].
    tasks: K names.

  Returns:
    {task: {'auc': one per member, 'logloss': one per member}}; None where
    undefined.
  """
  return {
    task: {
      name: [
        context_lib.finite(metric(labels[:, k], p[:, k])) for p in predictions
      ]
      for name, metric in (('auc', metrics.auc), ('logloss', metrics.logloss))
    }
    for k, task in enumerate(tasks)
  }
