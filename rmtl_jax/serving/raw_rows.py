"""Reads raw rows from files, tables and standard input in chunks."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import itertools
import pathlib
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import pyarrow as pa

from rmtl_jax import types
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.data import parquet, tables
from rmtl_jax.preparation.raw import csv as raw_csv
from rmtl_jax.preparation.raw import folders
from rmtl_jax.preparation.raw import raw_files as raw

STANDARD = '-'
# Rows of a chunk while standard input is copied to a file.
_SPOOL_ROWS = 65_536
_STDIN, _ARROW = 'standard input', 'an Arrow IPC stream'


@dataclasses.dataclass(frozen=True)
class Chunk:
  """Some raw rows.

  Attributes:
    table: their columns.
    path: the file's name, for errors.
    lines: row numbers in the file, from 1, for errors.
  """

  table: pa.Table
  path: str
  lines: Sequence[int]


@dataclasses.dataclass(frozen=True)
class Rows:
  """A source of raw rows; standard input can be read only once.

  Attributes:
    path: what to call them in errors.
    schema: their columns.
    total: number of rows; 0 if unknown.
    chunks: chunks(size) reads them in order, `size` at a time.
  """

  path: str
  schema: pa.Schema
  total: int
  chunks: Callable[[int], Iterator[Chunk]]


class RowReader:
  """Reads any number of rows at a time from a stream of batches."""

  def __init__(self, reader: pa.RecordBatchReader):
    """Reads nothing yet."""
    self._reader = reader
    self._held: pa.RecordBatch | None = None

  def take(self, count: int) -> pa.Table:
    """Reads the next `count` rows, which must exist."""
    parts = []
    while count:
      batch = self._held
      if batch is None or not batch.num_rows:
        batch = self._reader.read_next_batch()
      parts.append(batch.slice(0, count))
      self._held = batch.slice(count)
      count -= parts[-1].num_rows
    return pa.Table.from_batches(parts, self._reader.schema)


def rows_of_table(table: Any, path: str = 'table') -> Rows:
  """Wraps rows that are in memory.

  Args:
    table: a pyarrow.Table, or what `tables.to_arrow` takes: any frame, a list
      of dicts, a dict of columns.

  Raises:
    types.InputError: not such a table.
  """
  found = table
  if not isinstance(table, pa.Table):
    found = tables.to_arrow(table, path)
  _check_names(path, found.schema)
  return Rows(
    path,
    found.schema,
    found.num_rows,
    lambda n: _grouped(path, 'Arrow', found.to_batches(), n),
  )


def are_read_once(rows: Rows) -> bool:
  """Whether rows are gone once they were read."""
  return rows.path == _STDIN


def make_rereadable(rows: Rows, directory: pathlib.Path) -> Rows:
  """Makes rows readable many times; copies standard input to a file."""
  if not are_read_once(rows):
    return rows
  file = directory / 'input.arrow'
  count = 0
  with (
    pa.OSFile(str(file), 'wb') as sink,
    pa.ipc.new_stream(sink, rows.schema) as stream,
  ):
    for chunk in rows.chunks(_SPOOL_ROWS):
      stream.write_table(chunk.table)
      count += chunk.table.num_rows

  def chunks(size: int) -> Iterator[Chunk]:
    with pa.OSFile(str(file)) as kept, pa.ipc.open_stream(kept) as again:
      yield from _grouped(_STDIN, _ARROW, again, size)

  return dataclasses.replace(rows, total=count, chunks=chunks)


def log_delimiter(manifest: manifest_lib.Manifest) -> str:
  """The delimiter of CSV, of a run's log; '' for that of a file's name."""
  schema = manifest.options.get('schema')
  found = schema.get('delimiter') if isinstance(schema, dict) else None
  return found if isinstance(found, str) and len(found) == 1 else ''


@contextlib.contextmanager
def open_log(name: str, delimiter: str = '') -> Iterator[list[Rows]]:
  """Opens a log: a file as `open_rows` reads it, or a directory of such.

  Args:
    name: the file, or the directory, as folders.find takes it.
    delimiter: of CSV; empty: by the file name.

  Raises:
    types.InputError: as for `open_rows`, or a directory without such files.
  """
  if name == STANDARD:
    raise types.InputError('history: expected a file or a directory, not -')
  path = pathlib.Path(name)
  paths = folders.find(path) if path.is_dir() else [path]
  with contextlib.ExitStack() as stack:
    yield [
      _with_folders(stack.enter_context(open_rows(str(p), delimiter)), p)
      for p in paths
    ]


def _with_folders(rows: Rows, path: pathlib.Path) -> Rows:
  """Adds the columns that the folders of a file name, as text."""
  named = folders.values(path, None, rows.schema.names)
  if not named:
    return rows
  schema = rows.schema
  for name in named:
    schema = schema.append(pa.field(name, pa.string()))

  def chunks(size: int) -> Iterator[Chunk]:
    for chunk in rows.chunks(size):
      table = chunk.table
      for name, text in named.items():
        values = pa.repeat(pa.scalar(text, pa.string()), table.num_rows)
        table = table.append_column(name, values)
      yield dataclasses.replace(chunk, table=table)

  return dataclasses.replace(rows, schema=schema, chunks=chunks)


def check_name(name: str) -> None:
  """Refuses an input of a kind that can't be read.

  Raises:
    types.InputError: what the name must end in, or that it is nothing at all.
  """
  place = pathlib.Path(name)
  if name != STANDARD and not place.suffix and not place.exists():
    raise types.InputError(f'{name}: not found')
  if name != STANDARD and not name.lower().endswith(folders.ENDINGS):
    raise types.InputError(
      f'{name}: expected a file that ends in {", ".join(folders.ENDINGS)}, or -'
      ' for an Arrow stream on standard input'
    )


@contextlib.contextmanager
def open_rows(name: str, delimiter: str = '') -> Iterator[Rows]:
  """Opens raw rows.

  Args:
    name: a Parquet or CSV file (see folders.ENDINGS), or `-` for an Arrow IPC
      stream on standard input. Columns of CSV are text.
    delimiter: of CSV; empty: by the file name.

  Raises:
    types.InputError: no such file, or one that can't be read; while chunks are
      read, a record that is damaged or has too few or too many values.
  """
  check_name(name)
  if name == STANDARD:
    if sys.stdin is None or sys.stdin.isatty():
      what = 'closed' if sys.stdin is None else 'a terminal'
      raise types.InputError(
        f'standard input: is {what}, expected an Arrow IPC stream'
      )
    # Closing the stream must not close the process's standard input.
    with parquet.one_line_errors(_STDIN, _ARROW):
      stream = pa.ipc.open_stream(sys.stdin.buffer)
      _check_names(_STDIN, stream.schema)
    yield Rows(
      _STDIN, stream.schema, 0, lambda n: _grouped(_STDIN, _ARROW, stream, n)
    )
    return
  path = pathlib.Path(name)
  # A pipe is read once and can't be ended while nobody writes to it.
  if path.exists() and not path.is_file():
    raise types.InputError(f'{name}: is not a regular file')
  if name.lower().endswith(folders.PARQUET):
    with parquet.one_line_errors(name, 'Parquet'):
      file = parquet.open_file(name)
    with file:
      yield Rows(
        name,
        file.schema_arrow,
        file.metadata.num_rows,
        lambda n: _grouped(name, 'Parquet', file.iter_batches(n), n),
      )
  else:
    delimiter = raw.delimiter_of(path, delimiter)
    names = raw_csv.read_header(path, delimiter)
    schema = pa.schema([(column, pa.string()) for column in names])
    yield Rows(
      name,
      schema,
      0,
      lambda n: _csv_chunks(name, schema, delimiter, n),
    )


def _check_names(path: str, schema: pa.Schema) -> None:
  try:
    _ = schema.names
  except UnicodeError:
    raise parquet.not_text(path) from None


def _grouped(
  path: str, kind: str, batches: Iterable[pa.RecordBatch], size: int
) -> Iterator[Chunk]:
  """Checks batches and regroups them into chunks of `size` rows."""
  held: list[pa.RecordBatch] = []
  count, first = 0, 1
  source = iter(batches)
  for number in itertools.count(1):
    with parquet.one_line_errors(path, kind):
      batch = next(source, None)
    if batch is None:
      break
    _check_batch(f'{path}: batch {number}', batch)
    while count + batch.num_rows >= size:
      held.append(batch.slice(0, size - count))
      batch = batch.slice(size - count)
      yield _chunk(path, held, first)
      held, count, first = [], 0, first + size
    if batch.num_rows:
      held.append(batch)
      count += batch.num_rows
  if held:
    yield _chunk(path, held, first)


def _check_batch(where: str, batch: pa.RecordBatch) -> None:
  """Refuses batches with offsets or lengths beyond their buffers.

  Arrow does not check them by itself: they could point to any memory of the
  process.
  """
  for name, column in zip(batch.schema.names, batch.columns, strict=True):
    try:
      column.validate(full=True)
    except (pa.ArrowException, UnicodeError) as error:
      raise types.InputError(
        f'{where}, column {name!r}: not valid Arrow data:'
        f' {types.first_line(error)}'
      ) from None


def _chunk(path: str, held: list[pa.RecordBatch], first: int) -> Chunk:
  table = pa.Table.from_batches(held)
  return Chunk(table, path, range(first, first + table.num_rows))


def _csv_chunks(
  path: str, schema: pa.Schema, delimiter: str, size: int
) -> Iterator[Chunk]:
  """Records of a CSV file below its header; empty lines are skipped."""
  # Invalid UTF-8 survives until _text_table, which can name its row.
  with raw.open_text(pathlib.Path(path), errors='surrogateescape') as text:
    records = raw.csv_records(text, delimiter, strict=True)
    next(records)
    held: list[list[str]] = []
    lines: list[int] = []
    while True:
      line = records.line_num + 1
      try:
        record = next(records, None)
      except (csv.Error, OSError, EOFError, zlib.error) as error:
        raise types.InputError(
          f'{path}: row {line}: not readable: {error}'
        ) from None
      if record:
        if len(record) != len(schema):
          raise types.InputError(
            f'{path}: row {line}: {len(record)} values, expected {len(schema)}'
          )
        held.append(record)
        lines.append(line)
      if held and (record is None or len(held) == size):
        yield Chunk(_text_table(path, schema, held, lines), path, lines)
        held, lines = [], []
      if record is None:
        return


def _text_table(
  path: str, schema: pa.Schema, records: list[list[str]], lines: list[int]
) -> pa.Table:
  columns = list(zip(*records, strict=True))
  try:
    return pa.table([pa.array(c, pa.string()) for c in columns], schema)
  except UnicodeError:
    for line, record in zip(lines, records, strict=True):
      for name, value in zip(schema.names, record, strict=True):
        try:
          value.encode()
        except UnicodeError:
          raise types.InputError(
            f'{path}: row {line}, column {name!r}: not valid UTF-8'
          ) from None
    raise
