"""Faults of a raw table's values, and the first row that has one.

What rmtl_jax.preparation.value_checks does.
"""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

from pyspark import sql
from pyspark.sql import functions as F

from experiments.spark import raw_columns
from rmtl_jax import types
from rmtl_jax.config import kinds
from rmtl_jax.preparation import schema as schema_lib
from rmtl_jax.preparation import source, value_checks
from rmtl_jax.preparation.raw import raw_files

# As in rmtl_jax.preparation.value_checks.
_EARLIEST_MS, _LATEST_MS = -2_208_988_800_000, 32_503_680_000_000
_LARGEST, _LARGEST_WEIGHT = 1e30, 1e15

# A raw column, the condition of a fault, and the expected value.
Fault = tuple[str, sql.Column, str]


def faults(rows: sql.DataFrame, schema: schema_lib.TableSchema) -> list[Fault]:
  """The faults that a row of a log may have."""
  found: list[Fault] = []
  if schema.time is not None:
    right = raw_columns.time(schema).between(_EARLIEST_MS, _LATEST_MS)
    expected = f'a time between the years 1900 and 3000 ({schema.clock.unit})'
    found.append((schema.time, ~F.coalesce(right, F.lit(False)), expected))
  if schema.session or schema.user:
    missing = [
      raw_columns.key(rows, name).isNull()
      for name in (schema.session, schema.user)
    ]
    expected = 'a session id or a user'
    name = schema.session or schema.user or ''
    found.append((name, missing[0] & missing[1], expected))
  for field in schema.fields:
    found += _field_faults(field)
  columns = {task.name: task.column for task in schema.tasks}
  for task in schema.tasks:
    value = raw_columns.number(task.column)
    record = kinds.LOSSES.find(task.loss)
    expected = kinds.expected(record, task.levels)
    wrong = _is_no_label(task)
    if task.nullable:
      wrong = raw_columns.column(task.column).isNotNull() & wrong
    found.append((task.column, wrong, expected))
    if task.after is not None and not task.only_after:
      parent = columns[task.after]
      wrong = (value != 0) & (raw_columns.number(parent) == 0)
      found.append((task.column, wrong, f'0 where {parent!r} is 0'))
  for name in raw_columns.weights(schema):
    wrong = ~F.coalesce(
      raw_columns.number(name).between(0, _LARGEST_WEIGHT), F.lit(False)
    )
    expected = f'a weight from 0 to {_LARGEST_WEIGHT:g}'
    found.append((name, wrong, expected))
  return found


def check(
  rows: sql.DataFrame, where: pathlib.Path, faults: Sequence[Fault]
) -> None:
  """Looks for rows that have a fault, in one pass.

  Args:
    rows: of the raw columns, with `row_id`.
    where: the log, for the error.
    faults: what to look for.

  Raises:
    types.InputError: for the first row with one; names its column.
  """
  firsts = rows.agg(
    *(F.min(F.when(fault, F.col('row_id'))) for _, fault, _ in faults)
  ).first()
  assert firsts is not None
  wrong = [i for i, row in enumerate(firsts) if row is not None]
  if wrong:
    first = min(wrong, key=lambda i: firsts[i])
    column, _, expected = faults[first]
    row = rows.where(F.col('row_id') == firsts[first]).first()
    assert row is not None
    value = row[raw_files.PREFIX + column]
    raise types.InputError(
      f'{where}: row_id {firsts[first]} (counted from 0 over all files), column'
      f' {column!r}: {value!r:.80}, expected {expected}'
    )


def _is_no_label(task: source.SourceTask) -> sql.Column:
  """Rows whose label is missing, or one that the task can't have."""
  value, labels = (
    raw_columns.number(task.column),
    kinds.LOSSES.find(task.loss).labels,
  )
  if task.kind == kinds.BINARY:
    right = value.isin(0.0, 1.0)
  elif task.levels:
    right = value.isin(*map(float, task.levels))
  elif task.kind == kinds.ORDINAL:
    right = (value == F.round(value)) & (
      F.abs(value) <= value_checks.LARGEST_LEVEL
    )
  else:
    right = ~F.isnan(value) & (F.abs(value) <= value_checks.LARGEST)
    if labels != 'any':
      right &= value >= 0 if labels == 'zero' else value > 0
  return ~F.coalesce(right, F.lit(False))


def _field_faults(
  field: source.SourceField,
) -> list[Fault]:
  if field.kind != 'numeric':
    return []
  raw, value = (
    raw_columns.column(field.column),
    raw_columns.number(field.column),
  )
  faults = [
    (field.column, raw.isNotNull() & value.isNull(), 'a number'),
    (
      field.column,
      ~F.isnan(value) & (F.abs(value) > _LARGEST),
      f'a number below {_LARGEST:g} in size',
    ),
  ]
  if field.transform == 'log1p':
    faults.append(
      (field.column, value <= -1, 'a number above -1, to take log(1 + x) of')
    )
  return faults
