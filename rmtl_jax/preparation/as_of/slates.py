"""Numbers of a row compared with its slate: the session's rows of one time.

What is shown at once is a slate: the answers to a search, the goods on a shelf.
Which of them a user takes depends on the others: that a price is the lowest
says more than the price. Only features of the other rows are read, never their
labels. A log without a time has one slate per session.

Where `as_of` does not name `slate`, sessions are looked at first: rows that are
not shown at once would be compared with later ones, which serving lacks.

The values are such that every engine computes them alike to the last bit.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.preparation import source, sql

GROUP = 'slate'
# Details of a feature: the number that it compares, and one of KINDS.
NUMBER, KIND = 'number', 'compares'
# How many rows the slate has.
ROWS = 'slate_rows'
# What a number becomes: how far it lies over the mean of the slate, over the
# least and over the largest of the other rows'.
OVER_MEAN = 'over_mean'
OVER_LEAST, OVER_LARGEST = 'over_least', 'over_largest'
KINDS = (OVER_MEAN, OVER_LEAST, OVER_LARGEST)
# Of the sessions with several rows, the share that must be one slate; and of
# slates, where times don't tell, the share in which one row is taken.
_ONE_SLATE = _ONE_TAKEN = 0.9
# Of the sessions, the share that must not begin with a minute: else times may
# be rounded, to hours or days, and rows of one time may have come one by one.
_EXACT, _MINUTE_MS = 0.5, 60_000
# Share of the slates in which a number must differ, and how many numbers are
# compared at most where `slate` is not named: those that differ most often.
_DIFFERS, _NUMBERS = 0.1, 16


@dataclasses.dataclass(frozen=True)
class Found:
  """Statistics on the log's sessions as slates.

  Attributes:
    sessions: those of several rows.
    slates: those of them whose rows have one time.
    exact: those of them that don't begin with a minute.
    taken: in how many slates exactly one row is positive, by task.
    differ: in how many slates a number differs, by its field's name.
  """

  sessions: int
  slates: int
  exact: int
  taken: tuple[int, ...]
  differ: dict[str, int]

  @property
  def at_once(self) -> bool:
    """Whether a session's rows are shown at once.

    Rows of one hour or day may have come one by one; so may those without a
    time. They are a slate where exactly one of them is taken.
    """
    if not 0 < self.sessions * _ONE_SLATE <= self.slates:
      return False
    if self.exact >= _EXACT * self.sessions:
      return True
    return max(self.taken, default=0) >= _ONE_TAKEN * self.slates

  @property
  def numbers(self) -> tuple[str, ...]:
    """The numbers to compare where `as_of` does not name `slate`."""
    telling = [n for n, d in self.differ.items() if d >= _DIFFERS * self.slates]
    kept = sorted(telling, key=lambda name: -self.differ[name])[:_NUMBERS]
    return tuple(name for name in telling if name in kept)


def fields_of(rows: source.SourceTable) -> list[source.SourceField]:
  """The log's own numbers."""
  return [
    field
    for field in rows.fields
    if field.kind == 'numeric' and 'as_of' not in field.details
  ]


def find(connection: sql.Connection, rows: source.SourceTable) -> Found:
  """Looks at the log's own sessions; those without an id are not counted."""
  fields, tasks = fields_of(rows), rows.binary_tasks
  values = [_number_sql(field) for field in fields]
  positives = [
    f'count({sql.quote(f"t_{task.name}")})'
    if task.timed
    else f'count(*) FILTER (WHERE {sql.quote(f"y_{task.name}")} = 1)'
    for task in tasks
  ]
  marks = [f'{count} = 1' for count in positives]
  marks += [f'min({value}) < max({value})' for value in values]
  made = ''.join(f', {mark} AS m_{i}' for i, mark in enumerate(marks))
  counts = ''.join(
    f', count(*) FILTER (WHERE slate AND m_{i})' for i in range(len(marks))
  )
  sessions, slates, exact, *others = sql.fetch_row(
    connection,
    'SELECT count(*), count(*) FILTER (WHERE slate),'
    f' count(*) FILTER (WHERE start % {_MINUTE_MS} <> 0){counts} FROM ('
    ' SELECT min(timestamp) AS start, min(timestamp) = max(timestamp) AS slate'
    f' {made} FROM {rows.view}'
    ' WHERE session IS NOT NULL GROUP BY session HAVING count(*) > 1)',
  )
  taken, differ = others[: len(tasks)], others[len(tasks) :]
  by_name = dict(zip((f.name for f in fields), differ, strict=True))
  return Found(sessions, slates, exact, tuple(taken), by_name)


