"""Files of benchmarks that publish a train and a test file."""

from __future__ import annotations

import fnmatch
import pathlib
from collections.abc import Sequence

from rmtl_jax import types
from rmtl_jax.preparation import sql
from rmtl_jax.preparation.raw import files as raw

_TRAIN, _TEST = 0, 2


def find_file(
  raw_dir: pathlib.Path, name: str, what: str
) -> pathlib.Path | None:
  """A file of a directory, plain or gzipped; None if there is neither.

  Args:
    name: of the plain file, in lower case; may have wildcards.
    what: what the directory should hold, for errors.

  Raises:
    types.InputError: no such directory, or both files.
  """
  found = [
    path
    for path in raw.find_files(raw_dir, ['*'], what)
    if any(
      fnmatch.fnmatch(path.name.lower(), each) for each in (name, f'{name}.gz')
    )
  ]
  if len(found) > 1:
    raise types.InputError(
      f'{raw_dir}: has {" and ".join(path.name for path in found)}, expected'
      ' one of them'
    )
  return found[0] if found else None


def find_pair(
  raw_dir: pathlib.Path, train: str, test: str, what: str
) -> list[pathlib.Path]:
  """The train and the test file, plain or gzipped.

  Raises:
    types.InputError: one of the two is missing; see `find_file`.
  """
  found = [find_file(raw_dir, name, what) for name in (train, test)]
  for name, path in zip((train, test), found, strict=True):
    if path is None:
      raise types.InputError(f'{raw_dir}: no {name}, expected {what}')
  return [path for path in found if path]


def only_file(
  raw_dir: pathlib.Path, names: Sequence[str], what: str
) -> pathlib.Path:
  """A log of one file: `raw_dir` itself, or the only such file in it.

  Args:
    names: patterns of its name.
    what: what it should be, for errors.

  Raises:
    types.InputError: no such file, or several.
  """
  if raw_dir.is_file():
    return raw_dir
  found = raw.find_files(raw_dir, names, what)
  if not found:
    raise types.InputError(f'{raw_dir}: no {" or ".join(names)}')
  if len(found) > 1:
    listed = ', '.join(path.name for path in found)
    raise types.InputError(
      f'{raw_dir}: has {listed}; name one of the files with raw_dir'
    )
  return found[0]


def split_sql(table: raw.RawTable) -> str:
  """SQL of `split` over a table of two files, first train, then test."""
  first = table.files[0].rows
  return (
    f'CAST(CASE WHEN rowid < {first} THEN {_TRAIN} ELSE {_TEST} END AS TINYINT)'
  )


def rows_sql(table: raw.RawTable) -> str:
  """SQL of the rows of such a table, with `row_id` and `split`."""
  return (
    f'(SELECT rowid AS row_id, {split_sql(table)} AS split, *'
    f' FROM {table.name})'
  )


def first_rows(
  connection: sql.Connection, table: raw.RawTable, key: str
) -> str:
  """Replaces such a table by one of each split's first row of every key.

  Args:
    connection: holds the table, which is dropped.
    key: its column.

  Returns:
    A table with `split`, without `row_id`.
  """
  found = sql.create_table(
    connection,
    'SELECT * EXCLUDE (row_id) FROM (SELECT DISTINCT ON'
    f' (split, {key}) * FROM {rows_sql(table)} ORDER BY split, {key}, row_id)',
  )
  sql.drop_tables(connection, table.name)
  return found
