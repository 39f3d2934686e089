"""How the columns of a user's own table become those of a reader's view.

Times, labels and numbers are readings (rmtl_jax.preparation.raw.readings): they
have their names in the view already in the raw table.
"""

from __future__ import annotations

from collections.abc import Mapping

from rmtl_jax.preparation import lists, sql
from rmtl_jax.preparation import schema as schema_lib
from rmtl_jax.preparation.raw import raw_files as raw
from rmtl_jax.preparation.raw import readings as readings_lib
from rmtl_jax.preparation.schema import fields as fields_lib
from rmtl_jax.preparation.sources import table_events

_TIME = 'timestamp'


def readings(schema: schema_lib.TableSchema) -> dict[str, readings_lib.Reading]:
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


def types(schema: schema_lib.TableSchema, nested: set[str]) -> dict[str, str]:
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


def select(
  schema: schema_lib.TableSchema,
  nested: set[str],
  kinds: Mapping[str, str],
  whole: frozenset[str] = frozenset(),
) -> list[str]:
  """SQL of the columns of the reader's view, but for the row's own.

  Args:
    nested: columns of lists.
    kinds: DuckDB types of the raw table's columns.
    whole: raw columns of text that are numbers in the raw table.
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
  values |= {name: sql.quote(name) for name in readings(schema)}

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
  columns += [f'{value} AS {sql.quote(n)}' for n, value in values.items()]
  return columns


def _column(column: str) -> str:
  """A file's column in the raw table."""
  return sql.quote(raw.PREFIX + column)
