"""What names of columns say of times."""

from __future__ import annotations

import re
from collections.abc import Iterable

from rmtl_jax.preparation.guess import words

_TIME = words.listed(
  'time timestamp ts date datetime dt at when epoch day datum fecha zeitpunkt'
  ' zeitstempel horodatage'
)
_GLUED_TIME = '(event|log|visit|create|order)(date|time)$|timestamp$'
# Of the row where no other name says time.
_GLUED_DATE = '(start|begin|end|sale|issue|purchase|transaction|request)date$'
# Times of a user or of an item, not of the row: `birth_date`.
_TIME_OF_KEY = (
  'since birth birthday birthdate born dob register registered registration'
  ' signup join joined joining onboarding release released publish published'
  ' expire expiry hired hiring bind inception alta naissance nacimiento'
  ' nascimento nascita geburtsdatum geburtstag cohort'
)
is_time_of_key = words.any_of(_TIME_OF_KEY)
# Of what was before the row.
_BEFORE = words.listed('last latest previous prev prior recent first')
# Those, parts of times and lengths of time.
_NO_TIME = words.listed(
  f'{_TIME_OF_KEY} hour hourmin weekday dow month mois year minute tz zone play'
  ' watch dwell stay spent duration delay gap listen read per avg mean'
)
# Times that may be dates or lengths, as their numbers are: `response_time`.
may_be_length = words.any_of(
  'lead elapsed reaction wait waiting travel response reply delivery completion'
  ' finish passed processing load loading service cook prep preparation'
)
# Words that make a time that of a row, and what may stand beside one.
_SURE_TIME = words.listed('timestamp stamp ts at start')
_UNITS = words.listed(
  's ms us ns sec secs seconds millis milliseconds micros nanos'
)
# Those of them that are words of other languages, or of numbers.
_NO_SURE_TIME = words.listed('datum')
# Words behind the `at` of a time.
_ZONES = words.listed('utc gmt est pst jst cet local server tz iso unix epoch')
_OF_ROWS = _UNITS | words.listed(
  'event log row action click view visit request interaction created server'
  ' local utc gmt unix epoch absolute relative rel transaction purchase order'
  ' impression impr show exposure query search recorded rating offset placed'
)
# Times of what came of a row later, or may come: `updated_at`, `due_date`.
is_later = words.any_of(
  'update updated modified estimated expected due closed resolved delivered'
  ' returned status discharge discharged dropoff resolution'
)
# Of orders, and times of what comes of one: `Ship Date`, `arrival_time`.
_ORDER = words.listed('order ordered booking booked')
comes_of_order = words.any_of(
  'ship shipped shipping delivery delivered arrival arrived departure required'
  ' checkin checkout return returned approved'
)
# Times of what a user does once, as far as the rows tell: `subscribed_at`.
is_once = words.any_of('subscribe subscribed install installed')
# Whole numbers of such times may count days: `Order Date`, `DAY`.
is_day = words.ends_in('day date')
# Months, with their year or without. The French word is of one and of many, so
# it is no word of codes, as `month` is.
is_month = words.ends_in('month mois')
# Years, of a row as of anything else: `Year`, `model_year`, but no `years`.
is_year = words.ends_in('year yr')
# Of when somebody is asked or counted again, and what may stand before it.
_WAVES = words.listed('year yr wave')
_OF_WAVES = words.listed(
  'survey panel study interview fiscal financial academic school calendar'
  ' report reporting observation obs'
)


def is_time(name: str) -> bool:
  """Whether a name is that of the time of something.

  >>> is_time('time_ms'), is_time('eventTime'), is_time('viewed_on')
  (True, True, True)
  >>> is_time('play_time'), is_time('candidate')
  (False, False)
  """
  found = set(words.of(name))
  glued = re.search(_GLUED_TIME, ''.join(words.of(name)))
  is_on = words.of(name)[1:][-1:] == ['on']
  named = is_on or bool(found & _TIME) or glued is not None
  return named and not found & _NO_TIME


def is_of_moment(name: str) -> bool:
  """Whether a number is what was so at some time, and no time itself.

  >>> is_of_moment('price_at_purchase'), is_of_moment('spend_to_date')
  (True, True)
  >>> is_of_moment('clicked_at_ms'), is_of_moment('created_at_timestamp')
  (False, False)
  """
  parts = words.of(name)
  if parts[-2:] == ['to', 'date']:
    return True
  if 'at' not in parts or {*parts[: parts.index('at')]} & _TIME:
    return False
  behind = {*parts[parts.index('at') + 1 :]} - _UNITS - _ZONES - _TIME
  return any(not word.isdigit() for word in behind)


