"""`rmtl importance`: what a trained run owes to each field."""

from __future__ import annotations

import functools
from collections.abc import Sequence

from absl import flags

from rmtl_jax.commands import common


def define(values: flags.FlagValues, argv: Sequence[str]) -> None:
  """Defines the flags of the command."""
  del argv
  common.define_workdir(values)
  flags.DEFINE_list(
    'groups',
    None,
    'Fields that are permuted together, separated by commas: NAME:FIELD+FIELD,'
    ' or the name of a group of as-of features. If not given these groups,'
    ' where they have two fields or more; --groups= measures fields alone.',
    flag_values=values,
  )
  flags.DEFINE_integer(
    'repeats',
    5,
    'Permutations of each field and group.',
    lower_bound=1,
    flag_values=values,
  )
  flags.DEFINE_integer(
    'rows',
    50_000,
    'Measure on at most so many rows, whole sessions drawn at random; 0: on'
    ' all.',
    lower_bound=0,
    flag_values=values,
  )
  flags.DEFINE_integer(
    'seed', 0, 'Of permutations and intervals.', flag_values=values
  )
  flags.DEFINE_enum(
    'split',
    'validation',
    ['train', 'validation', 'test'],
    'The rows to measure on.',
    flag_values=values,
  )
  flags.DEFINE_string(
    'data_dir',
    '',
    'Prepared data with the fields of the run; what it was trained on if not'
    ' given.',
    flag_values=values,
  )
  common.define_stage(values)


def execute(values: flags.FlagValues) -> int:
  """Runs the command; returns the exit code."""
  path = common.workdir(values)
  common.check_there(values, 'workdir', 'data_dir')
  common.start_jax(values)
  from rmtl_jax.library import importance as library
  from rmtl_jax.report import importance, tables
  from rmtl_jax.runtime import progress

  value = functools.partial(common.value, values)
  record = library.importance(
    path,
    value('groups'),
    value('split'),
    value('repeats'),
    value('stage') or '',
    value('calibrated'),
    value('data_dir'),
    value('rows'),
    value('seed'),
    progress.Progress(),
  )
  for task in record['tasks']:
    print()
    print(tables.text(importance.terminal_table(record, task)), end='')
  print()
  for sentence in importance.sentences(record):
    print(tables.wrapped(sentence))
  print(
    tables.text_of_paths(
      importance=path / 'importance.json',
      table=path / 'importance.csv',
      picture=path / 'report' / 'importance.png',
    )
  )
  return 0
