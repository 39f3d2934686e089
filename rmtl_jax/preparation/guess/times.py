"""Which column is the time of a row, and in which unit."""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from rmtl_jax.preparation.guess import facts as facts_lib
from rmtl_jax.preparation.guess import names
from rmtl_jax.preparation.guess import sample as sample_lib

# Seconds since 1970 of the years in which logs were written.
_EARLIEST_S = 946_684_800
_DAY_S = 86_400
_PER_SECOND = {'s': 1, 'ms': 10**3, 'us': 10**6, 'ns': 10**9}
# Days as numbers, such as 20240501.
_FIRST_DAY, _LAST_DAY = 19_000_101, 21_001_231
# Dates and times of day that are not ISO's.
_WRITTEN = r'\d{1,4}[-/.]\d{1,2}|\d{1,2}:\d\d'
# Least times that are counted from a log's beginning.
_LEAST_RELATIVE = 100


class Time(NamedTuple):
  """A column of times.

  Attributes:
    column: its name.
    unit: of schema.UNITS; empty if a schema can't say it.
    why: the unit was taken.
    is_date: whether it tells days since 1970, not times from a beginning.
    rank: of several the greatest is the row's.
  """

  column: str
  unit: str
  why: str
  is_date: bool
  rank: tuple[float, ...]


def find(
  sample: sample_lib.Sample, facts: Sequence[facts_lib.Facts]
) -> tuple[Time | None, dict[str, str]]:
  """The time of the rows, and why other columns of times are not it."""
  found = [time for one in facts if (time := _of_column(sample, one))]
  complete = {one.name for one in facts if one.filled == one.rows}
  rows = [
    time
    for time in found
    if time.unit
    and time.column in complete
    and names.is_time(time.column)
    and not names.is_label(time.column)
  ]
  best = max(rows, key=lambda time: time.rank, default=None)
  others = {}
  for time in found:
    if time is best:
      continue
    if time.column not in complete:
      others[time.column] = f'{time.why}, of something that not every row has'
    elif best:
      others[time.column] = f'{time.why}; {best.column} is the time'
    elif not time.unit:
      others[time.column] = f'{time.why}, which no unit of a schema reads'
    else:
      others[time.column] = f'{time.why}; not the time of a row by its name'
  return best, others


def _of_column(
  sample: sample_lib.Sample, facts: facts_lib.Facts
) -> Time | None:
  if facts.distinct < 2:
    return None
  named = names.is_time(facts.name)
  if facts.kind == 'time':
    value = f'TRY_CAST({facts_lib.text(sample, facts)} AS TIMESTAMPTZ)'
    first, last, days = sample.fetch(
      f'min({value})::VARCHAR, max({value})::VARCHAR,'
      f' count(DISTINCT {value}::DATE)'
    )[0]
    is_day = days == facts.distinct
    return Time(
      facts.name,
      'iso',
      f'{"days" if is_day else "times"} from {first[:10]} to {last[:10]}',
      True,
      (True, not is_day, facts.distinct),
    )
  if named and facts.kind in ('text', 'list'):
    value = facts_lib.text(sample, facts)
    shown = sample.fetch(f'min({value})')[0][0] or ''
    if re.match(_WRITTEN, shown):
      return Time(facts.name, '', f'times such as {shown!r}', True, ())
  if facts.kind != 'number' or not facts.whole:
    return None
  is_days = facts.least >= _FIRST_DAY and facts.largest <= _LAST_DAY
  if named and is_days and _is_day(facts.least) and _is_day(facts.largest):
    why = f'days, such as {facts.least:.0f}'
    return Time(facts.name, '', why, True, ())
  unit = _unit(facts)
  # Numbers of ten digits may be ids.
  if unit and (named or unit != 's'):
    return _since_1970(facts, unit)
  is_relative = facts.least >= 0 and facts.distinct >= _LEAST_RELATIVE
  if named and is_relative and names.measure(facts.name) != 'code':
    unit = next((u for u in _PER_SECOND if u in names.words(facts.name)), 's')
    why = (
      f'named like a time, from {facts.least:.0f} to {facts.largest:.0f}: not'
      f' since 1970, so read as {unit} since the log began'
    )
    return Time(facts.name, unit, why, False, (False, True, facts.distinct))
  return None


def _since_1970(facts: facts_lib.Facts, unit: str) -> Time:
  first, last = (
    np.datetime64(int(at / _PER_SECOND[unit]), 's').astype('datetime64[D]')
    for at in (facts.least, facts.largest)
  )
  why = f'in {unit} since 1970 from {first} to {last}'
  if unit == 'ns':
    return Time(facts.name, '', f'{why}; write ms or us', True, ())
  return Time(facts.name, unit, why, True, (True, True, facts.distinct))


def _unit(facts: facts_lib.Facts) -> str:
  """The unit in which all values are days from 2000 to tomorrow, or ''."""
  now = datetime.datetime.now(datetime.UTC).timestamp() + 2 * _DAY_S
  return next(
    (
      unit
      for unit, times in _PER_SECOND.items()
      if facts.least / times >= _EARLIEST_S and facts.largest / times < now
    ),
    '',
  )


def _is_day(number: float) -> bool:
  try:
    datetime.datetime.strptime(f'{number:.0f}', '%Y%m%d')
  except ValueError:
    return False
  return True
