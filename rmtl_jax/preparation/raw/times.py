"""Times as logs have them, to ms since 1970 (UTC)."""

from __future__ import annotations

import dataclasses
import difflib
import functools

import duckdb
import pyarrow as pa

from rmtl_jax import types
from rmtl_jax.data import parquet
from rmtl_jax.preparation import sql

UTC = 'UTC'
# By unit: DuckDB type of the raw column, and SQL of ms. They are rounded down:
# the last microsecond of a day, or before `until`, is no part of the next. `//`
# would round to 0, and `epoch_ms` to the nearest. Days may be spreadsheets'
# fractions, which end a little before the second that they mean.
_UNITS = {
  'ms': ('BIGINT', '{}'),
  's': ('DOUBLE', 'TRY_CAST(floor(round({} * 1000000) / 1000) AS BIGINT)'),
  'us': ('BIGINT', '{0} // 1000 - CAST({0} % 1000 < 0 AS BIGINT)'),
  'ns': ('BIGINT', '{0} // 1000000 - CAST({0} % 1000000 < 0 AS BIGINT)'),
  'd': ('DOUBLE', 'TRY_CAST(round({} * 86400000) AS BIGINT)'),
  'iso': ('TIMESTAMPTZ', 'CAST(floor(epoch_us({}) / 1000) AS BIGINT)'),
}
UNITS = tuple(_UNITS)
# Parts of the local time that make categories.
PARTS = ('hour', 'weekday')
# Text of a date, with a time or without, but without a zone.
_NO_ZONE = r'^\d+[-/]\d+[-/]\d+([ T]\d+:\d+(:\d+(\.\d+)?)?)?$'
_DAY_MS = 86_400_000
# Whole weeks, and more than any time lies before 1970: `//` rounds to 0.
_WEEKS_MS = 10_000 * 7 * _DAY_MS
# From 1970 to 2099.
_DAYS = 47_482


@dataclasses.dataclass(frozen=True)
class Time:
  """How a column writes times.

  Attributes:
    unit: one of UNITS; `iso` is text, and Parquet's and Arrow's own times.
    zone: of text and times that name none, and of the hour and the weekday.
    format: pattern of text and of whole numbers, as of `strptime`; empty for
      ISO 8601.
  """

  unit: str = 'ms'
  zone: str = UTC
  format: str = ''

  @property
  def type(self) -> str:
    """The DuckDB type that a raw column can become."""
    return _UNITS[self.unit][0]

  @property
  def column_type(self) -> str:
    """The type that a file's column must become, see readings.check_type.

    A pattern is of text, of whole numbers or, in vain, of Arrow's own times.
    """
    return '' if self.format else self.type

  @property
  def is_plain(self) -> bool:
    """Whether a cast to `type` is enough."""
    return self.unit != 'iso' or (self.zone == UTC and not self.format)

  def typed_ms(self, value: str) -> str:
    """SQL of ms of a value of `type`."""
    return _UNITS[self.unit][1].format(value)

  def ms(self, value: str, found: pa.DataType) -> str:
    """SQL of ms, BIGINT; NULL where the value is none.

    Args:
      value: SQL of the raw column; of text without spaces around it.
    """
    value = whole_us(value, found)
    if self.is_plain:
      return self.typed_ms(f'TRY_CAST({value} AS {self.type})')
    if self.format and pa.types.is_integer(found):
      # 20240501, as frames and Parquet files have it.
      value, found = f'CAST({value} AS VARCHAR)', pa.string()
    zone, instant = sql.literal(self.zone), f'TRY_CAST({value} AS TIMESTAMPTZ)'
    local = f'timezone({zone}, TRY_CAST({value} AS TIMESTAMP))'
    if not parquet.is_text(found):
      aware = pa.types.is_timestamp(found) and found.tz
      return self.typed_ms(instant if aware else local)
    if self.format:
      parsed = f'try_strptime({value}, {sql.literal(self.format)})'
      aware = '%z' in self.format.lower().replace('%%', '')
      local = f'timezone({zone}, {parsed})'
      return self.typed_ms(parsed if aware else local)
    # A cast to a time without a zone takes no notice of one in the text.
    no_zone = f'regexp_matches({value}, {sql.literal(_NO_ZONE)})'
    return self.typed_ms(f'CASE WHEN {no_zone} THEN {local} ELSE {instant} END')

  def part(self, name: str, timestamp: str) -> str:
    """SQL of the local hour (0-23) or weekday (0 is Monday).

    Args:
      name: one of PARTS.
      timestamp: SQL of ms since 1970.
    """
    if self.zone == UTC:
      return parts(timestamp)[name]
    moment = f'CAST(make_timestamp_ms({timestamp}) AS TIMESTAMPTZ)'
    local = f'timezone({sql.literal(self.zone)}, {moment})'
    return f'hour({local})' if name == 'hour' else f'isodow({local}) - 1'


