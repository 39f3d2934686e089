"""The flights as a log: joins, labels, and that `rmtl prepare` takes it."""

import zipfile

import pyarrow.parquet as pq
import pytest

import rmtl_jax
from benchmarks import flights
from rmtl_jax import types
from rmtl_jax.config import prepare as prepare_config

_FLIGHTS = (
  'year,month,day,dep_time,sched_dep_time,dep_delay,arr_time,arr_delay,carrier,'
  'flight,tailnum,origin,dest,distance,hour\n'
)
_PLANES = 'tailnum,year,manufacturer,model,seats\nN1,1999,BOEING,737,149\n'
_WEATHER = (
  'origin,year,month,day,hour,temp,wind_speed,precip,visib,pressure\n'
  'EWR,2013,1,1,5,39.0,12.6,0,10,NA\n'
)


def _write(directory, rows):
  with zipfile.ZipFile(directory / 'flights.csv.zip', 'w') as packed:
    packed.writestr('flights.csv', _FLIGHTS + '\n'.join(rows) + '\n')
  (directory / 'planes.csv').write_text(_PLANES)
  (directory / 'weather.csv').write_text(_WEATHER)


def _flight(day=1, delays=('16', '15'), tail='N1', schedule='515'):
  return (
    f'2013,1,{day},600,{schedule},{delays[0]},700,{delays[1]},UA,1,{tail},EWR,'
    'IAH,1400,5'
  )


def test_a_row_is_a_flight_that_landed(tmp_path):
  _write(
    tmp_path,
    [
      _flight(day=2, delays=('-3', '99'), tail='N2', schedule='2359'),
      _flight(),
      _flight(delays=('NA', 'NA')),
      _flight(tail='NA'),
    ],
  )
  assert flights.write(tmp_path, tmp_path / 'out') == 2
  first, second = pq.read_table(tmp_path / 'out/flights.parquet').to_pylist()
  assert str(first['scheduled']) == '2013-01-01 05:15:00'
  assert (first['late_departure'], first['late_arrival']) == (1, 0)
  assert (first['plane_year'], first['temp'], first['pressure']) == (
    1999,
    39.0,
    None,
  )
  assert (second['late_departure'], second['late_arrival']) == (0, 1)
  assert second['model'] is None
  assert flights.write(tmp_path, tmp_path / 'out', until='2013-01-02') == 1


def test_prepare_takes_it(tmp_path):
  _write(
    tmp_path,
    [
      _flight(day, ('20', str(day * 3)), f'N{plane}')
      for day in range(1, 29)
      for plane in range(4)
    ],
  )
  flights.write(tmp_path, tmp_path / 'raw')
  rmtl_jax.prepare(
    prepare_config.PrepareConfig(
      source='table',
      raw_dir=str(tmp_path / 'raw/flights.parquet'),
      schema=str(tmp_path / 'raw/schema.json'),
      data_dir=str(tmp_path / 'data'),
    )
  )
  assert (tmp_path / 'data/manifest.json').exists()


def test_what_is_missing_is_named(tmp_path):
  with pytest.raises(types.InputError, match=r'No such file .*flights\.csv'):
    flights.write(tmp_path, tmp_path / 'out')
  _write(tmp_path, ['1'])
  with pytest.raises(types.InputError, match=str(tmp_path)):
    flights.write(tmp_path, tmp_path / 'out')
