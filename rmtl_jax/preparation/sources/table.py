"""Reads a user's own CSV or Parquet files, described by a JSON schema."""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
from collections.abc import Sequence

from rmtl_jax import types
from rmtl_jax.config import prepare_settings
from rmtl_jax.data import parquet
from rmtl_jax.preparation import given_splits, source, sql, time_window
from rmtl_jax.preparation import schema as schema_lib
from rmtl_jax.preparation.raw import folders, load
from rmtl_jax.preparation.raw import raw_files as raw
from rmtl_jax.preparation.schema import fields as fields_lib
from rmtl_jax.preparation.sources import (
  raw_query,
  table_columns,
  table_events,
)

# Rows that tell of most columns whether they hold whole numbers.
_SAMPLE = 2_048


def read(
  connection: sql.Connection,
  raw_dir: pathlib.Path,
  options: prepare_settings.PrepareConfig,
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
      connection, raw_dir, schema.tables, schema.record.get('sql')
    )
    if made.missing:
      record = raw_query.without(connection, made, schema.record)
      schema = schema_lib.parse(record, str(path))
    table, nested = _load_query(connection, made, schema)
    paths, has_split = made.files, made.has_split
    row_id, split, warnings = 'row_id', 'split' * has_split, made.warnings
    if left := made.log.rows - sql.count_rows(connection, table.name):
      dropped['left out by the SQL of the schema'] = left
  else:
    table, nested, split, paths = _read_files(
      connection, raw_dir, schema, options
    )
    row_id, warnings = 'rowid AS row_id', ()
  kinds = sql.column_types(connection, table.name)
  fields, further = fields_lib.with_vector_files(schema.fields, path.parent)
  columns = [
    row_id,
    f'{table.row_hash} AS {raw.ROW_HASH}',
    *table_columns.select(schema, nested, kinds, table.whole),
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
    time_unit=schema.clock.unit,
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
    options={'schema': schema.record},
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
    time_window.of(options),
  )


def _load_query(
  connection: sql.Connection,
  made: raw_query.RawQuery,
  schema: schema_lib.TableSchema,
) -> tuple[raw.RawTable, set[str]]:
  """The rows of a statement; as `_load`."""
  nested = {f.name for f in made.columns if f.type.num_fields}
  table = load.load_query(
    connection,
    made.sql,
    made.columns,
    made.log,
    _columns(schema, nested),
    ['row_id', raw.ROW_HASH, *(['split'] if made.has_split else [])],
  )
  return dataclasses.replace(table, row_hash=raw.ROW_HASH), nested


def _columns(
  schema: schema_lib.TableSchema, nested: set[str], split_column: str = ''
) -> load.Columns:
  """Columns of a log in the raw table."""
  kinds = table_columns.types(schema, nested)
  if split_column:
    kinds.setdefault(split_column, '')
  return load.Columns(
    kinds,
    table_columns.readings(schema),
    raw.PREFIX,
    schema.missing,
    {c: v for c, v in schema.nulls.items() if c in kinds},
  )


def _read_files(
  connection: sql.Connection,
  raw_dir: pathlib.Path,
  schema: schema_lib.TableSchema,
  options: prepare_settings.PrepareConfig,
) -> tuple[raw.RawTable, set[str], str, tuple[pathlib.Path, ...]]:
  """The raw table, its columns of lists, SQL of the split, and the files."""
  paths, splits = given_splits.by_files(
    [
      folders.find(pathlib.Path(place)) if place else []
      for place in (str(raw_dir), options.validation_dir, options.test_dir)
    ]
  )
  is_parquet = paths[0].name.lower().endswith(folders.PARQUET)
  nested = _list_columns(paths) if is_parquet else set()
  columns = _columns(schema, nested, options.split_column)
  table = load.load(connection, paths, columns, raw.Form(schema.delimiter))
  keys = [name for name, kind in columns.types.items() if not kind]
  # New days are joined to keys as the data have them, which is text.
  if not is_parquet and not options.extend:
    table = dataclasses.replace(table, whole=_number(connection, table, keys))
  _write_whole(connection, table.name, keys)
  split = ''
  if options.split_column:
    split = given_splits.sql_by_column(connection, table, options)
  elif splits:
    split = table.split_sql(splits)
  return table, nested, split, tuple(paths)


def _number(
  connection: sql.Connection, table: raw.RawTable, columns: Sequence[str]
) -> frozenset[str]:
  """Makes BIGINT of text columns in which all values are whole numbers.

  Numbers count as SQL writes them: 7, but neither 07 nor 7.0. They are grouped
  and joined in half the time of text.
  """
  rows = f'(FROM {table.name} LIMIT {_SAMPLE})'
  for relation in (rows, table.name):  # few rows rule out most
    conditions = ', '.join(
      f'bool_and(CAST(TRY_CAST({v} AS BIGINT) AS VARCHAR) = {v}'
      f' AND TRY_CAST({v} AS BIGINT) IS NOT NULL) FILTER ({v} IS NOT NULL)'
      for v in (sql.quote(raw.PREFIX + column) for column in columns)
    )
    if columns:
      found = sql.fetch_row(connection, f'SELECT {conditions} FROM {relation}')
      columns = [c for c, whole in zip(columns, found, strict=True) if whole]
  for column in columns:
    connection.execute(
      f'ALTER TABLE {table.name} ALTER'
      f' {sql.quote(raw.PREFIX + column)} TYPE BIGINT'
    )
  return frozenset(columns)


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
  """Writes 118 for 118.0 in columns of text with only numbers.

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
