"""`rmtl evaluate`: a run's best checkpoints on a split."""

from __future__ import annotations

from absl import flags

from rmtl_jax.commands import common, distributed


def define(flag: common.Definer) -> None:
  """Defines the flags of the command."""
  common.define_workdir(flag)
  distributed.define(flag)
  flag.string(
    'data_dir',
    '',
    'Prepared data with the fields of the run; what it was trained on if not'
    ' given.',
  )
  flag.enum(
    'split',
    'test',
    ['train', 'validation', 'test'],
    'The rows to evaluate on.',
  )


def execute(values: flags.FlagValues) -> int:
  """Runs the command; returns the exit code."""
  path = common.start_on(values, 'data_dir')
  layout = distributed.layout(values)
  from rmtl_jax.report import pages
  from rmtl_jax.results import run_record
  from rmtl_jax.runtime import collectives

  data_dir, split = common.path(values, 'data_dir'), values.split
  record = run_record.evaluate(path, split, data_dir, layout)
  if not collectives.is_first():
    return 0
  common.print_report(record)
  print(pages.text_of_paths(metrics=path / 'evaluation' / f'{split}.json'))
  return 0
