"""Checks of a reader's rows that hold for every source."""

from __future__ import annotations

from collections.abc import Sequence

import duckdb

from rmtl_jax.data import raw, source, sql

# 1900 to 3000: outside of it a time is most likely in another unit.
_EARLIEST_MS = -2_208_988_800_000
_LATEST_MS = 32_503_680_000_000
# Squares of normalised values must stay within double precision.
_LARGEST = 1e30


def check(
  connection: duckdb.DuckDBPyConnection, table: source.SourceTable
) -> None:
  """Checks times, session keys, numbers, labels and the funnel, in one pass.

  Args:
    connection: holds the reader's view.
    table: the reader's result.

  Raises:
    types.InputError: for the first row at fault; names file, column and row.
  """
  faults: list[tuple[str, str, str]] = [time_fault(table.time_column)]
  keys = [
    name
    for name, given in (
      ('session', table.has_session),
      ('"user"', table.has_user),
    )
    if given
  ]
  faults.append(key_fault(table.key_column, keys))
  for field in table.fields:
    faults += field_faults(field)
  for task in table.tasks:
    faults += _task_faults(task, table)
  # Times and keys alone need no features.
  cheap = table.keys if len(faults) == 2 else ''
  raw.check(connection, table.table, faults, cheap or table.view, 'row_id')


def time_fault(column: str) -> tuple[str, str, str]:
  """What `timestamp` may not be, as `raw.check` takes it."""
  return (
    column,
    f'timestamp IS NULL OR timestamp < {_EARLIEST_MS}'
    f' OR timestamp > {_LATEST_MS}',
    'a time between the years 1900 and 3000, in the unit that was named',
  )


def key_fault(column: str, keys: Sequence[str]) -> tuple[str, str, str]:
  """That a row has none of the keys, SQL of which is given."""
  nothing = ' AND '.join(f'{key} IS NULL' for key in keys) or 'true'
  return column, nothing, 'a session id or a user'


def field_faults(field: source.SourceField) -> list[tuple[str, str, str]]:
  """What a numeric field's values may not be, as `raw.check` takes it."""
  if field.kind != 'numeric':
    return []
  value = sql.quote(field.source_column)
  column = field.column or field.name
  # NaN means missing, as NULL does; DuckDB orders it above all numbers.
  faults = [
    (
      column,
      f'abs({value}) > {_LARGEST} AND NOT isnan({value})',
      f'a number below {_LARGEST:g} in size',
    )
  ]
  if field.transform == 'log1p':
    faults.append(
      (column, f'{value} <= -1', 'a number above -1, to take log(1 + x) of')
    )
  return faults


def _task_faults(
  task: source.SourceTask, table: source.SourceTable
) -> list[tuple[str, str, str]]:
  if task.timed:
    return []
  value = sql.quote(f'y_{task.name}')
  column = task.column or task.name
  faults = [(column, f'{value} IS NULL OR {value} NOT IN (0, 1)', '0 or 1')]
  parent = next((t for t in table.tasks if t.name == task.after), None)
  if parent is not None and not parent.timed:
    faults.append(
      (
        column,
        f'{value} = 1 AND {sql.quote(f"y_{parent.name}")} = 0',
        f'0 where {parent.column or parent.name!r} is 0 ({task.name} implies'
        f' {parent.name})',
      )
    )
  return faults
