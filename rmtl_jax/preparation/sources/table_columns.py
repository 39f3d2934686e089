"""How the columns of a user's own table become those of a reader's view.

Most are cast while the file is read. What needs more than a cast is a reading
(rmtl_jax.preparation.raw.readings), and has its name in the view already in the
raw table.
"""

from __future__ import annotations

from collections.abc import Mapping

from rmtl_jax.preparation import lists, sql
from rmtl_jax.preparation import schema as schema_lib
from rmtl_jax.preparation.raw import files as raw
from rmtl_jax.preparation.raw import readings as readings_lib
from rmtl_jax.preparation.schema import fields as fields_lib
from rmtl_jax.preparation.schema import vocabularies
from rmtl_jax.preparation.sources import table_events

_TIME = 'timestamp'


def readings(schema: schema_lib.TableSchema) -> dict[str, readings_lib.Reading]:
  """What a cast alone does not read, by its name in the view."""
  found = {}
  if schema.time is not None and not schema.clock.is_plain:
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
  # A file's column has one type, and these are read as text from CSV.
  texts = {reading.column for reading in found.values()} | {*schema.nulls}
  columns = {
    f.source_column: f.column for f in schema.fields if f.kind == 'numeric'
  }
  columns |= {
    f'v_{column}': column for task in schema.tasks for column in task.weights
  }
  return found | {
    name: readings_lib.of_number(column, schema.missing_in(column))
    for name, column in columns.items()
    if column in texts
  }


def types(
  schema: schema_lib.TableSchema,
  key: str,
  nested: set[str],
  read: Mapping[str, readings_lib.Reading],
) -> dict[str, str]:
  """DuckDB types of the raw columns that are cast."""
  found = {
    column: key
    for column in (schema.session, schema.user, schema.item)
    if column is not None
  }
  if schema.events is not None:
    found[schema.events.column] = key
  for field in schema.fields:
    if fields_lib.is_made(field):
      continue
    if field.kind == 'categorical':
      found[field.column] = key
    elif field.kind == 'multi_valued':
      found[field.column] = 'VARCHAR[]' if field.column in nested else 'VARCHAR'
    elif field.source_column not in read:
      found[field.column] = 'DOUBLE'
  for column in (c for task in schema.tasks for c in task.weights):
    if f'v_{column}' not in read:
      found[column] = 'DOUBLE'
  if schema.time is not None and _TIME not in read:
    found[schema.time] = schema.clock.type
  return found


def single_keys(
  schema: schema_lib.TableSchema, kinds: Mapping[str, str]
) -> list[str]:
  """The raw columns of single keys and categories, which are text in CSV."""
  lists = {f.column for f in schema.fields if f.kind == 'multi_valued'}
  return [
    c for c, kind in kinds.items() if kind == 'VARCHAR' and c not in lists
  ]


def select(
  schema: schema_lib.TableSchema,
  nested: set[str],
  read: Mapping[str, readings_lib.Reading],
  kinds: Mapping[str, str],
  whole: frozenset[str] = frozenset(),
) -> list[str]:
  """SQL of the columns of the reader's view, but for the row's own.

  Args:
    nested: columns of lists.
    kinds: DuckDB types of the raw table's columns.
    whole: raw columns of text that are numbers in the raw table.
  """
  time = '0::BIGINT'
  if _TIME in read:
    time = sql.quote(_TIME)
  elif schema.time is not None:
    time = schema.clock.typed_ms(_column(schema.time))
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
      if vocabularies.NEWEST_FIRST in field.details:
        value = f'list_reverse({value})'
    elif fields_lib.CROSSED in field.details:
      value = sql.crossed(
        values[f'f_{name}'] for name in field.details[fields_lib.CROSSED]
      )
    elif fields_lib.FROM_TIME in field.details:
      value = schema.clock.part(field.name, time)
    values[field.source_column] = value
  for task in schema.tasks:
    if task.clock is not None:
      values[f't_{task.name}'] = ''
    elif not task.timed:
      values[f'y_{task.name}'] = ''
    values |= {f'v_{column}': _column(column) for column in task.weights}

  def key(column: str | None) -> str:
    """A session or user; NULL where it is missing or empty."""
    if column is None:
      return 'NULL'
    raw_column = _column(column)
    if column in whole:
      return f'CAST({raw_column} AS VARCHAR)'
    return sql.null_if_empty(raw_column, kinds[raw.PREFIX + column])

  columns = [
    f'{key(schema.session)} AS session',
    f'{key(schema.user)} AS "user"',
  ]
  if schema.item is not None:
    columns.append(f'{key(schema.item)} AS item')
  if schema.events is not None:
    kind = sql.value_text(_column(schema.events.column))
    columns.append(f"nullif({kind}, '') AS {table_events.KIND}")
  for name, value in values.items():
    quoted = sql.quote(name)
    columns.append(quoted if name in read else f'{value} AS {quoted}')
  return columns


def _column(column: str) -> str:
  """A file's column in the raw table."""
  return sql.quote(raw.PREFIX + column)