def is_sure_time(name: str) -> bool:
  """Whether a name says that it is the time of a row, and no length.

  >>> is_sure_time('event_time'), is_sure_time('session_start_time')
  (True, True)
  >>> is_sure_time('session_time'), is_sure_time('total day calls')
  (False, False)
  """
  found = {*words.without_digits(name).split()}
  glued = re.search(_GLUED_TIME, ''.join(words.of(name)))
  is_sure = glued is not None or bool(found & _SURE_TIME)
  return is_sure or found <= _TIME - _NO_SURE_TIME | _OF_ROWS


def ends_in_time(name: str) -> bool:
  """Whether the last word of a name, but for its unit, is a time.

  >>> ends_in_time('screen_time_ms'), ends_in_time('total day calls')
  (True, False)
  """
  named = [w for w in words.of(name) if w not in _UNITS and not w.isdigit()]
  return {*named[-1:]} <= _TIME and bool(named)


def may_be_date(name: str) -> bool:
  """Whether a date may be the row's, by its name, where no other's surely is.

  >>> may_be_date('startdate'), may_be_date('enddates')
  (True, False)
  """
  return re.search(_GLUED_DATE, ''.join(words.of(name))) is not None


def is_end(name: str) -> bool:
  """Whether a time is that of the end of something.

  >>> is_end('enddate'), is_end('contract_end'), is_end('trend_date')
  (True, True, False)
  """
  glued = re.search(
    '(^|contract|_)end(ed)?(_?(date|time)|_at)?$', '_'.join(words.of(name))
  )
  return glued is not None


def may_be_time(name: str) -> bool:
  """Whether a name may be that of a time: an hour may come with its date.

  So may a month with its year.

  >>> may_be_time('hour'), may_be_time('hour_of_day')
  (True, False)
  >>> may_be_time('snapshot_month'), may_be_time('signup_month')
  (True, False)
  >>> may_be_time('Monat'), may_be_time('mois')
  (True, True)
  >>> may_be_time('order_date'), may_be_time('joining_date')
  (True, False)
  """
  is_row_month = is_month(name) and not is_time_of_key(name)
  return is_time(name) or words.of(name)[-1:] == ['hour'] or is_row_month


def is_before(name: str) -> bool:
  """Whether a time is that of what was before a row.

  >>> is_before('last_login_date'), is_before('last_updated')
  (True, False)
  """
  return bool({*words.of(name)} & _BEFORE) and not is_later(name)


def is_order(name: str) -> bool:
  """Whether a time is that of an order, by a name that says no more.

  >>> is_order('Order Date'), is_order('order_purchase_timestamp')
  (True, True)
  >>> is_order('order_delivered_at'), is_order('order_status_date')
  (False, False)
  """
  found = {*words.without_digits(name).split()}
  return bool(found & _ORDER) and found <= _ORDER | _TIME | _OF_ROWS | {
    'placed'
  }


def is_nearly_time(name: str) -> bool:
  """Whether a part of a word is that of a time.

  >>> is_nearly_time('purchasetime'), is_nearly_time('zeitpunkt')
  (True, False)
  """
  return re.search('time|date|stamp', name.lower()) is not None


def is_wave(name: str) -> bool:
  """Whether a name is that of the year of a row, or of a survey's wave.

  >>> is_wave('Year'), is_wave('survey_wave'), is_wave('model_year')
  (True, True, False)
  """
  *before, last = words.of(name) or ['']
  return last in _WAVES and {*before} <= _OF_WAVES


def parts_of_date(columns: Iterable[str]) -> list[str]:
  """The columns of year, month and day, where a log has one of each.

  >>> parts_of_date(['day_of_week', 'arrival_year', 'arrival_month', 'day'])
  ['arrival_year', 'arrival_month', 'day']
  >>> parts_of_date(['birth_year', 'month', 'day'])
  []
  """
  found: dict[str, list[str]] = {'year': [], 'month': [], 'day': []}
  for column in columns:
    parts = {*words.of(column)}
    named = [*({*found} & parts)]
    of_week = parts & {'week', 'days', 'months', 'years'}
    if not of_week and not is_time_of_key(column) and named:
      # The day of the month is a day.
      found['day' if 'day' in named else named[0]].append(column)
  one_each = all(len(named) == 1 for named in found.values())
  return [named[0] for named in found.values()] if one_each else []
