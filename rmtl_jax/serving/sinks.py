"""Writes predictions to a file, atomically, or to standard output."""

from __future__ import annotations

import contextlib
import csv
import io
import os
import pathlib
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from rmtl_jax import durable, partial, types
from rmtl_jax.preparation.raw import raw_files
from rmtl_jax.serving import raw_rows

Write = Callable[[pa.Table], None]

_ENDINGS = ('.parquet', '.csv', '.tsv')
_STDOUT = 'standard output'


def check_name(name: str) -> None:
  """Refuses an output of a kind that can't be written.

  Raises:
    types.InputError: what the name must end in, or a directory that is not
      there.
  """
  if name == raw_rows.STANDARD:
    return
  path = pathlib.Path(name)
  if not name.lower().endswith(_ENDINGS):
    raise types.InputError(
      f'{name}: expected a file that ends in {", ".join(_ENDINGS)}, or - for an'
      ' Arrow stream on standard output'
    )
  if path.is_dir():
    raise types.InputError(f'{name}: is a directory, expected a file')
  if not path.parent.is_dir():
    raise types.InputError(f'{path.parent}: no such directory')


@contextlib.contextmanager
def open_sink(
  name: str, schema: pa.Schema, delimiter: str = ''
) -> Iterator[Write]:
  """Gives write(table) for tables of the schema.

  A file is written under a temporary name and renamed when the block ends; if
  the block raises, nothing is left and a file of that name stays as it was.
  Left-overs of killed processes are removed.

  Args:
    name: a Parquet or CSV file, or `-` for an Arrow IPC stream on standard
      output.
    delimiter: of CSV; empty for that of the file's name.

  Raises:
    types.InputError: another kind of file, a column that CSV can't have, or a
      directory that can't be written to.
  """
  check_name(name)
  if name == raw_rows.STANDARD:
    if sys.stdout is None:
      raise types.InputError(f'{_STDOUT}: is closed')
    with (
      io.BufferedWriter(_NamedStream(sys.stdout.buffer, _STDOUT)) as output,
      pa.ipc.new_stream(output, schema) as stream,
    ):
      yield stream.write_table
    return
  is_parquet = name.lower().endswith('.parquet')
  attempt = _try_parquet if is_parquet else _try_csv
  # Before the work: a column that the output can't have would end it late.
  for field in schema:
    with _naming_column(name, field):
      attempt(field)
  target = pathlib.Path(os.path.realpath(name))
  with partial.staging_directory(target, name) as directory:
    path = directory / target.name
    with (
      path.open('wb', 0) as raw,
      io.BufferedWriter(_NamedStream(raw, name)) as file,
    ):
      if is_parquet:
        with pq.ParquetWriter(file, schema, compression='zstd') as writer:
          yield _parquet_writer(name, writer, schema)
      else:
        with io.TextIOWrapper(file, encoding='utf-8', newline='') as text:
          sign = raw_files.delimiter_of(target, delimiter)
          yield _csv_writer(name, text, schema, sign)
    durable.replace(path, target)


class _NamedStream(io.RawIOBase):
  """Writes to a stream, with errors that name it; leaves it open."""

  def __init__(self, stream: Any, name: str):
    self._stream, self._name = stream, name

  def writable(self) -> bool:
    return True

  def write(self, data: Any) -> int:
    with durable.name_errors(self._name):
      return self._stream.write(data)

  def flush(self) -> None:
    with durable.name_errors(self._name):
      self._stream.flush()


@contextlib.contextmanager
def _naming_column(name: str, field: pa.Field) -> Iterator[None]:
  """Names the column in Arrow's errors of writing it."""
  try:
    yield
  except pa.ArrowException as error:
    first = types.first_line(error)
    raise types.InputError(
      f'{name}: column {field.name!r} is of type {field.type} and cannot be'
      f' written: {first}; leave it out or write another kind of file'
    ) from None


def _try_parquet(field: pa.Field) -> None:
  with pq.ParquetWriter(pa.BufferOutputStream(), pa.schema([field])):
    pass


def _try_csv(field: pa.Field) -> None:
  if pa.types.is_nested(field.type):
    raise pa.ArrowInvalid('CSV has no nested values')
  pa.nulls(0, field.type).cast(pa.string())


def _parquet_writer(
  name: str, writer: pq.ParquetWriter, schema: pa.Schema
) -> Write:
  def write(table: pa.Table) -> None:
    try:
      writer.write_table(table)
    except pa.ArrowException:
      # Arrow does not name the column, so each is tried alone.
      for field, column in zip(schema, table.itercolumns(), strict=True):
        alone = pa.table([column], schema=pa.schema([field]))
        with _naming_column(name, field):
          pq.write_table(alone, pa.BufferOutputStream())
      raise

  return write


class _Lines:
  """Lines of CSV that end in LF.

  The csv module is told that they end in CR LF: before Python 3.13 it quotes a
  CR within a value for no other reason, and unquoted it would end the line.
  """

  END = '\r\n'

  def __init__(self, file: Any):
    self._file = file

  def write(self, line: str) -> None:
    self._file.write(line.removesuffix(self.END) + '\n')


def _csv_writer(name: str, file, schema: pa.Schema, sign: str) -> Write:
  lines = _Lines(file)
  writer = csv.writer(lines, delimiter=sign, lineterminator=lines.END)
  writer.writerow(schema.names)

  def write(table: pa.Table) -> None:
    columns = []
    for field, column in zip(schema, table.itercolumns(), strict=True):
      with _naming_column(name, field):
        columns.append(column.cast(pa.string()).to_numpy())
    writer.writerows(zip(*columns, strict=True))

  return write
