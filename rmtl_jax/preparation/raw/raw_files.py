"""Raw files in a DuckDB table, and errors that name file, column and row.

`load.load` fills the table. Its `rowid` numbers the
rows of all files, in order, from 0; it is the `row_id` of prepared data.
"""

from __future__ import annotations

import csv
import dataclasses
import datetime
import gzip
import io
import os
import pathlib
import re
import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NoReturn

import duckdb
import pyarrow as pa

from rmtl_jax import types
from rmtl_jax.data import reading
from rmtl_jax.preparation import sql

# Columns for a hash of all raw columns, and of those that a table does not keep
# unchanged.
ROW_HASH = 'row_hash_of_all'
REST_HASH = 'row_hash_of_rest'

# Prefix of a user's own columns in SQL, so that none has the name of a column
# of DuckDB (`rowid`) or of this package.
PREFIX = 'c_'

# Longest value of a CSV file, in characters; DuckDB's lines are no longer.
LONGEST_VALUE = 2**21

# Texts that often mean a missing value.
NULL_TEXTS = ('NULL', 'Null', 'null', 'None', 'NaN', 'nan', 'N/A', 'n/a', '\\N')

# Expected values by DuckDB type, for errors.
EXPECTED = {
  'BIGINT': 'a whole number',
  'DOUBLE': 'a number',
  'FLOAT': 'a number',
  'TIMESTAMPTZ': 'a time such as 2024-05-01 12:30:00',
  'VARCHAR': 'text',
}
# A label of a schema that lists no words.
EXPECTED_LABEL = (
  f'{EXPECTED["DOUBLE"]}; if it is a word, list the words that mean 1 in the'
  ' schema\'s task, as in "positive": ["yes"]'
)

# A raw column, the SQL condition of a fault, and the expected value.
Fault = tuple[str, str, str]


@dataclasses.dataclass(frozen=True)
class Form:
  """How a CSV file is written.

  Attributes:
    delimiter: between values; empty: by the file name.
    names: of all columns of files without a header.
    quote: around values with a delimiter; empty: there are none such.
    encoding: `utf-8` or `latin-1`.
    drop_cut_off: whether an incomplete final record is dropped, with a warning.
  """

  delimiter: str = ''
  names: tuple[str, ...] = ()
  quote: str = '"'
  encoding: str = 'utf-8'
  drop_cut_off: bool = False

  def of(self, path: pathlib.Path) -> Form:
    """The form of a file, with its delimiter."""
    delimiter = delimiter_of(path, self.delimiter)
    return dataclasses.replace(self, delimiter=delimiter)


@dataclasses.dataclass(frozen=True)
class RawFile:
  """One file of a raw table.

  Attributes:
    path: where it is.
    first_row: the table's row id of its first row.
    rows: data rows.
    form: of a CSV file; None for Parquet.
    folder_values: columns that the file has by its folders.
  """

  path: pathlib.Path
  first_row: int
  rows: int
  form: Form | None = None
  folder_values: Mapping[str, str | None] = dataclasses.field(
    default_factory=dict
  )


@dataclasses.dataclass(frozen=True)
class RawTable:
  """A DuckDB table with the rows of one or more raw files.

  Attributes:
    name: the table.
    files: in the order of their rows.
    warnings: what a person should know, one line each.
    row_hash: SQL of a hash of all raw columns; empty if there is none.
  """

  name: str
  files: tuple[RawFile, ...]
  warnings: tuple[str, ...] = ()
  row_hash: str = ''

  @property
  def place(self) -> str:
    """Its name in errors without a row."""
    return str(self.files[0].path) if self.files else 'the log'

  @property
  def rows(self) -> int:
    """Data rows of all files."""
    return sum(file.rows for file in self.files)

  def split_sql(self, splits: Sequence[int]) -> str:
    """SQL of a row's split, the one of its file."""
    cases = ' '.join(
      f'WHEN rowid < {file.first_row + file.rows} THEN {split}'
      for file, split in zip(self.files, splits, strict=True)
    )
    return f'CAST(CASE {cases} END AS TINYINT)'

  def fail(self, row_id: int, column: str, expected: str) -> NoReturn:
    """Raises the error for a value of a raw column.

    Raises:
      types.InputError: always.
    """
    file = next(f for f in self.files if row_id < f.first_row + f.rows)
    position = row_id - file.first_row
    if column in file.folder_values:
      row, found = position + 1, file.folder_values[column]
    elif file.form:
      row, found = _csv_value(file.path, file.form, position, column)
    else:
      row, found = position + 1, _parquet_value(file, position, column)
    raise types.InputError(error_line(file.path, row, column, found, expected))


