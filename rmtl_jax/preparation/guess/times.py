"""Which column is the time of a row, and in which unit."""

from __future__ import annotations

import datetime
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from rmtl_jax.preparation import sql
from rmtl_jax.preparation.guess import facts as facts_lib
from rmtl_jax.preparation.guess import (
  key_names,
  label_names,
  number_names,
  time_names,
  words,
)
from rmtl_jax.preparation.guess import keys as keys_lib
from rmtl_jax.preparation.guess import sample as sample_lib

# Seconds since 1970 of the years in which logs were written: 2000, and of old
# ones 1980. Before that a number is more likely counted from a log's beginning.
_USUAL_S, _EARLIEST_S = 946_684_800, 315_532_800
_DAY_S = 86_400
_PER_SECOND = {'s': 1, 'ms': 10**3, 'us': 10**6, 'ns': 10**9}
# Dates and times of day that are not ISO's.
_MONTH = '(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]*'
_WRITTEN = (
  rf'(?i)\d{{1,4}}[-/.]\d{{1,2}}|\d{{1,2}}:\d\d|{_MONTH}[. -]{{1,2}}\d'
  rf'|\d+[ /-]{_MONTH}|\d{{8}}T'
)
# The same, or a day of the week before them.
_MAY_BE_WRITTEN = rf'{_WRITTEN}|(mon|tue|wed|thu|fri|sat|sun)[a-z]*,? '
# Patterns of text that is not ISO's, the day before the month where both fit.
_PATTERNS = (
  '%Y-%m-%d %H',
  '%Y-%m-%d %H:%M:%S %z',
  '%Y/%m/%d %H:%M:%S',
  '%Y/%m/%d %H:%M',
  *(
    f'{day}{clock}'
    for day in (
      *('%d.%m.%Y', '%d/%m/%Y', '%m/%d/%Y', '%d-%m-%Y', '%m-%d-%Y'),
      *('%d.%m.%y', '%d/%m/%y', '%m/%d/%y', '%d-%m-%y', '%m-%d-%y'),
      *('%Y.%m.%d', '%y.%m.%d', '%y/%m/%d', '%y-%m-%d'),
    )
    for clock in ('', ' %H:%M', ' %H:%M:%S', ' %I:%M %p', ' %I:%M:%S %p')
  ),
  '%d/%b/%Y:%H:%M:%S %z',
  '%a %b %d %H:%M:%S %z %Y',
  '%d-%b-%Y %H:%M:%S',
  '%d-%b-%Y %H:%M',
  '%d-%b-%Y',
  '%d-%b-%y %H:%M',
  '%d-%b-%y',
  '%d/%b/%Y %H:%M',
  '%d/%b/%y %I:%M %p',
  '%Y-%m',
  '%b-%Y',
  '%b-%y',
  '%b %Y',
  '%B %Y',
  '%m/%d/%Y, %I:%M:%S %p',
  '%d/%m/%Y, %H:%M:%S',
  '%a, %d %b %Y %H:%M:%S %z',
  '%Y%m%dT%H%M%SZ',
  '%b %d, %Y %I:%M:%S %p',
  '%b %d, %Y %I:%M %p',
  '%b %d, %Y %H:%M:%S',
  '%b %d, %Y %H:%M',
  '%b %d, %Y',
  '%B %d, %Y',
  '%d %b %Y %H:%M:%S',
  '%d %b %Y %H:%M',
  '%d %b %Y',
  '%d %B %Y',
)
# Patterns of digits alone, by how many there are, and the first of them: of
# 1980, or since 2000 where the year has two digits.
_DIGITS = {
  6: (('%Y%m', 190_001), ('%y%m%d', 0)),
  8: (('%Y%m%d', 19_000_101), ('%y%m%d%H', 0)),
  10: (('%Y%m%d%H', 1_980_010_100),),
  12: (('%Y%m%d%H%M', 198_001_010_000),),
  14: (('%Y%m%d%H%M%S', 19_800_101_000_000),),
  17: (('%Y%m%d%H%M%S%g', 19_800_101_000_000_000),),
}
# Least times that are counted from a log's beginning, and the most seconds of
# one, 20 years: more are milliseconds.
_LEAST_RELATIVE, _MOST_RELATIVE_S = 100, 630_720_000
# Most rows without a time of a column that might be the rows'.
_FEW_MISSING = 0.05
# Years that `rmtl prepare` reads as dates, and the first day of these.
_YEARS = 1900, 2999
_FIRST_DAY = f"DATE '{_YEARS[0]}-01-01'"
# Of a time that no name tells: the year from which on numbers may be seconds
# (1990), least different dates and numbers, and the share of changes from row
# to row, or of users and items who come back, that is enough.
_FIRST_S, _LEAST_DATES, _LEAST_NUMBERS = 631_152_000, 3, 100
_IN_ORDER, _VARIED = 0.95, 0.5
# What is said of times that are not read, and of those that a format may tell.
_UNREAD, NO_FORMAT = 'which no schema reads', 'in no format known here'
# Why a time is that of rows.
IN_ORDER = 'rows stand in its order'
# Roles by whose names a number is no time.
_KEYS = 'user', 'item', 'session'
# Least changes that tell an order.
_LEAST_CHANGES = 20


