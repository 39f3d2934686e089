"""Reads a user's own CSV or Parquet files, described by a JSON schema."""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any

from rmtl_jax import types
from rmtl_jax.config import prepare as prepare_config
from rmtl_jax.data import parquet
from rmtl_jax.preparation import given_splits, source, sql, windows
from rmtl_jax.preparation import schema as schema_lib
from rmtl_jax.preparation.raw import csv as raw_csv
from rmtl_jax.preparation.raw import files as raw
from rmtl_jax.preparation.raw import folders
from rmtl_jax.preparation.raw import parquet as raw_parquet
from rmtl_jax.preparation.raw import readings as readings_lib
from rmtl_jax.preparation.schema import vocabularies
from rmtl_jax.preparation.sources import (
  raw_query,
  table_columns,
  table_events,
)


def read(
  connection: sql.Connection,
  raw_dir: pathlib.Path,
  options: prepare_config.PrepareConfig,
  default: pathlib.Path | None = None,
) -> source.SourceTable:
  """Reads one file, all CSV or Parquet files of a directory, or raw tables.

  Files are read in name order. The option `schema` names the JSON file (see
  rmtl_jax.preparation.schema); `default` is that of a public log.
  """
  if not (options.schema or default):
    raise types.InputError(
      'schema: source table needs the JSON file that describes its columns'
    )
  path = pathlib.Path(options.schema) if options.schema else default
  assert path is not None
  schema = schema_lib.read(path)
  dropped: dict[str, int] = {}
  if schema.tables:
    made = raw_query.read(
      connection, raw_dir, schema.tables, schema.raw.get('sql')
    )
    if made.missing:
      record = raw_query.without(connection, made, schema_lib.read_record(path))
      schema = schema_lib.parse(record, str(path))
    readings = table_columns.readings(schema)
    table, nested = _load_query(connection, made, schema, readings)
    paths, has_split = made.files, made.has_split
    row_id, split, warnings = 'row_id', 'split' * has_split, made.warnings
    if left := made.log.rows - sql.count_rows(connection, table.name):
      dropped['left out by the SQL of the schema'] = left
  else:
    readings = table_columns.readings(schema)
    table, nested, split, paths = _read_files(
      connection, raw_dir, schema, readings, options
    )
    row_id, warnings = 'rowid AS row_id', ()
  kinds = sql.column_types(connection, table.name)
  fields, further = vocabularies.with_places(schema.fields, path.parent)
  columns = [
    row_id,
    f'{table.row_hash} AS {raw.ROW_HASH}',
    *table_columns.select(schema, nested, readings, kinds, table.whole),
    *([f'{split} AS split'] if split else []),
  ]
  view = sql.create_view(
    connection, f'SELECT {", ".join(columns)} FROM {table.name}'
  )
  rows = source.SourceTable(
    view=view,
    fields=fields,
    tasks=schema.tasks,
    table=table,
    files=(*paths, *further),
    has_session=schema.session is not None,
    has_user=schema.user is not None,
    has_time=schema.time is not None,
    has_split=bool(split),
    any_dates=schema.any_dates,
    time_column=schema.time or '',
    time_unit=schema.unit,
    key_column=schema.session or schema.user or '',
    numbers=frozenset(
      field.source_column
      for field in fields
      if field.kind == 'categorical' and field.column in table.whole
    ),
    user_field=schema.categorical_of(schema.user),
    item_field=schema.categorical_of(schema.item),
    item='' if schema.item is None else 'item',
    identity=() if schema.keep_duplicates else (raw.ROW_HASH,),
    dropped=dropped,
    warnings=warnings,
    options={'schema': schema.to_dict()},
  )
  if schema.events is None:
    return rows
  return table_events.to_impressions(
    connection,
    rows,
    schema.events,
    schema.item or '',
    round(options.idle_minutes * 60_000),
    options.any_dates,
    windows.of(options),
  )


def _load_query(
  connection: sql.Connection,
  made: raw_query.RawQuery,
  schema: schema_lib.TableSchema,
  readings: dict[str, readings_lib.Reading],
) -> tuple[raw.RawTable, set[str]]:
  """The rows of a statement; as `_load`."""
  nested = {f.name for f in made.columns if f.type.num_fields}
  table = raw_parquet.load_query(
    connection,
    made.sql,
    made.columns,
    made.log,
    table_columns.types(schema, '', nested, readings),
    others=['row_id', raw.ROW_HASH, *(['split'] if made.has_split else [])],
    prefix=raw.PREFIX,
    missing=schema.missing,
    nulls=schema.nulls,
    readings=readings,
  )
  return dataclasses.replace(table, row_hash=raw.ROW_HASH), nested


