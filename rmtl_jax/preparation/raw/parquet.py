"""Reads Parquet files into a DuckDB table, cast to given types."""

from __future__ import annotations

import collections
import dataclasses
import pathlib
from collections.abc import Iterable, Mapping, Sequence

import pyarrow as pa

from rmtl_jax import types
from rmtl_jax.data import column_reader, parquet
from rmtl_jax.preparation import sql
from rmtl_jax.preparation.raw import files as raw
from rmtl_jax.preparation.raw import folders, times
from rmtl_jax.preparation.raw import readings as readings_lib


def load(
  connection: sql.Connection,
  paths: Sequence[pathlib.Path],
  column_types: Mapping[str, str],
  *,
  late_hash: bool = False,
  prefix: str = '',
  missing: Sequence[str] = (),
  nulls: Mapping[str, Sequence[str]] | None = None,
  readings: Mapping[str, readings_lib.Reading] | None = None,
) -> raw.RawTable:
  """Reads Parquet files into one new table, rows in order.

  Args:
    paths: the files, in order.
    column_types: wanted type of every wanted column: BIGINT, DOUBLE, VARCHAR,
      TIMESTAMPTZ, VARCHAR[], or '' for the files' own type; text if the files
      differ, with whole floats as integers.
    late_hash: sets the table's `row_hash`, for few rows.
    prefix: of the columns' names in the table.
    missing: texts that become NULL, in columns of text.
    nulls: values of a column that become NULL.
    readings: of further columns, by the name that they get in the table.

  Raises:
    types.InputError: a file that is missing, empty or unreadable, a column
      that is missing, stands twice or is of another type, or text that is no
      number or time; names file, column and row.
  """
  table = sql.unique_name('raw')
  files: list[raw.RawFile] = []
  start, row_hash_sql = 0, ''
  readings, nulls = readings or {}, nulls or {}
  wanted = [*column_types.items()]
  wanted += [(r.column, r.type) for r in readings.values()]
  schemas = [_read_schema(path) for path in paths]
  named = [
    folders.values(path, (name for name, _ in wanted), schema.names, missing)
    for path, schema in zip(paths, schemas, strict=True)
  ]
  schemas = [
    _checked(path, schema, added, wanted)
    for path, schema, added in zip(paths, schemas, named, strict=True)
  ]
  # DuckDB would round the values of one file to the type of another, and hash
  # them differently.
  differing = _differing(schemas)
  mixed = {n for n, wanted in column_types.items() if not wanted} & differing
  column_types = dict(column_types) | dict.fromkeys(mixed, 'VARCHAR')
  for path, schema, added in zip(paths, schemas, named, strict=True):
    kinds = {field.name: field.type for field in schema}
    given = _given(kinds, column_types, missing, nulls, mixed)
    kept = ', '.join(_kept(kinds, given, column_types, prefix, readings))
    if late_hash:
      changed = {*_changed(schema, column_types), *nulls, *differing}
      others = {
        name: _as_text(sql.quote(name), kinds[name])
        if name in differing
        else sql.quote(name)
        for name in schema.names
        if name and name in changed  # SQL knows no empty ones
      }
      rest, row_hash_sql = raw.rest_hash(column_types, others, prefix)
      kept += f', {rest}'
    with (
      sql.name_errors(path, 'not readable'),
      sql.scan_file(path, 'parquet') as source,
    ):
      source = folders.with_values(source, path, added)
      query = readings_lib.checked(
        f'SELECT {kept} FROM {source}', readings, kinds.__getitem__
      )
      rows = raw.append_rows(connection, table, query, first=not files)
      file = raw.RawFile(path, start, rows, 0, '', added)
      texts = {
        n: v for n, v in given.items() if parquet.is_text(schema.field(n).type)
      }
      _check_text(connection, file, source, texts, column_types)
    readings_lib.check(connection, raw.RawTable(table, (file,)), readings)
    files.append(file)
    start += rows
  if not start:
    raise types.InputError(f'{paths[0]}: has no rows')
  return raw.RawTable(table, tuple(files), row_hash=row_hash_sql)


