"""Loads raw files into a DuckDB table: keys unchanged, others by readings."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import pathlib
from collections.abc import Iterable, Iterator, Mapping, Sequence

import pyarrow as pa

from rmtl_jax import types
from rmtl_jax.data import parquet
from rmtl_jax.preparation import sql
from rmtl_jax.preparation.raw import csv as raw_csv
from rmtl_jax.preparation.raw import folders
from rmtl_jax.preparation.raw import raw_files as raw
from rmtl_jax.preparation.raw import readings as readings_lib

# Column types that a table keeps as they are, or as text.
_KEYS = ('', 'VARCHAR', 'VARCHAR[]')


@dataclasses.dataclass(frozen=True)
class Columns:
  """Columns of a table, from its files.

  Attributes:
    types: wanted type of every wanted column: BIGINT, DOUBLE, VARCHAR,
      TIMESTAMPTZ, VARCHAR[], or '' for the files' own type (text if the files
      differ, with whole floats as integers).
    readings: of further columns, by the name that they get in the table.
    prefix: of the names of the columns of `types` in the table.
    missing: texts that become NULL, in columns of text.
    nulls: values of a column that become NULL.
  """

  types: Mapping[str, str]
  readings: Mapping[str, readings_lib.Reading] = dataclasses.field(
    default_factory=dict
  )
  prefix: str = ''
  missing: Sequence[str] = ()
  nulls: Mapping[str, Sequence[str]] = dataclasses.field(default_factory=dict)

  @property
  def keys(self) -> dict[str, str]:
    """The columns that are kept as they are, or as text."""
    return {n: kind for n, kind in self.types.items() if kind in _KEYS}

  @property
  def all_readings(self) -> dict[str, readings_lib.Reading]:
    """The readings, with those of the columns that are cast."""
    return {**self.readings} | {
      self.prefix + name: readings_lib.of_type(
        name, kind, self.missing_in(name)
      )
      for name, kind in self.types.items()
      if kind not in _KEYS
    }

  def missing_in(self, name: str) -> readings_lib.Missing:
    """Values that mean missing in a column."""
    nulls = tuple(self.nulls.get(name, ()))
    return readings_lib.Missing(tuple(self.missing), nulls)

  def check(self, path: pathlib.Path, schema: pa.Schema) -> None:
    """Refuses a file that lacks a column, or has it with another type."""
    wanted = [*self.types.items()]
    wanted += [(r.column, r.type) for r in self.readings.values()]
    raw.check_columns(path, schema.names, (name for name, _ in wanted))
    for name, kind in wanted:
      readings_lib.check_type(path, name, schema.field(name).type, kind)

  def select(self, schema: pa.Schema, mixed: Iterable[str] = ()) -> list[str]:
    """SQL of the table's columns, for `readings.checked`.

    Args:
      mixed: columns that become text, as the files differ in their type.
    """
    found = []
    for name, kind in self.keys.items():
      value = readings_lib.kept(
        sql.quote(name), schema.field(name).type, self.missing_in(name)
      )
      if name in mixed:
        value, kind = sql.null_if_empty(value), 'VARCHAR'
      found.append(f'{_cast(value, kind)} AS {sql.quote(self.prefix + name)}')
    return found + readings_lib.select(
      self.all_readings, lambda name: schema.field(name).type
    )

  def checked(self, query: str, schema: pa.Schema) -> str:
    """A query with the columns of `select` and faults of readings."""
    return readings_lib.checked(
      query, self.all_readings, lambda name: schema.field(name).type
    )


def load(
  connection: sql.Connection,
  paths: Sequence[pathlib.Path],
  columns: Columns,
  form: raw.Form | None = None,
) -> raw.RawTable:
  """Reads CSV files, compressed or not, or Parquet files into one new table.

  Rows keep their order. Empty values of CSV become NULL. Folders give columns
  that a file lacks.

  Args:
    paths: the files, in order.
    form: of CSV files; each has a header if it has no `names`.

  Raises:
    types.InputError: a file that is missing, empty or unreadable, a column
      that is missing, occurs twice or is of another type, or a value that
      means nothing; names file, column and row.
  """
  table, form = sql.unique_name('raw'), form or raw.Form()
  is_parquet = paths[0].name.lower().endswith(folders.PARQUET)
  forms = [None if is_parquet else form.of(path) for path in paths]
  schemas, folder_values = [], []
  for path, of_file in zip(paths, forms, strict=True):
    if of_file is not None:
      schema = raw_csv.read_schema(path, of_file)
    else:
      with (
        parquet.one_line_errors(path, 'Parquet'),
        parquet.open_file(path) as file,
      ):
        schema = file.schema_arrow
    wanted = {*columns.types, *(r.column for r in columns.readings.values())}
    named = folders.values(path, wanted, schema.names, columns.missing)
    for name in named:
      schema = schema.append(pa.field(name, pa.string()))
    columns.check(path, schema)
    schemas.append(schema)
    folder_values.append(named)
  # DuckDB would round the values of one file to the type of another, and hash
  # them differently.
  differing = _differing(schemas)
  mixed = {n for n, kind in columns.types.items() if not kind} & differing
  files: list[raw.RawFile] = []
  warnings: list[str] = []
  start, row_hash = 0, ''
  for path, of_file, schema, named in zip(
    paths, forms, schemas, folder_values, strict=True
  ):
    rest, row_hash = _row_hash(columns, schema, differing)
    selected = ', '.join([*columns.select(schema, mixed), rest])
    with _scan(
      connection, path, of_file, len(schema) - len(named), warnings
    ) as source:
      source = folders.with_values(source, named)
      query = columns.checked(f'SELECT {selected} FROM {source}', schema)
      rows = raw.append_rows(connection, table, query, first=not files)
    files.append(raw.RawFile(path, start, rows, of_file, named))
    alone = raw.RawTable(table, (files[-1],))
    readings_lib.check(connection, alone, columns.all_readings)
    start += rows
  if not start:
    below = ' below the header' if forms[0] and not form.names else ''
    raise types.InputError(f'{paths[0]}: no rows{below}')
  return raw.RawTable(table, tuple(files), tuple(warnings), row_hash)


def load_query(
  connection: sql.Connection,
  query: str,
  schema: pa.Schema,
  log: raw.RawTable,
  columns: Columns,
  others: Sequence[str],
) -> raw.RawTable:
  """Reads the rows of a query over raw tables into one new table.

  Args:
    query: SQL with `row_id`, a row of the log.
    schema: the types of its columns.
    log: the raw table that errors name.
    others: further columns to keep as they are.

  Raises:
    types.InputError: as for `load`, or a statement that fails.
  """
  table = sql.unique_name('raw')
  columns.check(log.files[0].path, schema)
  selected = ', '.join([*others, *columns.select(schema)])
  checked = columns.checked(f'SELECT {selected} FROM ({query})', schema)
  with sql.name_errors(log.place, 'the SQL over it fails'):
    connection.execute(f'CREATE TABLE {table} AS {checked}')
  made = dataclasses.replace(log, name=table)
  readings_lib.check(connection, made, columns.all_readings, 'row_id')
  return made


@contextlib.contextmanager
def _scan(
  connection: sql.Connection,
  path: pathlib.Path,
  form: raw.Form | None,
  width: int,
  warnings: list[str],
) -> Iterator[str]:
  """SQL of a file's rows; `width` columns, and its warnings are appended."""
  if form is not None:
    with raw_csv.scan(connection, path, form, width, warnings) as source:
      yield source
    return
  with (
    sql.name_errors(path, 'not readable'),
    sql.scan_file(path, 'parquet') as source,
  ):
    yield source