def _read_files(
  connection: sql.Connection,
  raw_dir: pathlib.Path,
  schema: schema_lib.TableSchema,
  readings: dict[str, readings_lib.Reading],
  options: prepare_config.PrepareConfig,
) -> tuple[raw.RawTable, set[str], str, tuple[pathlib.Path, ...]]:
  """The raw table, its columns of lists, SQL of the split, and the files."""
  files = given_splits.by_files(
    [
      folders.find(pathlib.Path(place)) if place else []
      for place in (str(raw_dir), options.validation_dir, options.test_dir)
    ]
  )
  table, nested = _load(connection, files.paths, schema, readings, options)
  split = ''
  if options.split_column:
    split = given_splits.sql_by_column(connection, table, options)
  elif files.counts:
    split = given_splits.sql_by_files(table, files)
  return table, nested, split, files.paths


def _load(
  connection: sql.Connection,
  paths: Sequence[pathlib.Path],
  schema: schema_lib.TableSchema,
  readings: dict[str, readings_lib.Reading],
  options: prepare_config.PrepareConfig,
) -> tuple[raw.RawTable, set[str]]:
  """Reads the files; the raw table, and the columns that hold lists."""
  is_parquet = paths[0].name.lower().endswith(folders.PARQUET)
  nested = _list_columns(paths) if is_parquet else set()
  # Parquet has types of its own: keys are faster as they are.
  key = '' if is_parquet else 'VARCHAR'
  kinds = table_columns.types(schema, key, nested, readings)
  if options.split_column:
    kinds.setdefault(options.split_column, key)
  settings = {
    'late_hash': True,
    'prefix': raw.PREFIX,
    'missing': schema.missing,
    'nulls': {c: v for c, v in schema.nulls.items() if c in kinds},
    'readings': readings,
  }
  if is_parquet:
    table = raw_parquet.load(connection, paths, kinds, **settings)
  else:
    # New days are joined to keys as the data have them, which is text.
    whole = () if options.extend else table_columns.single_keys(schema, kinds)
    settings['delimiter'] = schema.delimiter
    table = _load_csv(connection, paths, kinds, whole, settings)
  _write_whole(
    connection, table.name, [c for c, k in kinds.items() if k == key]
  )
  return table, nested


def _load_csv(
  connection: sql.Connection,
  paths: Sequence[pathlib.Path],
  kinds: dict[str, str],
  whole: Sequence[str],
  settings: dict[str, Any],
) -> raw.RawTable:
  """Reads CSV files; keys that are whole numbers in all rows as numbers."""
  # Numbers are grouped and joined in half the time of text.
  whole = raw_csv.look_whole(
    paths, whole, settings['delimiter'], settings['missing']
  )
  while True:
    table = raw_csv.load(connection, paths, kinds, whole=whole, **settings)
    if not table.not_whole:
      return table
    sql.drop_tables(connection, table.name)
    whole = [column for column in whole if column not in table.not_whole]


def _list_columns(paths: Sequence[pathlib.Path]) -> set[str]:
  """Columns of lists; the loader reports unreadable files.

  A file in which such a column has no value does not tell.
  """
  found: set[str] = set()
  with contextlib.suppress(OSError, ValueError):
    for path in paths:
      with parquet.open_file(path) as file:
        found |= {f.name for f in file.schema_arrow if f.type.num_fields}
  return found


def _write_whole(
  connection: sql.Connection, table: str, columns: Sequence[str]
) -> None:
  """Writes 118 for 118.0 in columns of text that hold numbers alone.

  Pandas writes a file's ids as floats if one is missing, and those of the next
  file as integers.
  """
  kinds = sql.column_types(connection, table)
  for column in columns:
    value = sql.quote(raw.PREFIX + column)
    if kinds[raw.PREFIX + column] != 'VARCHAR':
      continue
    ends = f'regexp_matches({value}, {sql.literal(sql.WHOLE)})'
    is_number = f'regexp_matches({value}, {sql.literal(sql.NUMBER)})'
    if sql.any_row(connection, table, ends) and not sql.any_row(
      connection, table, f"{value} <> '' AND NOT {is_number}"
    ):
      connection.execute(
        f'UPDATE {table} SET {value} = {sql.strip_zero_fraction(value)}'
        f' WHERE {ends}'
        f' AND abs(TRY_CAST({value} AS DOUBLE)) < {sql.EXACT["DOUBLE"]}'
      )
