"""How times are written: their unit, their format, and how long they span."""

from __future__ import annotations

import datetime
import itertools
import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from rmtl_jax.preparation import checks, sql
from rmtl_jax.preparation.guess import facts as facts_lib
from rmtl_jax.preparation.guess import number_names, time_names, words
from rmtl_jax.preparation.guess import sample as sample_lib

# Seconds since 1970 of the years in which logs were written: 2000, and of old
# ones 1980. Before that a number is more likely counted from a log's beginning.
_USUAL_S, _EARLIEST_S = 946_684_800, 315_532_800
_DAY_S = 86_400
_PER_SECOND = {'s': 1, 'ms': 10**3, 'us': 10**6, 'ns': 10**9}
# Numbers that count days since 1970, from the year 2000 on, or since 1900, as
# those of spreadsheets; more may be seconds.
_DAYS = 10_957, 100_000
_DAYS_OF_YEAR = 366
# Dates and times of day that are not ISO's.
_MONTH = (
  '(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)'
  r'(uary|ruary|ch|il|e|y|ust|t|tember|ober|ember)?\b'
)
_WRITTEN = (
  rf'(?i)\d{{1,4}}[-/.]\d{{1,2}}|\d{{1,2}}:\d\d|{_MONTH}[. -]{{1,2}}\d'
  rf'|\d+[ /-]{_MONTH}|\d{{8}}T'
)
# The same, or a day of the week before them.
_WEEKDAY = '(mon|tue|wed|thu|fri|sat|sun)(s|nes|rs|ur)?(day)?'
_MAY_BE_WRITTEN = rf'{_WRITTEN}|{_WEEKDAY},? (\d|{_MONTH})'
# Patterns of text that is not ISO's, the day before the month where both fit.
PATTERNS = (
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
  '%m/%Y',
  '%b-%Y',
  '%b-%y',
  '%b %Y',
  '%B %Y',
  *(
    f'{day}, {clock}'
    for day in ('%d.%m.%Y', '%d/%m/%Y', '%m/%d/%Y', '%d/%m/%y', '%m/%d/%y')
    for clock in ('%H:%M', '%H:%M:%S', '%I:%M %p', '%I:%M:%S %p')
  ),
  '%a, %d %b %Y %H:%M:%S %z',
  '%Y%m%dT%H%M%SZ',
  '%Y%m%dT%H%M%S.%gZ',
  '%b %d, %Y, %I:%M:%S %p',
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
# Of these the ones of a column that no name calls a time: 2020-01, Mar-15 and
# versions such as 3.1.12 may be anything.
_SURE_PATTERNS = [
  pattern
  for pattern in PATTERNS
  if ':' in pattern
  or ('%d' in pattern and '%Y' in pattern and pattern != '%Y.%m.%d')
  or pattern in ('%b-%Y', '%b %Y', '%B %Y')
]
# Of a month, as 10.2024, where the column is named so; else that is a number.
_DOTTED_MONTH = '%m.%Y'
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
# Of times of day as numbers, 2359 or 235959: the first that is none, and least
# different minutes or seconds.
_CLOCK, _LEAST_PARTS = 240_000, 10
# Years that `rmtl prepare` reads as dates, and the first day of these.
_YEARS = 1900, 2999
_FIRST_DAY = f"DATE '{_YEARS[0]}-01-01'"
# By how much a log must be shorter if years of two digits stand first.
_YEAR_FIRST = 30
# What is said of times that are not read, and of those that a format may tell.
_UNREAD, NO_FORMAT = 'which no schema reads', 'in no format known here'


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
    different: times in the sample; 0 where each stands for a whole month.
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


def value(facts: facts_lib.Facts, pattern: str = '') -> str:
  """SQL of values in the order of time."""
  if facts.kind == 'number' and pattern != _DOTTED_MONTH:
    return facts.number
  text = facts.text
  if pattern:
    return f'try_strptime({text}, {sql.literal(pattern)})'
  return f'TRY_CAST({text} AS TIMESTAMPTZ)'


def of_years(facts: facts_lib.Facts) -> Time | None:
  """The time in a column of years of four digits, or None."""
  first, last = _YEARS
  if not first <= facts.least <= facts.largest <= last:
    return None
  found = of_patterns(facts, ('%Y',))
  return found if found and found.form else None


def of_column(facts: facts_lib.Facts) -> Time | None:
  """The time in a column, by its values and its name, or None."""
  if facts.distinct < 2:
    return None
  named = time_names.is_time(facts.name) and not (
    facts.kind == 'number' and time_names.is_of_moment(facts.name)
  )
  if facts.kind == 'time':
    return _of_texts(facts, value(facts), {'unit': 'iso'})
  if facts.kind in ('text', 'list'):
    may_be = time_names.may_be_time(facts.name)
    found = of_patterns(facts, PATTERNS if may_be else _SURE_PATTERNS)
    return found if found and (named or found.form) else None
  if facts.kind != 'number':
    return None
  if not facts.whole:
    if time_names.is_month(facts.name) and (found := _of_dotted(facts)):
      return found
    is_since_1970 = named and unit_of(facts, _USUAL_S) == 's'
    return since_1970(facts, 's') if is_since_1970 else None
  if time_names.may_be_time(facts.name) and (found := _of_digits(facts)):
    return found
  first, last = _DAYS
  is_day = time_names.is_day(facts.name) and named
  is_day &= time_names.is_sure_time(facts.name)
  is_known = first <= facts.least <= facts.largest <= last
  # Beyond a year's, days count on since the log began.
  counts_on = facts.least >= 0 and _DAYS_OF_YEAR < facts.largest < first
  if is_day and (is_known or counts_on):
    return _of_days(facts)
  unit = unit_of(facts, _USUAL_S)
  # Numbers of ten digits may be ids.
  if unit and (named or unit != 's'):
    return since_1970(facts, unit)
  if named and (unit := unit_of(facts, _EARLIEST_S)):
    return since_1970(facts, unit)
  is_relative = facts.least >= 0 and facts.distinct >= _LEAST_RELATIVE
  is_relative &= not time_names.may_be_length(facts.name)
  if named and is_relative and number_names.measure(facts.name) != 'code':
    if parts := _parts_of_date(facts):
      why = f'{parts} such as {facts.largest:.0f}, {_UNREAD}'
      return Time(facts.name, {}, why, ())
    unit = 's' if facts.largest < _MOST_RELATIVE_S else 'ms'
    unit = next((u for u in _PER_SECOND if u in words.of(facts.name)), unit)
    if facts.largest * 1000 > checks.time_range(True)[1] * _PER_SECOND[unit]:
      return None  # no log takes so long
    why = (
      f'named like a time, from {facts.least:.0f} to {facts.largest:.0f}: not'
      f' since 1970, so read as {unit} since the log began'
    )
    rank = False, True, facts.distinct
    return Time(facts.name, {'unit': unit}, why, rank, is_date=False)
  return None


def _parts_of_date(facts: facts_lib.Facts) -> str:
  """What numbers such as 1631 and 1224 are; '' for counts."""
  value = facts.number
  low, high = f'{value} % 100', f'floor({value} / 100) % 100'
  is_clock, is_day, different = facts.sample.fetch(
    f'bool_and({low} < 60 AND {high} < 60),'
    f' bool_and({low} BETWEEN 1 AND 31 AND {high} BETWEEN 1 AND 12),'
    f' count(DISTINCT {low})'
  )[0]
  if different < _LEAST_PARTS or not facts.largest < _CLOCK:
    return ''
  if is_day and facts.largest < _CLOCK / 100:
    return 'days without a year'
  return 'times of day' if is_clock else ''


def _of_days(facts: facts_lib.Facts) -> Time:
  """Days as numbers, since 1970 or as spreadsheets have them."""
  first, last = facts.least * _DAY_S, facts.largest * _DAY_S
  is_date = first >= _USUAL_S and last < _tomorrow()
  as_they = 'as spreadsheets count them'
  if facts.largest < _DAYS[0]:
    as_they = 'since the log began'
  why = (
    f'in days since 1970 {_span(first, last)}'
    if is_date
    else f'named like a date, from {facts.least:.0f} to {facts.largest:.0f}:'
    f' read as days, {as_they}'
  )
  rank = is_date, False, facts.distinct
  return Time(
    facts.name,
    {'unit': 'd'},
    why,
    rank,
    is_date,
    days=facts.largest - facts.least,
    different=facts.distinct,
    has_clock=False,
  )


def _of_dotted(facts: facts_lib.Facts) -> Time | None:
  """Months such as 10.2024 in a column of text."""
  place = facts.sample.names.index(facts.name)
  if facts.sample.kinds[place] != 'text' or facts.decimal:
    return None  # a float has no 10.2020
  found = of_patterns(facts, (_DOTTED_MONTH,))
  return found if found and found.form else None


def _of_digits(facts: facts_lib.Facts) -> Time | None:
  """Dates as numbers, such as 20240501, 24050113 and 0511."""
  digits = {len(f'{end:.0f}') for end in (facts.least, facts.largest)}
  patterns = [
    pattern
    for pattern, first in _DIGITS.get(max(digits), ())
    if len(digits) == 1 and facts.least >= first
  ]
  if facts.codes and max(digits) == 4:  # as 0511
    patterns = ['%m%d']
  text = facts.text
  for value in (text, sql.strip_zero_fraction(text)):
    for pattern in patterns:
      found = of_patterns(facts, (pattern,), value)
      if found:  # no pattern reads 20240501.0
        if value == text:
          return found
        return found._replace(form={}, why=f'{found.why}, {_UNREAD}')
  return None


def of_patterns(
  facts: facts_lib.Facts, patterns: Sequence[str], text: str = ''
) -> Time | None:
  """Text of times (SQL, by default the column's); one pattern reads all."""
  text = text or facts.text
  shown = facts.sample.fetch(f'min({text})')[0][0] or ''
  if len(patterns) > 1 and not re.match(_MAY_BE_WRITTEN, shown):
    return None

  def read(value: str, pattern: str) -> str:
    return f'try_strptime({value}, {sql.literal(pattern)})'

  # What doesn't read one of the texts need not be tried on all.
  is_read = sql.fetch_row(
    facts.sample.connection,
    'SELECT '
    + ', '.join(f'{read(sql.literal(shown), p)} IS NOT NULL' for p in patterns),
  )
  values = {p: read(text, p) for p in itertools.compress(patterns, is_read)}
  # Years of two digits are no later than next year.
  until = ' AND {} < now()::TIMESTAMP + INTERVAL 1 YEAR'
  counts = [
    f'count(*) FILTER ({value} >= {_FIRST_DAY}'
    f'{until.format(value) if "%y" in pattern else ""})'
    for pattern, value in values.items()
  ]
  found = facts.sample.fetch(', '.join(counts))[0] if counts else ()
  fitting = {
    pattern: value
    for (pattern, value), count in zip(values.items(), found, strict=True)
    if count == facts.filled
  }
  if fitting:
    pattern = min(fitting, key=lambda p: _spread(facts.sample, p, fitting[p]))
    return _of_texts(facts, fitting[pattern], {'format': pattern})
  if not re.match(_MAY_BE_WRITTEN, shown):
    return None
  why = (
    f'times such as {shown!r}, {NO_FORMAT}: "format" beside'
    ' "column" in the schema\'s "time" says how to read them'
  )
  if re.match(r'\d{1,2}:\d\d', shown):
    why = f'times of day such as {shown!r}, {_UNREAD}'
  return Time(facts.name, {}, why, ())


def _spread(
  sample: sample_lib.Sample, pattern: str, value: str
) -> tuple[bool, float]:
  """The less, the likelier a pattern among several that read every time.

  The twelfth of May may be the fifth of December. A log is of a few days in a
  row rather than of the same day of many months, unless that is the first. A
  year of two digits stands first only where it spans far less so.
  """
  is_first, seconds = sample.fetch(
    f"bool_and({value} = date_trunc('month', {value})),"
    f" date_diff('second', min({value}), max({value}))"
  )[0]
  return not is_first, seconds * (_YEAR_FIRST if pattern[:2] == '%y' else 1)


def _of_texts(facts: facts_lib.Facts, value: str, form: dict[str, str]) -> Time:
  """Times (`value` is their SQL) that are text, or of a type of their own."""
  first, last, days, is_first = facts.sample.fetch(
    f'epoch(min({value})), epoch(max({value})), count(DISTINCT {value}::DATE),'
    f" bool_and({value} = date_trunc('month', {value}))"
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
    # The first of a month stands for all of it, which has no weekday.
    different=0 if is_first else facts.distinct,
    has_clock=not is_day,
    is_old=first < _USUAL_S,
  )


def since_1970(facts: facts_lib.Facts, unit: str) -> Time:
  """The time in a column of numbers that count from 1970."""
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


def unit_of(facts: facts_lib.Facts, earliest: int) -> str:
  """The unit in which all values are `earliest` (s) to tomorrow, or ''."""
  until = _tomorrow()
  return next(
    (
      unit
      for unit, times in _PER_SECOND.items()
      if facts.least / times >= earliest and facts.largest / times < until
    ),
    '',
  )


def _tomorrow() -> float:
  """In seconds since 1970, with a day more for time zones."""
  return datetime.datetime.now(datetime.UTC).timestamp() + 2 * _DAY_S
