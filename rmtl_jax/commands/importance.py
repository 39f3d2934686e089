"""`rmtl importance`: permutation importance of fields."""

from __future__ import annotations

from absl import flags

from rmtl_jax.commands import common


def define(flag: common.Definer) -> None:
  """Defines the flags of the command."""
  common.define_workdir(flag)
  flag.list(
    'groups',
    None,
    'Fields and groups of as-of features that are permuted together,'
    ' FIELD+FIELD each, separated by commas. If not given the groups of as-of'
    ' features that have two fields or more; --groups= measures fields alone.',
  )
  flag.integer(
    'repeats', 5, 'Permutations of each field and group.', lower_bound=1
  )
  flag.integer(
    'rows',
    50_000,
    'Measure on at most so many rows, the first whole sessions; 0: on all.',
    lower_bound=0,
  )
  flag.integer('seed', 0, 'Of permutations and intervals.')
  flag.enum(
    'split',
    'validation',
    ['train', 'validation', 'test'],
    'The rows to measure on.',
  )


def execute(values: flags.FlagValues) -> int:
  """Runs the command; returns the exit code."""
  path = common.start_on(values)
  from rmtl_jax.library import field_importance
  from rmtl_jax.report import importance_text, pages
  from rmtl_jax.runtime import progress

  record = field_importance.importance(
    path,
    values.groups,
    values.split,
    values.repeats,
    values.rows,
    values.seed,
    progress.Progress(),
  )
  print(importance_text.text(record))
  print(pages.text_of_paths(importance=path / 'importance.json'))
  return 0
