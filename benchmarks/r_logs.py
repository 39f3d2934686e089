r"""Data sets of R packages as logs of one's own.

    python -m benchmarks.r_logs --log=insteval --input=InstEval.csv \
      --output=data/raw/insteval
    rmtl prepare --source=table --raw_dir=data/raw/insteval/insteval.csv \
      --schema=data/raw/insteval/schema.json --data_dir=data/insteval

The inputs are the CSV files of Rdatasets (Vincent Arel-Bundock): real rows of
somebody and something, small enough for any machine, that the settings were not
chosen on.

- insteval (lme4's InstEval): marks that students of ETH Zurich gave lectures.
- verbagg (lme4's VerbAgg): persons who say whether they would curse, scold or
  shout in a situation.
- doctor (COUNT's rwm5yr): persons in Germany who went to a doctor or to a
  hospital in a year, 1984 to 1988 (prepare it with --any_dates).
- insurance (sampleSelection's RandHIE): persons of the RAND health insurance
  experiment who saw a doctor or were admitted in a year; a plan is the item.
- chemistry (mlmRev's Chem97): A-level points of students, by school.
- stops (carData's MplsStops): stops by the police of Minneapolis in 2017, those
  whose officer filled in the form; a neighbourhood is the item.
"""

from __future__ import annotations

import json
import pathlib
import sys
from typing import Any, NamedTuple

import duckdb
from absl import app, flags

from rmtl_jax import types
from rmtl_jax.preparation import sql


class Log(NamedTuple):
  """How a data set becomes a log.

  Attributes:
    rows: SQL of its columns, from the table `input`.
    schema: of `rmtl prepare --source=table`.
  """

  rows: str
  schema: dict[str, Any]


def _levels(first: str, second: str) -> list[dict[str, str]]:
  """Two tasks, the second of which implies the first."""
  return [
    {'name': first, 'column': first},
    {'name': second, 'column': second, 'after': first},
  ]


def _separate(*names: str) -> list[dict[str, str]]:
  """Tasks that don't imply each other."""
  return [{'name': name, 'column': name} for name in names]


