"""A sample of a raw log's rows: blocks that are spread over all of its files.

Rows of a block follow each other, so that sessions stay together. A log with
fewer rows than were asked for is read whole.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import itertools
import math
import pathlib
import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from rmtl_jax import types
from rmtl_jax.data import column_reader, parquet
from rmtl_jax.preparation import sql
from rmtl_jax.preparation.raw import csv as raw_csv
from rmtl_jax.preparation.raw import files as raw
from rmtl_jax.preparation.raw import folders

DELIMITERS = (',', '\t', ';', '|')
ORDER = 'row_of_sample'
_BLOCKS = 16
# A log with no more than so many times the rows that are wanted is read whole.
_ALL = 1.5
_MOST_FILES = 16
# More than any log has that is read whole.
ALL_ROWS = 10**9
_HEAD_BYTES = 2**20
# Of a value that begins with a date; names such as 2024-05 stand above numbers.
_DATE = re.compile(r'\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}(?!\d)').match
# Compressed text can't be skipped: blocks come from its first gigabytes.
_MOST_UNPACKED = 2**31


@dataclasses.dataclass(frozen=True)
class Sample:
  """Rows of a log in a DuckDB table.

  Attributes:
    connection: holds the table.
    table: its name; see `column`. ORDER numbers its rows, in the log's order.
    names: columns of the log.
    kinds: of each, `text` (all of CSV), `number`, `bool`, `time`, `list`,
      `structs` (lists of them) or `other`.
    rows: of the sample.
    log_rows: of the log; an estimate unless `is_whole`.
    is_whole: whether the sample is the log.
    delimiter: of CSV files, if it is not that of their names.
    faulty: rows of files that are read whole with too few or too many values.
    partial: columns that some files have and others lack; not among `names`.
    files: the log's, with their rows, where the sample is the log.
    of_all_files: whether there are rows of each of the log's files.
  """

  connection: sql.Connection
  table: str
  names: tuple[str, ...]
  kinds: tuple[str, ...]
  rows: int
  log_rows: int
  is_whole: bool
  delimiter: str
  faulty: int = 0
  partial: tuple[str, ...] = ()
  files: tuple[raw.RawFile, ...] = ()
  of_all_files: bool = True

  @property
  def longest_block(self) -> float:
    """Rows of a block, which may be of one session; 0 of a whole log."""
    return 0.0 if self.is_whole else self.rows / _BLOCKS

  def column(self, name: str) -> str:
    """SQL of a column of the log."""
    return f'c{self.names.index(name)}'

  def given(self, name: str) -> str:
    """SQL of a column's values as text; NULL for the empty text of CSV."""
    return f"nullif(trim(CAST({self.column(name)} AS VARCHAR)), '')"

  def fetch(self, select: str, rest: str = '') -> list[tuple[Any, ...]]:
    """Rows of a query over the sample."""
    return self.connection.execute(
      f'SELECT {select} FROM {self.table} {rest}'
    ).fetchall()

  def fault(
    self, log: pathlib.Path, column: str, condition: str, expected: str
  ) -> str:
    """The line for the first row with a fault; it has a row in a whole log.

    Args:
      log: for the line of a log that is not read whole.
      column: of the value that is wrong.
      condition: SQL of the rows that are.
      expected: what the value should have been.
    """
    ((row, count),) = self.fetch(
      f'min({ORDER}), count(*)', f'WHERE {condition}'
    )
    if not self.files:
      return (
        f'{log}: column {column!r}: wrong in {count:,} of {self.rows:,} rows'
        f' that were read, expected {expected}'
      )
    try:
      raw.RawTable(self.table, self.files).fail(row, column, expected)
    except types.InputError as error:
      return str(error)


def read(log: pathlib.Path, rows: int, delimiter: str = '') -> Sample:
  """Reads a sample of a CSV or Parquet file, or of a directory of either.

  Args:
    rows: how many, about.
    delimiter: between a CSV file's values; empty: found in the header.

  Raises:
    types.InputError: no such files, or empty, unreadable or headerless ones.
  """
  paths = folders.find(log)
  if paths[0].name.lower().endswith(folders.PARQUET):
    return _of_parquet(paths, rows)
  if not delimiter:  # the one that parts the header most often
    counts = {s: len(raw_csv.read_header(paths[0], s)) for s in DELIMITERS}
    delimiter = max(DELIMITERS, key=counts.__getitem__)
  return _of_csv(paths, rows, delimiter)


