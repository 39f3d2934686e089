"""The three stages of a run: restored where finished, trained where asked for.

An ensemble's members go through each stage before the next begins. What a
finished stage leaves is one checkpoint, the members' parameters stacked.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from rmtl_jax import config as config_lib
from rmtl_jax import types
from rmtl_jax.training import actor_stages, ensemble, workdir
from rmtl_jax.training import context as context_lib
from rmtl_jax.training import models as models_lib
from rmtl_jax.training import population as population_lib


@dataclasses.dataclass
class Trained:
  """What the stages of a run have left.

  Attributes:
    actors: parameters per name of an actor; stacked over an ensemble's
      members.
    best_epochs: of each of them, one per member.
    critic: the critics' parameters after stage 2 (stacked too), or None.
  """

  actors: dict[str, Any] = dataclasses.field(default_factory=dict)
  best_epochs: dict[str, list[int]] = dataclasses.field(default_factory=dict)
  critic: Any = None


def train(
  run: workdir.Run,
  config: config_lib.Config,
  contexts: Sequence[context_lib.Context],
  stages: Sequence[str],
) -> Trained:
  """Restores the finished stages and trains those that are asked for.

  Args:
    run: where finished stages are kept.
    config: the run's settings.
    contexts: one per member.
    stages: of 'pretrain', 'critic', 'finetune'.

  Raises:
    types.InputError: a stage that needs one that has not been trained.
  """
  trained = restore(run, contexts[0].models)
  count = len(contexts)
  needed = config.weighting.name != 'constant'
  population = min(population_lib.most(config.compare.population, count), count)
  if 'pretrain' in stages and 'pretrain' not in trained.actors:
    fitted = ensemble.fit_actors(
      contexts,
      population,
      lambda m: actor_stages.pretrain_team(contexts[m]),
    )
    _keep(run, trained, fitted)
  if 'critic' in stages and needed and trained.critic is None:
    actor = _earlier(run, trained.actors, 'pretrain', 'critic')
    actors = ensemble.unstack(actor, count)
    critics = ensemble.fit_critics(contexts, population, actors)
    trained.critic = ensemble.stack(critics)
    _save(run, 'critic', [0], trained.critic)
  if 'finetune' in stages and 'finetune' not in trained.actors:
    actor = _earlier(run, trained.actors, 'pretrain', 'finetune')
    if needed and trained.critic is None:
      _earlier(run, {}, 'critic', 'finetune')
    _keep(run, trained, _finetune(config, contexts, population, trained, actor))
  return trained


def _finetune(
  config: config_lib.Config,
  contexts: Sequence[context_lib.Context],
  population: int,
  trained: Trained,
  actor: Any,
) -> list[dict[str, ensemble.Fitted]]:
  """Stage 3: each member starts from its own actor and critics."""
  count = len(contexts)
  weightings = {'finetune': config.weighting.name}
  if config.control:
    weightings = {'constant': 'constant', **weightings}
  actors = ensemble.unstack(actor, count)
  critics: list[Any] = [()] * count
  if config.weighting.name != 'constant':
    critics = ensemble.unstack(trained.critic, count)
  return ensemble.fit_actors(
    contexts,
    population,
    lambda m: actor_stages.finetune_team(
      contexts[m], weightings, actors[m], critics[m]
    ),
  )


def _keep(
  run: workdir.Run,
  trained: Trained,
  fitted: Sequence[dict[str, ensemble.Fitted]],
) -> None:
  for name in fitted[0]:
    members = [member[name] for member in fitted]
    params = ensemble.stack([member.params for member in members])
    epochs = [member.stopping.best_epoch for member in members]
    trained.actors[name], trained.best_epochs[name] = params, epochs
    _save(run, name, epochs, params)


def _save(
  run: workdir.Run, stage: str, epochs: Sequence[int], params: Any
) -> None:
  """One checkpoint; of an ensemble its number is the latest member's epoch."""
  record = {'stage': stage, 'epoch': max(epochs)}
  if len(epochs) > 1:
    record['epochs'] = list(epochs)
  store = run.checkpoint(stage)
  store.save(record['epoch'], params, record)
  store.close()


def _earlier(
  run: workdir.Run, trained: dict[str, Any], stage: str, wanted: str
) -> Any:
  if stage not in trained:
    raise types.InputError(
      f'{run.path}: stage {wanted} needs stage {stage}, which has not been'
      f' trained here (--stage={stage} first, or --stage=all)'
    )
  return trained[stage]


def restore(run: workdir.Run, models: models_lib.Models) -> Trained:
  """The finished stages of a run; their form comes from its own settings."""
  trained = Trained()
  actor, critic_form = models.forms(run.config)
  for name in workdir.STAGES:
    if not run.has(name):
      continue
    critic = name == 'critic'
    form = critic_form if critic else actor
    store = run.checkpoint(name)
    restored = store.restore(lambda record, form=form: form)
    store.close()
    assert restored is not None
    if critic:
      trained.critic = restored.arrays
    else:
      record = restored.record
      trained.actors[name] = restored.arrays
      trained.best_epochs[name] = record.get('epochs', [record['epoch']])
  return trained