LOGS = {
  'doctor': Log(
    """
    SELECT id, year || '-01-01' AS time, edlevel, age, outwork, female, married,
      kids, hhninc, educ, self, (docvis::INTEGER > 0)::INTEGER AS doctor,
      (hospvis::INTEGER > 0)::INTEGER AS hospital
    FROM input
    """,
    {
      'user': 'id',
      'time': {'column': 'time', 'unit': 'iso'},
      'categorical': [
        *('id', 'edlevel', 'outwork', 'female', 'married', 'kids', 'self')
      ],
      'numeric': ['age', 'hhninc', 'educ'],
      'tasks': _separate('doctor', 'hospital'),
    },
  ),
  'insurance': Log(
    """
    SELECT zper, plan, site, coins, tookphys, black, income, xage,
      female, educdec, num, mhi, disea, physlm, ghindx, mdeoff, pioff, child,
      hlthg, hlthf, hlthp, (mdvis::DOUBLE > 0)::INTEGER AS doctor,
      (totadm::DOUBLE > 0)::INTEGER AS hospital
    FROM input
    """,
    {
      'user': 'zper',
      'item': 'plan',
      'categorical': [
        *('zper', 'plan', 'site', 'coins', 'tookphys', 'black', 'female'),
        *('child', 'hlthg', 'hlthf', 'hlthp'),
      ],
      'numeric': [
        *('income', 'xage', 'educdec', 'num', 'mhi', 'disea', 'physlm'),
        *('ghindx', 'mdeoff', 'pioff'),
      ],
      'tasks': _separate('doctor', 'hospital'),
    },
  ),
  'chemistry': Log(
    """
    SELECT school, lea, gender, age, gcsescore,
      (score::DOUBLE >= 6)::INTEGER AS good,
      (score::DOUBLE = 10)::INTEGER AS best
    FROM input
    """,
    {
      'item': 'school',
      'categorical': ['school', 'lea', 'gender'],
      'numeric': ['age', 'gcsescore'],
      'tasks': _levels('good', 'best'),
    },
  ),
  'insteval': Log(
    """
    SELECT s AS student, d AS lecturer, studage, lectage, service, dept,
      (y::INTEGER >= 4)::INTEGER AS good, (y::INTEGER = 5)::INTEGER AS best
    FROM input
    """,
    {
      'user': 'student',
      'item': 'lecturer',
      'categorical': [
        *('student', 'lecturer', 'studage', 'lectage', 'service', 'dept')
      ],
      'tasks': _levels('good', 'best'),
    },
  ),
  'verbagg': Log(
    """
    SELECT id, item, Anger, Gender, btype, situ, mode,
      (resp <> 'no')::INTEGER AS perhaps, (resp = 'yes')::INTEGER AS yes
    FROM input
    """,
    {
      'user': 'id',
      'item': 'item',
      'categorical': ['id', 'item', 'Gender', 'btype', 'situ', 'mode'],
      'numeric': ['Anger'],
      'tasks': _levels('perhaps', 'yes'),
    },
  ),
  'stops': Log(
    """
    SELECT date, problem, preRace, race, gender, lat, long, policePrecinct,
      neighborhood,
      coalesce(personSearch = 'YES', false)::INTEGER AS person_search,
      coalesce(vehicleSearch = 'YES', false)::INTEGER AS vehicle_search
    FROM input WHERE MDC = 'MDC' ORDER BY date, rowid
    """,
    {
      'item': 'neighborhood',
      'time': {'column': 'date', 'unit': 'iso'},
      'from_time': ['hour', 'weekday'],
      'categorical': [
        *('neighborhood', 'problem', 'preRace', 'race', 'gender'),
        'policePrecinct',
      ],
      'numeric': ['lat', 'long'],
      'tasks': _separate('person_search', 'vehicle_search'),
    },
  ),
}


def write(name: str, source: pathlib.Path, output: pathlib.Path) -> int:
  """Writes `<name>.csv` and `schema.json`.

  Args:
    name: of LOGS.
    source: the CSV file.
    output: directory, made if it is not there.

  Returns:
    How many rows.

  Raises:
    types.InputError: the file is missing, or is not what it should be.
  """
  log, path = LOGS[name], output / f'{name}.csv'
  output.mkdir(parents=True, exist_ok=True)
  try:
    with duckdb.connect() as connection:
      # As texts, so that numbers and times stay as they are written.
      connection.execute(
        'CREATE TABLE input AS SELECT * FROM read_csv('
        f"{sql.literal(str(source))}, header = true, nullstr = ['', 'NA'],"
        ' all_varchar = true)'
      )
      found = connection.execute(
        f'COPY ({log.rows}) TO {sql.literal(str(path))} (HEADER)'
      ).fetchone()
  except duckdb.Error as error:
    line = str(error).partition('\n')[0]
    raise types.InputError(f'{source}: {line}') from error
  (output / 'schema.json').write_text(json.dumps(log.schema, indent=2) + '\n')
  return found[0] if found else 0


def main(argv: list[str]) -> None:
  """Writes the files and says how many rows there are."""
  del argv
  values = flags.FLAGS
  try:
    rows = write(
      values.log, pathlib.Path(values.input), pathlib.Path(values.output)
    )
  except types.InputError as error:
    print(f'r_logs: {error}', file=sys.stderr)
    sys.exit(2)
  print(f'{values.output}/{values.log}.csv: {rows:,} rows')


def define_flags() -> None:
  """Defines the flags; not on import, since a test imports this module."""
  flags.DEFINE_enum('log', None, list(LOGS), 'Which.', required=True)
  flags.DEFINE_string('input', None, 'Its CSV file.', required=True)
  flags.DEFINE_string('output', None, 'Directory to write.', required=True)


if __name__ == '__main__':
  define_flags()
  app.run(main)
