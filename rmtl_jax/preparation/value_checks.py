"""Checks the rows of a reader, for every source."""

from __future__ import annotations

from collections.abc import Sequence

from rmtl_jax.config import kinds
from rmtl_jax.preparation import source, sql
from rmtl_jax.preparation.raw import raw_files as raw

# 1900 to 3000: other times most likely have another unit.
_EARLIEST_MS = -2_208_988_800_000
_LATEST_MS = 32_503_680_000_000
# 2000: hardly any log began earlier.
_USUAL_MS = 946_684_800_000
# Labels are stored as float32, which has these whole numbers.
LARGEST_LEVEL = 2**24
# Squares of normalised values must stay within double precision.
LARGEST = 1e30
# The product of two weights must be a float of 32 bits.
_LARGEST_WEIGHT = 1e15


def check(
  connection: sql.Connection, table: source.SourceTable, any_dates: bool = False
) -> None:
  """Checks times, session keys, numbers, labels and the funnel, in one pass.

  Args:
    any_dates: accept times before the year 2000.

  Raises:
    types.InputError: for the first row at fault; names file, column and row.
  """
  faults: list[raw.Fault] = []
  if table.has_time:
    takes_all = any_dates or table.any_dates
    column, condition, expected = time_fault(table.time_column, takes_all)
    remedy = '' if takes_all else '; --any_dates takes those from 1900 on'
    faults.append((column, condition, expected + remedy))
  keys = [
    name
    for name, given in (
      ('session', table.has_session),
      ('"user"', table.has_user),
    )
    if given
  ]
  if keys:
    faults.append(key_fault(table.key_column, keys))
  of_keys = len(faults)
  for field in table.fields:
    faults += field_faults(field)
  for task in table.tasks:
    faults += _task_faults(task, table)
  # Times and keys alone don't need the view, which may join other tables.
  cheap = table.keys if len(faults) == of_keys else ''
  raw.check(connection, table.table, faults, cheap or table.view, 'row_id')


def is_no_label(value: str, task: source.SourceTask) -> str:
  """SQL of a value that no label of the task can have."""
  if task.kind == kinds.BINARY:
    return f'{value} NOT IN (0, 1)'
  if task.levels:
    return f'{value} NOT IN ({", ".join(map(str, task.levels))})'
  if task.kind == kinds.ORDINAL:
    return (
      f'isnan({value}) OR abs({value}) > {LARGEST_LEVEL}'
      f' OR {value} <> round({value})'
    )
  low = {'any': '', 'zero': f' OR {value} < 0', 'positive': f' OR {value} <= 0'}
  labels = kinds.LOSSES.find(task.loss).labels
  return f'isnan({value}) OR abs({value}) > {LARGEST}{low[labels]}'


def time_range(any_dates: bool) -> tuple[int, int]:
  """The first and the last plausible time, ms.

  Args:
    any_dates: whether times may lie before the year 2000.
  """
  return _EARLIEST_MS if any_dates else _USUAL_MS, _LATEST_MS


def time_fault(
  column: str, any_dates: bool = True, text: str = ''
) -> raw.Fault:
  """The fault of an implausible `timestamp`, for `raw.check`.

  Args:
    column: of the time.
    any_dates: whether it may lie before the year 2000.
    text: what a time looks like that is text; empty for numbers.
  """
  earliest, latest = time_range(any_dates)
  years = f'between the years {1900 if any_dates else 2000} and 3000'
  return (
    column,
    f'timestamp IS NULL OR timestamp < {earliest} OR timestamp > {latest}',
    f'{text}, {years}'
    if text
    else f'a time {years}, in the unit that was named',
  )


def key_fault(column: str, keys: Sequence[str]) -> raw.Fault:
  """The fault of a row without any of the keys (SQL)."""
  nothing = ' AND '.join(f'{key} IS NULL' for key in keys)
  expected = (
    'a session id or a user: leave such rows out, or give each a user of its'
    ' own'
  )
  return column, nothing, expected


def field_faults(field: source.SourceField) -> list[raw.Fault]:
  """The faults of a numeric field's values, for `raw.check`."""
  if field.kind != 'numeric':
    return []
  value = sql.quote(field.source_column)
  column = field.column or field.name
  faults = [number_fault(column, value)]
  if field.transform == 'log1p':
    faults.append(
      (column, f'{value} <= -1', 'a number above -1, to take log(1 + x) of')
    )
  return faults


def label_time_fault(task: source.SourceTask) -> raw.Fault:
  """The fault of an implausible `t_<task>` that the log itself has."""
  value = sql.quote(f't_{task.name}')
  return (
    task.column,
    f'{value} < {_EARLIEST_MS} OR {value} > {_LATEST_MS}',
    'a time between the years 1900 and 3000, in the unit that was named, or'
    ' nothing',
  )


def parent_faults(
  task: source.SourceTask, tasks: Sequence[source.SourceTask]
) -> list[raw.Fault]:
  """The fault of a positive whose parent's label is 0, where it can be."""
  parent = next((t for t in tasks if t.name == task.after), None)
  # What only the parent's positives are judged on may be anything elsewhere.
  if parent is None or parent.timed or task.only_after:
    return []
  if task.timed and task.clock is None:  # of events
    return []
  is_positive, right = f'{sql.quote(f"y_{task.name}")} <> 0', '0'
  if task.timed:
    is_positive = f'{sql.quote(f"t_{task.name}")} IS NOT NULL'
    right = 'nothing'
  return [
    (
      task.column or task.name,
      f'{is_positive} AND {sql.quote(f"y_{parent.name}")} = 0',
      f'{right} where {parent.column or parent.name!r} is 0 ({task.name}'
      f' implies {parent.name})',
    )
  ]


def weight_fault(column: str, value: str) -> raw.Fault:
  """The fault of a weight (SQL), for `raw.check`."""
  wrong = f'{value} IS NULL OR NOT {value} BETWEEN 0 AND {_LARGEST_WEIGHT}'
  return column, wrong, f'a weight from 0 to {_LARGEST_WEIGHT:g}'


def number_fault(column: str, value: str) -> raw.Fault:
  """The fault of a number (SQL) too large for a feature, for `raw.check`."""
  # NaN means missing, as NULL does; DuckDB orders it above all numbers.
  return (
    column,
    f'abs({value}) > {LARGEST} AND NOT isnan({value})',
    f'a number below {LARGEST:g} in size',
  )


def _task_faults(
  task: source.SourceTask, table: source.SourceTable
) -> list[raw.Fault]:
  if task.timed and task.clock is None:  # of events
    return []
  if task.timed:
    return [label_time_fault(task), *parent_faults(task, table.tasks)]
  value = sql.quote(f'y_{task.name}')
  column = task.column or task.name
  expected = task.expected
  faults = [(column, is_no_label(value, task), expected)]
  if not task.nullable:
    # Only tasks of a schema have a column of the same name.
    remedy = (
      '; "null": "not_observed" in its task takes missing labels'
      if task.column
      else ''
    )
    faults.append((column, f'{value} IS NULL', f'{expected}{remedy}'))
  faults += [weight_fault(c, sql.quote(f'v_{c}')) for c in task.weights]
  return faults + parent_faults(task, table.tasks)