class Time(NamedTuple):
  """A column of times.

  Attributes:
    column: its name.
    form: what a schema says of it beside the column; empty if it can say
      nothing.
    why: the form was taken.
    rank: of several the greatest is the row's.
    is_date: whether it tells days since 1970, not times from a beginning.
    days: between the first and the last.
    different: times in the sample.
    has_clock: whether it tells more than days.
    is_old: whether it begins before the year 2000.
  """

  column: str
  form: dict[str, str]
  why: str
  rank: tuple[float, ...]
  is_date: bool = True
  days: float = 0.0
  different: int = 0
  has_clock: bool = True
  is_old: bool = False

  @property
  def needs_any_dates(self) -> bool:
    """Whether `rmtl prepare` takes such times with --any_dates alone."""
    return self.is_old or not self.is_date


def find(
  sample: sample_lib.Sample, facts: Sequence[facts_lib.Facts]
) -> tuple[Time | None, dict[str, str]]:
  """The time of the rows, and why other columns of times are not it."""
  found = [
    time
    for one in facts
    if (time := _of_column(sample, one))
    if time.is_date or _counts_on(sample, one, facts)
  ]
  complete = {one.name for one in facts if one.filled == one.rows}
  rows = [
    time
    for time in found
    if time.form
    and time.column in complete
    and time_names.may_be_time(time.column)
    and not time_names.is_before(time.column)
  ]
  if any(time_names.is_order(time.column) for time in rows):
    rows = [t for t in rows if not time_names.comes_of_order(t.column)]
  # The date of an answer is the row's where nothing else is: every row of a log
  # of clicks has one.
  sure = [
    time
    for time in rows
    if not label_names.is_label(time.column)
    and not time_names.is_later(time.column)
  ]
  dates = [t for t in rows if t.is_date and not time_names.is_once(t.column)]
  glued = [
    t
    for t in found
    if t.form and t.is_date and t.column in complete
    if time_names.may_be_date(t.column)
    if not time_names.is_before(t.column)
  ]
  best = max(sure or dates or glued, key=_fitness, default=None)
  filled = {one.name: one.filled for one in facts}
  others = {}
  for time in found:
    if time is best:
      continue
    missing = sample.rows - filled[time.column]
    if time.form and 0 < missing < _FEW_MISSING * sample.rows:
      others[time.column] = (
        f'{time.why}; it might be the time, but rows without one:'
        f' {missing:,} of {sample.rows:,}, which `rmtl prepare` does not take'
      )
    elif missing:
      others[time.column] = f'{time.why}, of something that not every row has'
    elif best:
      others[time.column] = f'{time.why}; {best.column} is the time'
    elif not time.form:
      others[time.column] = time.why
    else:
      others[time.column] = f'{time.why}; not the time of a row by its name'
  return best, others


def _counts_on(
  sample: sample_lib.Sample,
  facts: facts_lib.Facts,
  others: Sequence[facts_lib.Facts],
) -> bool:
  """Whether numbers named like times are a log's own, not counts and lengths.

  Where the name says more than that, they rise with the rows, of all or of each
  user or session, as those of `screen_time` don't.
  """
  if time_names.is_sure_time(facts.name):
    return True
  if not time_names.ends_in_time(facts.name):
    return False
  named = keys_lib.by_names(sample, others)
  ids = [one.name for one in others if keys_lib.is_id_that_comes_back(one)]
  by = [
    None,
    *(named[role].column for role in ('user', 'session') if role in named),
  ]
  value = _value(sample, facts)
  return any(
    _is_in_order(sample, value, column, _LEAST_CHANGES)
    for column in [*by, *ids]
  )


def because_of(
  time: Time, before: Time, others: Mapping[str, str]
) -> dict[str, str]:
  """Why other columns are not the time, where one took the place of another."""
  said = f'; {before.column} is the time'
  instead = f'; {time.column} is the time'
  reasons = {name: why.replace(said, instead) for name, why in others.items()}
  return reasons | {before.column: before.why + instead}


