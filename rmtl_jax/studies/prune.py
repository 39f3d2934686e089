"""Drops the parameters that a finished comparison or search has kept.

Results, runs and trials are files of their own; parameters of stages 1 and 2
are there for methods, seeds and trials that may be added. Without them these
train their earlier stages again.
"""

from __future__ import annotations

import pathlib

from rmtl_jax import durable, types
from rmtl_jax.runtime import workdir
from rmtl_jax.training import prune as runs


def is_study(path: pathlib.Path) -> bool:
  """Whether a directory is a comparison's or a search's.

  Raises:
    types.InputError: its description is malformed.
  """
  if not (path / 'config.json').exists():
    return False
  return workdir.read(path).kind != workdir.RUN


def prune(path: pathlib.Path) -> runs.Pruned:
  """Drops all checkpoints of a finished comparison or search.

  Args:
    path: its directory, locked while this runs.

  Raises:
    types.InputError: it is not finished, or another process works in it.
  """
  with workdir.locked(path):
    finished = any(
      (path / name).exists() for name in ('results.json', 'tuning.json')
    )
    unfinished = path / 'unfinished'
    if not finished or (unfinished.is_dir() and any(unfinished.iterdir())):
      raise types.InputError(
        f'{path}: is not finished, and goes on from what would be dropped:'
        ' start the same command again first'
      )
    before = runs.size(path)
    durable.remove_tree(path / 'checkpoints')
    return runs.Pruned(before, runs.size(path))