def offset_ms(zone: str, timestamp: int) -> int | None:
  """How far a zone's local time is ahead of UTC, in ms.

  Args:
    timestamp: ms since 1970, UTC or local.

  Returns:
    None near a change (summer time, another law) and before 1970 or after
    2099, where a query has to tell.
  """
  if zone == UTC:
    return 0
  day = timestamp // _DAY_MS
  return _day_offsets(zone)[day] if 0 <= day < _DAYS else None


@functools.cache
def _day_offsets(zone: str) -> tuple[int | None, ...]:
  """`offset_ms` of every day from 1970 on, as DuckDB has it.

  Python's own zones may be of another edition, which knows other laws.
  """
  wall = f'make_timestamp_ms(day * {_DAY_MS})'
  with sql.connect(threads=1) as connection:
    found = connection.execute(
      f'SELECT epoch_ms({wall}) - epoch_ms(timezone({sql.literal(zone)},'
      f' {wall})) FROM range(-1, {_DAYS + 2}) days(day) ORDER BY day'
    ).fetchall()
  at_midnight = [offset for (offset,) in found]
  # Local and UTC times of a day lie between the midnight before it and the one
  # after the next.
  return tuple(
    at_midnight[day] if len({*at_midnight[day - 1 : day + 3]}) == 1 else None
    for day in range(1, _DAYS + 1)
  )


def whole_us(value: str, found: pa.DataType) -> str:
  """SQL of a column, an Arrow time of ns rounded down to us.

  DuckDB's times have us, and a cast would round to the nearest.
  """
  if not (pa.types.is_timestamp(found) and found.unit == 'ns'):
    return value
  us = _UNITS['us'][1].format(f'epoch_ns({value})')
  moment = f'make_timestamp({us})'
  return f'CAST({moment} AS TIMESTAMPTZ)' if found.tz else moment


def parts(timestamp: str, offset_ms: int = 0) -> dict[str, str]:
  """SQL of the hour (0-23) and the weekday (0 is Monday), by name.

  Args:
    timestamp: SQL of the time, ms since 1970, UTC.
    offset_ms: of the local time from UTC.
  """
  local = f'({timestamp} + {_WEEKS_MS + offset_ms})'
  # 1970 began on a Thursday.
  return {
    'hour': f'{local} // 3600000 % 24',
    'weekday': f'({local} // {_DAY_MS} + 3) % 7',
  }


def zone_fault(zone: str) -> str:
  """The fault of a time zone's name; '' if there is none."""
  with sql.connect() as connection:
    found = connection.execute('SELECT name FROM pg_timezone_names()')
    names = [name for (name,) in found.fetchall()]
  if zone in names:
    return ''
  near = difflib.get_close_matches(zone, names, n=2)
  hint = f'did you mean {" or ".join(near)}?' if near else 'as Europe/Berlin'
  return f'{zone!r:.80} is no time zone ({hint})'


def format_fault(pattern: str) -> str:
  """The fault of a pattern of times; '' if there is none."""
  with sql.connect() as connection:
    try:
      connection.execute(f"SELECT try_strptime('', {sql.literal(pattern)})")
    except duckdb.Error as error:
      return f'{pattern!r:.80} is no pattern: {types.first_line(error):.120}'
  return ''
