"""CSV files to a DuckDB table, typed as they are read."""

from __future__ import annotations

import collections
import csv
import dataclasses
import itertools
import pathlib
import re
import zlib
from collections.abc import Iterable, Mapping, Sequence

import duckdb
import pyarrow as pa

from rmtl_jax import types
from rmtl_jax.preparation import sql
from rmtl_jax.preparation.raw import files as raw
from rmtl_jax.preparation.raw import folders
from rmtl_jax.preparation.raw import readings as readings_lib

# Faults of a record that the file's end cuts off.
_CUT_OFF = ('MISSING COLUMNS', 'UNQUOTED VALUE')
# A whole number as SQL writes it, and the records that show whether a column
# holds such numbers.
_WHOLE = re.compile(r'0|-?[1-9]\d{0,17}')
_SAMPLE = 200


def load(
  connection: sql.Connection,
  paths: Sequence[pathlib.Path],
  column_types: Mapping[str, str],
  *,
  where: str = '',
  row_hash: bool = False,
  late_hash: bool = False,
  delimiter: str = ',',
  drop_cut_off: bool = False,
  prefix: str = '',
  missing: Sequence[str] = (),
  nulls: Mapping[str, Sequence[str]] | None = None,
  readings: Mapping[str, readings_lib.Reading] | None = None,
  whole: Sequence[str] = (),
  names: Sequence[str] = (),
  quote: str = '"',
  encoding: str = 'utf-8',
) -> raw.RawTable:
  """Reads CSV files, compressed or not, into one new table, rows in order.

  Empty values become NULL. Only the named columns are kept; folders give those
  that the file lacks.

  Args:
    paths: the files, in order; each with a header if there are no `names`.
    column_types: DuckDB type of every wanted column, VARCHAR if in doubt.
    where: SQL condition of the rows to keep, perhaps none; row ids count only
      these.
    row_hash: adds raw.ROW_HASH, a hash of all columns of the file.
    late_hash: sets the table's `row_hash`, for few rows.
    delimiter: between values; empty for the one that the file's name tells.
    drop_cut_off: drop an incomplete final record with a warning.
    prefix: of the wanted columns' names in the table.
    missing: values that become NULL, as empty ones do.
    nulls: values of a column of text that become NULL.
    readings: of further columns, by the name that they get in the table.
    whole: wanted columns of text that the table keeps as BIGINT; the table's
      `not_whole` are those with other values, and it can't be used.
    names: of all columns of files without a header.
    quote: around values that hold a delimiter; empty: there are none such.
    encoding: `utf-8` or `latin-1`.

  Raises:
    types.InputError: a file that is missing, empty or unreadable, a column
      that is missing or stands twice, or a value of another type; names file,
      column and row.
  """
  table = sql.unique_name('raw')
  files: list[raw.RawFile] = []
  warnings: list[str] = []
  not_whole: set[str] = set()
  start, row_hash_sql = 0, ''
  readings, nulls = {**(readings or {})}, nulls or {}
  for name in whole:
    reading = readings_lib.of_whole(name, _missing(name, nulls))
    readings[prefix + name] = reading
  read_as_text = {reading.column for reading in readings.values()}
  wanted = dict(column_types) | dict.fromkeys(read_as_text, 'VARCHAR')
  for path in paths:
    sign = raw.delimiter_of(path, delimiter)
    layout = raw.RawFile(
      path,
      start,
      0,
      0 if names else 1,
      sign,
      names=tuple(names),
      quote=quote,
      encoding=encoding,
    )
    header = list(names) or read_header(path, sign)
    named = folders.values(path, wanted, header, missing)
    raw.check_columns(path, [*header, *named], wanted)
    rejects = sql.unique_name('rejects')
    kept = ', '.join(
      f'{_kept(name, nulls)} AS {sql.quote(prefix + name)}'
      for name in column_types
      if name not in whole
    )
    made = readings_lib.select(readings, _text)
    kept = ', '.join([kept, *made] if kept else made)
    if row_hash:
      everything = sql.quote_all(sorted(header))
      kept += f', hash({everything}) AS {raw.ROW_HASH}'
    if late_hash:
      others = {*header, *named} - set(column_types) | {*nulls}
      rest, row_hash_sql = raw.rest_hash(
        column_types, {name: sql.quote(name) for name in others}, prefix
      )
      kept += f', {rest}'
    condition = f' WHERE {where}' if where else ''
    columns = {name: wanted.get(name, 'VARCHAR') for name in header}
    options = _options(layout, columns, rejects, missing)
    if not names:
      options += _line_end(path, sign, header)
    try:
      with sql.scan_file(path, 'csv', options) as source:
        source = folders.with_values(source, path, named, wanted)
        query = f'SELECT {kept} FROM {source}{condition}'
        query = readings_lib.checked(query, readings, _text)
        rows = raw.append_rows(connection, table, query, first=not files)
    except (duckdb.OutOfMemoryException, duckdb.InterruptException):
      raise
    except duckdb.Error as error:
      raise types.InputError(_unreadable(path, error)) from None
    warning = _check_rejects(connection, rejects, layout, columns, drop_cut_off)
    if warning:
      warnings.append(warning)
    files.append(dataclasses.replace(layout, rows=rows, folder_values=named))
    alone = raw.RawTable(table, (files[-1],))
    not_whole |= readings_lib.check(connection, alone, readings)
    start += rows
  if not start and not where:
    where_rows = 'no rows' if names else 'no rows below the header'
    raise types.InputError(f'{paths[0]}: {where_rows}')
  return raw.RawTable(
    table,
    tuple(files),
    tuple(warnings),
    row_hash_sql,
    frozenset(whole),
    frozenset(not_whole),
  )


