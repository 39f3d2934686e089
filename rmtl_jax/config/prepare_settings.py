"""Every setting of `rmtl prepare`, checked."""

from __future__ import annotations

import dataclasses
import typing
from typing import Annotated, Literal

from rmtl_jax import types
from rmtl_jax.config import limits
from rmtl_jax.config.limits import ListOf, Positive, Range, Registered

# Groups of as-of features.
AsOf = Literal[
  'gap',
  'position',
  'views',
  'counts',
  'rates',
  'recency',
  'tastes',
  'feedback',
  'history',
  'slate',
]
AS_OF: tuple[str, ...] = typing.get_args(AsOf)
# How rows are split; `auto` depends on the log.
SplitBy = Literal[
  'auto',
  'time',
  'dates',
  'random',
  'user',
  'column',
  'files',
  'source',
]

# Values of `as_of`: groups, or a choice of them.
AsOfChoice = Literal[AsOf, 'auto', 'all', 'none']

# The setting that each of these needs, and that asks for it.
_SPLIT_SETTINGS = {
  'dates': 'split_dates',
  'column': 'split_column',
  'files': 'test_dir',
}


@dataclasses.dataclass(frozen=True)
class PrepareConfig:
  """Settings of `rmtl prepare`, which turns raw logs into sessions.

  Attributes:
    source: the reader, a name of `rmtl_jax.preparation.sources`.
    raw_dir: the raw files' directory, or one file (source `table`).
    data_dir: where prepared data goes.
    schema: JSON file that describes the columns of a table, or of a public log
      in place of the log's own.
    idle_minutes: a longer gap between two events of a user starts a new
      session, where the log has no session ids.
    min_count: values seen in fewer train rows share row 0 of the vocabulary;
      2 is the least that leaves row 0 something to learn from.
    split: shares of the rows in train, validation and test, where `split_by` is
      `time`, `random` or `user`.
    split_by: `time` (sessions by their start), `dates` (at `split_dates`),
      `random` (sessions drawn), `user` (users drawn, with all their rows),
      `column` (see `split_column`), `files` (`raw_dir` is train, see
      `test_dir`), `source` (as the benchmark of the source has it) or
      `auto`: what the other settings name, else the source's own, else `time`,
      and `random` for a log without a time.
    split_dates: where validation and test start, as
      `2024-05-01,2024-05-08T12:00` (UTC by default).
    split_column: table: the raw column with a row's split.
    split_values: table: the values of that column, as
      `train=0,train=1,validation=2,test=3`; empty for `train`, `validation` (or
      `valid`, `val`, `dev`) and `test`.
    seed: of random splits and simulated logs.
    extend: prepared data that the new log continues; they are not changed:
      `data_dir` gets their rows and those of the log. Validation joins train,
      test becomes validation, new rows are test. All settings that do not name
      files or a time are those of that data (docs/every_day.md).
    since: rows before this date or time are left out, as `2024-05-01` or
      `2024-05-01T12:00` (UTC by default).
    until: rows at or after this date or time are left out, and labels that are
      known only then do not count.
    validation_dir: table: place of the validation files, see `raw_dir`; empty:
      part of train is used.
    test_dir: table: place of the test files.
    as_of: groups of as-of features to make, all but the last from strictly
      earlier rows:
      `gap` (since the session's previous row), `position` (rows before in the
      session, time since its start), `views` (of this item by this user),
      `counts` (rows of the user, of the item), `rates` (their label rates),
      `recency` (since the user's last row, and last positive), `tastes` (label
      rates of the user's rows with the same value of a field), `feedback` (what
      the session so far has answered), `history` (the items that the user was
      shown before the session), `slate` (numbers compared with the rows that
      were shown with it); `all` that the log can support; `auto`, those of
      `all` that vary over the train rows; or `none`.
    history_items: most items of `history`; the most recent ones stay.
    max_values: most slots of a multi-valued field; longer lists are cut.
    rows_per_file: rows of a Parquet file, approximately.
    memory_limit: what DuckDB may use before it spills to disk, as `4GB`; empty
      for its default, 80 % of the machine's.
    threads: DuckDB's; 0 for one per core.
    temp_dir: where DuckDB spills; empty for a directory next to `data_dir`.
    overwrite: replace prepared data that is there already.
    any_dates: take times before the year 2000, which are most likely in another
      unit than was declared.
    simulated_rows: simulated: rows to draw.
  """

  source: Annotated[str, Registered('source')] = 'table'
  raw_dir: str = ''
  data_dir: str = ''
  schema: str = ''
  idle_minutes: Annotated[float, Range(1e-3, 1e6)] = 30.0
  min_count: Positive = 2
  split: Annotated[
    tuple[Positive, ...],
    ListOf('whole numbers (train, validation, test)', count=3),
  ] = (6, 2, 2)
  split_by: SplitBy = 'auto'
  split_dates: tuple[str, ...] = ()
  split_column: str = ''
  split_values: tuple[str, ...] = ()
  seed: Annotated[int, Range(0, 2**63 - 1)] = 0
  extend: str = ''
  since: str = ''
  until: str = ''
  validation_dir: str = ''
  test_dir: str = ''
  as_of: tuple[AsOfChoice, ...] = ('auto',)
  history_items: Annotated[int, Range(1, 1000)] = 20
  max_values: Annotated[int, Range(1, 2**10)] = 8
  rows_per_file: Positive = 1_000_000
  memory_limit: str = ''
  threads: Annotated[int, Range(0, 2**10)] = 0
  temp_dir: str = ''
  overwrite: bool = False
  any_dates: bool = False
  simulated_rows: Annotated[int, Range(1, 2**40)] = 300_000


