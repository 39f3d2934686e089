"""The models of a run as one: a single one, or an ensemble's members."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from rmtl_jax import config as config_lib
from rmtl_jax.evaluation import metrics
from rmtl_jax.networks import ensemble as ensemble_lib
from rmtl_jax.runtime import workdir
from rmtl_jax.training import context, saved
from rmtl_jax.training import models as models_lib

# What stages leave for predictions, in the order in which reports show it.
ACTORS = ('pretrain', 'constant', 'finetune')


@dataclasses.dataclass(frozen=True)
class Ensemble:
  """The finished stages of a run.

  Attributes:
    models: of the run's data.
    configs: the settings of each member.
    members: the finished stages of each; one of a run that is one model.
  """

  models: models_lib.Models
  configs: tuple[config_lib.Config, ...]
  members: tuple[saved.FinishedStages, ...]

  @functools.cached_property
  def actors(self) -> dict[str, Any]:
    """Parameters of the actors that every member has, by name.

    Those of an ensemble are stacked on a leading axis, as
    networks/ensemble.make_ensemble wants them.
    """
    return {
      name: stacked(
        self.models, [one.results[name].params for one in self.members]
      )
      for name in ACTORS
      if all(name in one.results for one in self.members)
    }

  def best_epochs(self, name: str) -> list[int]:
    """The epoch that was kept of an actor, one per member; [] if unfinished."""
    return [
      one.results[name].epoch for one in self.members if name in one.results
    ]

  @property
  def has_critics(self) -> bool:
    """Whether every member has finished stage 2."""
    return all('critic' in one.results for one in self.members)

  @property
  def history(self) -> list[dict[str, Any]]:
    """The members' records of epochs, stage by stage, with `member`."""
    if len(self.members) == 1:
      return self.members[0].history
    entries = [
      {**entry, 'member': m}
      for m, one in enumerate(self.members)
      for entry in one.history
    ]
    return in_order(entries)


def in_order(history: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
  """Records of epochs, stage by stage, though one was trained again later."""
  return sorted(
    history, key=lambda entry: context.NUMBERS.get(entry['stage'], 3)
  )


def restore(run: workdir.Run, models: models_lib.Models) -> Ensemble:
  """The finished stages of a run, or of all members of an ensemble.

  Raises:
    checkpoints.Damaged: a damaged checkpoint, which is named.
  """
  runs = run.members
  return Ensemble(
    models,
    tuple(one.config for one in runs),
    tuple(saved.restore(one, models) for one in runs),
  )


def stacked(models: models_lib.Models, params: Sequence[Any]) -> Any:
  """The members' parameters as the ensemble's; of one member its own."""
  if len(params) == 1:
    return params[0]
  return models.place(ensemble_lib.stack, *params)


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
      name: [context.finite(metric(labels[:, k], p[:, k])) for p in predictions]
      for name, metric in (('auc', metrics.auc), ('logloss', metrics.logloss))
    }
    for k, task in enumerate(tasks)
  }
