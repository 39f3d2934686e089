"""Raw values of declared meaning: SQL by the type of their column.

Files, tables in memory and rows to predict for are all read by it, so that one
value means one thing wherever it stands.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import pathlib
from collections.abc import Callable, Mapping

import pyarrow as pa

from rmtl_jax import types
from rmtl_jax.config import kinds
from rmtl_jax.data import parquet
from rmtl_jax.preparation import source, sql
from rmtl_jax.preparation.raw import raw_files as raw
from rmtl_jax.preparation.raw import times

# Number of the reading that a row's value does not fit, NULL for most rows.
_FAULT = 'fault_of_reading'
# What a reading is made of, while the table is.
_GIVEN = 'given_{}'


@dataclasses.dataclass(frozen=True)
class Reading:
  """One column of a raw table, made of a file's column.

  Attributes:
    column: the file's.
    type: DuckDB type that the file's column can become, see `check_type`.
    given: SQL of what stands in the column by its SQL and type; NULL where it
      is missing.
    value: SQL of what that means by the SQL of `given` and the type; NULL where
      it means nothing.
    expected: what a value should have been, for errors.
    is_number: whether text that SQL reads as a number means that number.
  """

  column: str
  type: str
  given: Callable[[str, pa.DataType], str]
  value: Callable[[str, pa.DataType], str]
  expected: str
  is_number: bool = False

  def sql(self, value: str, found: pa.DataType) -> str:
    """SQL of the value; NULL where it is missing or means nothing."""
    meant = self.value(self.given(value, found), found)
    if self.is_number and parquet.is_text(found):
      # Most text is a plain number, of which nothing else needs to be asked.
      number = f"nullif(TRY_CAST({value} AS DOUBLE), 'nan'::DOUBLE)"
      return f'coalesce({number}, {meant})'
    return meant


@dataclasses.dataclass(frozen=True)
class Missing:
  """Values of a column that mean missing, besides empty ones.

  Attributes:
    texts: in columns of text.
    values: in this column, whatever its type; of a number any spelling.
  """

  texts: tuple[str, ...] = ()
  values: tuple[str, ...] = ()

  @property
  def numbers(self) -> list[float]:
    """The values that are numbers."""
    found = []
    for value in self.values:
      with contextlib.suppress(ValueError):
        found.append(float(value))
    return [number for number in found if math.isfinite(number)]


def kept(value: str, found: pa.DataType, missing: Missing) -> str:
  """SQL of a raw column of keys in its own type; NULL where it is missing.

  Of its SQL and its type, as `text` and `given` are.
  """
  if pa.types.is_nested(found):
    return value
  if not parquet.is_text(found):
    return _null_if(value, _means_nothing(value, found, missing))
  value = sql.null_if_in(value, missing.texts)
  return _null_if(value, sql.is_in(value, missing.values))


def text(value: str, found: pa.DataType, missing: Missing) -> str:
  """SQL of a raw column as text; NULL where it is missing, not where empty."""
  value = kept(value, found, missing)
  if parquet.is_text(found):
    return f'CAST({value} AS VARCHAR)'
  return sql.value_text(value)


def given(value: str, found: pa.DataType, missing: Missing) -> str:
  """SQL of a raw number, time or label; NULL where it is missing."""
  if parquet.is_text(found):
    value = f"nullif(trim({sql.null_if_in(value, missing.texts)}), '')"
    value = _null_if(value, _is_nan_text(value))
  return _null_if(value, _means_nothing(value, found, missing))


def _is_nan_text(value: str) -> str:
  """SQL of whether a text is what programs write for NaN."""
  return f"lower(ltrim({value}, '+-')) = 'nan'"


def _means_nothing(value: str, found: pa.DataType, missing: Missing) -> str:
  """SQL of whether a value is NaN or declared to mean nothing; '' for never."""
  is_nan = sql.is_nan(value) if pa.types.is_floating(found) else ''
  if not missing.values:
    return is_nan
  listed = ', '.join(map(sql.literal, missing.values))
  condition = f'CAST({value} AS VARCHAR) IN ({listed})'
  has_numbers = (
    parquet.is_text(found)
    or pa.types.is_integer(found)
    or pa.types.is_floating(found)
    or pa.types.is_decimal(found)
  )
  if missing.numbers and has_numbers:
    numbers = ', '.join(map(sql.float_literal, missing.numbers))
    condition += f' OR TRY_CAST({value} AS DOUBLE) IN ({numbers})'
  return f'{is_nan} OR {condition}' if is_nan else condition


def _null_if(value: str, condition: str) -> str:
  return (
    f'CASE WHEN {condition} THEN NULL ELSE {value} END' if condition else value
  )


def of_time(column: str, clock: times.Time, missing: Missing) -> Reading:
  """Reads times, ms since 1970."""
  expected = raw.EXPECTED[clock.type]
  if clock.format:
    expected = f'a time as {clock.format!r} writes it'
  return Reading(
    column,
    clock.column_type,
    lambda value, found: given(value, found, missing),
    clock.ms,
    expected,
  )


def of_type(column: str, kind: str, missing: Missing) -> Reading:
  """Reads values by a cast to a DuckDB type."""
  return Reading(
    column,
    kind,
    lambda value, found: given(value, found, missing),
    lambda value, found: f'TRY_CAST({times.whole_us(value, found)} AS {kind})',
    raw.EXPECTED[kind],
    is_number=kind == 'DOUBLE' and not (missing.texts or missing.values),
  )


def of_number(column: str, missing: Missing) -> Reading:
  """Reads numbers, DOUBLE."""
  return of_type(column, 'DOUBLE', missing)


def of_label(task: source.SourceTask, missing: Missing) -> Reading:
  """Reads labels, DOUBLE."""
  number = of_number(task.column, missing)
  if task.kind != kinds.BINARY:
    return number
  least = task.at_least
  if least is not None:
    return dataclasses.replace(
      number,
      value=lambda value, found: (
        f'CAST({number.value(value, found)} >= {sql.float_literal(least)}'
        ' AS DOUBLE)'
      ),
      is_number=False,
    )
  if not task.is_told:
    return dataclasses.replace(
      number,
      value=lambda value, found: _truth(value, found, number),
      expected=raw.EXPECTED_LABEL,
    )
  # An empty text is no text elsewhere; here it may be a label.
  words = *task.positive, *task.negative
  empty = '' in words

  def written(value: str, found: pa.DataType) -> str:
    word = f"nullif(trim({text(value, found, missing)}), '')"
    if not any(one.lower() == 'nan' for one in words):
      word = _null_if(word, _is_nan_text(word))
    return f"coalesce({word}, '')" if empty else word

  def label(value: str, found: pa.DataType) -> str:
    cases = [f'WHEN {value} IS NULL THEN NULL']
    for ones, meaning in ((task.positive, 1), (task.negative, 0)):
      if ones:
        cases.append(f'WHEN {sql.is_in(value, ones)} THEN {meaning}')
    # One list alone says that all else is the other label.
    both = task.positive and task.negative
    rest = 'NULL' if both else '0' if task.positive else '1'
    return f'CAST(CASE {" ".join(cases)} ELSE {rest} END AS DOUBLE)'

  return Reading(task.column, 'VARCHAR', written, label, task.expected)


def _truth(value: str, found: pa.DataType, number: Reading) -> str:
  """SQL of a label that may be `true` or `false`."""
  as_number = number.value(value, found)
  if not parquet.is_text(found):
    return as_number
  return (
    f"CASE lower({value}) WHEN 'true' THEN 1::DOUBLE"
    f" WHEN 'false' THEN 0::DOUBLE ELSE {as_number} END"
  )


def select(
  readings: Mapping[str, Reading], type_of: Callable[[str], pa.DataType]
) -> list[str]:
  """SQL of the columns that readings make, and of those that they are made of.

  Args:
    readings: by the name that their column gets.
    type_of: the type of a file's column.
  """
  columns = []
  for i, (name, reading) in enumerate(readings.items()):
    column = sql.quote(reading.column)
    value = reading.sql(column, type_of(reading.column))
    columns.append(f'{value} AS {sql.quote(name)}')
    columns.append(f'{column} AS {_GIVEN.format(i)}')
  return columns


def checked(
  query: str,
  readings: Mapping[str, Reading],
  type_of: Callable[[str], pa.DataType],
) -> str:
  """A query with the columns of `select`, which `check` can look at.

  Args:
    query: selects them, beside others.
    readings: as for `select`.
    type_of: as for `select`.
  """
  if not readings:
    return query
  # Around the query: within it, DuckDB would read each value again to tell
  # whether it means nothing.
  wrong = []
  for i, (name, reading) in enumerate(readings.items()):
    there = reading.given(_GIVEN.format(i), type_of(reading.column))
    wrong.append(
      f'WHEN {sql.quote(name)} IS NULL AND {there} IS NOT NULL THEN {i}'
    )
  given = ', '.join(_GIVEN.format(i) for i in range(len(readings)))
  return (
    f'SELECT * EXCLUDE ({given}),'
    f' CAST(CASE {" ".join(wrong)} END AS INTEGER) AS {_FAULT} FROM ({query})'
  )


def check(
  connection: sql.Connection,
  table: raw.RawTable,
  readings: Mapping[str, Reading],
  row_id: str = 'rowid',
) -> None:
  """Raises for the first value that means nothing.

  Args:
    table: of a query that is `checked`, with the files to look at.
    readings: as for `select`.
    row_id: what numbers the rows.

  Raises:
    types.InputError: names file, column and row.
  """
  if not readings:
    return
  found = connection.execute(
    f'SELECT {row_id}, {_FAULT} FROM {table.name} WHERE {row_id} >='
    f' {table.files[0].first_row} AND {_FAULT} IS NOT NULL'
    f' ORDER BY {row_id} LIMIT 1'
  ).fetchall()
  for row, number in found:
    reading = list(readings.values())[number]
    table.fail(row, reading.column, reading.expected)


def check_type(
  path: pathlib.Path, name: str, found: pa.DataType, wanted: str
) -> None:
  """Refuses a column whose type can't become the wanted one.

  Args:
    wanted: as for `Reading.type`, or '' or VARCHAR for keys.

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
    'FLOAT': number or text,
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