def look_whole(
  paths: Sequence[pathlib.Path],
  columns: Iterable[str],
  delimiter: str,
  missing: Sequence[str] = (),
) -> tuple[str, ...]:
  """The columns that hold whole numbers alone, by the files' first rows.

  Numbers count as SQL writes them: 7, but neither 07 nor 7.0. A column that a
  file lacks, or that has no value there, is left out; a file that can't be read
  has none.

  Args:
    columns: which to look at.
    delimiter: as for `load`.
    missing: values that count as empty.
  """
  wanted = list(columns)
  nothing = {'', *missing}
  for path in paths:
    if not wanted:
      break
    sign = raw.delimiter_of(path, delimiter)
    try:
      with raw.open_text(path, errors='replace') as text:
        rows = list(itertools.islice(raw.csv_records(text, sign), 1 + _SAMPLE))
    except (OSError, EOFError, zlib.error, csv.Error):
      return ()
    header, *records = [row for row in rows if row] or [[]]
    values: dict[str, tuple[str, ...]]
    values = dict(zip(header, zip(*records, strict=False), strict=False))
    wanted = [
      name
      for name in wanted
      if (given := set(values.get(name, ())) - nothing)
      and all(map(_WHOLE.fullmatch, given))
    ]
  return tuple(wanted)


def read_header(path: pathlib.Path, delimiter: str = ',') -> list[str]:
  """The column names of a CSV file.

  Raises:
    types.InputError: as for `header_as_written`.
  """
  return column_names(header_as_written(path, delimiter))


def column_names(header: Sequence[str]) -> list[str]:
  """The names of columns, also of those that a header leaves unnamed."""
  # A file that pandas wrote with its index has a column without a name.
  return [name or f'(column {i + 1})' for i, name in enumerate(header)]


def header_as_written(path: pathlib.Path, delimiter: str = ',') -> list[str]:
  """The first record of a CSV file.

  Raises:
    types.InputError: no such file, an empty one, or one that is no UTF-8.
  """
  try:
    # The text layer decodes ahead, so strict decoding would blame the header
    # for a fault below it.
    with raw.open_text(path, errors='surrogateescape') as text:
      header = next(raw.csv_records(text, delimiter), None)
  except FileNotFoundError:
    raise types.InputError(f'{path}: not found') from None
  except (OSError, EOFError, zlib.error, csv.Error) as error:
    raise types.InputError(f'{path}: not readable: {error}') from None
  if header is None:
    raise types.InputError(f'{path}: is empty, expected a header and rows')
  if not header:
    raise types.InputError(f'{path}: row 1: is blank, expected a header')
  if any('\udc80' <= sign <= '\udcff' for name in header for sign in name):
    raise types.InputError(f'{path}: row 1: not valid UTF-8')
  return header


def _text(name: str) -> pa.DataType:
  """The type of every column of a CSV file."""
  del name
  return pa.string()


def _kept(name: str, nulls: Mapping[str, Sequence[str]]) -> str:
  """SQL of a column."""
  return readings_lib.kept(sql.quote(name), pa.string(), _missing(name, nulls))


def _missing(
  name: str, nulls: Mapping[str, Sequence[str]]
) -> readings_lib.Missing:
  """What the reader itself does not leave out, as it does in all columns."""
  return readings_lib.Missing(values=tuple(nulls.get(name, ())))