def _spread(things: Sequence[Any], most: int) -> list[Any]:
  """At most so many of them, evenly over all."""
  places = np.linspace(0, len(things) - 1, min(most, len(things)))
  return [things[i] for i in sorted({round(place) for place in places})]


def _of_csv(paths: Sequence[pathlib.Path], rows: int, delimiter: str) -> Sample:
  chosen = _spread(paths, _MOST_FILES)
  headers = [raw_csv.read_header(path, delimiter) for path in chosen]
  header, partial = _shared(chosen, headers)
  records: list[Sequence[str]] = []
  files: list[raw.RawFile] = []
  of_folders: dict[str, list[str | None]] = {}
  estimated, faulty, is_whole = 0, 0, True
  for path, own in zip(chosen, headers, strict=True):
    found, in_file, wrong = _csv_records(
      path, max(rows // len(chosen), 1), delimiter, len(own)
    )
    if found:
      _check_header(path, own, list(zip(*found, strict=True)))
    raw.check_columns(path, own, ())
    files.append(
      raw.RawFile(path, len(records), len(found), delimiter=delimiter)
    )
    places = [own.index(name) for name in header]
    records += [[record[place] for place in places] for record in found]
    for name, value in folders.values(path, None, header).items():
      of_folders.setdefault(name, []).extend([value] * len(found))
    estimated, faulty = estimated + in_file, faulty + wrong
    is_whole = is_whole and len(found) == in_file
  if not records:
    raise types.InputError(f'{paths[0]}: no rows below the header')
  arrays = [
    pa.array(values, pa.string()) for values in zip(*records, strict=True)
  ]
  for name, values in of_folders.items():
    if len(values) == len(records):  # folders of all files name it
      header = [*header, name]
      arrays.append(pa.array(values, pa.string()))
  made = _sample(paths, files, header, arrays, estimated, is_whole, delimiter)
  made = dataclasses.replace(made, faulty=faulty, partial=partial)
  return dataclasses.replace(made, files=()) if faulty else made


def _shared(
  paths: Sequence[pathlib.Path], headers: Sequence[Sequence[str]]
) -> tuple[list[str], tuple[str, ...]]:
  """The columns that all files have, in the first one's order, and the others.

  Raises:
    types.InputError: they share none.
  """
  shared = list(headers[0])
  for path, header in zip(paths, headers, strict=True):
    shared = [name for name in shared if name in header]
    if not shared:
      raise types.InputError(f'{path}: has other columns than {paths[0]}')
  found = dict.fromkeys(name for header in headers for name in header)
  return shared, tuple(name for name in found if name not in shared)


def _csv_records(
  path: pathlib.Path, rows: int, delimiter: str, width: int
) -> tuple[list[list[str]], int, int]:
  """Records of a file without its header, about how many it has, and faulty."""
  kind, size = raw.compression(path), path.stat().st_size
  try:
    with path.open('rb') as packed:
      file = (
        packed if kind == 'none' else pa.CompressedInputStream(packed, kind)
      )
      head = file.read(_HEAD_BYTES)
      if len(head) < _HEAD_BYTES:
        size = len(head)
      elif kind != 'none':
        size = round(size * len(head) / max(packed.tell(), 1))
      length = len(head) / max(head.count(b'\n'), 1)
      if size <= _ALL * rows * length:
        # What is compressed may be longer than it seemed.
        most = math.ceil(4 * _ALL * rows * length)
        while len(head) < most and (more := file.read(_HEAD_BYTES)):
          head += more
        found, faulty = _parse(head, delimiter, width)
        return found, len(found) + len(file.read(1)), faulty
      found = []
      block = math.ceil(rows * length / _BLOCKS)
      for text in _blocks(file, head, min(size, _MOST_UNPACKED), block):
        # The first line is the header, or a part of a row.
        found += _parse(text[: text.rfind(b'\n') + 1], delimiter, width)[0]
  except (OSError, pa.ArrowException) as error:
    first = types.first_line(error)
    raise types.InputError(f'{path}: not readable: {first}') from None
  return found, max(round(size / length), len(found) + 1), 0


def _blocks(file: Any, head: bytes, size: int, block: int) -> Iterator[bytes]:
  """Blocks of so many bytes from a file's beginning to its end.

  Of the file, which has about `size` bytes, `head` has been read.
  """
  place, rest = len(head), head
  for start in np.linspace(0, max(size - block, 0), _BLOCKS).astype(int):
    # What is compressed can't be sought, only read.
    if start > place and file.seekable():
      file.seek(start)
      place, rest = start, b''
    while place < start + block and (more := file.read(_HEAD_BYTES)):
      rest = (rest + more)[-(_HEAD_BYTES + block) :]
      place += len(more)
    begin = start - (place - len(rest))
    yield rest[max(begin, 0) : max(begin + block, 0)]


def _parse(
  text: bytes, delimiter: str, width: int
) -> tuple[list[list[str]], int]:
  """Whole records of a block after its first line, and how many are not."""
  lines = io.StringIO(text.decode('utf-8-sig', 'replace'), newline='')
  found: list[list[str]] = []
  faulty = 0
  try:
    for i, record in enumerate(raw.csv_records(lines, delimiter)):
      if i and len(record) == width:
        found.append(record)
      elif i and record:
        faulty += 1
  except csv.Error:  # a block may begin within a quoted value
    faulty += 1
  return found, faulty


def _check_header(
  path: pathlib.Path, header: Sequence[str], columns: Sequence[tuple[str, ...]]
) -> None:
  """Refuses a first line that looks like a row; names may be numbers.

  Raises:
    types.InputError: it has numbers that are no names (fractions, or in no
      order, or nothing else, unless most texts stand above numbers), or texts
      that their columns have again, or a date above dates.
  """
  numbers = [name.strip() for name in header if _is_number(name)]
  texts = [
    (name, values)
    for name, values in zip(header, columns, strict=True)
    if not _is_number(name)
  ]
  above = sum(
    all(map(_is_number, {*values} - {''}))
    for name, values in texts
    if name[:1].isalnum() and name not in (*raw.NULL_TEXTS, 'NA', 'none')
  )
  are_names = all(map(str.isdecimal, numbers)) and (
    [*map(int, numbers)] == [*range(len(header))]
    or (texts and _increase([*map(int, numbers)]))
    or 2 * above > len(texts)
  )
  odd = [] if are_names else numbers
  again = [name for name, values in texts if name in values]
  if 2 * len(again) > len(texts):
    odd += again
  odd += [name for name, values in texts if all(map(_DATE, (name, *values)))]
  if odd:
    raise types.InputError(
      f'{path}: row 1 is no header: it holds the value {odd[0].strip()!r:.80};'
      f' expected {len(header)} column names above the rows{folders.OTHERS}'
    )


def _is_number(text: str) -> bool:
  try:
    float(text)
  except ValueError:
    return False
  return '_' not in text  # 109_14 is one in Python


def _increase(numbers: Sequence[int]) -> bool:
  return all(a < b for a, b in itertools.pairwise(numbers))


def _of_parquet(paths: Sequence[pathlib.Path], rows: int) -> Sample:
  chosen, parts, total = _spread(paths, _MOST_FILES), [], 0
  files: list[raw.RawFile] = []
  rows_before = 0
  for path in chosen:
    reading = column_reader.one_line_errors(path, 'Parquet')
    with reading, parquet.open_file(path) as file:
      found = _parquet_rows(file, max(rows // len(chosen), 1))
      total += file.metadata.num_rows
    for name, value in folders.values(path, None, found.column_names).items():
      found = found.append_column(
        name, pa.array([value] * found.num_rows, pa.string())
      )
    raw.check_columns(path, found.column_names, ())
    files.append(raw.RawFile(path, rows_before, found.num_rows, 0, ''))
    rows_before += found.num_rows
    parts.append(found)
  names, partial = _shared(chosen, [part.column_names for part in parts])
  try:
    table = pa.concat_tables(
      [_as_numbers(part.select(names), parts) for part in parts],
      promote_options='permissive',
    )
  except pa.ArrowException as error:
    raise types.InputError(
      f'{paths[0]}: the types of its columns are not those of the other'
      f' files: {types.first_line(error)}'
    ) from None
  if not table.num_rows:
    raise types.InputError(f'{paths[0]}: has no rows')
  is_whole = table.num_rows == total
  made = _sample(paths, files, names, table.columns, total, is_whole, '')
  return dataclasses.replace(made, partial=partial)


def _as_numbers(table: pa.Table, parts: Sequence[pa.Table]) -> pa.Table:
  """Makes true 1 in columns that are numbers in other files."""
  for place, field in enumerate(table.schema):
    kinds = {_kind(part.schema.field(field.name).type) for part in parts}
    if pa.types.is_boolean(field.type) and 'number' in kinds:
      numbers = table[field.name].cast(pa.int8())
      table = table.set_column(place, field.name, numbers)
  return table


def _parquet_rows(file: Any, rows: int) -> pa.Table:
  """Rows of a file: all, or the first ones of row groups all over it."""
  if file.metadata.num_rows <= _ALL * rows:
    return file.read()
  groups = _spread(range(file.num_row_groups), _BLOCKS)
  batches = []
  for group in groups:
    wanted = max(rows // len(groups), 1)
    for batch in file.iter_batches(wanted, row_groups=[group]):
      batches.append(batch)
      break
  return pa.Table.from_batches(batches, file.schema_arrow)


def _kind(found: pa.DataType) -> str:
  """The kind of a column, for Sample.kinds."""
  if parquet.is_text(found):
    return 'text'
  if pa.types.is_boolean(found):
    return 'bool'
  if pa.types.is_timestamp(found) or pa.types.is_date(found):
    return 'time'
  if (
    pa.types.is_integer(found)
    or pa.types.is_floating(found)
    or pa.types.is_decimal(found)
  ):
    return 'number'
  is_list = pa.types.is_list(found) or pa.types.is_large_list(found)
  is_flat = is_list and not pa.types.is_nested(found.value_type)
  if is_list and pa.types.is_struct(found.value_type):
    return 'structs'
  return 'list' if is_flat else 'other'


def _readable(column: Any, kind: str) -> Any:
  """A column of a type that DuckDB has; of others only what is there."""
  if kind in ('structs', 'other'):
    return column.is_valid().cast(pa.int8())
  wide = pa.types.is_float16(column.type) or pa.types.is_decimal256(column.type)
  return column.cast(pa.float64()) if wide else column


def _sample(
  paths: Sequence[pathlib.Path],
  files: Sequence[raw.RawFile],
  names: Sequence[str],
  columns: Sequence[Any],
  rows: int,
  is_whole: bool,
  delimiter: str,
) -> Sample:
  """Puts the columns into a table of their own database.

  The files, of the log's at these paths, have so many rows, about.
  """
  connection = sql.connect()
  kinds = tuple(_kind(column.type) for column in columns)
  table = pa.table(
    [
      *map(_readable, columns, kinds),
      pa.array(np.arange(len(columns[0]))),
    ],
    [*(f'c{i}' for i in range(len(columns))), ORDER],
  )
  connection.register('arrow_rows', table)
  with sql.name_errors(paths[0], 'not readable'):
    name = sql.create_table(connection, 'FROM arrow_rows')
  connection.unregister('arrow_rows')
  of_all = len(files) == len(paths)
  return Sample(
    connection,
    name,
    tuple(names),
    kinds,
    table.num_rows,
    rows * len(paths) // len(files),
    is_whole and of_all,
    '' if raw.delimiter_of(paths[0], '') == delimiter else delimiter,
    files=tuple(files) if is_whole and of_all else (),
    of_all_files=of_all,
  )