def may_be_relative(
  sample: sample_lib.Sample, facts: Sequence[facts_lib.Facts]
) -> list[str]:
  """Columns that are named like times since the log began, in no order."""
  return [
    one.name
    for one in facts
    if time_names.ends_in_time(one.name)
    and (time := _of_column(sample, one))
    and not time.is_date
    and not _counts_on(sample, one, facts)
  ]


def _fitness(time: Time) -> tuple[float, ...]:
  """The greater, the likelier a time is the row's: its end tells its length."""
  is_date, has_clock, distinct = time.rank
  is_end = time_names.is_end(time.column)
  is_later = time_names.is_later(time.column)
  return is_date, not is_later, has_clock, not is_end, distinct


def fault(
  log: pathlib.Path,
  sample: sample_lib.Sample,
  facts: Sequence[facts_lib.Facts],
  time: Time | None,
) -> str:
  """The line that names a row without a real date; '' if every row has one.

  `rmtl prepare` takes no row without a time, where the log has times. A number
  since the log began may be negative.
  """
  if time is None or not time.is_date:
    return ''
  one = next(one for one in facts if one.name == time.column)
  if one.sentinel is None:
    return ''
  return sample.fault(
    log,
    one.name,
    f'{facts_lib.number(sample, one)} = {one.sentinel:g}',
    "the row's time, as the column is named; leave rows without one out, or"
    ' rename the column',
  )


def by_values(
  sample: sample_lib.Sample,
  facts: Sequence[facts_lib.Facts],
  keys: Mapping[str, keys_lib.Key],
) -> tuple[Time | None, list[str]]:
  """The time of the rows of a log in which no name says it.

  Every row has one, that of a user or an item is not the same in all rows (as
  a birthday is), and rows stand in its order; or it differs within users and
  within items alike. Seconds since 1970 look like ids: they need the order.

  Args:
    sample: the rows.
    facts: of the columns.
    keys: of user and item, by their names.

  Returns:
    The time, and the columns that may be it where these are several.
  """
  fitting = [
    time._replace(why=f'{time.why}; no name says time, but {why}')
    for one in facts
    if (time := _unnamed(sample, one))
    and time.form
    and (why := _of_rows(sample, one, time, keys))
  ]
  first = [time for time in fitting if not time_names.is_later(time.column)]
  near = [time for time in first if time_names.is_nearly_time(time.column)]
  for found in (fitting, first, near):
    if len(found) == 1:
      return found[0], []
  return None, [time.column for time in fitting]


def _unnamed(sample: sample_lib.Sample, facts: facts_lib.Facts) -> Time | None:
  """The time in a column, whatever its name, unless that says what else."""
  name = facts.name
  if (
    label_names.is_label(name)
    or time_names.is_time_of_key(name)
    or time_names.is_before(name)
  ):
    return None
  if facts.filled < facts.rows or facts.sentinel is not None:
    return None
  if facts.kind in ('time', 'text', 'list'):
    if facts.distinct < _LEAST_DATES or facts.truth:
      return None
    # Versions such as 3.1.12 are no dates.
    return _of_column(sample, facts) or _of_patterns(
      sample, facts, [p for p in _PATTERNS if '%y' not in p or ':' in p]
    )
  if (
    not facts.whole
    or facts.distinct < _LEAST_NUMBERS
    or number_names.measure(name)
    or any(key_names.rank(name, role) is not None for role in _KEYS)
  ):
    return None
  # Numbers that rows of the log count on are ids.
  is_counted = facts.distinct == facts.rows
  is_counted &= facts.largest - facts.least < 2 * sample.log_rows
  unit = _unit(facts, _FIRST_S)
  return _since_1970(facts, unit) if unit and not is_counted else None


def _of_rows(
  sample: sample_lib.Sample,
  facts: facts_lib.Facts,
  time: Time,
  keys: Mapping[str, keys_lib.Key],
) -> str:
  """Why times are those of rows, or ''."""
  value = _value(sample, facts, time.form.get('format', ''))
  shares = {
    role: _varied(sample, value, keys[role].column)
    for role in ('user', 'item')
    if role in keys
  }
  if any(share < _VARIED for share in shares.values() if share is not None):
    return ''
  by = [None, *(keys[role].column for role in ('user',) if role in keys)]
  if any(_is_in_order(sample, value, column) for column in by):
    return IN_ORDER
  is_sure = facts.kind == 'time' or facts.largest > _FIRST_S * 100
  if is_sure and len(shares) == 2 and None not in shares.values():
    return 'it differs within users and within items'
  return ''


