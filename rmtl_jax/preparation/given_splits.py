"""Splits that a user's own table has: in a column, or by its files."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

from rmtl_jax import types
from rmtl_jax.config import prepare_settings
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.preparation import sql
from rmtl_jax.preparation.raw import raw_files as raw

# What a column of splits holds unless `split_values` says otherwise.
VALUES = {
  'train': ('train',),
  'validation': ('validation', 'valid', 'val', 'dev'),
  'test': ('test',),
}


def by_files(
  places: Sequence[Sequence[pathlib.Path]],
) -> tuple[list[pathlib.Path], list[int]]:
  """Joins the files of train, validation and test.

  Args:
    places: of each split; none for validation and test if not given.

  Returns:
    The files, and the split of each; none if all are of train.

  Raises:
    types.InputError: a file stands in two splits.
  """
  paths = [path for found in places for path in found]
  splits = [i for i, found in enumerate(places) for _ in found]
  real = [path.resolve() for path in paths]
  for i, path in enumerate(paths):
    if real[i] in real[:i]:
      raise types.InputError(f'{path}: is of two splits, expected of one')
  return paths, splits if any(splits) else []


def sql_by_column(
  connection: sql.Connection,
  table: raw.RawTable,
  options: prepare_settings.PrepareConfig,
) -> str:
  """SQL of a raw row's split by `split_column`.

  Raises:
    types.InputError: a value that names no split; names file, column and row.
  """
  values = column_values(options.split_values)
  value = sql.value_text(sql.quote(raw.PREFIX + options.split_column))
  cases = ' '.join(
    f'WHEN {value} IN ({", ".join(map(sql.literal, values[name]))}) THEN {i}'
    for i, name in enumerate(manifest_lib.SPLITS)
    if values[name]
  )
  found = f'CAST(CASE {cases} END AS TINYINT)'
  raw.check(
    connection,
    table,
    [(options.split_column, f'{found} IS NULL', expected_value(options))],
  )
  return found


def expected_value(options: prepare_settings.PrepareConfig) -> str:
  """Expected values of `split_column`, for errors."""
  values = column_values(options.split_values)
  known = ', '.join(repr(v) for some in values.values() for v in some)
  remedy = '' if options.split_values else ' (split_values names others)'
  return f'one of {known}{remedy}'


def column_values(given: Sequence[str]) -> dict[str, tuple[str, ...]]:
  """The values of `split_column` by split.

  Args:
    given: `split_values`.

  Raises:
    types.InputError: an entry that is not `split=value`, or one value twice.
  """
  if not given:
    return VALUES
  values: dict[str, tuple[str, ...]] = dict.fromkeys(manifest_lib.SPLITS, ())
  for entry in given:
    name, equals, value = entry.partition('=')
    if name not in values or not equals:
      raise types.InputError(
        f'split_values: {entry!r} is not SPLIT=VALUE with one of'
        f' {", ".join(values)}'
      )
    if any(value in some for some in values.values()):
      raise types.InputError(f'split_values: {value!r} occurs twice')
    values[name] += (value,)
  return values
