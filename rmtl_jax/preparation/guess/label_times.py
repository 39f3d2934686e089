"""Columns that tell when a label became 1, as `converted_at` does.

Features of what was known before a row count such a label from then on; without
a time they count it from the end of its session, be it known by then or not.
But what becomes 1 after its split's end is 0 there, so where labels come late a
person must decide.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence
from typing import NamedTuple

from rmtl_jax.preparation.guess import facts as facts_lib
from rmtl_jax.preparation.guess import label_names, time_forms
from rmtl_jax.preparation.guess import labels as labels_lib

# Least rows whose label is 1, and of the log's length the most that these come
# late, in the mean: validation, its fifth, loses five times that share of them.
_LEAST_ROWS, _LATE = 10, 0.01


class Told(NamedTuple):
  """The column that tells when a label became 1.

  Attributes:
    facts: of the column; 0 may be its sentinel.
    is_soon: whether few labels came after their split's end.
  """

  facts: facts_lib.Facts
  is_soon: bool


def find(
  facts: Sequence[facts_lib.Facts],
  time: time_forms.Time | None,
  labels: Sequence[labels_lib.Label],
  taken: Collection[str],
) -> dict[str, Told]:
  """The column that tells when a label became 1, by the label's.

  It is the only one that is filled in exactly the rows whose label is 1, in the
  form of the rows' time and never before it.

  Args:
    facts: of all columns.
    time: of the rows.
    labels: those of 0 and 1 that all rows have are looked at.
    taken: names of columns that are something else.
  """
  if time is None:
    return {}
  at_row, times = _times(facts, time)
  times = {at: one for at, one in times.items() if one.name not in taken}
  result = {}
  for label in labels:
    is_observed = not label.facts.unseen and not label.facts.missing
    if label.kind != 'binary' or label.told_by or not is_observed:
      continue
    is_one = f'{label.facts.number} = 1'
    fitting = [
      Told(one, late <= _LATE)
      for at, one in times.items()
      if (late := _lateness(one, at, at_row, is_one)) is not None
    ]
    if len(fitting) == 1:
      result[label.column] = fitting[0]
  return result


def alone(
  facts: Sequence[facts_lib.Facts],
  time: time_forms.Time | None,
  given: Collection[str] = (),
) -> list[facts_lib.Facts]:
  """Times that are labels themselves; not every row has one.

  Args:
    given: columns that are labels, whatever their names; empty: those that are
      named like labels, of a log that has no others.
  """
  # Numbers since the log began may be lengths.
  if time is None or (given and not time.is_date):
    return []
  at_row, times = _times(facts, time)
  found = []
  for at, one in times.items():
    if one.name in given or (not given and label_names.is_label(one.name)):
      timed = dataclasses.replace(one, timed=True, filled=one.rows)
      is_one = f'{timed.number} = 1'
      late = _lateness(one, at, at_row, is_one)
      zeros = one.sample.fetch(f'count(*) FILTER (NOT {is_one})')[0][0]
      if late is not None and zeros >= _LEAST_ROWS:
        found.append(timed)
  return found


def _times(
  facts: Sequence[facts_lib.Facts], time: time_forms.Time
) -> tuple[str, dict[str, facts_lib.Facts]]:
  """SQL of the rows' times, and of others that have their form."""
  pattern = time.form.get('format', '')
  row = next(one for one in facts if one.name == time.column)
  others = {}
  for one in facts:
    if one.name == time.column or not one.filled:
      continue
    given = _without_zero(one)
    found = time_forms.of_column(given)
    if found and (found.form, found.is_date) == (time.form, time.is_date):
      others[_seconds(given, pattern)] = given
  return _seconds(row, pattern), others


def _seconds(facts: facts_lib.Facts, pattern: str) -> str:
  """SQL of times as numbers, in any unit; NULL where there is none."""
  at = time_forms.value(facts, pattern)
  if facts.kind != 'number':
    return f'epoch({at})'
  return at if facts.sentinel is None else f'nullif({at}, {facts.sentinel:g})'


def _without_zero(facts: facts_lib.Facts) -> facts_lib.Facts:
  """Facts of a number of which 0 stands for nothing, if nothing else does."""
  if facts.kind != 'number' or facts.sentinel is not None or facts.least:
    return facts
  value = facts.number
  least = facts.sample.fetch(f'min({value}) FILTER ({value} > 0)')[0][0]
  if least is None:
    return facts
  return dataclasses.replace(facts, sentinel=0.0, least=least)


def _lateness(
  facts: facts_lib.Facts, at: str, at_row: str, is_one: str
) -> float | None:
  """How late labels become 1 in the mean, as a share of the log's length.

  All are SQL: their times, those of the rows, whether a row's label is 1.

  Returns:
    None if there is not a time if a label is 1, and only then.
  """
  ones, others, before, delay, length = facts.sample.fetch(
    f'count(*) FILTER ({is_one}),'
    f' count(*) FILTER (({is_one}) <> ({at} IS NOT NULL)),'
    f' count(*) FILTER ({at} < {at_row}),'
    f' avg({at} - {at_row}), max({at_row}) - min({at_row})'
  )[0]
  if ones < _LEAST_ROWS or others or before:
    return None
  return delay / length if length else 1.0
