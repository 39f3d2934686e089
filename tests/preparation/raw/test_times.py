from __future__ import annotations

import datetime
import zoneinfo

import duckdb
import hypothesis
import pyarrow as pa
import pytest
from hypothesis import strategies as st

from rmtl_jax.preparation import sql
from rmtl_jax.preparation.raw import times

NOON = 1_714_564_800_000  # 2024-05-01 12:00 UTC, ms
HOUR = 3_600_000
BERLIN = zoneinfo.ZoneInfo('Europe/Berlin')


def ms(values, clock, kind=None):
  column = pa.array(values, kind)
  with sql.connect() as connection:
    connection.register('log', pa.table({'t': column}))
    query = f'SELECT {clock.ms("t", column.type)} FROM log'
    return [found for (found,) in connection.execute(query).fetchall()]


@pytest.mark.parametrize(
  ('text', 'utc', 'berlin'),
  [
    ('2024-05-01 12:00:00', 0, -2),
    ('2024-05-01', -12, -14),
    ('2024/05/01 12:00:00', 0, -2),
    ('2024-05-01T12:00:00Z', 0, 0),
    ('2024-05-01T14:00:00+02:00', 0, 0),
    ('2024-05-01 21:00:00 Asia/Tokyo', 0, 0),
    ('yesterday', None, None),
  ],
)
def test_a_zone_is_that_of_text_that_names_none(text, utc, berlin):
  for zone, hours in (('UTC', utc), ('Europe/Berlin', berlin)):
    expected = None if hours is None else NOON + hours * HOUR
    assert ms([text, None], times.Time('iso', zone)) == [expected, None]


@pytest.mark.parametrize('unit', ['s', 'ms', 'us', 'ns'])
def test_times_of_arrow(unit):
  noon = [datetime.datetime(2024, 5, 1, 12), None]
  for zone, hours in (('UTC', 0), ('Europe/Berlin', -2)):
    clock = times.Time('iso', zone)
    assert ms(noon, clock, pa.timestamp(unit)) == [NOON + hours * HOUR, None]
    # These say which moment they are.
    kind = pa.timestamp(unit, 'America/New_York')
    assert ms(noon, clock, kind) == [NOON, None]
  texts = pa.array(['2024-05-01 12:00', None]).dictionary_encode()
  assert ms(texts, times.Time('iso', 'Europe/Berlin')) == [
    NOON - 2 * HOUR,
    None,
  ]


def test_patterns():
  day = times.Time('iso', 'Europe/Berlin', '%d.%m.%Y %H:%M')
  texts = ['01.05.2024 14:00', '2024-05-01 14:00', None]
  assert ms(texts, day) == [NOON, None, None]
  offset = times.Time('iso', 'Europe/Berlin', '%d/%b/%Y:%H:%M:%S %z')
  assert ms(['01/May/2024:14:00:00 +0200'], offset) == [NOON]
  # Whole numbers may be dates; a time of Arrow has no pattern.
  digits = times.Time('iso', 'Europe/Berlin', '%Y%m%d%H')
  assert ms([2024050114, 7, None], digits, pa.int64()) == [NOON, None, None]
  assert ms([datetime.datetime(2024, 5, 1, 14)], day) == [NOON]


@hypothesis.settings(deadline=None, max_examples=50)
@hypothesis.given(
  moment=st.datetimes(
    datetime.datetime(1901, 1, 1),
    datetime.datetime(2100, 1, 1),
    timezones=st.just(datetime.UTC),
  )
)
def test_hour_and_weekday_are_local(moment):
  stamp = round(moment.timestamp() * 1000)
  moment = datetime.datetime.fromtimestamp(stamp / 1000, datetime.UTC)
  with duckdb.connect() as connection:
    connection.execute("SET TimeZone = 'UTC'")
    for zone in (datetime.UTC, BERLIN):
      clock = times.Time(zone=str(zone))
      parts = [clock.part(name, f'{stamp}::BIGINT') for name in times.PARTS]
      found = connection.execute(f'SELECT {", ".join(parts)}').fetchone()
      local = moment.astimezone(zone)
      assert found == (local.hour, local.weekday())
    ahead = times.parts(f'{stamp}::BIGINT', 8 * HOUR)
    found = connection.execute(f'SELECT {", ".join(ahead.values())}').fetchone()
    local = moment + datetime.timedelta(hours=8)
    assert found == (local.hour, local.weekday())