def error_line(
  path: pathlib.Path, row: int, column: str, found: Any, expected: str
) -> str:
  """The error line for an invalid value."""
  shown = 'nothing' if found in (None, '') else repr(found)
  if isinstance(found, datetime.date):
    shown = str(found)
  if len(shown) > 80:
    shown = shown[:77] + '...'
  if expected == EXPECTED['BIGINT'] and re.fullmatch('-?[0-9]+', str(found)):
    expected += ' of 64 bits'
  if found in NULL_TEXTS and expected in (
    EXPECTED['BIGINT'],
    EXPECTED['DOUBLE'],
    EXPECTED_LABEL,
  ):
    expected = expected.split(';', maxsplit=1)[0] + (
      '; if it means missing, leave it empty or list it as "missing" in'
      ' the schema'
    )
  return f'{path}: row {row}, column {column!r}: {shown}, expected {expected}'


def check(
  connection: sql.Connection,
  table: RawTable,
  faults: Sequence[Fault],
  relation: str = '',
  row_id: str = 'rowid',
) -> None:
  """Looks for rows that break a condition, in one pass.

  Args:
    table: where the rows come from, for the error.
    relation: what to scan; the raw table if empty.
    row_id: the raw table's row id in that relation.

  Raises:
    types.InputError: for the fault that comes first in the raw files.
  """
  found = find_first(connection, faults, relation or table.name, row_id)
  if found is not None:
    row, (column, _, expected) = found
    table.fail(row, column, expected)


def find_first(
  connection: sql.Connection,
  faults: Sequence[Fault],
  relation: str,
  row_id: str,
) -> tuple[int, Fault] | None:
  """The first row that has one of the faults, and that fault; None if none."""
  # Most logs have none, which one condition tells at half the cost.
  any_fault = ' OR '.join(f'({condition})' for _, condition, _ in faults)
  if not faults or not sql.any_row(connection, relation, any_fault):
    return None
  # One aggregate per fault: a single scan finds the first row of each.
  firsts = ', '.join(
    f'min({row_id}) FILTER (WHERE {condition})' for _, condition, _ in faults
  )
  rows = sql.fetch_row(connection, f'SELECT {firsts} FROM {relation}')
  found = [(row, i) for i, row in enumerate(rows) if row is not None]
  if not found:
    return None
  row, first = min(found)
  return row, faults[first]


def append_rows(
  connection: sql.Connection, table: str, query: str, first: bool
) -> int:
  """Makes a table of a query's rows or appends them; returns their number."""
  verb = f'CREATE TABLE {table} AS' if first else f'INSERT INTO {table}'
  return sql.fetch_value(connection, f'{verb} {query}')


def check_columns(
  path: pathlib.Path, found: Sequence[str], required: Iterable[str]
) -> None:
  """Checks a file's column names.

  Raises:
    types.InputError: a name that occurs twice (regardless of case, as in
      DuckDB), or required ones that are missing.
  """
  seen: dict[str, str] = {}
  for name in found:
    other = seen.get(name.lower())
    if other is not None:
      same = '' if other == name else f' (and {other!r}; case does not count)'
      raise types.InputError(f'{path}: column {name!r} occurs twice{same}')
    seen[name.lower()] = name
  missing = [name for name in dict.fromkeys(required) if name not in found]
  if missing:
    listed = ', '.join(found[:20]) or 'none'
    listed += ', ...' if len(found) > 20 else ''
    # The whole header in one name: values are parted by something else.
    if len(found) == 1 and missing[0] in found[0]:
      listed += ', one column; give the schema\'s "delimiter"'
    names = ', '.join(map(repr, missing[:20]))
    column = 'columns' if len(missing) > 1 else 'column'
    raise types.InputError(f'{path}: no {column} {names}; it has {listed}')


def find_files(
  raw_dir: pathlib.Path, patterns: Sequence[str], what: str
) -> list[pathlib.Path]:
  """Files of a directory that match one of the patterns, by name.

  Raises:
    types.InputError: no such directory.
  """
  if not raw_dir.exists():
    raise types.InputError(f'{raw_dir}: not found: expected {what}')
  if not raw_dir.is_dir():
    raise types.InputError(f'{raw_dir}: is a file, expected {what}')
  matches = {
    path
    for pattern in patterns
    for path in raw_dir.glob(pattern)
    if path.is_file() and not path.name.startswith('.')
  }
  for path in matches:
    name = str(path.relative_to(raw_dir))
    try:
      name.encode()
    except UnicodeError:
      raise types.InputError(
        f'{raw_dir}: a file is named {name!r}, which is not valid UTF-8'
      ) from None
  return sorted(matches)


