"""`rmtl prune`: drops what only a resume within a stage needs."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence
from typing import NoReturn

from absl import flags

from rmtl_jax import types
from rmtl_jax.commands import common


def define(flag: common.Definer) -> None:
  """Defines the flags of the command."""
  flag.multi_string(
    'workdir',
    [],
    "RUN, a run's directory, or that of a comparison or a search. Once for"
    ' each; `rmtl prune RUN RUN` does the same.',
  )
  flag.boolean(
    'keep_moments',
    True,
    "Keep Adam's moments beside the models of stages 1 and 2, with which"
    ' rmtl train --start_from goes on.',
  )


def execute(values: flags.FlagValues) -> int:
  """Runs the command; returns the exit code."""
  if not values.workdir:
    raise types.InputError('name a RUN: rmtl prune RUN')
  paths = [pathlib.Path(text) for text in values.workdir]
  # What is refused does not keep the others from being pruned.
  refused = [
    common.not_found('workdir', path) for path in paths if not path.exists()
  ]
  if len(refused) == len(paths):
    _refuse(refused)
  common.start_jax(values)
  from rmtl_jax.studies import prune as studies
  from rmtl_jax.training import prune as runs

  for path in filter(pathlib.Path.exists, paths):
    try:
      before, after = (
        studies.prune(path)
        if studies.is_study(path)
        else runs.prune(path, values.keep_moments)
      )
    except types.InputError as error:
      refused.append(str(error))
      continue
    freed = before - after
    print(
      f'{path}: freed {_bytes_text(freed)} of'
      f' {_bytes_text(before)} ({freed / max(before, 1):.0%})'
    )
  if refused:
    _refuse(refused)
  return 0


def _bytes_text(number: int) -> str:
  """Bytes in a unit that people read: `431.2 MB`."""
  size = float(number)
  for unit in ('B', 'kB', 'MB', 'GB'):
    if size < 1000.0:
      return f'{size:.0f} B' if unit == 'B' else f'{size:.1f} {unit}'
    size /= 1000.0
  return f'{size:.1f} TB'


def _refuse(lines: Sequence[str]) -> NoReturn:
  """Says the first of the lines, and how many there are beside it."""
  more = f' (and {len(lines) - 1} more)' if lines[1:] else ''
  raise types.InputError(f'{lines[0]}{more}')
