"""`rmtl prune`: drops what only a resume within a stage needs."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

from absl import flags

from rmtl_jax import types
from rmtl_jax.commands import common


def define(values: flags.FlagValues, argv: Sequence[str]) -> None:
  """Defines the flags of the command."""
  del argv
  flags.DEFINE_multi_string(
    'workdir',
    [],
    "RUN, a run's directory, or that of a comparison or a search. Once for"
    ' each; `rmtl prune RUN RUN` does the same.',
    flag_values=values,
  )
  flags.DEFINE_boolean(
    'keep_moments',
    True,
    "Keep Adam's moments beside the models of stages 1 and 2, with which"
    ' rmtl train --start_from goes on.',
    flag_values=values,
  )


def execute(values: flags.FlagValues) -> int:
  """Runs the command; returns the exit code."""
  if not common.value(values, 'workdir'):
    raise types.InputError('name a RUN: rmtl prune RUN')
  paths = [pathlib.Path(text) for text in common.value(values, 'workdir')]
  common.start_jax(values)
  from rmtl_jax.studies import prune as studies
  from rmtl_jax.training import prune as runs

  refused = []
  for path in paths:
    try:
      before, after = (
        studies.prune(path)
        if studies.is_study(path)
        else runs.prune(path, common.value(values, 'keep_moments'))
      )
    except types.InputError as error:  # the others are pruned all the same
      refused.append(str(error))
      continue
    freed = before - after
    print(
      f'{path}: freed {common.bytes_text(freed)} of'
      f' {common.bytes_text(before)} ({freed / max(before, 1):.0%})'
    )
  if refused:
    more = f' (and {len(refused) - 1} more)' if refused[1:] else ''
    raise types.InputError(f'{refused[0]}{more}')
  return 0
