"""The unit of times, and which of several is the row's."""

import datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rmtl_jax.preparation.guess import facts as facts_lib
from rmtl_jax.preparation.guess import keys, time_forms, times
from rmtl_jax.preparation.guess import sample as sample_lib
from tests.preparation.guess import logs

N = 300


def _find(sample, facts):
  return times.find(facts, keys.by_names(sample, facts))


def _times(tmp_path, **columns):
  return _find(*logs.sample_of(tmp_path, columns))


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
    ('timestamp', [874_724_710 + i for i in range(N)], 's'),
    ('rank', [874_724_710 + i for i in range(N)], None),
    ('time_ms', range(N), 'ms'),
    ('hour', [i % 24 for i in range(N)], None),
    ('play_time', range(N), None),
    ('phone_number', [1_600_000_000 + i for i in range(N)], None),
  ],
)
def test_units(tmp_path, name, values, unit):
  found, _ = _times(tmp_path, **{name: values})
  assert (found.form if found else None) == (unit and {'unit': unit})


def _fault(path, rows=10_000):
  sample = sample_lib.read(path, rows)
  facts = facts_lib.find(sample)
  return times.fault(path, sample, facts, _find(sample, facts)[0])


@pytest.mark.parametrize('first', [1_600_000_000, 874_724_710])
def test_a_date_that_stands_for_nothing_is_named_by_its_row(tmp_path, first):
  """In the words of `rmtl prepare`, whichever file it is in."""
  values = [first + i for i in range(N)]
  whole = logs.write(tmp_path / 'whole.csv', {'ts': values})
  assert _fault(whole) == ''
  some = [-1 if i in (7, 9) else value for i, value in enumerate(values)]
  log = logs.write(
    tmp_path / 'log.csv', {'x': ['"a\nb"', *'c' * 299], 'ts': some}
  )
  said = _fault(log)
  # Below the header, and a value of two lines.
  assert said.startswith(
    f"{log}: row 10, column 'ts': '-1', expected the row's"
  )
  folder = tmp_path / 'folder'
  folder.mkdir()
  for name, part in (('a', values), ('b', some)):
    pq.write_table(pa.table({'ts': part}), folder / f'{name}.parquet')
  assert _fault(folder).startswith(
    f"{folder / 'b.parquet'}: row 8, column 'ts'"
  )
  # Of a log that is not read whole no rows are known.
  long = logs.write(tmp_path / 'long.csv', {'ts': some * 100})
  assert "long.csv: column 'ts': wrong in " in _fault(long, 1000)


