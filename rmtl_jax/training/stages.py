"""The three stages of a run: restored where finished, trained where asked for.

An ensemble's members go through each stage before the next begins. What a
finished stage leaves is one checkpoint, the members' parameters stacked.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from rmtl_jax import config as config_lib
from rmtl_jax import types
from rmtl_jax.runtime import checkpoints, workdir
from rmtl_jax.training import actor_teams, ensemble
from rmtl_jax.training import context as context_lib
from rmtl_jax.training import models as models_lib
from rmtl_jax.training import population as population_lib
from rmtl_jax.weighting import registry

# What each stage leaves: names of checkpoints, which are those of records.
_LEAVES = {
  'pretrain': ('pretrain',),
  'critic': ('critic',),
  'finetune': ('constant', 'finetune'),
}


@dataclasses.dataclass
class Trained:
  """What the stages of a run have left.

  Attributes:
    actors: parameters per name of an actor; stacked over an ensemble's
      members.
    best_epochs: of each of them, one per member.
    critic: the critics' parameters after stage 2 (stacked too), or None.
    histories: of each member as the last finished stage knew it, or empty.
    damaged: one line per checkpoint that could not be used.
  """

  actors: dict[str, Any] = dataclasses.field(default_factory=dict)
  best_epochs: dict[str, list[int]] = dataclasses.field(default_factory=dict)
  critic: Any = None
  histories: list[list[dict[str, Any]]] = dataclasses.field(
    default_factory=list
  )
  damaged: list[str] = dataclasses.field(default_factory=list)

  def has(self, name: str) -> bool:
    """Whether there is such a checkpoint."""
    return self.critic is not None if name == 'critic' else name in self.actors


def train(
  run: workdir.Run,
  config: config_lib.Config,
  contexts: Sequence[context_lib.Context],
  stages: Sequence[str],
  trained: Trained,
) -> Trained:
  """Trains the stages that are asked for and are not finished.

  Args:
    run: where finished stages are kept.
    config: the run's settings.
    contexts: one per member.
    stages: of 'pretrain', 'critic', 'finetune'.
    trained: the finished stages, from `restore`; changed in place.

  Raises:
    types.InputError: a stage that needs one that has not been trained.
  """
  count = len(contexts)
  needed = registry.find(config.weighting.name).needs_critics
  population = min(population_lib.most(config.compare.population, count), count)
  if 'pretrain' in stages and not trained.has('pretrain'):
    _begin(contexts, trained, 'pretrain')
    fitted = ensemble.fit_actors(
      contexts,
      population,
      lambda m: actor_teams.pretrain_team(contexts[m]),
    )
    _keep(run, contexts, trained, fitted)
  if 'critic' in stages and needed and trained.critic is None:
    actor = _earlier(run, trained.actors, 'pretrain', 'critic')
    _begin(contexts, trained, 'critic')
    actors = ensemble.unstack(actor, count)
    critics = ensemble.fit_critics(contexts, population, actors)
    trained.critic = ensemble.stack(critics)
    _save(run, contexts, 'critic', [0] * count, trained.critic)
  wanted = _LEAVES['finetune'] if config.control else ('finetune',)
  if 'finetune' in stages and not all(map(trained.has, wanted)):
    actor = _earlier(run, trained.actors, 'pretrain', 'finetune')
    if needed and trained.critic is None:
      _earlier(run, {}, 'critic', 'finetune')
    _begin(contexts, trained, 'finetune')
    fitted = _finetune(config, contexts, population, trained, actor)
    _keep(run, contexts, trained, fitted)
  return trained


def _begin(
  contexts: Sequence[context_lib.Context], trained: Trained, stage: str
) -> None:
  """Takes up a stage; one that was lost is trained again among later ones.

  Of the history that stays which belongs to finished stages; `resume` brings
  back what an unfinished one has.
  """
  names = [
    name
    for leaves in _LEAVES.values()
    if trained.has(leaves[-1])
    for name in leaves
    if name not in _LEAVES[stage]
  ]
  for context in contexts:
    context.begin(stage, names)


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
  if trained.critic is not None:
    critics = ensemble.unstack(trained.critic, count)
  return ensemble.fit_actors(
    contexts,
    population,
    lambda m: actor_teams.finetune_team(
      contexts[m], weightings, actors[m], critics[m]
    ),
  )


def _keep(
  run: workdir.Run,
  contexts: Sequence[context_lib.Context],
  trained: Trained,
  fitted: Sequence[dict[str, ensemble.Fitted]],
) -> None:
  for name in fitted[0]:
    if trained.has(name):  # and only the other arm was lost
      continue
    members = [member[name] for member in fitted]
    params = ensemble.stack([member.params for member in members])
    epochs = [member.stopping.best_epoch for member in members]
    trained.actors[name], trained.best_epochs[name] = params, epochs
    _save(run, contexts, name, epochs, params)


def _save(
  run: workdir.Run,
  contexts: Sequence[context_lib.Context],
  stage: str,
  epochs: Sequence[int],
  params: Any,
) -> None:
  """One checkpoint; of an ensemble its number is the latest member's epoch."""
  record = {
    'stage': stage,
    'epoch': max(epochs),
    'epochs': list(epochs),
    'histories': [context.history for context in contexts],
  }
  for context in contexts:
    context.wait()  # the last epoch's is never newer than the stage's
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


def restore(
  run: workdir.Run, models: models_lib.Models, trains: bool = False
) -> Trained:
  """The finished stages of a run; their form comes from its own settings.

  Args:
    run: where they are kept.
    models: of the run's data.
    trains: whether a damaged one is left out, to be trained again.

  Raises:
    checkpoints.Damaged: a damaged checkpoint, which is named.
  """
  trained = Trained()
  actor, critic_form = models.forms(run.config)
  for name in workdir.STAGES:
    if not run.has(name):
      continue
    critic = name == 'critic'
    form = critic_form if critic else actor
    store = run.checkpoint(name)
    try:
      restored = store.restore(lambda record, form=form: form)
      if restored is not None:
        _check_members(store, restored.record, run.config.ensemble)
    except checkpoints.Damaged as error:
      if not trains:
        raise
      trained.damaged.append(str(error))
      continue
    finally:
      store.close()
    assert restored is not None
    if sum(map(len, restored.record['histories'])) > sum(
      map(len, trained.histories)
    ):
      trained.histories = restored.record['histories']
    if critic:
      trained.critic = restored.arrays
    else:
      trained.actors[name] = restored.arrays
      trained.best_epochs[name] = restored.record['epochs']
  return trained


def _check_members(
  store: checkpoints.Store, record: Mapping[str, Any], members: int
) -> None:
  """Refuses a finished stage's record that is not about all members.

  Raises:
    checkpoints.Damaged: it is not.
  """
  epochs = record['epochs']
  if (
    not isinstance(epochs, list)
    or len(epochs) != members
    or any(type(epoch) is not int for epoch in epochs)
  ):
    raise checkpoints.Damaged(
      f'{store.directory}: damaged: its record: epochs is {epochs!r:.80},'
      f' expected {members} numbers'
    )
