"""`rmtl refit`: a run's stage 1 again, with validation rows to learn from."""

from __future__ import annotations

import pathlib
import shlex

from absl import flags

from rmtl_jax.commands import common, distributed


def define(flag: common.Definer) -> None:
  """Defines the flags of the command."""
  flag.string(
    'run',
    '',
    'The finished run to retrain stage 1 of; it stays unchanged.',
  )
  flag.string(
    'data_dir',
    '',
    'Where the data of --run are, if they were moved; the same files.',
  )
  common.define_workdir(flag)
  distributed.define(flag)


def execute(values: flags.FlagValues) -> int:
  """Runs the command; returns the exit code."""
  path = common.workdir(values)
  common.require(values, 'run')
  source = pathlib.Path(values.run)
  common.check_there(values, 'run', 'data_dir')
  common.start_jax(values)
  layout = distributed.layout(values)
  from rmtl_jax import run
  from rmtl_jax.report import pages
  from rmtl_jax.runtime import collectives, progress

  live = progress.Progress(quiet=not collectives.is_first())
  record = common.interruptible(
    lambda number: run.refit(
      source,
      path,
      values.data_dir or None,
      live,
      run.RunOptions(number, layout),
    ),
    collectives.all_max,
  )
  if isinstance(record, int):
    return record
  if not collectives.is_first():
    return 0
  common.print_report(record)
  print(pages.text_of_paths(metrics=path / 'metrics.json'))
  common.print_next(f'export --workdir={shlex.quote(str(path))} --output=...')
  return 0