@pytest.mark.parametrize(
  ('values', 'what'),
  [
    ([100 * (i // 60 % 24) + i % 60 for i in range(N)], 'times of day'),
    ([10_000 * (i % 24) + i % 60 for i in range(N)], 'times of day'),
    ([100 * (i // 25 + 1) + i % 25 + 1 for i in range(N)], 'days without a y'),
    ([7 * i for i in range(N)], ''),
    ([100 * i for i in range(N)], ''),
  ],
)
def test_times_of_day_are_no_times_since_the_log_began(tmp_path, values, what):
  """1631 and 1224: dunnhumby's baskets were ordered by the time of day."""
  time, others = _times(tmp_path, TRANS_TIME=values)
  if what:
    assert time is None and others['TRANS_TIME'].startswith(what)
    assert f'such as {max(values)}, which no schema' in others['TRANS_TIME']
  else:
    assert time and time.form == {'unit': 's'}


def test_days_of_a_year_that_is_not_said_are_dates(tmp_path):
  """Tmall's 0511 was the 511th second of the log."""
  days = [f'{5 + i // 28 % 8:02}{i % 28 + 1:02}' for i in range(N)]
  time, _ = _times(tmp_path, time_stamp=days)
  assert time and time.form == {'format': '%m%d'} and time.needs_any_dates


def test_a_time_since_the_log_began_may_be_negative(tmp_path):
  log = logs.write(tmp_path / 'log.csv', {'time_ms': [-1, *range(N)]})
  assert _fault(log) == ''


@pytest.mark.parametrize(
  ('first', 'why', 'needs'),
  [
    (874_724_710, 'in s since 1970 from 1997-09-20 to 1997-09-20', True),
    (1_600_000_000, 'in s since 1970 from 2020-09-13 to 2020-09-13', False),
    (7, 'named like a time, from 7 to 306: not since 1970', True),
  ],
)
def test_times_before_2000_need_a_flag(tmp_path, first, why, needs):
  found, _ = _times(tmp_path, timestamp=[first + i for i in range(N)])
  assert found and found.why.startswith(why)
  assert found.needs_any_dates == needs


@pytest.mark.parametrize(
  ('value', 'pattern'),
  [
    ('20240501', '%Y%m%d'),
    ('2024-05-01 13', '%Y-%m-%d %H'),
    ('01.05.2024 13:30', '%d.%m.%Y %H:%M'),
    ('05/31/2024', '%m/%d/%Y'),
    ('05/05/2024', '%d/%m/%Y'),
    ('"May 01, 2024 12:05 AM"', '%b %d, %Y %I:%M %p'),
    ('1 May 2024', '%d %b %Y'),
    ('01-05-2024', '%d-%m-%Y'),
    ('05/31/2024 01:30 PM', '%m/%d/%Y %I:%M %p'),
    ('31/05/2024 01:30:00 PM', '%d/%m/%Y %I:%M:%S %p'),
    ('2024-05-01 13:30:00 -0400', '%Y-%m-%d %H:%M:%S %z'),
    ('01/May/2024:10:00:00 +0000', '%d/%b/%Y:%H:%M:%S %z'),
    ('01-MAY-2024', '%d-%b-%Y'),
    ('"may 05, 2024"', '%b %d, %Y'),
    ('20240501T133000.000Z', '%Y%m%dT%H%M%S.%gZ'),
  ],
)
def test_other_text_has_a_pattern(tmp_path, value, pattern):
  found, _ = _times(tmp_path, date=[value, value.replace('2024', '2023')] * 150)
  assert found and found.form == {'format': pattern}
  assert f'as {pattern}' in found.why


@pytest.mark.parametrize(
  ('values', 'pattern'),
  [
    # Ten days of March, or the third of ten months.
    ([f'03/{i % 10 + 1:02}/2024 10:00' for i in range(N)], '%m/%d/%Y %H:%M'),
    ([f'{i % 10 + 1:02}/03/2024 10:00' for i in range(N)], '%d/%m/%Y %H:%M'),
    # Ten days, and not the hours of one.
    ([f'201205{i % 10 + 1:02}' for i in range(N)], '%Y%m%d'),
    ([f'930{i % 9 + 1}{i % 28 + 1:02}' for i in range(N)], '%y%m%d'),
    ([f'2009{i % 12 + 1:02}' for i in range(N)], '%Y%m'),
    ([f'{["Jan", "Dec"][i % 2]}-2015' for i in range(N)], '%b-%Y'),
    (
      [f'Tue Apr 03 18:{i % 60:02}:09 +0000 2012' for i in range(N)],
      '%a %b %d %H:%M:%S %z %Y',
    ),
    # Of one month, with times of the day.
    ([f'01/{i % 10 + 1:02}/2024 13:05' for i in range(N)], '%m/%d/%Y %H:%M'),
    # The first of ten months.
    ([f'{i % 10 + 1:02}/01/2024' for i in range(N)], '%m/%d/%Y'),
    ([f'01/{i % 10 + 1:02}/2024' for i in range(N)], '%d/%m/%Y'),
    ([f'240501{i % 24:02}' for i in range(N)], '%y%m%d%H'),
    ([f'20240501{i % 24:02}' for i in range(N)], '%Y%m%d%H'),
    ([f'20240501{i % 24:02}{i % 60:02}' for i in range(N)], '%Y%m%d%H%M'),
    ([f'20240501{i % 24:02}{i % 60:02}00' for i in range(N)], '%Y%m%d%H%M%S'),
  ],
)
def test_the_likeliest_of_several_patterns(tmp_path, values, pattern):
  found, _ = _times(tmp_path, date=values)
  assert found and found.form == {'format': pattern}


def test_of_many_times_since_the_beginning_the_unit_is_milliseconds(tmp_path):
  found, _ = _times(tmp_path, timestamp=[i * 10**7 for i in range(N)])
  assert found and found.form == {'unit': 'ms'}
  assert found.why.endswith('so read as ms since the log began')


def test_numbers_beyond_the_year_3000_are_no_times(tmp_path):
  found, _ = _times(tmp_path, timestamp=[10**14 + i * 10**3 for i in range(N)])
  assert found is None
  found, _ = _times(tmp_path, time_us=[10**14 + i * 10**3 for i in range(N)])
  assert found and found.form == {'unit': 'us'}


def test_the_time_of_an_answer_is_the_row_s_where_nothing_else_is(tmp_path):
  days = [f'2024-05-{i % 28 + 1:02}' for i in range(N)]
  found, others = _times(tmp_path, click_time=days)
  assert found and found.column == 'click_time' and not others
  # When somebody subscribed is of the user.
  found, _ = _times(tmp_path, subscribed_at=days)
  assert found is None
  # Times since the beginning beat it, and are never those of an answer.
  lengths = [50 + i * 31 % 5000 for i in range(N)]
  found, _ = _times(tmp_path, timestamp=lengths, click_time=days)
  assert found and found.column == 'timestamp'
  for name in ('click_time', 'response_time'):
    assert _times(tmp_path, **{name: lengths})[0] is None
  # Numbers since 1970 are no lengths.
  seconds = [1_600_000_000 + 60 * i for i in range(N)]
  found, _ = _times(tmp_path, delivery_timestamp=seconds)
  assert found and found.form == {'unit': 's'}
  # Not of rows that have none.
  found, _ = _times(tmp_path, x=range(N), click_time=['', *days[1:]])
  assert found is None


@pytest.mark.parametrize(
  ('name', 'values', 'said'),
  [
    (
      'time',
      ['12:30', '12:40', '13:10'] * 100,
      "times of day such as '12:30', which no schema reads",
    ),
    ('birth_date', ['1990-05-01', '1991-05-02'] * 150, 'by its name'),
  ],
)
def test_times_that_are_not_the_rows_are_said(tmp_path, name, values, said):
  found, others = _times(tmp_path, **{name: values})
  assert found is None
  assert said in others[name]


def test_days_that_are_numbers_in_parquet(tmp_path):
  """Whole ones are read by their pattern; 20240501.0 is not."""
  path = tmp_path / 'log.parquet'
  for kind in (pa.int64(), pa.uint32(), pa.float64()):
    days = pa.array([20240501 + i % 28 for i in range(N)], kind)
    pq.write_table(pa.table({'date': days, 'x': range(N)}), path)
    sample = sample_lib.read(path, 1000)
    found, others = _find(sample, facts_lib.find(sample))
    if kind == pa.float64():
      assert found is None and 'which no schema reads' in others['date']
    else:
      assert found and found.form == {'format': '%Y%m%d'} and not others


def test_the_finest_complete_time_is_the_rows(tmp_path):
  found, others = _times(
    tmp_path,
    day=[f'2024-05-{i % 28 + 1:02}' for i in range(N)],
    event_time=[1_714_521_600 + 60 * i for i in range(N)],
    click_time=[1_714_521_600 + i if i % 3 else '' for i in range(N)],
  )
  assert found and found.column == 'event_time'
  assert 'event_time is the time' in others['day']
  assert 'not every row has' in others['click_time']


def test_a_time_from_the_beginning_is_no_date(tmp_path):
  found, _ = _times(tmp_path, timestamp=range(N))
  assert found and not found.is_date


@pytest.mark.parametrize(
  'name', ['total day calls', 'time_on_page', 'session_time', 'arrival_time']
)
def test_counts_and_lengths_are_no_times(tmp_path, name):
  keys_of = [i % 20 for i in range(N)]
  lengths = {name: [i * 7919 % 509 for i in range(N)]}
  columns = {'user_id': keys_of, **lengths}
  found, others = _times(tmp_path, **columns)
  assert found is None and not others
  _, facts = logs.sample_of(tmp_path, columns)
  is_told = name.endswith('time')
  assert times.may_be(facts) == [name] * is_told
  # What rises with the rows of each user, or of each id, is one.
  rising = {name: [i * 7919 % 20 + i // 20 * 20 for i in range(N)]}
  for key in ('user_id', 'session_id', 'id'):
    found, _ = _times(tmp_path, **{key: keys_of}, **rising)
    assert (found is not None) == is_told


@pytest.mark.parametrize(
  'name',
  ['income_at_application', 'price_at_visit', 'spend_to_date', 'stock_at_ms'],
)
def test_when_a_number_was_true_is_no_time(tmp_path, name):
  found, others = _times(tmp_path, **{name: range(1000, 1000 + N)})
  assert (found is not None) == (name == 'stock_at_ms') and not others


@pytest.mark.parametrize('name', ['last_login_date', 'first_seen_at'])
def test_what_was_before_is_no_time_of_the_row(tmp_path, name):
  days = [i * 11 % 28 + 1 for i in range(N)]
  for values in (
    [f'2024-05-{day:02}' for day in days],
    [f'{day:02}/05/2024' for day in days],
    [1_700_000_000 + 86_400 * day for day in days],
  ):
    found, others = _times(tmp_path, **{name: values})
    assert found is None and 'not the time of a row' in others[name]


@pytest.mark.parametrize('name', ['last_updated_at', 'LastModifiedDate'])
def test_the_last_change_is_a_later_time(tmp_path, name):
  days = [f'2024-05-{i * 11 % 28 + 1:02} 12:00:00' for i in range(N)]
  found, _ = _times(tmp_path, **{name: days})
  assert found and found.column == name


def test_the_order_is_the_time_and_not_what_comes_of_it(tmp_path):
  order = [f'2024-05-{i * 11 % 28 + 1:02}' for i in range(N)]
  ship = [f'2024-06-{i * 11 % 28 + 1:02} 12:{i % 60:02}:00' for i in range(N)]
  for first, then in (('Order Date', 'Ship Date'), ('booking', 'arrival')):
    columns = {f'{then}_time': ship, f'{first}_time': order}
    found, _ = _times(tmp_path, **columns)
    assert found and found.column == f'{first}_time'
  # Alone it is the row's, and beside numbers or what is said of an order.
  for name, values in (
    ('order_time', [i * 7 % 1440 for i in range(N)]),
    ('booking_updated_at', order),
    ('order_expected_date', order),
    ('membership_purchase_date', order),
  ):
    found, _ = _times(tmp_path, arrival_time=ship, **{name: values})
    assert found and found.column == 'arrival_time'


def test_years_of_two_digits(tmp_path):
  for day, pattern in (
    ('05/{}/24', '%m/%d/%y'),
    ('{}-05-24', '%d-%m-%y'),
    ('24.05.{}', '%y.%m.%d'),
    ('{}/05/24 13:30', '%d/%m/%y %H:%M'),
    # No later than next year.
    ('{}/05/01', '%d/%m/%y'),
  ):
    days = [day.format(f'{i % 28 + 1:02}') for i in range(N)]
    found, _ = _times(tmp_path, date=days)
    assert found and found.form == {'format': pattern}
    year = found.why.split('from ')[1][:4]
    assert f'from {year}-05-01 to {year}-05-28' in found.why


@pytest.mark.parametrize(
  'name',
  [
    *('created_at_unix', 'at_ms', 'clicked_at_utc', 'created_at_ts'),
    *('begun_at_1', 'timestamp_at_impression'),
  ],
)
def test_times_whose_names_say_more(tmp_path, name):
  shuffled = [1_600_000_000 + i * 7919 % 509 for i in range(N)]
  found, _ = _times(tmp_path, **{name: shuffled})
  assert found and found.form == {'unit': 's'}


@pytest.mark.parametrize('value', ['{}.1.2', '16.5.{}', '12-05-{}', '{}/12/14'])
def test_versions_and_codes_are_no_dates(tmp_path, value):
  versions = [value.format(i % 7 + 1) for i in range(N)]
  columns = {'app_version': versions, 'user_id': USERS, 'item_id': ITEMS}
  sample, facts = logs.sample_of(tmp_path, columns)
  time, others = _find(sample, facts)
  assert time is None and not others
  keys_of = keys.by_names(sample, facts)
  assert times.by_values(facts, keys_of) == (None, [])


@pytest.mark.parametrize(
  'name', ['time_stamp', 'impr_ts', 'session_start_time', 'eventtime', 'time_1']
)
def test_times_of_rows_need_no_order(tmp_path, name):
  found, _ = _times(tmp_path, **{name: [i * 7919 % 509 for i in range(N)]})
  assert found and found.form == {'unit': 's'}


def test_what_came_later_is_the_time_where_nothing_else_is(tmp_path):
  days = [f'2024-05-{i % 28 + 1:02}' for i in range(N)]
  clock = [f'{day} 12:{i % 60:02}:00' for i, day in enumerate(days)]
  for later in ('updated_at', 'due_at', 'order_status_date'):
    found, _ = _times(tmp_path, **{later: clock})
    assert found and found.column == later
    found, _ = _times(tmp_path, **{later: clock, 'order_date': days})
    assert found and found.column == 'order_date'


def test_the_year_stands_first_where_days_follow_each_other(tmp_path):
  months = [f'15/{i % 12 + 1:02}/{19 + i // 12 % 4}' for i in range(N)]
  found, _ = _times(tmp_path, date=months)
  assert found and found.form == {'format': '%d/%m/%y'}
  assert 'from 2019-01-15 to 2022-12-15' in found.why


@pytest.mark.parametrize(
  'text', ['Day 1', 'Slot 2', '2 Weeks', 'Fri evening', '3 decades', 'Sunny 1']
)
def test_a_word_and_a_number_are_no_date(tmp_path, text):
  found, others = _times(tmp_path, day=[text, f'{text}0'] * 150)
  assert found is None and not others


def test_times_of_parquet_are_iso(tmp_path):
  path = tmp_path / 'log.parquet'
  stamps = pa.array(range(N), pa.timestamp('us', 'UTC'))
  pq.write_table(pa.table({'at': stamps, 'x': range(N)}), path)
  sample = sample_lib.read(path, 1000)
  found, _ = _find(sample, facts_lib.find(sample))
  assert found and (found.column, found.form) == ('at', {'unit': 'iso'})


def _by_values(tmp_path, **columns):
  sample, facts = logs.sample_of(tmp_path, columns)
  assert _find(sample, facts)[0] is None
  return times.by_values(facts, keys.by_names(sample, facts))


# Two rows each of 150 users in turn, of 20 items; every 97th second.
USERS = [i % 150 for i in range(N)]
ITEMS = [i * 7 % 20 for i in range(N)]
SECONDS = [1_600_000_000 + 97 * i for i in range(N)]
DAYS = [f'2024-05-{i // 10 + 1:02}' for i in range(N)]
SHUFFLED = [i * 77 % N for i in range(N)]


@pytest.mark.parametrize(
  ('values', 'form'),
  [
    (SECONDS, {'unit': 's'}),
    ([1000 * x for x in SECONDS], {'unit': 'ms'}),
    ([f'{x}.0' for x in SECONDS], {'unit': 's'}),
    (SECONDS[::-1], {'unit': 's'}),
    ([640_000_000 + 97 * i for i in range(N)], {'unit': 's'}),
    (DAYS, {'unit': 'iso'}),
    ([f'{x} 12:00:00' for x in DAYS], {'unit': 'iso'}),
    (
      [f'{x[-2:]}.05.2024 12:00' for x in DAYS],
      {'format': '%d.%m.%Y %H:%M'},
    ),
    # Not of all rows, but of the rows of every user.
    ([SECONDS[i // 2 + N // 2 * (i % 2)] for i in range(N)], None),
  ],
)
def test_a_time_of_an_unknown_name_is_in_the_order_of_rows(
  tmp_path, values, form
):
  found, _ = _by_values(tmp_path, gesehen=values, x=ITEMS)
  assert (found.form if found else None) == form
  if found:
    assert 'no name says time, but rows stand in its order' in found.why


def test_the_rows_of_each_user_may_be_in_order_alone(tmp_path):
  values = [SECONDS[100 * (i % 3) + i // 3 * 37 % 100] for i in range(N)]
  columns = {'wann': values, 'x': ITEMS}
  assert _by_values(tmp_path, **columns) == (None, [])
  found, _ = _by_values(tmp_path, user=[i // 3 for i in range(N)], **columns)
  assert found and found.column == 'wann'


@pytest.mark.parametrize(
  ('name', 'values'),
  [
    # Ids that rows count on, and others by their names or without an order.
    ('rang', range(1_600_000_000, 1_600_000_000 + N)),
    ('phone_number', SECONDS),
    ('orderId', SECONDS),
    ('CLIENTNUM', SECONDS),
    ('beleg', [SECONDS[i] for i in SHUFFLED]),
    # Of a user, and of an item, in any order.
    ('geburt', [f'{1950 + user // 4}-01-{user % 4 + 1:02}' for user in USERS]),
    ('erschienen', [f'2020-01-{item + 1:02}' for item in ITEMS]),
    ('birth_date', DAYS),
    # Beyond tomorrow, before 1990, too few, not of all rows.
    ('bis', [4_000_000_000 + 97 * i for i in range(N)]),
    ('zahl', [600_000_000 + 97 * i for i in range(N)]),
    ('stichtag', ['2024-05-01', '2024-05-02'] * 150),
    ('gekauft', [x if i % 3 else '' for i, x in enumerate(SECONDS)]),
    ('gesehen', [x if i != 7 else -1 for i, x in enumerate(SECONDS)]),
  ],
)
def test_ids_birthdays_and_others_are_no_times_of_rows(tmp_path, name, values):
  columns = {name: values, 'user_id': USERS, 'item_id': ITEMS}
  assert _by_values(tmp_path, **columns) == (None, [])


def test_every_pattern_is_found(tmp_path):
  first = datetime.datetime(2024, 5, 13, 13, 30, tzinfo=datetime.UTC)
  moments = [first + datetime.timedelta(days=i % 50) for i in range(N)]
  columns = {
    f'date_{number}': [f'"{at.strftime(pattern)}"' for at in moments]
    for number, pattern in enumerate(time_forms.PATTERNS)
  }
  _, facts = logs.sample_of(tmp_path, columns)
  for one, pattern in zip(facts, time_forms.PATTERNS, strict=True):
    found = time_forms.of_column(one)
    assert found and found.form, pattern


def test_what_was_before_is_no_time_in_the_order_of_rows_either(tmp_path):
  columns = {'last_seen_at': DAYS, 'user_id': USERS, 'item_id': ITEMS}
  assert _by_values(tmp_path, **columns) == (None, [])


def test_a_later_time_gives_way_to_the_one_of_the_rows(tmp_path):
  columns = {'gebucht': DAYS, 'geändert': DAYS[::-1]}
  assert _by_values(tmp_path, **columns)[0] is None
  found, _ = _by_values(tmp_path, gebucht=DAYS, updated=DAYS[::-1])
  assert found and found.column == 'gebucht'
  # Months and versions are no rivals, nor dates that need a format.
  months = [f'2024-{i // 25 + 1:02}' for i in range(N)]
  days = [f'{day[-2:]}.05.2024' for day in DAYS]
  for other in (months, days, [f'2020.01.{i // 25 + 1}' for i in range(N)]):
    found, _ = _by_values(tmp_path, gebucht=DAYS, other=other)
    assert found and found.column == 'gebucht'
  assert _by_values(tmp_path, other=months) == (None, [])
  # Such dates may be it where nothing else is.
  clock = [f'{day[-2:]}/05/24 12:00' for day in DAYS]
  found, _ = _by_values(tmp_path, gebucht=clock)
  assert found and found.form == {'format': '%d/%m/%y %H:%M'}


def test_dates_in_no_known_format_are_told(tmp_path):
  values = [f'2024/5/{i % 28 + 1} 1:30 PM' for i in range(N)]
  found, others = _times(tmp_path, date=values)
  assert found is None and time_forms.NO_FORMAT in others['date']


def test_a_birthday_in_the_order_of_rows_is_the_users(tmp_path):
  users = [i // 2 for i in range(N)]
  days = [f'{1950 + user // 4}-01-{user % 4 + 1:02}' for user in users]
  assert _by_values(tmp_path, geburt=days, user_id=users) == (None, [])


def test_dates_without_an_order_differ_within_users_and_items(tmp_path):
  days = [DAYS[i] for i in SHUFFLED]
  columns = {'wann': days, 'user_id': USERS}
  assert _by_values(tmp_path, **columns) == (None, [])
  found, _ = _by_values(tmp_path, **columns, item_id=ITEMS)
  assert found and 'differs within users and within items' in found.why


def test_of_several_times_one_is_nearly_named(tmp_path):
  columns = {'wann': SECONDS, 'gebucht': DAYS}
  assert _by_values(tmp_path, **columns) == (None, ['wann', 'gebucht'])
  found, others = _by_values(tmp_path, **columns, buchungstimestmp=SECONDS)
  assert found and found.column == 'buchungstimestmp' and not others


@pytest.mark.parametrize('name', ['date', 'wann'])
@pytest.mark.parametrize('end', ['infinity', '-infinity'])
def test_times_that_never_end_are_no_times_of_rows(tmp_path, name, end):
  sample, facts = logs.sample_of(tmp_path, {name: [*DAYS[1:], end]})
  time, others = _find(sample, facts)
  assert time is None and 'which no schema reads' in others[name]
  assert times.by_values(facts, {}) == (None, [])


def test_ids_of_a_large_log_are_no_times_in_a_sample(tmp_path):
  """Blocks of rows all over the log, whose ids are further apart."""
  count = 200_000
  ids = [1_600_000_000 + i for i in range(count)]
  path = logs.write(tmp_path / 'log.csv', {'beleg': ids, 'x': [1, 2] * 100_000})
  sample = sample_lib.read(path, 2000)
  assert sample.rows < 0.1 * count
  assert times.by_values(facts_lib.find(sample), {}) == (None, [])


def _days(first, month=5):
  return [f'2024-{month:02}-{first + i % 20:02}' for i in range(N)]


@pytest.mark.parametrize(
  ('columns', 'time'),
  [
    (['startdate', 'enddate'], 'startdate'),
    (['end_date', 'start_date'], 'start_date'),
    (['issuedate'], 'issuedate'),
    # The row's date is surer than since when somebody is a customer.
    (['startdate', 'orderdate'], 'orderdate'),
    (['contractenddate', 'date'], 'date'),
  ],
)
def test_dates_of_several(tmp_path, columns, time):
  found, _ = _times(tmp_path, **{name: _days(1) for name in columns})
  assert found.column == time


def test_a_date_that_few_rows_lack_is_told(tmp_path):
  found, others = _times(tmp_path, date=['', *_days(1)[1:]], x=range(N))
  assert found is None
  assert (
    'it might be the time, but rows without one: 1 of 300' in others['date']
  )


def _minutes(step, offset=0):
  """Times of a day's every `step` minutes, with a clock."""
  first = datetime.datetime(2024, 5, 1, tzinfo=datetime.UTC)
  return [
    first + datetime.timedelta(minutes=step * i + offset) for i in range(N)
  ]


@pytest.mark.parametrize('name', ['dropoff_datetime', 'receipt_datetime'])
def test_of_two_times_the_rows_stand_in_one(tmp_path, name):
  """A name says that one is later, or the order of the rows."""
  starts = _minutes(7)
  ends = [
    at + datetime.timedelta(minutes=i * 37 % 90) for i, at in enumerate(starts)
  ]
  starts[1] = starts[0]  # fewer different ones
  columns = {'pickup_datetime': starts, name: ends}
  found, _ = _times(tmp_path, **columns)
  assert found and found.column == 'pickup_datetime'


def test_dates_of_an_unknown_name_are_no_lists(tmp_path):
  """In no order they are no time, but may be it."""
  texts = [at.strftime('%d.%m.%Y %H:%M') for at in _minutes(30)]
  shuffled = [texts[i * 7 % N] for i in range(N)]
  sample, facts = logs.sample_of(tmp_path, {'besuch': shuffled})
  assert facts[0].kind == 'list'
  found, others = _find(sample, facts)
  assert found is None and [*others] == ['besuch']
  assert times.may_be(facts) == ['besuch']


@pytest.mark.parametrize(
  ('name', 'values', 'may_be'),
  [
    ('gesehen_am', [f'2024-05-{i * 7 % 28 + 1:02}' for i in range(N)], True),
    ('t', [1_700_000_000 + i * 7919 % 100_003 for i in range(N)], True),
    ('birth_date', [f'1984-05-{i * 7 % 28 + 1:02}' for i in range(N)], False),
    (
      'besuch',
      [f'2024-05-{i % 28 + 1:02}' if i else '' for i in range(N)],
      False,
    ),
  ],
)
def test_what_may_be_the_time_in_no_order(tmp_path, name, values, may_be):
  sample, facts = logs.sample_of(tmp_path, {name: values, 'x': ITEMS})
  assert _find(sample, facts)[0] is None
  assert times.may_be(facts) == [name] * may_be


@pytest.mark.parametrize('name', ['viewed_on', 'datum', 'fecha', 'Zeitpunkt'])
def test_further_names_of_times(tmp_path, name):
  found, _ = _times(tmp_path, **{name: DAYS[::2] + DAYS[1::2]})
  assert found and found.column == name


@pytest.mark.parametrize(
  ('name', 'first', 'unit', 'is_date'),
  [
    ('Date', 45_352, 'd', False),  # as spreadsheets count
    ('date', 19_800, 'd', True),  # since 1970
    ('TransactionDT', 86_400, 's', False),
  ],
)
def test_days_as_numbers(tmp_path, name, first, unit, is_date):
  values = [first + i * 5 // 2 for i in range(N)]
  found, _ = _times(tmp_path, **{name: values})
  assert found and (found.form, found.is_date) == ({'unit': unit}, is_date)


def test_days_of_a_month_or_a_year_are_no_times(tmp_path):
  for most in (31, 366):
    values = [i * 37 % most + 1 for i in range(N)]
    assert _times(tmp_path, day=values)[0] is None
    assert _times(tmp_path, day=sorted(values))[0] is None


def test_days_since_the_log_began(tmp_path):
  found, _ = _times(tmp_path, DAY=[i * 2 + 1 for i in range(N)])
  assert found and (found.form, found.is_date) == ({'unit': 'd'}, False)
  assert 'since the log began' in found.why
  assert _times(tmp_path, DAY=[i * 37 % 700 for i in range(N)])[0] is None


def test_an_end_gives_way_to_a_beginning_without_a_word_of_times(tmp_path):
  columns = {'trial_start': DAYS, 'trial_end': DAYS}
  found, _ = _by_values(tmp_path, **columns)
  assert found and found.column == 'trial_start'


def test_amounts_are_no_days(tmp_path):
  values = [11_000 + i * 7919 % 9000 for i in range(N)]
  for name in ('visitors_day', 'steps_day', 'datum'):
    assert _times(tmp_path, **{name: values})[0] is None, name


def test_a_time_of_users_in_whose_order_rows_stand_is_not_theirs(tmp_path):
  """Users one after the other, each with rows all over the months."""
  first = datetime.date(2024, 1, 1)
  users = [i // 30 for i in range(N)]
  day = lambda n: str(first + datetime.timedelta(days=n))
  found, _ = _times(
    tmp_path,
    user_id=users,
    cohort_date=[day(user) for user in users],
    event_date=[day(user + i * 37 % 90) for i, user in enumerate(users)],
  )
  assert found and found.column == 'event_date'


def test_a_time_in_no_order_may_be_a_length(tmp_path):
  """As that of survival, beside who lived so long."""
  lengths = [i * 7919 % 3000 for i in range(N)]
  assert _times(tmp_path, time=lengths)[0] is None
  found, _ = _times(tmp_path, time=sorted(lengths))
  assert found and found.form == {'unit': 's'}


def test_months_by_their_names_are_dates(tmp_path):
  months = ['Jan-2024'] * 100 + ['Feb-2024'] * 100 + ['Mar-2024'] * 100
  found, _ = _by_values(tmp_path, issue_d=months)
  assert found and found.form == {'format': '%b-%Y'}
  # As spreadsheets write 3-15.
  found, _ = _by_values(tmp_path, size=[m[:4] + m[-2:] for m in months])
  assert not found


@pytest.mark.parametrize('name', ['inception_date', 'fecha_alta', 'bind_date'])
def test_when_somebody_came_is_no_time_of_the_row(tmp_path, name):
  found, others = _times(tmp_path, **{name: DAYS})
  assert not found and 'not the time of a row' in others[name]


@pytest.mark.parametrize(
  'pattern', ['%Y-%m', '%m/%Y', '%m.%Y', '%Y%m', '%b-%y']
)
def test_a_month_with_its_year_is_the_time(tmp_path, pattern):
  months = [datetime.date(2022 + i // 12, i % 12 + 1, 1) for i in range(20)]
  written = [month.strftime(pattern) for month in months] * 20
  found, others = _times(tmp_path, snapshot_month=written)
  assert found and (found.column, found.form) == (
    'snapshot_month',
    {'format': pattern},
  )
  # Not where it is of a user, nor without a year, nor beside a finer time.
  assert _times(tmp_path, cohort_month=written)[0] is None
  users = [i % 20 for i in range(400)]
  assert _times(tmp_path, joining_month=written, user=users) == (None, {})
  months_alone = [month.month for month in months] * 20
  assert _times(tmp_path, month=months_alone) == (None, {})
  days = [f'2022-05-{i % 28 + 1:02}' for i in range(400)]
  found, others = _times(tmp_path, month=written, date=days)
  assert found and found.column == 'date' and {*others} == {'month'}


@pytest.mark.parametrize(
  'name',
  ['Monat', 'mois', 'mes', 'mês', 'Месяц', '月份', '연월', 'Abrechnung_Monat'],
)
@pytest.mark.parametrize('pattern', ['{m:02}/{y}', '{m:02}.{y}', '{m}.{y}'])
def test_months_of_other_languages_and_with_points(tmp_path, name, pattern):
  # October of 2020 is no 10.202.
  months = [pattern.format(m=i % 12 + 1, y=2019 + i // 12) for i in range(24)]
  expected = {'format': '%m/%Y' if '/' in pattern else '%m.%Y'}
  found, _ = _times(tmp_path, **{name: months * 20})
  assert found and (found.column, found.form) == (name, expected)
  assert not found.different and found.days > 600


def test_a_number_with_four_decimals_is_no_month(tmp_path):
  months = [f'{i % 12 + 1}.{2019 + i // 12}' for i in range(24)] * 20
  assert _times(tmp_path, price=months) == (None, {})
  # Nor what has no such year, or no month, in any row.
  for other in ('13.2020', '10.5', '3'):
    assert _times(tmp_path, Monat=[*months, other]) == (None, {})
  # Floats have lost the zero of 10.2020.
  floats = [float(month) for month in months]
  path = tmp_path / 'floats.parquet'
  pq.write_table(pa.table({'Monat': floats}), path)
  (facts,) = facts_lib.find(sample_lib.read(path, 1000))
  assert time_forms.of_column(facts) is None
