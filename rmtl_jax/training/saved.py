"""Saved stages of a run, and how they are resumed.

A stage in training has checkpoints in checkpoints/state, a finished one leaves
one checkpoint per model: pretrain, critic, constant, finetune.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax

from rmtl_jax import clock, durable, types
from rmtl_jax.networks import backbone_registry
from rmtl_jax.runtime import checkpoints, stages, workdir
from rmtl_jax.training import context as context_lib
from rmtl_jax.training import models as models_lib

# Units of the numbers of checkpoints in training.
_STAGE, _EPOCH = 10**12, 10**6


class Result(NamedTuple):
  """Parameters of a finished stage.

  Attributes:
    params: its parameters at the best epoch.
    epoch: that epoch; 0 is before the first, and for critics.
  """

  params: Any
  epoch: int


@dataclasses.dataclass
class FinishedStages:
  """The finished stages of a run.

  Attributes:
    results: by the names of `stages.LEAVES`.
    history: as the last finished stage knew it.
    damaged: one line per checkpoint that could not be used.
  """

  results: dict[str, Result] = dataclasses.field(default_factory=dict)
  history: list[dict[str, Any]] = dataclasses.field(default_factory=list)
  damaged: list[str] = dataclasses.field(default_factory=list)

  def has(self, stage: str, control: bool = True) -> bool:
    """Whether a stage has left all that it leaves.

    Args:
      stage: of `stages.ORDER`.
      control: whether stage 3 leaves its control.
    """
    leaves = stages.LEFT_BY[stage] if control else (stage,)
    return all(name in self.results for name in leaves)

  def needed(self, name: str, stage: str, path: Any) -> Any:
    """The parameters that stage `name` has left, for a later `stage`.

    Raises:
      types.InputError: the earlier stage has not been trained.
    """
    if name not in self.results:
      raise types.InputError(
        f'{path}: stage {stage} needs stage {name}, which has not been'
        f' trained here (--stage={name} first, or --stage=all)'
      )
    return self.results[name].params


def restore(
  run: workdir.Run,
  models: models_lib.Models,
  trains: bool = False,
  names: Sequence[str] = stages.LEAVES,
) -> FinishedStages:
  """The finished stages of a run that is one model.

  Args:
    run: where they are kept; its settings determine the parameters' shapes.
    trains: whether a damaged one is left out, to be trained again.
    names: of what stages leave, to restore.

  Raises:
    checkpoints.Damaged: a damaged checkpoint, which is named.
  """
  finished = FinishedStages()
  for name in names:
    if not run.has(name):
      continue

    def shapes(record, name=name):
      if 'shapes' in record:  # of trees, as many as there are
        return jax.tree.map(
          lambda one: jax.ShapeDtypeStruct(*one),
          record['shapes'],
          is_leaf=lambda one: isinstance(one, list),
        )
      return models.shapes_left(run.config, name)

    try:
      with contextlib.closing(run.checkpoint(name)) as store:
        restored = store.restore(shapes)
    except checkpoints.Damaged as error:
      if not trains:
        raise
      finished.damaged.append(str(error))
      continue
    assert restored is not None
    epoch, history = restored.record['epoch'], restored.record['history']
    finished.results[name] = Result(restored.arrays, epoch)
    # A stage records all stages before it: the longest history is complete.
    if len(history) > len(finished.history):
      finished.history = history
  return finished


@clock.part('checkpoints')
def keep(
  run: workdir.Run,
  context: context_lib.Context,
  finished: FinishedStages,
  results: Mapping[str, Result],
) -> None:
  """Saves the parameters of a stage, and adds it to the finished ones."""
  # The unfinished stage's last checkpoint is on disk before the finished
  # stage's is: whatever a crash leaves, the newest of them is whole.
  if context.store is not None:
    context.store.wait()
  for name, result in results.items():
    if name in finished.results:  # and only the other arm was lost
      continue
    _keep(run, context, name, result)
    finished.results[name] = result


def _keep(
  run: workdir.Run, context: context_lib.Context, name: str, result: Result
) -> None:
  record = {
    'stage': name,
    'epoch': result.epoch,
    'history': context.history,
  }
  if backbone_registry.is_fitted(run.config):
    record['shapes'] = jax.tree.map(
      lambda x: [list(x.shape), str(x.dtype)], result.params
    )
  with contextlib.closing(run.checkpoint(name)) as store:
    store.save(result.epoch, result.params, record)


def latest_history(
  context: context_lib.Context, finished: FinishedStages
) -> list[dict[str, Any]]:
  """The longest history: the unfinished stage's, or the last finished one's.

  A finished stage may be ahead of the unfinished one's checkpoint.
  Unfinished checkpoints that are all damaged are deleted.
  """
  store = context.store
  assert store is not None
  try:
    newest = store.restore(lambda record: None)
  except checkpoints.Damaged as error:
    context.progress.say(
      f'WARNING: {error}; the stage is trained from its start'
    )
    store.clear()
    newest = None
  unfinished = newest.record['history'] if newest else []
  return list(max(finished.history, unfinished, key=len))


def begin(
  context: context_lib.Context, finished: FinishedStages, stage: str
) -> None:
  """Takes up a stage that is not finished.

  Of the history that stays which belongs to finished stages; `resume` brings
  back the unfinished one. If the store contains a later stage (this stage's
  checkpoint was lost), that is dropped: numbers of checkpoints rise.
  """
  if context.store is None:
    return
  newest = context.store.restore(lambda record: None)
  if newest and stages.NUMBERS[newest.record['stage']] > stages.NUMBERS[stage]:
    context.store.clear()
  stays = [
    name
    for other, leaves in stages.LEFT_BY.items()
    if other != stage and leaves[-1] in finished.results
    for name in leaves
  ]
  context.history[:] = [e for e in context.history if e['stage'] in stays]


def number(stage: str, epoch: int, dispatches: int) -> int:
  """The number of a checkpoint in training.

  Later stages, epochs and dispatches have higher ones.
  """
  return stages.NUMBERS[stage] * _STAGE + epoch * _EPOCH + dispatches


def drop_unfinished(run: workdir.Run) -> None:
  """Drops what only a resume within a stage needs, where no stage is cut off.

  A stage in training saves optimizers' states, the best parameters so far and
  its place in the data, twice: several times what finished stages leave.

  Args:
    run: of one model.

  Raises:
    OSError: it can't be removed.
  """
  if in_training(run):
    return
  durable.remove_tree(run.path / 'checkpoints' / 'state')
  for name in stages.LEAVES:
    checkpoints.remove_partial(run.path / 'checkpoints' / name)


def in_training(run: workdir.Run) -> str:
  """The unfinished stage of a resume; '' if there is none."""
  directory = run.path / 'checkpoints' / 'state'
  names = os.listdir(directory) if directory.is_dir() else []
  newest = max((int(name) for name in names if name.isdigit()), default=0)
  for name, leaves in stages.LEFT_BY.items():
    if newest // _STAGE == stages.NUMBERS[name]:
      left = [n for n in leaves if n != 'constant' or run.config.control]
      return '' if all(map(run.has, left)) else name
  return ''
