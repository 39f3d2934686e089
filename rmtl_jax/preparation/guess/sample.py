"""A sample of a raw log's rows in a DuckDB table."""

from __future__ import annotations

import csv
import dataclasses
import itertools
import pathlib
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from rmtl_jax import types
from rmtl_jax.data import parquet
from rmtl_jax.preparation import sql
from rmtl_jax.preparation.raw import csv as raw_csv
from rmtl_jax.preparation.raw import folders
from rmtl_jax.preparation.raw import raw_files as raw

_DELIMITERS = (',', '\t', ';', '|')
# Files that a sample is of, and row groups of a Parquet file, at most.
_FILES, _GROUPS = 16, 16
_FRACTION = re.compile(r'[-+]?\d*\.\d+(e[-+]?\d+)?')


@dataclasses.dataclass(frozen=True)
class Sample:
  """Rows of a log.

  Attributes:
    connection: holds the table `log`.
    names: columns of the log.
    kinds: of each, `text` (all of CSV), `number`, `bool`, `time`, `list` or
      `other`.
    rows: of the sample.
    is_whole: whether the sample is the log.
    delimiter: of CSV files, if it is not that of their names.
  """

  connection: sql.Connection
  names: tuple[str, ...]
  kinds: tuple[str, ...]
  rows: int
  is_whole: bool
  delimiter: str = ''

  def text(self, name: str) -> str:
    """SQL of a column's values as text, NULL where it is empty."""
    return f"nullif(trim(CAST({sql.quote(name)} AS VARCHAR)), '')"

  def fetch(self, select: str, rest: str = '') -> list[tuple[Any, ...]]:
    """Rows of a query over the sample."""
    query = f'SELECT {select} FROM log {rest}'
    return self.connection.execute(query).fetchall()


def read(log: pathlib.Path, rows: int, delimiter: str = '') -> Sample:
  """Reads a sample of a CSV or Parquet file, or of a directory of either.

  Of Parquet the first rows of row groups all over the file are read, of CSV
  the first rows of each file.

  Args:
    log: the file or directory.
    rows: how many rows, about.
    delimiter: between a CSV file's values; empty: found in the header.

  Raises:
    types.InputError: no such files, or empty, unreadable or headerless ones.
  """
  paths = folders.find(log)
  chosen = _spread(paths, _FILES)
  of_file = max(rows // len(chosen), 1)
  is_parquet = paths[0].name.lower().endswith(folders.PARQUET)
  if not is_parquet and not delimiter:
    counts = {s: len(raw_csv.read_header(paths[0], s)) for s in _DELIMITERS}
    delimiter = max(_DELIMITERS, key=counts.__getitem__)
  parts, is_whole = [], len(chosen) == len(paths)
  for path in chosen:
    if is_parquet:
      found, is_all = _parquet_rows(path, of_file)
    else:
      found, is_all = _csv_rows(path, of_file, delimiter)
    for name, value in folders.values(path, None, found.column_names).items():
      values = pa.array([value] * found.num_rows, pa.string())
      found = found.append_column(name, values)
    raw.check_columns(path, found.column_names, ())
    parts.append(found)
    is_whole = is_whole and is_all
  shared = [
    name
    for name in parts[0].column_names
    if all(name in part.column_names for part in parts)
  ]
  try:
    table = pa.concat_tables(
      [part.select(shared) for part in parts], promote_options='permissive'
    )
  except pa.ArrowException as error:
    raise types.InputError(
      f'{paths[0]}: the types of its columns are not those of the other'
      f' files: {types.first_line(error)}'
    ) from None
  if not table.num_rows:
    raise types.InputError(f'{paths[0]}: no rows')
  named = raw.delimiter_of(paths[0], '')
  return dataclasses.replace(
    of_table(table, is_whole),
    delimiter='' if is_parquet or named == delimiter else delimiter,
  )


def of_table(table: pa.Table, is_whole: bool = True) -> Sample:
  """A table in memory as a sample.

  Raises:
    types.InputError: it has no rows, or a column twice.
  """
  names = tuple(map(str, table.column_names))
  raw.check_columns(pathlib.Path('table'), names, ())
  if not table.num_rows:
    raise types.InputError('table: has no rows')
  connection = sql.connect()
  connection.register('arrow_rows', table.rename_columns(list(names)))
  with sql.name_errors('table', 'not readable'):
    connection.execute('CREATE TABLE log AS FROM arrow_rows')
  connection.unregister('arrow_rows')
  kinds = tuple(map(_kind, sql.column_types(connection, 'log').values()))
  return Sample(connection, names, kinds, table.num_rows, is_whole)


def _spread(things: Sequence[Any], most: int) -> list[Any]:
  """At most so many of them, evenly over all."""
  places = np.linspace(0, len(things) - 1, min(most, len(things)))
  return [things[i] for i in sorted({round(place) for place in places})]


def _parquet_rows(path: pathlib.Path, rows: int) -> tuple[pa.Table, bool]:
  with (
    parquet.one_line_errors(path, 'Parquet'),
    parquet.open_file(path) as file,
  ):
    if file.metadata.num_rows <= rows:
      return file.read(), True
    groups = _spread(range(file.num_row_groups), _GROUPS)
    batches = [
      next(iter(file.iter_batches(max(rows // len(groups), 1), [group])))
      for group in groups
    ]
    return pa.Table.from_batches(batches, file.schema_arrow), False


def _csv_rows(
  path: pathlib.Path, rows: int, delimiter: str
) -> tuple[pa.Table, bool]:
  """The first rows below the header, as text; short records are skipped."""
  header = raw_csv.read_header(path, delimiter)
  if odd := [name for name in header if _FRACTION.fullmatch(name.strip())]:
    raise types.InputError(
      f'{path}: row 1 is no header: it holds the value {odd[0].strip()!r:.80};'
      f' expected {len(header)} column names above the rows{folders.OTHERS}'
    )
  try:
    with raw.open_text(path, errors='replace') as lines:
      below = itertools.islice(raw.csv_records(lines, delimiter), 1, rows + 2)
      read = list(below)
  except (OSError, csv.Error, pa.ArrowException) as error:
    first = types.first_line(error)
    raise types.InputError(f'{path}: not readable: {first}') from None
  records = [one for one in read[:rows] if len(one) == len(header)]
  columns = zip(*records, strict=True) if records else [[]] * len(header)
  arrays = [pa.array(list(values), pa.string()) for values in columns]
  return pa.table(arrays, header), len(read) <= rows


def _kind(found: str) -> str:
  """The kind of a DuckDB type."""
  if found.endswith('[]'):
    return 'other' if found[:-2].endswith((']', ')')) else 'list'
  if found.startswith(('STRUCT', 'MAP', 'UNION', 'BLOB')):
    return 'other'
  if found.startswith(('TIMESTAMP', 'DATE')):
    return 'time'
  if found in ('BOOLEAN', 'VARCHAR') or found.startswith('ENUM'):
    return 'bool' if found == 'BOOLEAN' else 'text'
  return 'number'
