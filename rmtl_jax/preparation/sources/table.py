"""Reads a user's own CSV or Parquet files, described by a JSON schema."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

import duckdb

from rmtl_jax import types
from rmtl_jax.config import prepare as prepare_config
from rmtl_jax.data import parquet
from rmtl_jax.preparation import given_splits, lists, source, sql
from rmtl_jax.preparation import schema as schema_lib
from rmtl_jax.preparation.raw import csv as raw_csv
from rmtl_jax.preparation.raw import files as raw
from rmtl_jax.preparation.raw import parquet as raw_parquet
from rmtl_jax.preparation.raw import readings as readings_lib

_CSV = ('.csv', '.csv.gz', '.tsv', '.tsv.gz')
_PARQUET = ('.parquet',)
# Columns of the raw table beside those of the files.
_TIME = 'timestamp'


def read(
  connection: duckdb.DuckDBPyConnection,
  raw_dir: pathlib.Path,
  options: prepare_config.PrepareConfig,
) -> source.SourceTable:
  """Reads one file, or all CSV or all Parquet files of a directory.

  Args:
    connection: where tables are made.
    raw_dir: the file or the directory; its files are read in name order.
    options: `schema` names the JSON file (see rmtl_jax.preparation.schema).

  Raises:
    types.InputError: no schema or a faulty one, no files, or faulty ones.
  """
  if not options.schema:
    raise types.InputError(
      'schema: source table needs the JSON file that describes its columns'
    )
  schema = schema_lib.read(pathlib.Path(options.schema))
  files = given_splits.by_files(
    [
      find_files(pathlib.Path(place)) if place else []
      for place in (str(raw_dir), options.validation_dir, options.test_dir)
    ]
  )
  paths = files.paths
  is_parquet = paths[0].suffix == '.parquet'
  nested = _list_columns(paths[0]) if is_parquet else set()
  # Parquet has types of its own: keys are faster as they are.
  key = '' if is_parquet else 'VARCHAR'
  kinds = _column_types(schema, key, nested)
  readings = _readings(schema)
  if options.split_column:
    kinds.setdefault(options.split_column, key)
  if is_parquet:
    table = raw_parquet.load(
      connection,
      paths,
      kinds,
      late_hash=True,
      prefix=raw.PREFIX,
      missing=schema.missing,
      readings=readings,
    )
  else:
    table = raw_csv.load(
      connection,
      paths,
      kinds,
      late_hash=True,
      delimiter=schema.delimiter,
      prefix=raw.PREFIX,
      missing=schema.missing,
      readings=readings,
    )
  _write_whole(
    connection, table.name, [c for c, k in kinds.items() if k == key]
  )
  split = ''
  if options.split_column:
    split = given_splits.sql_by_column(connection, table, options)
  elif files.counts:
    split = given_splits.sql_by_files(table, files)
  view = sql.unique_name('rows')
  connection.execute(
    f'CREATE VIEW {view} AS {_select(schema, nested, table, split)}'
  )
  return source.SourceTable(
    view=view,
    fields=schema.fields,
    tasks=schema.tasks,
    table=table,
    files=tuple(paths),
    has_session=schema.session is not None,
    has_user=schema.user is not None,
    has_time=schema.time is not None,
    has_split=bool(split),
    time_column=schema.time or '',
    time_unit=schema.unit,
    key_column=schema.session or schema.user or '',
    user_field=schema.categorical_of(schema.user),
    item_field=schema.categorical_of(schema.item),
    domain_field=schema.categorical_of(schema.domain),
    identity=(raw.ROW_HASH,),
    options={'schema': schema.to_dict()},
  )


def find_files(raw_dir: pathlib.Path) -> list[pathlib.Path]:
  """Finds the CSV or Parquet files of a place, in the order of their rows.

  Raises:
    types.InputError: no such place, no such files, or both kinds.
  """
  if raw_dir.is_file():
    if not raw_dir.name.lower().endswith(_CSV + _PARQUET):
      raise types.InputError(
        f'{raw_dir}: expected a file that ends in {", ".join(_CSV + _PARQUET)}'
      )
    return [raw_dir]
  what = 'a CSV or Parquet file, or a directory of such'
  found = raw.find_files(raw_dir, ['*'], what)
  csv = [path for path in found if path.name.lower().endswith(_CSV)]
  parquet = [path for path in found if path.name.lower().endswith(_PARQUET)]
  if csv and parquet:
    raise types.InputError(
      f'{raw_dir}: has CSV and Parquet files, expected one kind; name the file'
    )
  if not csv and not parquet:
    raise types.InputError(f'{raw_dir}: no CSV or Parquet files')
  return csv or parquet


def _list_columns(path: pathlib.Path) -> set[str]:
  """Columns of lists; the loader reports unreadable files."""
  try:
    with parquet.open_file(path) as file:
      found = file.schema_arrow
  except (OSError, ValueError):
    return set()
  return {field.name for field in found if field.type.num_fields}


def _column_types(
  schema: schema_lib.TableSchema, key: str, nested: set[str]
) -> dict[str, str]:
  """DuckDB types of the raw columns; `key` is that of keys."""
  kinds = {
    column: key
    for column in (schema.session, schema.user, schema.item)
    if column is not None
  }
  for field in schema.fields:
    if field.kind == 'categorical':
      kinds[field.column] = key
    elif field.kind == 'multi_valued':
      kinds[field.column] = 'VARCHAR[]' if field.column in nested else 'VARCHAR'
  numbers = {f.column: 'DOUBLE' for f in schema.fields if f.kind == 'numeric'}
  numbers |= {task.column: 'DOUBLE' for task in schema.tasks}
  numbers |= {c: 'DOUBLE' for task in schema.tasks for c in task.weights}
  if schema.time is not None and schema.clock.is_plain:
    numbers[schema.time] = schema.clock.type
  return kinds | numbers


def _readings(
  schema: schema_lib.TableSchema,
) -> dict[str, readings_lib.Reading]:
  """The columns that a cast alone does not read, by name."""
  readings = {}
  if schema.time is not None and not schema.clock.is_plain:
    readings[_TIME] = readings_lib.of_time(
      schema.time, schema.clock, schema.missing
    )
  return readings


def _write_whole(
  connection: duckdb.DuckDBPyConnection, table: str, columns: Sequence[str]
) -> None:
  """Writes 118 for 118.0 in columns of text that hold numbers alone.

  Pandas writes a file's ids as floats if one is missing, and those of the next
  file as integers.

  Args:
    connection: holds the table.
    table: the raw table.
    columns: of keys.
  """
  described = connection.execute(f'DESCRIBE {table}').fetchall()
  kinds = {name: kind for name, kind, *_ in described}
  for column in columns:
    value = _column(column)
    if kinds[raw.PREFIX + column] != 'VARCHAR':
      continue
    ends = f"suffix({value}, '.0')"
    is_number = f'regexp_matches({value}, {sql.literal(sql.NUMBER)})'
    if sql.any_row(connection, table, ends) and not sql.any_row(
      connection, table, f"{value} <> '' AND NOT {is_number}"
    ):
      connection.execute(
        f'UPDATE {table} SET {value} = {sql.strip_zero_fraction(value)}'
        f' WHERE {ends}'
        f' AND abs(TRY_CAST({value} AS DOUBLE)) < {sql.EXACT["DOUBLE"]}'
      )


def _select(
  schema: schema_lib.TableSchema,
  nested: set[str],
  table: raw.RawTable,
  split: str,
) -> str:
  """SQL of the reader's view (see rmtl_jax.preparation.source)."""
  time = _TIME
  if schema.time is None:
    time = '0::BIGINT'
  elif schema.clock.is_plain:
    time = schema.clock.typed_ms(_column(schema.time))
  columns = [
    'SELECT rowid AS row_id',
    f'{_key(schema.session)} AS session',
    f'{_key(schema.user)} AS "user"',
    f'{time} AS timestamp',
    f'{table.row_hash} AS {raw.ROW_HASH}',
  ]
  if split:
    columns.append(f'{split} AS split')
  for field in schema.fields:
    value = _column(field.column)
    if field.kind == 'multi_valued':
      separator = field.details['separator']
      separator = '' if field.column in nested else separator
      value = lists.split_values(value, separator, schema.missing)
    columns.append(f'{value} AS {sql.quote(field.source_column)}')
  for task in schema.tasks:
    name = sql.quote(f'y_{task.name}')
    columns.append(f'{_column(task.column)} AS {name}')
  columns += [
    f'{_column(column)} AS {sql.quote(f"v_{column}")}'
    for column in dict.fromkeys(c for t in schema.tasks for c in t.weights)
  ]
  return f'{", ".join(columns)} FROM {table.name}'


def _column(column: str) -> str:
  """A file's column in the raw table."""
  return sql.quote(raw.PREFIX + column)


def _key(column: str | None) -> str:
  """A session or user; NULL where it is missing or empty."""
  return 'NULL' if column is None else sql.null_if_empty(_column(column))
