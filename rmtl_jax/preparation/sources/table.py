"""Reads a user's own CSV or Parquet files, described by a JSON schema.

Times, labels and numbers are readings (rmtl_jax.preparation.raw.readings): they
have their names in the view already in the raw table.
"""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
from collections.abc import Sequence

from rmtl_jax import types
from rmtl_jax.config import prepare_settings
from rmtl_jax.data import parquet
from rmtl_jax.preparation import given_splits, lists, source, sql, time_window
from rmtl_jax.preparation import schema as schema_lib
from rmtl_jax.preparation.raw import folders, load
from rmtl_jax.preparation.raw import raw_files as raw
from rmtl_jax.preparation.raw import readings as readings_lib
from rmtl_jax.preparation.schema import fields as fields_lib
from rmtl_jax.preparation.sources import raw_query, table_events

_TIME = 'timestamp'


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
  fields, further = fields_lib.with_vector_files(schema.fields, path.parent)
  columns = [
    row_id,
    f'{table.row_hash} AS {raw.ROW_HASH}',
    *_select(schema, nested),
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
    key_column=schema.session or schema.user or '',
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
  kinds = _types(schema, nested)
  if split_column:
    kinds.setdefault(split_column, '')
  return load.Columns(
    kinds,
    _readings(schema),
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
  _write_whole(connection, table.name, keys)
  split = ''
  if options.split_column:
    split = given_splits.sql_by_column(connection, table, options)
  elif splits:
    split = table.split_sql(splits)
  return table, nested, split, tuple(paths)


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


def _readings(
  schema: schema_lib.TableSchema,
) -> dict[str, readings_lib.Reading]:
  """Times, labels and numbers, by their names in the view."""
  found = {}
  if schema.time is not None:
    found[_TIME] = readings_lib.of_time(
      schema.time, schema.clock, schema.missing_in(schema.time)
    )
  for task in schema.tasks:
    missing = schema.missing_in(task.column)
    if task.clock is not None:
      found[f't_{task.name}'] = readings_lib.of_time(
        task.column, task.clock, missing
      )
    elif not task.timed:
      found[f'y_{task.name}'] = readings_lib.of_label(task, missing)
  columns = {
    f.source_column: f.column for f in schema.fields if f.kind == 'numeric'
  }
  columns |= {
    f'v_{column}': column for task in schema.tasks for column in task.weights
  }
  return found | {
    name: readings_lib.of_number(column, schema.missing_in(column))
    for name, column in columns.items()
  }


def _types(schema: schema_lib.TableSchema, nested: set[str]) -> dict[str, str]:
  """Types of the other raw columns, for `load.Columns`; '' of single keys."""
  found = {
    column: ''
    for column in (schema.session, schema.user, schema.item)
    if column is not None
  }
  if schema.events is not None:
    found[schema.events.column] = ''
  for field in schema.fields:
    if field.kind == 'multi_valued':
      found[field.column] = 'VARCHAR[]' if field.column in nested else 'VARCHAR'
    elif (
      field.kind == 'categorical' and fields_lib.FROM_TIME not in field.details
    ):
      found[field.column] = ''
  return found


def _select(schema: schema_lib.TableSchema, nested: set[str]) -> list[str]:
  """SQL of the columns of the reader's view, but for the row's own.

  Args:
    nested: columns of lists.
  """
  time = '0::BIGINT' if schema.time is None else sql.quote(_TIME)
  values = {_TIME: time}
  for field in schema.fields:
    value = _column(field.column)
    if field.kind == 'multi_valued':
      separator = field.details['separator']
      separator = '' if field.column in nested else separator
      missing = schema.missing_in(field.column)
      # A sequence holds values of a categorical field, spaces and all.
      if separator or not field.vocabulary_owner:
        value = lists.split_values(
          value, separator, (*missing.texts, *missing.values)
        )
    elif fields_lib.FROM_TIME in field.details:
      value = schema.clock.part(field.name, time)
    values[field.source_column] = value
  values |= {name: sql.quote(name) for name in _readings(schema)}

  def key(column: str | None) -> str:
    """A session or user; NULL where it is missing or empty."""
    if column is None:
      return 'NULL'
    return sql.null_if_empty(_column(column))

  columns = [
    f'{key(schema.session)} AS session',
    f'{key(schema.user)} AS "user"',
  ]
  if schema.item is not None:
    columns.append(f'{key(schema.item)} AS item')
  if schema.events is not None:
    kind = sql.value_text(_column(schema.events.column))
    columns.append(f"nullif({kind}, '') AS {table_events.KIND}")
  columns += [f'{value} AS {sql.quote(n)}' for n, value in values.items()]
  return columns


def _column(column: str) -> str:
  """A file's column in the raw table."""
  return sql.quote(raw.PREFIX + column)
