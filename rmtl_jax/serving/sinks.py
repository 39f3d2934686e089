"""Where predictions go: a file, all of it or nothing, or standard output."""

from __future__ import annotations

import contextlib
import csv
import os
import pathlib
import sys
from collections.abc import Callable, Iterator

import pyarrow as pa
import pyarrow.parquet as pq

from rmtl_jax import types
from rmtl_jax.data import partial
from rmtl_jax.serving import rows

Write = Callable[[pa.Table], None]

_CSV = ('.csv', '.tsv')


def check_name(name: str) -> None:
  """Refuses an output of a kind that can't be written.

  Raises:
    types.InputError: what the name must end in, or a directory that is not
      there.
  """
  if name == rows.STANDARD:
    return
  path = pathlib.Path(name)
  if not name.lower().endswith(rows.PARQUET + _CSV):
    raise types.InputError(
      f'{name}: expected a file that ends in'
      f' {", ".join(rows.PARQUET + _CSV)}, or - for an Arrow stream on standard'
      ' output'
    )
  if path.is_dir():
    raise types.InputError(f'{name}: is a directory, expected a file')
  if not path.parent.is_dir():
    raise types.InputError(f'{path.parent}: no such directory')


@contextlib.contextmanager
def open_sink(
  name: str, schema: pa.Schema, delimiter: str = ','
) -> Iterator[Write]:
  """Gives write(table) for tables of the schema.

  A file is written beside its name and takes its place when the block ends; if
  the block raises, nothing is left and a file of that name stays as it was.
  What a killed process left there is removed.

  Args:
    name: a Parquet or CSV file, or `-` for an Arrow IPC stream on standard
      output.
    schema: of what will be written.
    delimiter: of CSV.

  Raises:
    types.InputError: another kind of file, a column that CSV can't hold, or a
      directory that can't be written to.
  """
  check_name(name)
  if name == rows.STANDARD:
    with pa.ipc.new_stream(sys.stdout.buffer, schema) as stream:
      yield stream.write_table
    sys.stdout.flush()
    return
  is_parquet = name.lower().endswith(rows.PARQUET)
  if not is_parquet:
    _check_flat(name, schema)
  target = pathlib.Path(os.path.realpath(name))
  with partial.beside(target, name) as directory:
    path = directory / target.name
    if is_parquet:
      with pq.ParquetWriter(path, schema, compression='zstd') as writer:
        yield writer.write_table
    else:
      with path.open('w', encoding='utf-8', newline='') as file:
        yield _csv_writer(file, schema, delimiter)
    os.replace(path, target)


def _check_flat(name: str, schema: pa.Schema) -> None:
  for field in schema:
    if pa.types.is_nested(field.type):
      raise types.InputError(
        f'{name}: column {field.name!r} is of type {field.type}, which CSV'
        ' cannot hold; write Parquet'
      )


def _csv_writer(file, schema: pa.Schema, delimiter: str) -> Write:
  writer = csv.writer(file, delimiter=delimiter, lineterminator='\n')
  writer.writerow(schema.names)

  def write(table: pa.Table) -> None:
    columns = [
      column.cast(pa.string()).to_numpy() for column in table.itercolumns()
    ]
    writer.writerows(zip(*columns, strict=True))

  return write
