"""SQL of a run's fields from their raw columns.

A manifest can come from anybody, so all of it that enters SQL is checked or
quoted.
"""

from __future__ import annotations

import contextlib
import pathlib
import re
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from rmtl_jax import types
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.data import tables
from rmtl_jax.preparation import lists, numbers, source, sql
from rmtl_jax.preparation.raw import raw_files as raw
from rmtl_jax.preparation.raw import readings, times
from rmtl_jax.preparation.schema import fields as fields_lib
from rmtl_jax.serving import raw_rows

# Types that DuckDB ends with an internal error of.
_UNREADABLE = re.compile(r'halffloat|decimal256|, -')


def source_field(
  field: manifest_lib.Field, manifest: manifest_lib.Manifest
) -> source.SourceField:
  """Declares a field of the manifest as a reader would, by its raw column."""
  # Other sources compute their fields; the columns they record are for errors.
  column = field.name
  if 'schema' in manifest.options:
    column = str(field.details.get('column', column))
  transform = str(field.details.get('transform', ''))
  kind = 'numeric' if transform == 'bins' else field.kind
  return source.SourceField(
    field.name,
    kind,
    column,
    transform,
    details=field.details,
    vocabulary_owner=field.vocabulary_owner or '',
    width=field.width,
  )


def given_column(field: source.SourceField) -> str:
  """Name of the column with whether a row has a number or text."""
  return sql.quote(f'given_{field.name}')


def list_sql(
  field: source.SourceField,
  value: str,
  kind: pa.DataType,
  missing: readings.Missing,
) -> str:
  """SQL of a raw list as a reader's view has it."""
  nothing = (*missing.texts, *missing.values)
  if pa.types.is_nested(kind):
    value = sql.value_texts(value)
    # A history contains values of a categorical field, spaces included.
    if field.vocabulary_owner:
      return value
    return lists.split_values(value, missing=nothing)
  separator = str(field.details.get('separator', ','))
  value = readings.text(value, kind, missing)
  return lists.split_values(value, separator, nothing)


def to_duckdb_types(table: pa.Table, path: str) -> pa.Table:
  """Casts types to those that DuckDB reads from Parquet for them.

  DuckDB reads some Arrow types differently from Parquet, or not at all.

  Raises:
    types.InputError: a value that DuckDB has no type for; names the column.
  """
  for i, field in enumerate(table.schema):
    if pa.types.is_timestamp(field.type) and field.type.unit in ('s', 'ms'):
      # DuckDB counts us: to write a later time as text would end its database,
      # for all later rows too.
      try:
        table.column(i).cast(pa.timestamp('us', field.type.tz))
      except pa.ArrowInvalid:
        raise types.InputError(
          f'{path}: column {field.name!r} has a time that is none'
        ) from None
    wanted = tables.plain_type(field.type)
    if pa.types.is_duration(wanted):  # as Parquet has it
      wanted = pa.int64()
    refused = types.InputError(
      f'{path}: column {field.name!r} is of type {field.type}, which can not be'
      ' read'
    )
    if _UNREADABLE.search(str(wanted)):  # within a type that `plain` leaves
      raise refused
    if wanted != field.type:
      try:
        column = tables.plain(table.column(i).combine_chunks(), wanted)
      except pa.ArrowException:
        raise refused from None
      table = table.set_column(i, field.name, column)
  return table


def value_sql(
  field: manifest_lib.Field, raw_field: source.SourceField, where: str
) -> str:
  """SQL of a field's value before its vocabulary is looked up.

  Raises:
    types.InputError: the manifest lacks how the value was made.
  """
  value = sql.quote(raw_field.source_column)
  if fields_lib.FROM_TIME in field.details:
    part = _detail(field, fields_lib.FROM_TIME, str, where)
    if part not in times.PARTS:
      raise types.InputError(
        f'{where}: {field.name!r}: details: {fields_lib.FROM_TIME} is'
        f' {part!r:.80}, expected one of {", ".join(times.PARTS)}'
      )
  if raw_field.kind == 'multi_valued':
    if 'separator' in field.details:
      _detail(field, 'separator', str, where)
    # A history keeps its last known items, and only a look-up knows them.
    if field.vocabulary_owner is None:
      value = f'{value}[:{field.width}]'
  elif raw_field.transform == 'bins':
    edges = _detail(field, 'edges', list, where)
    value = numbers.bin_id(raw_field, edges)
  elif raw_field.kind == 'numeric':
    scale = numbers.Normalisation(
      _detail(field, 'mean', float, where),
      _detail(field, 'deviation', float, where),
      field.details.get('missing', False),
    )
    value = scale.apply(f'({numbers.transformed(raw_field)})')
  return f'{value} AS {sql.quote(field.column)}'


def _detail(
  field: manifest_lib.Field, name: str, kind: type, where: str
) -> Any:
  found = field.details.get(name)
  if kind is float and type(found) is int:
    with contextlib.suppress(OverflowError):
      found = float(found)
  if type(found) is not kind:
    raise types.InputError(
      f'{where}: {field.name!r}: details: {name} is {found!r:.80}, expected'
      f' what rmtl prepare writes ({kind.__name__})'
    )
  return found


def check_faults(
  connection: sql.Connection,
  chunk: raw_rows.Chunk,
  relation: str,
  faults: Sequence[raw.Fault],
) -> None:
  """Raises for the first row at fault.

  Args:
    relation: SQL of rows with `position`, the row of the chunk.
    faults: (raw column, SQL condition that is true of a fault, what was
      expected).

  Raises:
    types.InputError: names file, column and row.
  """
  found = raw.find_first(connection, faults, f'({relation})', 'position')
  if found is None:
    return
  row, (column, _, expected) = found
  # The user of a row may be missing because the whole column is.
  value = None
  if column in chunk.table.column_names:
    value = chunk.table[column][row].as_py()
  path, line = pathlib.Path(chunk.path), chunk.lines[row]
  raise types.InputError(
    raw.error_line(path, line, column, value, str(expected))
  )