def _value(
  sample: sample_lib.Sample, facts: facts_lib.Facts, pattern: str = ''
) -> str:
  """SQL of values in the order of time."""
  if facts.kind == 'number':
    return facts_lib.number(sample, facts)
  text = facts_lib.text(sample, facts)
  if pattern:
    return f'try_strptime({text}, {sql.literal(pattern)})'
  return f'TRY_CAST({text} AS TIMESTAMPTZ)'


def _varied(sample: sample_lib.Sample, value: str, column: str) -> float | None:
  """The share of keys with several rows that have several values, if any."""
  key = sample.column(column)
  return sample.connection.execute(
    'SELECT avg(CAST(n > 1 AS INT)) FROM (SELECT count(DISTINCT'
    f' {value}) AS n FROM {sample.table} WHERE {key} IS NOT NULL'
    f' GROUP BY {key} HAVING count(*) > 1)'
  ).fetchall()[0][0]


def _is_in_order(
  sample: sample_lib.Sample, value: str, column: str | None, least: int = 0
) -> bool:
  """Whether values rise or fall with the rows, of all or of each key.

  Args:
    sample: the rows.
    value: SQL of the values.
    column: the key, or None.
    least: changes that there are.
  """
  part = f'PARTITION BY {sample.column(column)}' if column else ''
  up, down = sample.connection.execute(
    'SELECT count(*) FILTER (v > before), count(*) FILTER (v < before) FROM'
    f' (SELECT {value} AS v, lag({value}) OVER ({part} ORDER BY'
    f' {sample_lib.ORDER}) AS before FROM {sample.table})'
  ).fetchall()[0]
  return up + down >= least and max(up, down) >= _IN_ORDER * max(up + down, 1)


def of_years(sample: sample_lib.Sample, facts: facts_lib.Facts) -> Time | None:
  """The time in a column of years of four digits, or None."""
  first, last = _YEARS
  if not first <= facts.least <= facts.largest <= last:
    return None
  found = _of_patterns(sample, facts, ('%Y',))
  # No weekday is made of years.
  return found._replace(different=0) if found and found.form else None


def _of_column(
  sample: sample_lib.Sample, facts: facts_lib.Facts
) -> Time | None:
  if facts.distinct < 2:
    return None
  named = time_names.is_time(facts.name) and not (
    facts.kind == 'number' and time_names.is_of_moment(facts.name)
  )
  if facts.kind == 'time':
    return _of_texts(sample, facts, _value(sample, facts), {'unit': 'iso'})
  if named and facts.kind in ('text', 'list'):
    return _of_patterns(sample, facts, _PATTERNS)
  if facts.kind != 'number':
    return None
  if not facts.whole:
    is_since_1970 = named and _unit(facts, _USUAL_S) == 's'
    return _since_1970(facts, 's') if is_since_1970 else None
  if time_names.may_be_time(facts.name) and (
    found := _of_digits(sample, facts)
  ):
    return found
  unit = _unit(facts, _USUAL_S)
  # Numbers of ten digits may be ids.
  if unit and (named or unit != 's'):
    return _since_1970(facts, unit)
  if named and (unit := _unit(facts, _EARLIEST_S)):
    return _since_1970(facts, unit)
  is_relative = facts.least >= 0 and facts.distinct >= _LEAST_RELATIVE
  is_relative &= not time_names.may_be_length(facts.name)
  if named and is_relative and number_names.measure(facts.name) != 'code':
    unit = 's' if facts.largest < _MOST_RELATIVE_S else 'ms'
    unit = next((u for u in _PER_SECOND if u in words.of(facts.name)), unit)
    why = (
      f'named like a time, from {facts.least:.0f} to {facts.largest:.0f}: not'
      f' since 1970, so read as {unit} since the log began'
    )
    rank = False, True, facts.distinct
    return Time(facts.name, {'unit': unit}, why, rank, is_date=False)
  return None


def _of_digits(
  sample: sample_lib.Sample, facts: facts_lib.Facts
) -> Time | None:
  """Dates as numbers, such as 20240501 and 24050113."""
  digits = {len(f'{end:.0f}') for end in (facts.least, facts.largest)}
  patterns = [
    pattern
    for pattern, first in _DIGITS.get(max(digits), ())
    if len(digits) == 1 and facts.least >= first
  ]
  text = facts_lib.text(sample, facts)
  for value in (text, sql.strip_zero_fraction(text)):
    for pattern in patterns:
      found = _of_patterns(sample, facts, (pattern,), value)
      if found:  # no pattern reads 20240501.0
        if value == text:
          return found
        return found._replace(form={}, why=f'{found.why}, {_UNREAD}')
  return None


