"""The unit of times, and which of several is the row's."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rmtl_jax.preparation.guess import facts as facts_lib
from rmtl_jax.preparation.guess import sample as sample_lib
from rmtl_jax.preparation.guess import times
from tests.preparation.guess import logs

N = 300


def _times(tmp_path, **columns):
  return times.find(*logs.sample_of(tmp_path, columns))


@pytest.mark.parametrize(
  ('name', 'values', 'unit'),
  [
    ('ts', [1_600_000_000 + i for i in range(N)], 's'),
    ('ts', [1_600_000_000_000 + i for i in range(N)], 'ms'),
    ('x', [1_600_000_000_000 + i for i in range(N)], None),
    ('created_at', [1_600_000_000_000_000 + i for i in range(N)], 'us'),
    (
      'event_time',
      [f'2024-05-01 00:{i % 60:02}:00 UTC' for i in range(N)],
      'iso',
    ),
    ('date', [f'2024-05-{i % 28 + 1:02}' for i in range(N)], 'iso'),
    ('timestamp', [f'{i}.0' for i in range(N)], 's'),
    ('time_ms', range(N), 'ms'),
    ('hour', [i % 24 for i in range(N)], None),
    ('play_time', range(N), None),
    ('phone_number', [1_600_000_000 + i for i in range(N)], None),
  ],
)
def test_units(tmp_path, name, values, unit):
  found, _ = _times(tmp_path, **{name: values})
  assert (found.unit if found else None) == unit


@pytest.mark.parametrize(
  ('name', 'values', 'said'),
  [
    ('date', [20240501 + i % 28 for i in range(N)], 'days, such as 20240501'),
    ('ts', [1_600_000_000_000_000_000 + i for i in range(N)], 'write ms or us'),
    ('time', [f'2024-05-01 {i % 24:02}' for i in range(N)], 'no unit of a sch'),
    (
      'birth_date',
      [f'1990-05-{i % 28 + 1:02}' for i in range(N)],
      'by its name',
    ),
  ],
)
def test_times_that_are_not_the_rows_are_said(tmp_path, name, values, said):
  found, others = _times(tmp_path, **{name: values})
  assert found is None
  assert said in others[name]


def test_the_finest_complete_time_is_the_rows(tmp_path):
  found, others = _times(
    tmp_path,
    day=[f'2024-05-{i % 28 + 1:02}' for i in range(N)],
    event_time=[1_714_521_600 + 60 * i for i in range(N)],
    click_time=[1_714_521_600 + i if i % 3 else '' for i in range(N)],
  )
  assert found and (found.column, found.unit) == ('event_time', 's')
  assert 'event_time is the time' in others['day']
  assert 'not every row has' in others['click_time']


def test_a_time_from_the_beginning_is_no_date(tmp_path):
  found, _ = _times(tmp_path, timestamp=range(N))
  assert found and not found.is_date


def test_times_of_parquet_are_iso(tmp_path):
  path = tmp_path / 'log.parquet'
  stamps = pa.array(range(N), pa.timestamp('us', 'UTC'))
  pq.write_table(pa.table({'at': stamps, 'x': range(N)}), path)
  sample = sample_lib.read(path, 1000)
  found, _ = times.find(sample, facts_lib.find(sample))
  assert found and (found.column, found.unit) == ('at', 'iso')
