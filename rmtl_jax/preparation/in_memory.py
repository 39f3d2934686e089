"""Prepares an in-memory table and schema by temporary files.

The table is written to a Parquet file batch by batch, so one that is larger
than memory, such as a database's answer, is read once and never held.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import pathlib
import tempfile
from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from rmtl_jax import durable, types
from rmtl_jax.config import prepare_settings
from rmtl_jax.data import tables
from rmtl_jax.preparation import sources

# What errors call them.
TABLE, SCHEMA = 'table', 'schema'
# Rows of a row group, in which readers of Parquet go.
_GROUP_ROWS = 122_880


@contextlib.contextmanager
def as_files(
  config: prepare_settings.PrepareConfig,
  table: Any,
  schema: Mapping[str, Any] | str | os.PathLike[str] | None,
  directory: str,
) -> Iterator[prepare_settings.PrepareConfig]:
  """Gives settings that read a table and a schema, until the block ends.

  Args:
    config: settings of source `table`.
    table: as for `tables.open_stream`; None if `raw_dir` names files.
    schema: the decoded JSON, or a file's path; None if `config` names one.
    directory: where the files go.

  Raises:
    types.InputError: the table can't be read, or settings say the same.
  """
  if table is None and schema is None:
    yield config
    return
  _check(config, table, schema)
  pathlib.Path(directory).mkdir(parents=True, exist_ok=True)
  with tempfile.TemporaryDirectory(prefix='table-', dir=directory) as place:
    changes = {}
    if table is not None:
      changes['raw_dir'] = os.path.join(place, f'{TABLE}.parquet')
      _write(tables.open_stream(table, TABLE), pathlib.Path(changes['raw_dir']))
    if isinstance(schema, str | os.PathLike):
      changes['schema'] = os.fspath(schema)
    elif schema is not None:
      changes['schema'] = os.path.join(place, SCHEMA)
      text = json.dumps(with_places(schema), default=_plain)
      durable.write_text(pathlib.Path(changes['schema']), text)
    try:
      yield dataclasses.replace(config, **changes)
    except types.InputError as error:
      # The caller knows of a table and a schema, and of no files.
      told = str(error)
      for name, path in ((TABLE, f'{TABLE}.parquet'), (SCHEMA, SCHEMA)):
        told = told.replace(os.path.join(place, path), name)
      raise types.InputError(told) from None


def with_places(schema: Any) -> Any:
  """A decoded schema, its files by places that do not count from its own."""
  if isinstance(schema, Mapping):
    return {
      key: os.path.abspath(value)
      if key == 'file' and isinstance(value, str)
      else with_places(value)
      for key, value in schema.items()
    }
  if isinstance(schema, list | tuple):
    return [with_places(entry) for entry in schema]
  return schema


def _check(
  config: prepare_settings.PrepareConfig, table: Any, schema: Any
) -> None:
  """Refuses settings that contradict what is handed over."""
  reads = sources.RECORDS.find(config.source).settings
  if 'schema' not in reads or (table is not None and config.source != 'table'):
    raise types.InputError(
      f'source: {config.source!r} reads files of its own, no table or schema'
    )
  for name, held, there in (
    ('raw_dir', table, config.raw_dir),
    ('schema', schema, config.schema),
  ):
    if held is not None and there:
      raise types.InputError(
        f'{name}: is {there!r:.80}, and is handed over too; give one of the two'
      )


def _write(stream: tables.Stream, path: pathlib.Path) -> None:
  """Writes the rows of a stream.

  Raises:
    types.InputError: it can't be read, or has a column that Parquet can't hold.
  """
  names = stream.schema.names
  for name in names:
    if names.count(name) > 1:
      raise types.InputError(f'{TABLE}: column {name!r} occurs twice')
  held: list[pa.RecordBatch] = []
  with (
    durable.name_errors(path),
    path.open('wb') as file,
    _naming(),
    pq.ParquetWriter(file, stream.schema) as writer,
  ):
    rows = 0
    for batch in stream.batches:
      held.append(batch)
      rows += batch.num_rows
      # Row groups of few rows would be slow to read.
      if rows >= _GROUP_ROWS:
        writer.write_table(pa.Table.from_batches(held, stream.schema))
        held, rows = [], 0
    if rows:
      writer.write_table(pa.Table.from_batches(held, stream.schema))


@contextlib.contextmanager
def _naming() -> Iterator[None]:
  try:
    yield
  except pa.ArrowException as error:
    first = types.first_line(error)
    raise types.InputError(f'{TABLE}: not usable: {first}') from None


def _plain(value: Any) -> Any:
  """Mappings and sequences of any kind as dicts and lists."""
  return dict(value) if isinstance(value, Mapping) else list(value)
