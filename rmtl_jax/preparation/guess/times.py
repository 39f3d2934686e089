"""Which column is the time of a row, and in which unit."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence

from rmtl_jax.preparation.guess import facts as facts_lib
from rmtl_jax.preparation.guess import (
  key_names,
  label_names,
  number_names,
  time_forms,
  time_names,
  words,
)
from rmtl_jax.preparation.guess import keys as keys_lib
from rmtl_jax.preparation.guess import sample as sample_lib

# Most rows without a time of a column that might be the rows'.
_FEW_MISSING = 0.05
# Of a time that no name tells: the year from which on numbers may be seconds
# (1990), least different dates and numbers, and the share of changes from row
# to row, or of users and items who come back, that is enough.
_FIRST_S, _LEAST_DATES, _LEAST_NUMBERS = 631_152_000, 3, 100
_IN_ORDER, _VARIED = 0.95, 0.5
# Why a time is that of rows.
_WHY_ORDERED = 'rows stand in its order'
# Roles by whose names a number is no time.
_KEYS = 'user', 'item', 'session'
# Least changes that tell an order.
_LEAST_CHANGES = 20


def find(
  facts: Sequence[facts_lib.Facts], keys: Mapping[str, keys_lib.Key]
) -> tuple[time_forms.Time | None, dict[str, str]]:
  """The time of the rows, and why other columns of times are not it.

  Args:
    keys: by role, as names tell them.
  """
  found = [
    time
    for one in facts
    if (time := time_forms.of_column(one))
    if time.is_date or _counts_on(one, facts, keys)
    if not _is_month_of_user(one, keys)
  ]
  complete = {one.name for one in facts if one.filled == one.rows}
  whole = [
    t
    for t in found
    if t.form and t.column in complete and not time_names.is_before(t.column)
  ]
  rows = [t for t in whole if time_names.may_be_time(t.column)]
  if any(t.is_date and time_names.is_order(t.column) for t in rows):
    rows = [t for t in rows if not time_names.comes_of_order(t.column)]
  # The date of an answer is the row's where nothing else is: every row of a log
  # of clicks has one.
  sure = [
    t
    for t in rows
    if not (label_names.is_label(t.column) or time_names.is_later(t.column))
  ]
  dates = [t for t in rows if t.is_date and not time_names.is_once(t.column)]
  glued = [t for t in whole if t.is_date and time_names.may_be_date(t.column)]
  by_name = {one.name: one for one in facts}
  best = max(
    sure or dates or glued,
    key=lambda time: _fitness(by_name[time.column], time, keys),
    default=None,
  )
  others = {}
  for time in found:
    if time is best:
      continue
    rows_of = by_name[time.column].rows
    missing = rows_of - by_name[time.column].filled
    if time.form and 0 < missing < _FEW_MISSING * rows_of:
      said = (
        f'; it might be the time, but rows without one: {missing:,} of'
        f' {rows_of:,}, which `rmtl prepare` does not take'
      )
    elif missing:
      said = ', of something that not every row has'
    elif best:
      said = f'; {best.column} is the time'
    else:
      said = '; not the time of a row by its name' if time.form else ''
    others[time.column] = time.why + said
  return best, others


def _is_month_of_user(
  facts: facts_lib.Facts, keys: Mapping[str, keys_lib.Key]
) -> bool:
  """Whether a month, whose name says no more, is one for each user."""
  name = facts.name
  if time_names.is_time(name) or not time_names.is_month(name):
    return False
  return 0 in keys_lib.varied(facts, keys, ('user',)).values()


def _counts_on(
  facts: facts_lib.Facts,
  others: Sequence[facts_lib.Facts],
  keys: Mapping[str, keys_lib.Key],
) -> bool:
  """Whether numbers named like times are a log's own, not counts and lengths.

  Where the name says more than that, or `time` or `day` alone, they rise with
  the rows, of all or of each user or session, as those of `screen_time` and of
  survival don't.
  """
  is_alone = words.of(facts.name) in (['time'], ['day'])
  if time_names.is_sure_time(facts.name) and not is_alone:
    return True
  if not time_names.ends_in_time(facts.name):
    return False
  named = [keys[role].column for role in ('user', 'session') if role in keys]
  ids = [one.name for one in others if keys_lib.is_id_that_comes_back(one)]
  value = time_forms.value(facts)
  return any(
    _is_in_order(facts.sample, value, column, _LEAST_CHANGES)
    for column in [None, *named, *ids]
  )


def outdoes(time: time_forms.Time, later: time_forms.Time) -> bool:
  """Whether a time that no name tells is surer than one that may be later.

  It is where rows stand in its order; numbers may be ids.
  """
  is_date = time.form.get('unit', 'iso') == 'iso'
  is_ordered = _WHY_ORDERED in time.why
  return time.column != later.column and is_ordered and is_date


def because_of(
  time: time_forms.Time, before: time_forms.Time, others: Mapping[str, str]
) -> dict[str, str]:
  """Why other columns are not the time, where one took the place of another."""
  said = f'; {before.column} is the time'
  instead = f'; {time.column} is the time'
  reasons = {name: why.replace(said, instead) for name, why in others.items()}
  return reasons | {before.column: before.why + instead}


def may_be(facts: Sequence[facts_lib.Facts]) -> list[str]:
  """Columns of which one may be the time of a log where none surely is.

  These are dates that every row has, but for a user's or an item's, be they
  numbers or in no known format; and what is named like times since the log
  began, in no order.
  """
  return [
    one.name
    for one in facts
    if one.filled == one.rows and not time_names.is_time_of_key(one.name)
    if (time := time_forms.of_column(one) or _unnamed(one))
    if time.form or time_forms.NO_FORMAT in time.why
    if time.is_date or time_names.ends_in_time(one.name)
  ]


def _fitness(
  facts: facts_lib.Facts,
  time: time_forms.Time,
  keys: Mapping[str, keys_lib.Key],
) -> tuple[float, ...]:
  """The greater, the likelier a time is the row's: its end tells its length.

  Rows may stand in the order of a user's or a session's time too, so the order
  counts where these have several times.
  """
  is_date, has_clock, distinct = time.rank
  is_end = time_names.is_end(time.column)
  is_later = time_names.is_later(time.column)
  value = time_forms.value(facts, time.form.get('format', ''))
  shares = keys_lib.varied(facts, keys, ('user', 'session'), value).values()
  is_varied = all(share is None or share >= _VARIED for share in shares)
  is_ordered = is_varied and _is_in_order(facts.sample, value, None)
  return is_date, not is_later, has_clock, not is_end, is_ordered, distinct


def fault(
  log: pathlib.Path,
  sample: sample_lib.Sample,
  facts: Sequence[facts_lib.Facts],
  time: time_forms.Time | None,
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
    f'{one.number} = {one.sentinel:g}',
    "the row's time, as the column is named; leave rows without one out, or"
    ' rename the column',
  )


def by_values(
  facts: Sequence[facts_lib.Facts], keys: Mapping[str, keys_lib.Key]
) -> tuple[time_forms.Time | None, list[str]]:
  """The time of the rows of a log in which no name says it.

  Every row has one, that of a user or an item is not the same in all rows (as
  a birthday is), and rows stand in its order; or it differs within users and
  within items alike. Seconds since 1970 look like ids: they need the order.

  Args:
    keys: of user and item, by their names.

  Returns:
    The time, and the columns that may be it where these are several.
  """
  # Dates that DuckDB reads without a format are surer than other texts.
  of_texts = 'text', 'list'
  texts = [one for one in facts if one.kind in of_texts]
  others = [one for one in facts if one.kind not in of_texts]
  fitting = _fitting(others, keys) or _fitting(texts, keys)
  first = [
    time
    for time in fitting
    if not (time_names.is_later(time.column) or time_names.is_end(time.column))
  ]
  near = [time for time in first if time_names.is_nearly_time(time.column)]
  for found in (fitting, first, near):
    if len(found) == 1:
      return found[0], []
  return None, [time.column for time in fitting]


def _fitting(
  facts: Sequence[facts_lib.Facts], keys: Mapping[str, keys_lib.Key]
) -> list[time_forms.Time]:
  """The columns that may be the time by their values."""
  return [
    time._replace(why=f'{time.why}; no name says time, but {why}')
    for one in facts
    if (time := _unnamed(one))
    and time.form
    and (why := _of_rows(one, time, keys))
  ]


def _unnamed(facts: facts_lib.Facts) -> time_forms.Time | None:
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
    return time_forms.of_column(facts)
  if (
    not facts.whole
    or facts.distinct < _LEAST_NUMBERS
    or number_names.measure(name)
    or any(key_names.rank(name, role) is not None for role in _KEYS)
  ):
    return None
  # Numbers that rows of the log count on are ids.
  is_counted = facts.distinct == facts.rows
  is_counted &= facts.largest - facts.least < 2 * facts.sample.log_rows
  unit = time_forms.unit_of(facts, _FIRST_S)
  return time_forms.since_1970(facts, unit) if unit and not is_counted else None


def _of_rows(
  facts: facts_lib.Facts,
  time: time_forms.Time,
  keys: Mapping[str, keys_lib.Key],
) -> str:
  """Why times are those of rows, or ''."""
  value = time_forms.value(facts, time.form.get('format', ''))
  shares = keys_lib.varied(facts, keys, ('user', 'item'), value)
  if any(share < _VARIED for share in shares.values() if share is not None):
    return ''
  user = keys['user'].column if 'user' in keys else None
  if any(_is_in_order(facts.sample, value, by) for by in {None, user}):
    return _WHY_ORDERED
  is_sure = facts.kind == 'time' or facts.largest > _FIRST_S * 100
  if is_sure and len(shares) == 2 and None not in shares.values():
    return 'it differs within users and within items'
  return ''


def _is_in_order(
  sample: sample_lib.Sample, value: str, column: str | None, least: int = 0
) -> bool:
  """Whether values rise or fall with the rows, of all or of each key.

  There are at least so many changes; `value` is SQL.
  """
  part = f'PARTITION BY {sample.column(column)}' if column else ''
  up, down = sample.connection.execute(
    'SELECT count(*) FILTER (v > before), count(*) FILTER (v < before) FROM'
    f' (SELECT {value} AS v, lag({value}) OVER ({part} ORDER BY'
    f' {sample_lib.ORDER}) AS before FROM {sample.table})'
  ).fetchall()[0]
  return up + down >= least and max(up, down) >= _IN_ORDER * max(up + down, 1)