def _options(
  file: raw.RawFile,
  columns: Mapping[str, str],
  rejects: str,
  missing: Sequence[str],
) -> str:
  """Reader options that leave DuckDB no guess; faults go to `rejects`."""
  types_of = ', '.join(
    f'{sql.literal(name)}: {sql.literal(kind)}'
    for name, kind in columns.items()
  )
  nulls = ', '.join(map(sql.literal, ('', *missing)))
  header = 'true' if file.header_rows else 'false'
  return (
    f'auto_detect = false, header = {header},'
    f' compression = {sql.literal(raw.compression(file.path))},'
    f' encoding = {sql.literal(file.encoding)},'
    f' delim = {sql.literal(file.delimiter)},'
    f' quote = {sql.literal(file.quote)}, escape = {sql.literal(file.quote)},'
    f' nullstr = [{nulls}], columns = {{{types_of}}}, store_rejects = true,'
    ' rejects_limit = 1000,'
    f' rejects_table = {sql.literal(rejects)},'
    f' rejects_scan = {sql.literal(rejects + "_scan")}'
  )


def _line_end(path: pathlib.Path, delimiter: str, header: Sequence[str]) -> str:
  """The reader option that says what ends lines, if a name has a line break.

  DuckDB takes the first break of a file for what ends its lines, so that it
  finds no row below a name of two lines as Excel writes it.
  """
  if not any('\n' in name or '\r' in name for name in header):
    return ''
  with raw.open_text(path, errors='surrogateescape') as text:
    records = raw.csv_records(text, delimiter)
    next(records)
    lines = records.line_num
  with raw.open_text(path, errors='surrogateescape') as text:
    *_, last = itertools.islice(text, lines)
  end = last.removeprefix(last.rstrip('\r\n'))
  escaped = end.encode('unicode_escape').decode()
  return f', new_line = {sql.literal(escaped)}' if end else ''


def _check_rejects(
  connection: sql.Connection,
  rejects: str,
  file: raw.RawFile,
  columns: Mapping[str, str],
  drop_cut_off: bool,
) -> str:
  """Raises for the first faulty record, or returns a warning ('' if none)."""
  found = connection.execute(
    'SELECT line, column_name, error_type::VARCHAR, csv_line, error_message'
    f' FROM {rejects} ORDER BY line, column_idx'
  ).fetchall()
  if not found:
    return ''
  path = file.path
  line, column, kind, record, message = found[0]
  record = (record or '').strip('\r\n')
  if (
    drop_cut_off
    and kind in _CUT_OFF
    and all(other[0] == line for other in found)
    and _last_line(path) == record
  ):
    return f'{path.name}: row {line} is incomplete; dropped'
  if kind == 'CAST':
    position = list(columns).index(column)
    value = _value(record, position, file)
    expected = raw.EXPECTED[columns[column]]
    raise types.InputError(raw.error_line(path, line, column, value, expected))
  where = f', column {column!r}' if column and 'COLUMNS' not in kind else ''
  what = _fault(kind, message, len(columns))
  raise types.InputError(f'{path}: row {line}{where}: {what}')


def _value(record: str, position: int, file: raw.RawFile) -> str | None:
  """A value of a record; None where that can't be told."""
  try:
    return next(raw.csv_records([record], file.delimiter, file.quote))[position]
  except (csv.Error, StopIteration, IndexError):
    return None


def _fault(kind: str, message: str, columns: int) -> str:
  """The fault of a record that DuckDB rejected, in words."""
  counted = re.search(r'Found: (\d+)', message)
  if 'COLUMNS' in kind and counted:
    return f'{counted.group(1)} values, expected {columns}'
  return {
    'INVALID ENCODING': 'not valid UTF-8',
    'UNQUOTED VALUE': 'a quoted value does not end as it should',
    'LINE SIZE OVER MAXIMUM': 'longer than a line may be',
  }.get(kind, message.splitlines()[0])


def _last_line(path: pathlib.Path) -> str:
  with raw.open_binary(path) as file:
    last = collections.deque(file, maxlen=1)
  return last[0].decode('utf-8', 'replace').rstrip('\r\n') if last else ''


def _unreadable(path: pathlib.Path, error: duckdb.Error) -> str:
  first = types.first_line(error)
  if 'invalid state' in first:
    first = 'line ends are mixed (some CR LF, some LF) or quotes are misplaced'
  return f'{path}: not readable: {first}'