def short_names(paths: Sequence[pathlib.Path]) -> list[str]:
  """The paths from the folder that all of them are in."""
  if not paths:
    return []
  root = os.path.commonpath([path.absolute().parent for path in paths])
  return [str(path.absolute().relative_to(root)) for path in paths]


def file_record(path: pathlib.Path, name: str = '') -> dict[str, Any]:
  """Name, bytes and SHA-256 of a file, as the manifest records them.

  Args:
    name: what to call it; the last part of its path if empty.

  Raises:
    types.InputError: a damaged compressed file, which DuckDB may read in part
      without an error.
  """
  if compression(path) != 'none':
    _check_whole(path)
  digest = reading.sha256(path)
  name = name or path.name
  return {'name': name, 'bytes': path.stat().st_size, 'sha256': digest}


def compression(path: pathlib.Path) -> str:
  """How a file is compressed, by its name: `gzip`, `zstd` or `none`."""
  kinds = {'.gz': 'gzip', '.zst': 'zstd'}
  return kinds.get(path.suffix.lower(), 'none')


def open_binary(path: pathlib.Path) -> Any:
  """A CSV file's bytes, decompressed."""
  kind = compression(path)
  if kind == 'zstd':
    return io.BufferedReader(pa.input_stream(str(path), compression='zstd'))
  return gzip.open(path, 'rb') if kind == 'gzip' else path.open('rb')


def _check_whole(path: pathlib.Path) -> None:
  try:
    with open_binary(path) as file:
      while file.read(2**20):
        pass
  except (OSError, EOFError, zlib.error) as error:
    kind = compression(path)
    raise types.InputError(f'{path}: damaged {kind}: {error}') from None


def csv_records(
  text: Iterable[str], delimiter: str, quote: str = '"', strict: bool = False
) -> Any:
  """A csv.reader that takes values as long as DuckDB does.

  Args:
    delimiter: between values, of one or more characters.
    quote: around values with a delimiter; empty: none do.
    strict: raise csv.Error for misplaced quotes.
  """
  csv.field_size_limit(LONGEST_VALUE)
  quoting = csv.QUOTE_MINIMAL if quote else csv.QUOTE_NONE
  sign = delimiter
  if len(delimiter) > 1:  # csv takes one character only
    sign = '\x1f'
    text = (line.replace(delimiter, sign) for line in text)
  return csv.reader(text, delimiter=sign, strict=strict, quoting=quoting)


def open_text(
  path: pathlib.Path, errors: str = 'strict', encoding: str = 'utf-8'
) -> io.TextIOBase:
  """A CSV file as text, decompressed, a byte-order mark left out."""
  encoding = 'utf-8-sig' if encoding == 'utf-8' else encoding
  return io.TextIOWrapper(
    open_binary(path), encoding=encoding, errors=errors, newline=''
  )


def delimiter_of(path: pathlib.Path, declared: str) -> str:
  """The delimiter of a CSV file: the declared one, or by its name."""
  plain = path if compression(path) == 'none' else path.with_suffix('')
  return declared or ('\t' if plain.suffix.lower() == '.tsv' else ',')


def _csv_value(
  path: pathlib.Path, form: Form, position: int, column: str
) -> tuple[int, str | None]:
  """(line of the file, raw text) of a row's column."""
  with open_text(path, 'replace', form.encoding) as text:
    records = csv_records(text, form.delimiter, form.quote)
    try:
      header = form.names or next(records)
      line = records.line_num + 1
      for record in records:
        if record:  # DuckDB skips empty lines
          if position == 0:
            made = column not in header  # by a schema's SQL
            return line, None if made else record[header.index(column)]
          position -= 1
        line = records.line_num + 1
    except (csv.Error, IndexError, ValueError):
      pass
  return position + 1 + (not form.names), None


def _parquet_value(file: RawFile, position: int, column: str) -> Any:
  try:
    with (
      sql.connect() as connection,
      sql.scan_file(file.path, 'parquet') as rows,
    ):
      row = connection.execute(
        f'SELECT {sql.quote(column)} FROM {rows} LIMIT 1 OFFSET {position}'
      ).fetchone()
  except (duckdb.Error, OSError):  # a reader's own rows, in no file
    return None
  return row[0] if row else None
