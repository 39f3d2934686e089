"""Raw rows from a file or from standard input, some thousands at a time."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import pathlib
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator

import pyarrow as pa
import pyarrow.parquet as pq

from rmtl_jax import types
from rmtl_jax.data import raw, raw_csv
from rmtl_jax.serving import encoder

STANDARD = '-'
CSV = ('.csv', '.csv.gz', '.tsv', '.tsv.gz')
PARQUET = ('.parquet',)
_STDIN, _ARROW = 'standard input', 'an Arrow IPC stream'


@dataclasses.dataclass(frozen=True)
class Rows:
  """Raw rows that can be read once.

  Attributes:
    path: what to call them in errors.
    schema: their columns.
    total: how many there are; 0 where that is not known.
    chunks: chunks(size) gives them in order, `size` at a time.
  """

  path: str
  schema: pa.Schema
  total: int
  chunks: Callable[[int], Iterator[encoder.Chunk]]


def check_name(name: str) -> None:
  """Refuses an input of a kind that can't be read.

  Raises:
    types.InputError: what the name must end in.
  """
  if name != STANDARD and not name.lower().endswith(CSV + PARQUET):
    raise types.InputError(
      f'{name}: expected a file that ends in {", ".join(PARQUET + CSV)}, or -'
      ' for an Arrow stream on standard input'
    )


@contextlib.contextmanager
def open_rows(name: str, delimiter: str = ',') -> Iterator[Rows]:
  """Opens raw rows.

  Args:
    name: a Parquet or CSV file (see CSV, PARQUET), or `-` for an Arrow IPC
      stream on standard input. Columns of CSV are text.
    delimiter: of CSV.

  Raises:
    types.InputError: no such file, or one that can't be read; while chunks are
      read, a record that is damaged or has too few or too many values.
  """
  check_name(name)
  if name == STANDARD:
    if sys.stdin.isatty():
      raise types.InputError(
        'standard input: is a terminal, expected an Arrow IPC stream'
      )
    # Closing the stream must not close the process's standard input.
    with _reading(_STDIN, _ARROW):
      stream = pa.ipc.open_stream(sys.stdin.buffer)
    yield Rows(
      _STDIN, stream.schema, 0, lambda n: _grouped(_STDIN, _ARROW, stream, n)
    )
  elif name.lower().endswith(PARQUET):
    with _reading(name, 'Parquet'):
      file = pq.ParquetFile(name)
    with file:
      yield Rows(
        name,
        file.schema_arrow,
        file.metadata.num_rows,
        lambda n: _grouped(name, 'Parquet', file.iter_batches(n), n),
      )
  else:
    names = raw_csv.read_header(pathlib.Path(name), delimiter)
    schema = pa.schema([(column, pa.string()) for column in names])
    yield Rows(
      name, schema, 0, lambda n: _csv_chunks(name, schema, delimiter, n)
    )


@contextlib.contextmanager
def _reading(path: str, kind: str) -> Iterator[None]:
  try:
    yield
  except FileNotFoundError:
    raise types.InputError(f'{path}: not found') from None
  except (OSError, pa.ArrowException) as error:
    first = str(error).partition('\n')[0]
    raise types.InputError(f'{path}: not readable as {kind}: {first}') from None


def _grouped(
  path: str, kind: str, batches: Iterable[pa.RecordBatch], size: int
) -> Iterator[encoder.Chunk]:
  """Batches of any lengths as chunks of `size` rows."""
  held: list[pa.RecordBatch] = []
  count, first = 0, 1
  source = iter(batches)
  while True:
    with _reading(path, kind):
      batch = next(source, None)
    if batch is None:
      break
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


def _chunk(path: str, held: list[pa.RecordBatch], first: int) -> encoder.Chunk:
  table = pa.Table.from_batches(held)
  return encoder.Chunk(table, path, range(first, first + table.num_rows))


def _csv_chunks(
  path: str, schema: pa.Schema, delimiter: str, size: int
) -> Iterator[encoder.Chunk]:
  """Records of a CSV file below its header; empty lines are skipped."""
  # What is no UTF-8 is found, with its row, when it becomes a column.
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
        yield encoder.Chunk(_text_table(path, schema, held, lines), path, lines)
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