def _row_hash(
  columns: Columns, schema: pa.Schema, differing: set[str]
) -> tuple[str, str]:
  """SQL of a row hash that is computed on demand, not while reading.

  Returns:
    SQL of one more column to read, a hash of the columns that the table does
    not keep unchanged, and SQL of the row hash over the table.
  """
  others = []
  for field in sorted(schema, key=lambda field: field.name):
    wanted = columns.keys.get(field.name)
    is_kept = wanted == '' or (
      wanted == 'VARCHAR' and parquet.is_text(field.type)
    )
    value = sql.quote(field.name)
    if field.name in differing:
      others.append(_as_text(value, field.type))
    elif field.name and not (is_kept and field.name not in columns.nulls):
      others.append(value)  # SQL knows no empty names
  rest = f'hash({", ".join(others)})' if others else '0::UBIGINT'
  kept = [sql.quote(columns.prefix + name) for name in sorted(columns.keys)]
  return (
    f'{rest} AS {raw.REST_HASH}',
    f'hash({", ".join([*kept, raw.REST_HASH])})',
  )


def _differing(schemas: Sequence[pa.Schema]) -> set[str]:
  """The columns that files have in several types; all text is one."""
  kinds = {
    (field.name, 'text' if parquet.is_text(field.type) else str(field.type))
    for schema in schemas
    for field in schema
  }
  counts = collections.Counter(name for name, _ in kinds)
  return {name for name, count in counts.items() if count > 1}


def _cast(value: str, wanted: str) -> str:
  """SQL of a key as it is wanted."""
  if wanted == 'VARCHAR[]':
    return f'CAST({sql.value_texts(value)} AS VARCHAR[])'
  return sql.value_text(value) if wanted else value


def _as_text(value: str, found: pa.DataType) -> str:
  """SQL of a column as text, or of one of lists as lists of text."""
  is_list = pa.types.is_list(found) or pa.types.is_large_list(found)
  return sql.value_texts(value) if is_list else sql.value_text(value)
