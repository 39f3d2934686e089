"""Drops what only a resume within a stage needs.

A stage in training saves optimizers' states, the best parameters so far and its
place in the data, twice: several times what the finished stages leave. Once the
stage has finished, nothing reads these checkpoints again.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
from typing import NamedTuple

from rmtl_jax import durable, types
from rmtl_jax.runtime import checkpoints, stages, workdir
from rmtl_jax.training import saved

_OF_MOMENTS = tuple(
  workdir.moments(one.name)
  for one in stages.RECORDS.values()
  if one.keeps_moments
)


class Pruned(NamedTuple):
  """What a directory took on disk.

  Attributes:
    before: bytes of its files.
    after: bytes that are left.
  """

  before: int
  after: int


def prune(path: pathlib.Path, keep_moments: bool = True) -> Pruned:
  """Drops the checkpoints that no command reads, of every member too.

  Whatever interrupts it, the run stays as it was for all commands.

  Args:
    path: RUN, locked while this runs.
    keep_moments: whether Adam's moments stay, for runs that start from it.

  Raises:
    types.InputError: not a run, a stage that is not finished, a checkpoint of
      a finished one that is damaged, or another process works in it.
  """
  run = workdir.read(path)
  with workdir.locked(path):
    for one in run.members:
      check(one)
    before = size(path)
    for one in run.members:
      drop(one)
      if not keep_moments:
        for name in _OF_MOMENTS:
          durable.remove_tree(one.path / 'checkpoints' / name)
    return Pruned(before, size(path))


def check(run: workdir.Run) -> None:
  """Refuses a run that needs its checkpoints to go on.

  Raises:
    types.InputError: see `prune`.
  """
  if not any(run.has(name) for name in stages.LEAVES):
    raise types.InputError(f'{run.path}: no stage is finished; nothing to drop')
  stage = in_training(run)
  if stage:
    raise types.InputError(
      f'{run.path}: stage {stage} is not finished, and goes on from what would'
      ' be dropped: start its rmtl train again first'
    )
  for name in stages.LEAVES:
    if run.has(name):
      with contextlib.closing(run.checkpoint(name)) as store:
        store.restore(lambda record: None)


def in_training(run: workdir.Run) -> str:
  """The stage whose checkpoints a resume needs; '' if there is none."""
  directory = _state(run)
  names = os.listdir(directory) if directory.is_dir() else []
  newest = max((int(name) for name in names if name.isdigit()), default=0)
  for name, one in stages.RECORDS.items():
    if saved.stage_number(newest) == one.number:
      left = [n for n in one.leaves if n != 'constant' or run.config.control]
      return '' if all(map(run.has, left)) else name
  return ''


def drop(run: workdir.Run) -> None:
  """Drops them of a run that is one model, unless a stage is in training.

  Raises:
    OSError: they can't be removed.
  """
  if in_training(run):
    return
  durable.remove_tree(_state(run))
  for name in (*stages.LEAVES, *_OF_MOMENTS):
    checkpoints.remove_partial(run.path / 'checkpoints' / name)


def size(path: pathlib.Path) -> int:
  """Bytes of all files in a directory."""
  return sum(
    os.lstat(os.path.join(directory, name)).st_size
    for directory, _, names in os.walk(path)
    for name in names
  )


def _state(run: workdir.Run) -> pathlib.Path:
  return run.path / 'checkpoints' / 'state'