def _of_patterns(
  sample: sample_lib.Sample,
  facts: facts_lib.Facts,
  patterns: Sequence[str],
  text: str = '',
) -> Time | None:
  """Text of times (SQL, by default the column's); one pattern reads all."""
  text = text or facts_lib.text(sample, facts)
  shown = sample.fetch(f'min({text})')[0][0] or ''
  if len(patterns) > 1 and not re.match(_MAY_BE_WRITTEN, shown):
    return None
  values = [f'try_strptime({text}, {sql.literal(p)})' for p in patterns]
  # Years of two digits are no later than next year.
  until = ' AND {} < now()::TIMESTAMP + INTERVAL 1 YEAR'
  counts = sample.fetch(
    ', '.join(
      f'count(*) FILTER ({value} >= {_FIRST_DAY}'
      f'{until.format(value) if "%y" in pattern else ""})'
      for pattern, value in zip(patterns, values, strict=True)
    )
  )[0]
  fitting = {
    pattern: value
    for pattern, value, count in zip(patterns, values, counts, strict=True)
    if count == facts.filled
  }
  if fitting:
    pattern = min(fitting, key=lambda each: _spread(sample, fitting[each]))
    return _of_texts(sample, facts, fitting[pattern], {'format': pattern})
  if not re.match(_MAY_BE_WRITTEN, shown):
    return None
  why = (
    f'times such as {shown!r}, {NO_FORMAT}: "format" beside'
    ' "column" in the schema\'s "time" says how to read them'
  )
  if re.match(r'\d{1,2}:\d\d', shown):
    why = f'times of day such as {shown!r}, {_UNREAD}'
  return Time(facts.name, {}, why, ())


def _spread(sample: sample_lib.Sample, value: str) -> tuple[bool, float]:
  """The less, the likelier a pattern among several that read every time.

  The twelfth of May may be the fifth of December. A log is of a few days in a
  row rather than of the same day of many months, unless that is the first.
  """
  is_first, seconds = sample.fetch(
    f"bool_and({value} = date_trunc('month', {value})),"
    f" date_diff('second', min({value}), max({value}))"
  )[0]
  return not is_first, seconds


def _of_texts(
  sample: sample_lib.Sample,
  facts: facts_lib.Facts,
  value: str,
  form: dict[str, str],
) -> Time:
  """Times that are text, or of a type of their own.

  Args:
    sample: the rows.
    facts: of the column.
    value: SQL of the times.
    form: for the schema.
  """
  first, last, days = sample.fetch(
    f'epoch(min({value})), epoch(max({value})), count(DISTINCT {value}::DATE)'
  )[0]
  if first is None or last is None:
    why = f'times, some of them infinite, {_UNREAD}'
    return Time(facts.name, {}, why, ())
  is_day = days == facts.distinct
  why = f'{"days" if is_day else "times"} {_span(first, last)}'
  if 'format' in form:
    why += f', as {form["format"]}'
  return Time(
    facts.name,
    form,
    why,
    (True, not is_day, facts.distinct),
    days=(last - first) / _DAY_S,
    different=facts.distinct,
    has_clock=not is_day,
    is_old=first < _USUAL_S,
  )


def _since_1970(facts: facts_lib.Facts, unit: str) -> Time:
  first, last = (
    facts.least / _PER_SECOND[unit],
    facts.largest / _PER_SECOND[unit],
  )
  return Time(
    facts.name,
    {'unit': unit},
    f'in {unit} since 1970 {_span(first, last)}',
    (True, True, facts.distinct),
    days=(last - first) / _DAY_S,
    different=facts.distinct,
    is_old=first < _USUAL_S,
  )


def _span(first: float, last: float) -> str:
  """'from 2024-05-01 to 2024-05-28', of seconds since 1970."""
  ends = (
    np.datetime64(int(at), 's').astype('datetime64[D]') for at in (first, last)
  )
  return 'from {} to {}'.format(*ends)


def _unit(facts: facts_lib.Facts, earliest: int) -> str:
  """The unit in which all values are `earliest` (s) to tomorrow, or ''."""
  now = datetime.datetime.now(datetime.UTC).timestamp() + 2 * _DAY_S
  return next(
    (
      unit
      for unit, times in _PER_SECOND.items()
      if facts.least / times >= earliest and facts.largest / times < now
    ),
    '',
  )