def _number_sql(field: source.SourceField) -> str:
  """SQL of a number of the log; NaN counts as missing."""
  value = sql.quote(field.source_column)
  return f'CASE WHEN NOT isnan({value}) THEN {value} END'


def number_columns(
  rows: source.SourceTable, numbers: Sequence[str]
) -> list[str]:
  """SQL of the columns `n_<i>` that `features_sql` takes."""
  by_name = {field.name: field for field in rows.fields}
  return [
    f'{_number_sql(by_name[name])} AS n_{i}' for i, name in enumerate(numbers)
  ]


def details(numbers: Sequence[str]) -> dict[str, dict[str, Any]]:
  """Details of the features for the manifest, by name."""
  return {ROWS: {}} | {
    f'{GROUP}_{number}_{kind}': {NUMBER: number, KIND: kind}
    for number in numbers
    for kind in KINDS
  }


def compared(fields: Iterable[manifest_lib.Field]) -> list[str]:
  """The numbers that prepared data compare, each once."""
  found = [field.details[NUMBER] for field in fields if NUMBER in field.details]
  return list(dict.fromkeys(map(str, found)))


def features_sql(keyed: str, numbers: Sequence[str]) -> str:
  """SQL of `row_id` and a DOUBLE per feature; NULL where a number is missing.

  Args:
    keyed: table with `row_id`, `session_id`, `timestamp` and the numbers as
      `n_<i>`.
    numbers: their fields' names.
  """
  # Numbers of 32 bits have the same sum of 64 bits in any order, unless they
  # are of very different sizes; then rounding takes care of the last bits.
  short = 'CAST(CAST(n_{} AS FLOAT) AS DOUBLE)'
  first, second, kept = ['count(*) AS n'], [], []
  columns = ['CAST(n AS DOUBLE)']
  for i in range(len(numbers)):
    mean = short.format(i)
    first.append(
      f'min(n_{i}) AS least_{i}, max(n_{i}) AS largest_{i},'
      f' avg({mean}) AS mean_{i}'
    )
    kept += [f'least_{i}', f'largest_{i}', f'mean_{i}']
    columns.append(f'CAST(CAST({mean} - mean_{i} AS FLOAT) AS DOUBLE)')
    for end, further, next_ in (('least', '>', 'min'), ('largest', '<', 'max')):
      second.append(
        f'count(*) FILTER (WHERE n_{i} = {end}_{i}) AS ties_{end}_{i},'
        f' {next_}(n_{i}) FILTER (WHERE n_{i} {further} {end}_{i})'
        f' AS next_{end}_{i}'
      )
      # What is at an end alone is compared with the next.
      columns.append(
        f'n_{i} - CASE WHEN n_{i} {further} {end}_{i} OR ties_{end}_{i} > 1'
        f' THEN {end}_{i} ELSE next_{end}_{i} END'
      )
  slate = 'session_id, timestamp'
  whole = ', '.join(f'min({name}) AS {name}' for name in ('n', *kept))
  of_slates = (
    f'SELECT {", ".join([slate, whole, *second])} FROM {keyed} JOIN ('
    f' SELECT {", ".join([slate, *first])} FROM {keyed} GROUP BY {slate})'
    f' USING ({slate}) GROUP BY {slate}'
  )
  named = ', '.join(
    f'{column} AS {sql.quote(name)}'
    for column, name in zip(columns, details(numbers), strict=True)
  )
  return (
    f'SELECT row_id, {named} FROM {keyed} JOIN ({of_slates}) USING ({slate})'
  )