def validate(config: PrepareConfig) -> PrepareConfig:
  """Returns the config if every setting is in range.

  Raises:
    types.InputError: names the setting, its value and the allowed ones.
  """
  for name, kind in limits.fields(PrepareConfig).items():
    limits.check(name, getattr(config, name), kind)
  if 'none' in config.as_of and set(config.as_of) != {'none'}:
    named = ', '.join(group for group in config.as_of if group != 'none')
    raise types.InputError(f"as_of: 'none' and {named}: give one of the two")
  _check_split(config)
  return config


def split_setting(config: PrepareConfig, by: str) -> str | tuple[str, ...]:
  """The setting that `split_by` needs for a value; empty if it is not given."""
  return getattr(config, _SPLIT_SETTINGS[by])


def _check_split(config: PrepareConfig) -> None:
  """Refuses settings of a split that another setting rules out."""
  asked = [by for by in _SPLIT_SETTINGS if split_setting(config, by)]
  for by in asked:
    if config.split_by not in ('auto', by) or len(asked) > 1:
      other = next((o for o in asked if o != by), config.split_by)
      raise types.InputError(
        f'{_SPLIT_SETTINGS[by]}: means a split by {by}, and there is one by'
        f' {other} too; give one of the two'
      )
  needed = _SPLIT_SETTINGS.get(config.split_by)
  if needed and not asked:
    raise types.InputError(
      f'{needed}: missing: split_by={config.split_by} needs it'
    )
  for setting, other in (
    ('split_values', 'split_column'),
    ('validation_dir', 'test_dir'),
  ):
    if getattr(config, setting) and not getattr(config, other):
      raise types.InputError(f'{setting}: needs {other}')


def as_of_groups(config: PrepareConfig) -> tuple[str, ...]:
  """The groups that `as_of` names, in the order of AS_OF."""
  return tuple(g for g in AS_OF if {g, 'all', 'auto'} & set(config.as_of))


def is_auto(config: PrepareConfig, group: str) -> bool:
  """Whether a group is made only if the log supports it and it varies."""
  return 'auto' in config.as_of and not {group, 'all'} & set(config.as_of)