def load_query(
  connection: sql.Connection,
  query: str,
  schema: pa.Schema,
  log: raw.RawTable,
  column_types: Mapping[str, str],
  *,
  others: Sequence[str],
  prefix: str,
  missing: Sequence[str],
  nulls: Mapping[str, Sequence[str]],
  readings: Mapping[str, readings_lib.Reading],
) -> raw.RawTable:
  """Reads the rows of a query over raw tables into one new table.

  Args:
    query: SQL with `row_id`, a row of the log.
    schema: the types of its columns.
    log: the raw table that errors name.
    others: further columns to keep as they are.
    column_types: as for `load`, as are `prefix` and what follows it.

  Raises:
    types.InputError: as for `load`, or a statement that fails.
  """
  table = sql.unique_name('raw')
  wanted = [*column_types.items()]
  wanted += [(r.column, r.type) for r in readings.values()]
  _checked(log.files[0].path, schema, (), wanted)
  kinds = {field.name: field.type for field in schema}
  given = _given(kinds, column_types, missing, nulls, set())
  kept = _kept(kinds, given, column_types, prefix, readings)
  selected = f'SELECT {", ".join([*others, *kept])} FROM ({query})'
  checked = readings_lib.checked(selected, readings, kinds.__getitem__)
  with sql.name_errors(log.place, 'the SQL over it fails'):
    connection.execute(f'CREATE TABLE {table} AS {checked}')
  made = dataclasses.replace(log, name=table)
  readings_lib.check(connection, made, readings, 'row_id')
  return made


def _given(
  kinds: Mapping[str, pa.DataType],
  column_types: Mapping[str, str],
  missing: Sequence[str],
  nulls: Mapping[str, Sequence[str]],
  mixed: set[str],
) -> dict[str, str]:
  """SQL of the wanted columns, NULL where a value is missing."""
  given = {
    name: readings_lib.kept(
      sql.quote(name),
      kinds[name],
      readings_lib.Missing(tuple(missing), tuple(nulls.get(name, ()))),
    )
    for name in column_types
  }
  given |= {name: sql.null_if_empty(given[name]) for name in mixed}
  return given | {
    name: times.whole_us(given[name], kinds[name])
    for name, wanted in column_types.items()
    if wanted == 'TIMESTAMPTZ'
  }


def _kept(
  kinds: Mapping[str, pa.DataType],
  given: Mapping[str, str],
  column_types: Mapping[str, str],
  prefix: str,
  readings: Mapping[str, readings_lib.Reading],
) -> list[str]:
  """SQL of the columns of a raw table, from that of `_given`."""
  kept = [
    f'{_cast(given[name], wanted)} AS {sql.quote(prefix + name)}'
    for name, wanted in column_types.items()
  ]
  return kept + readings_lib.select(readings, kinds.__getitem__)


def _checked(
  path: pathlib.Path,
  schema: pa.Schema,
  named: Iterable[str],
  wanted: Sequence[tuple[str, str]],
) -> pa.Schema:
  """A file's columns with those of its folders, if they are as wanted."""
  for name in named:
    schema = schema.append(pa.field(name, pa.string()))
  raw.check_columns(path, schema.names, (name for name, _ in wanted))
  for name, kind in wanted:
    check_type(path, name, schema.field(name).type, kind)
  return schema


def _differing(schemas: Sequence[pa.Schema]) -> set[str]:
  """The columns that files have in several types."""
  kinds = {(field.name, _kind(field.type)) for s in schemas for field in s}
  counts = collections.Counter(name for name, _ in kinds)
  return {name for name, count in counts.items() if count > 1}


def _kind(found: pa.DataType) -> str:
  """A type's name; all types of text have one."""
  return 'text' if parquet.is_text(found) else str(found)


def _cast(value: str, wanted: str) -> str:
  """SQL of a column as the wanted type, for `load`."""
  if wanted == 'VARCHAR[]':
    return f'CAST({sql.value_texts(value)} AS VARCHAR[])'
  if wanted == 'VARCHAR':
    return sql.value_text(value)
  return f'TRY_CAST({value} AS {wanted})' if wanted else value


