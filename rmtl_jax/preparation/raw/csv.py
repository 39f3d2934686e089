"""Reads CSV files as text."""

from __future__ import annotations

import collections
import contextlib
import csv
import pathlib
import re
import zlib
from collections.abc import Iterator

import duckdb
import pyarrow as pa

from rmtl_jax import types
from rmtl_jax.preparation import sql
from rmtl_jax.preparation.raw import raw_files as raw

# Faults of a record that the file's end cuts off.
_CUT_OFF = ('MISSING COLUMNS', 'UNQUOTED VALUE')


def read_schema(path: pathlib.Path, form: raw.Form) -> pa.Schema:
  """The columns of a CSV file, all of text.

  Raises:
    types.InputError: as for `read_header`.
  """
  names = form.names or read_header(path, form.delimiter)
  return pa.schema([pa.field(name, pa.string()) for name in names])


@contextlib.contextmanager
def scan(
  connection: sql.Connection,
  path: pathlib.Path,
  form: raw.Form,
  width: int,
  warnings: list[str],
) -> Iterator[str]:
  """SQL of the rows of a CSV file, text or NULL.

  Args:
    form: of this file.
    width: number of columns.
    warnings: gets a line for an incomplete final record that is dropped.

  Raises:
    types.InputError: a file that is unreadable, or a record that is; names
      file, column and row.
  """
  rejects = sql.unique_name('rejects')
  options = _options(path, form, rejects)
  try:
    with sql.scan_file(path, 'csv', options) as source:
      yield source
  except (duckdb.OutOfMemoryException, duckdb.InterruptException):
    raise
  except duckdb.Error as error:
    raise types.InputError(_unreadable(path, error)) from None
  found = connection.execute(
    'SELECT line, column_name, error_type::VARCHAR, csv_line, error_message'
    f' FROM {rejects} ORDER BY line, column_idx'
  ).fetchall()
  if not found:
    return
  line, column, kind, record, message = found[0]
  record = (record or '').strip('\r\n')
  if (
    form.drop_cut_off
    and kind in _CUT_OFF
    and all(other[0] == line for other in found)
    and _last_line(path) == record
  ):
    warnings.append(f'{path.name}: row {line} is incomplete; dropped')
    return
  where = f', column {column!r}' if column and 'COLUMNS' not in kind else ''
  what = _fault(kind, message, width)
  raise types.InputError(f'{path}: row {line}{where}: {what}')


def read_header(path: pathlib.Path, delimiter: str = ',') -> list[str]:
  """The column names of a CSV file.

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
  # A file that pandas wrote with its index has a column without a name.
  return [name or f'(column {i + 1})' for i, name in enumerate(header)]


def _options(path: pathlib.Path, form: raw.Form, rejects: str) -> str:
  """Reader options that leave DuckDB no guess; faults go to `rejects`."""
  header = form.names or read_header(path, form.delimiter)
  types_of = ', '.join(f"{sql.literal(name)}: 'VARCHAR'" for name in header)
  quote = sql.literal(form.quote)
  return (
    f'auto_detect = false, header = {str(not form.names).lower()},'
    f' compression = {sql.literal(raw.compression(path))},'
    f' encoding = {sql.literal(form.encoding)},'
    f' delim = {sql.literal(form.delimiter)}, quote = {quote},'
    f" escape = {quote}, nullstr = [''], columns = {{{types_of}}},"
    ' store_rejects = true, rejects_limit = 1000,'
    f' rejects_table = {sql.literal(rejects)},'
    f' rejects_scan = {sql.literal(rejects + "_scan")}'
  )


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