def _as_text(value: str, found: pa.DataType) -> str:
  """SQL of a column as text, or of one of lists as lists of text."""
  is_list = pa.types.is_list(found) or pa.types.is_large_list(found)
  return sql.value_texts(value) if is_list else sql.value_text(value)


def _changed(schema: pa.Schema, column_types: Mapping[str, str]) -> list[str]:
  """Columns that the table does not keep unchanged."""
  return [
    field.name
    for field in schema
    if not _is_kept(field.type, column_types.get(field.name))
  ]


def _is_kept(found: pa.DataType, wanted: str | None) -> bool:
  """Whether a cast keeps different values different."""
  if wanted == 'DOUBLE':
    narrow = pa.types.is_integer(found) and found.bit_width <= 32
    single = pa.types.is_float32(found) or pa.types.is_float64(found)
    return narrow or single or pa.types.is_boolean(found)
  if wanted == 'BIGINT':
    return pa.types.is_integer(found)
  return wanted == '' or (wanted == 'VARCHAR' and parquet.is_text(found))


def _read_schema(path: pathlib.Path) -> pa.Schema:
  reading = column_reader.one_line_errors(path, 'Parquet')
  with reading, parquet.open_file(path) as file:
    return file.schema_arrow


def check_type(
  path: pathlib.Path, name: str, found: pa.DataType, wanted: str
) -> None:
  """Refuses a column whose type can't become the wanted one.

  Args:
    wanted: as for `load`.

  Raises:
    types.InputError: names file, column and both types.
  """
  nested = pa.types.is_nested(found) and not pa.types.is_run_end_encoded(found)
  text = parquet.is_text(found)
  number = (
    pa.types.is_integer(found)
    or pa.types.is_floating(found)
    or pa.types.is_decimal(found)
    or pa.types.is_boolean(found)
  )
  fits = {
    'BIGINT': number or text,
    'DOUBLE': number or text,
    'TIMESTAMPTZ': text
    or pa.types.is_timestamp(found)
    or pa.types.is_date(found),
    'VARCHAR': not nested,
    'VARCHAR[]': nested
    and not pa.types.is_struct(found)
    and not pa.types.is_map(found),
    '': not nested,
  }
  # A column without any value has the type of none.
  if not (fits[wanted] or pa.types.is_null(found)):
    expected = raw.EXPECTED.get(wanted, 'single values')
    expected = 'a list' if wanted == 'VARCHAR[]' else expected
    raise types.InputError(
      f'{path}: column {name!r} is of type {found}, expected {expected}'
    )


def _check_text(
  connection: sql.Connection,
  file: raw.RawFile,
  source: str,
  texts: Mapping[str, str],
  column_types: Mapping[str, str],
) -> None:
  """Raises for text that did not become the wanted number or time.

  `source` is SQL of the file's rows, `texts` that of its wanted columns of
  text, by name.
  """
  wrong = {
    name: f'{given} IS NOT NULL AND {_cast(given, column_types[name])} IS NULL'
    for name, given in texts.items()
    if column_types[name] in ('BIGINT', 'DOUBLE', 'TIMESTAMPTZ')
  }
  if not wrong or not sql.any_row(
    connection, source, ' OR '.join(wrong.values())
  ):
    return
  # Rows are numbered here, as the file may have a column `file_row_number`.
  columns = [
    f'{condition} AS wrong_{i}' for i, condition in enumerate(wrong.values())
  ]
  faults = [
    (name, f'wrong_{i}', raw.EXPECTED[column_types[name]])
    for i, name in enumerate(wrong)
  ]
  rows = (
    f'(SELECT row_number() OVER () - 1 AS row, {", ".join(columns)}'
    f' FROM {source})'
  )
  alone = raw.RawTable('', (dataclasses.replace(file, first_row=0),))
  raw.check(connection, alone, faults, rows, 'row')
