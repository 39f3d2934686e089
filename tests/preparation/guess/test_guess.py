"""What is guessed of whole logs, and that prepare takes the schema."""

import datetime
import json

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest

import rmtl_jax
from rmtl_jax import types
from rmtl_jax.preparation import schema as schema_lib
from rmtl_jax.preparation.guess import guess, writing
from tests.preparation.guess import logs


@pytest.fixture(scope='module')
def shop(tmp_path_factory):
  return logs.write(tmp_path_factory.mktemp('shop') / 'log.csv', logs.shop())


@pytest.fixture(scope='module')
def found(shop):
  return guess.guess(shop)


def test_roles_of_a_log(found):
  assert {one.name: one.role for one in found.columns} == {
    'visit_id': 'session',
    'customer': 'user',
    'product_id': 'item',
    'shown_at': 'time',
    'shop': 'category',
    'tags': 'list',
    'price': 'number',
    'stock_count': 'number',
    'title': 'left out',
    'country': 'left out',
    'row': 'left out',
    'paid_amount': 'leak',
    'watch_seconds': 'leak',
    'is_click': 'label',
    'bought': 'label',
  }
  assert found.is_whole and found.rows == logs.ROWS and not found.problem


@pytest.mark.parametrize(
  ('column', 'said'),
  [
    ('visit_id', '4.0 rows each, of one user each'),
    ('shown_at', 'in s since 1970 from 2023-11-14 to 2023-11-17'),
    ('shop', 'NULL stands for nothing'),
    ('tags', "lists of 9 different values, parted by '|'"),
    ('stock_count', '1 to 10000, median 100: skewed'),
    ('title', 'free text of 8 words'),
    ('country', 'constant'),
    ('paid_amount', 'filled only where bought is 1'),
    ('watch_seconds', 'tells is_click nearly alone (AUC 1.000)'),
    ('is_click', '33.5% are 1'),
    ('bought', 'every 1 has a 1 in is_click, so it is after it'),
  ],
)
def test_reasons(found, column, said):
  why = {one.name: one.why for one in found.columns}
  assert said in why[column]


def test_the_schema_is_what_a_person_would_write(found):
  assert found.schema == {
    'session': 'visit_id',
    'user': 'customer',
    'item': 'product_id',
    'time': {'column': 'shown_at', 'unit': 's'},
    'categorical': ['customer', 'product_id', 'shop'],
    'multi_valued': [{'column': 'tags', 'separator': '|'}],
    'numeric': ['price', {'column': 'stock_count', 'transform': 'log1p'}],
    'from_time': ['hour'],
    'tasks': [
      {'name': 'click', 'column': 'is_click'},
      {'name': 'bought', 'column': 'bought', 'after': 'click'},
    ],
    'missing': ['NULL'],
  }
  assert schema_lib.parse(found.schema).item == 'product_id'


def _prepared(log, record, tmp_path):
  schema = tmp_path / 'schema.json'
  schema.write_text(json.dumps(record))
  return rmtl_jax.prepare(
    rmtl_jax.PrepareConfig(
      source='table',
      raw_dir=str(log),
      schema=str(schema),
      data_dir=str(tmp_path / 'data'),
      as_of=('none',),
    )
  )


def test_prepare_takes_the_schema(found, shop, tmp_path):
  manifest = _prepared(shop, found.schema, tmp_path)
  assert manifest.task_names == ('click', 'bought')
  assert manifest.report['raw_rows'] == logs.ROWS
  # `NULL` is missing, so the vocabulary has three shops and row 0.
  sizes = {field.name: field.size for field in manifest.fields}
  assert sizes['shop'] == 4


def test_a_log_without_times_and_users_leaves_them_out(tmp_path):
  columns = {
    'label': [i % 2 for i in range(100)],
    'I1': [f'{i % 30}.5' for i in range(100)],
    'C1': [f'{i % 7:08x}' for i in range(100)],
  }
  found = guess.guess(logs.write(tmp_path / 'log.csv', columns))
  assert found.schema == {
    'categorical': ['C1'],
    'numeric': ['I1'],
    'tasks': [{'name': 'label', 'column': 'label'}],
  }
  assert any('session of its own' in note for note in found.notes)


def test_a_time_of_an_unknown_name_is_said(tmp_path):
  columns = {
    'wann': [1_600_000_000 + 97 * i for i in range(100)],
    'farbe': ['rot', 'blau'] * 50,
    'click': [int(i % 3 == 0) for i in range(100)],
  }
  found = guess.guess(logs.write(tmp_path / 'log.csv', columns))
  assert found.schema['time'] == {'column': 'wann', 'unit': 's'}
  assert found.schema['categorical'] == ['farbe'] and not found.any_dates
  assert found.columns[0].role == 'time'
  assert any('The time is wann by its values: in s' in x for x in found.notes)


def test_times_of_which_none_is_taken_are_said(tmp_path):
  days = [f'2024-05-{i // 10 + 1:02}' for i in range(100)]
  columns = {
    'wann': days,
    'gebucht': days,
    'farbe': ['rot', 'blau'] * 50,
    'click': [int(i % 3 == 0) for i in range(100)],
  }
  found = guess.guess(logs.write(tmp_path / 'log.csv', columns))
  assert 'time' not in found.schema
  said = 'Columns that may be it, of which none was taken: wann, gebucht;'
  assert any(said in note for note in found.notes)


def test_parts_of_a_date_are_said(tmp_path):
  log = logs.write(
    tmp_path / 'log.csv',
    {
      'arrival_year': [2016 + i % 2 for i in range(logs.ROWS)],
      'arrival_month': [1 + i * 7 % 12 for i in range(logs.ROWS)],
      'arrival_day_of_month': [1 + i * 11 % 28 for i in range(logs.ROWS)],
      'booked': [i % 2 for i in range(logs.ROWS)],
    },
  )
  assert any(
    note.startswith('arrival_year, arrival_month, arrival_day_of_month may be')
    for note in guess.guess(log).notes
  )


@pytest.mark.parametrize('key', ['user_id', 'session_id'])
def test_a_label_that_other_rows_tell_is_said(tmp_path, key):
  columns = {
    'user_id': [i // (4 if key == 'user_id' else 8) for i in range(400)],
    'session_id': [i // 4 for i in range(400)],
    'time': [1_700_000_000 + 60 * i for i in range(400)],
    'object': [f'o{i % 7}' for i in range(400)],
    'label': [i // 4 % 2 for i in range(400)],
  }

  def said():
    log = logs.write(tmp_path / 'log.csv', columns)
    return [n for n in guess.guess(log).notes if n.startswith('label is')]

  split = '--split_by=user and ' if key == 'user_id' else ''
  assert said() == [
    f'label is the same in all rows of each {key}, so other rows tell it:'
    f' {split}--as_of=gap,position,counts, without rates, keeps it from a'
    ' model.'
  ]
  items = {'video_id': [f'o{i % 7}' for i in range(400)]}
  with_items = guess.guess(logs.write(tmp_path / 'log.csv', columns | items))
  assert any('position,views,counts' in note for note in with_items.notes)
  # Without a time no rates are made, and sessions are not cut.
  time = columns.pop('time')
  shown = [note.split('tell it: ')[1] for note in said()]
  assert shown == ['--split_by=user keeps it from a model.'] * (split != '')
  columns['time'] = time
  columns['label'][5] = 0
  assert not said()


def test_four_days_have_no_weekday(tmp_path):
  columns = {
    'date': [f'{2020 + i // 25}-05-01' for i in range(100)],
    'farbe': ['rot', 'blau'] * 50,
    'click': [int(i % 3 == 0) for i in range(100)],
  }
  found = guess.guess(logs.write(tmp_path / 'log.csv', columns))
  assert 'time' in found.schema and 'from_time' not in found.schema


@pytest.mark.parametrize('pattern', ['%b-%Y', '%Y-%m-01', '%Y%m'])
def test_months_have_no_weekday(tmp_path, pattern):
  months = [datetime.date(2020 + i // 12, i % 12 + 1, 1) for i in range(50)]
  columns = {
    'date': [month.strftime(pattern) for month in months for _ in range(4)],
    'farbe': ['rot', 'blau'] * 100,
    'click': [int(i % 3 == 0) for i in range(200)],
  }
  found = guess.guess(logs.write(tmp_path / 'log.csv', columns))
  assert 'time' in found.schema and 'from_time' not in found.schema


def test_names_that_no_field_may_have_are_replaced(tmp_path):
  columns = {
    'user id': [i // 5 for i in range(100)],
    'Shop (old)': list('ab' * 50),
    'shop_old': list('cd' * 50),
    'is clicked?': [int(i % 7 == 0) for i in range(100)],
  }
  found = guess.guess(logs.write(tmp_path / 'log.csv', columns))
  assert found.schema['categorical'] == [
    {'column': 'user id', 'name': 'user_id'},
    {'column': 'Shop (old)', 'name': 'Shop_old'},
    {'column': 'shop_old', 'name': 'shop_old_2'},
  ]
  assert found.schema['tasks'] == [
    {'name': 'is_clicked', 'column': 'is clicked?'}
  ]


def test_names_keep_letters_of_every_script(tmp_path):
  columns = {
    '用户': [f'用{i * 7 % 20}' for i in range(100)],
    'カテゴリ [旧]': list('本服' * 50),
    'उपयोगकर्ता': list('xyz.' * 25),
    'Größe': [i % 13 + 0.5 for i in range(100)],
    '点击': [int(i % 7 == 0) for i in range(100)],
  }
  log = logs.write(tmp_path / '数据.csv', columns)
  found = guess.guess(log)
  manifest = _prepared(log, found.schema, tmp_path)
  assert [field.name for field in manifest.fields] == [
    '用户',
    'カテゴリ_旧',
    'उपयोगकर्ता',
    'Größe',
  ]
  assert manifest.task_names == ('点击',)
  assert '"用户",\n' in writing.text(found.schema)  # not its code points


def test_weights_and_splits_are_named_and_left_out(tmp_path):
  columns = {
    'sample_weight': [1 + i % 3 for i in range(100)],
    'split': ['train', 'test'] * 50,
    'colour': list('abcde' * 20),
    'click': [int(i % 7 == 0) for i in range(100)],
  }
  found = guess.guess(logs.write(tmp_path / 'log.csv', columns))
  assert found.split_column == 'split'
  roles = {one.name: one.role for one in found.columns}
  assert roles['sample_weight'] == roles['split'] == 'left out'


def test_no_label_is_an_error_in_python(tmp_path):
  columns = {'a': list('ab' * 50), 'b': [i % 40 for i in range(100)]}
  path = logs.write(tmp_path / 'log.csv', columns)
  with pytest.raises(types.InputError, match='no column looks like a label'):
    rmtl_jax.guess_schema(path)


_EVENT = {'session': [i // 5 for i in range(100)], 'aid': [*range(20)] * 5}


@pytest.mark.parametrize(
  ('columns', 'said'),
  [
    (
      _EVENT,
      'numbers; if its rows are what was taken alone, as purchases,'
      ' docs/own_data.md#other-forms draws others beside them',
    ),
    (
      _EVENT | {'type': [0, 1, 2, 0] * 25},
      'numbers; type may say what happened: call it event_type',
    ),
    (
      _EVENT | {'impressions': [f'N{i % 9}-0|N{i % 7}-1' for i in range(100)]},
      'numbers; impressions may be lists of rows: docs/own_data.md#other-forms'
      ' parts them',
    ),
    (
      {'1::5::3': [f'{i}::{i % 7}::{i % 5}' for i in range(100)]},
      'numbers; its one column may be several: --delimiter names the sign'
      ' between them, docs/own_data.md#other-forms reads signs such as ::',
    ),
  ],
)
def test_a_log_without_labels_is_told_what_to_do(tmp_path, columns, said):
  path = logs.write(tmp_path / 'log.csv', columns)
  with pytest.raises(types.InputError) as error:
    rmtl_jax.guess_schema(path)
  assert str(error.value).endswith(said)


def test_lists_of_structs_are_rows_of_their_own(tmp_path):
  shown = [{'article': f'a{i}', 'position': i} for i in range(3)]
  table = pa.table({**_EVENT, 'answers_given': [shown] * 100})
  pq.write_table(table, tmp_path / 'log.parquet')
  found = guess.guess(tmp_path / 'log.parquet')
  assert found.columns[-1].role == 'left out'
  assert found.columns[-1].why.startswith('lists of structs, as of rows')
  told = 'answers_given may be lists of rows: docs/own_data.md#other-forms'
  assert told in found.problem


def test_tables_that_want_to_be_joined_are_told_so(tmp_path):
  for name, columns in {'a': {'x': range(9)}, 'b': {'y': range(9)}}.items():
    logs.write(tmp_path / f'{name}.csv', {'id': range(9)} | columns)
  with pytest.raises(types.InputError, match='other-forms joins tables'):
    rmtl_jax.guess_schema(tmp_path)


def test_only_labels_are_nothing_to_learn_from(tmp_path):
  columns = {'id': range(100), 'click': [i % 2 for i in range(100)]}
  path = logs.write(tmp_path / 'log.csv', columns)
  with pytest.raises(types.InputError, match='no column is left'):
    rmtl_jax.guess_schema(path)


def _log_of_users(users):
  rows = range(len(users))
  return {
    'customer_id': users,
    'item_id': [i % 50 for i in rows],
    'time': [1_700_000_000 + 600 * i for i in rows],
    'click': [int(i % 4 == 0) for i in rows],
  }


def test_why_a_user_is_none_is_said(tmp_path):
  users = ['guest' if i % 5 else f'u{i % 90}' for i in range(600)]
  found = guess.guess(logs.write(tmp_path / 'log.csv', _log_of_users(users)))
  assert 'user' not in found.schema
  assert found.columns[0].role == 'category'
  assert found.columns[0].why == (
    'text; no user, as 80% of the rows have one value'
  )


def test_rows_without_a_user_are_said(tmp_path):
  users = [f'u{i // 5 % 90}' if i % 20 else '' for i in range(600)]
  columns = _log_of_users(users)
  found = guess.guess(logs.write(tmp_path / 'log.csv', columns))
  assert found.schema['user'] == 'customer_id'
  assert any(
    note.startswith('5.0% of the rows have no customer_id, and')
    for note in found.notes
  )
  columns['session_id'] = [f's{i // 5}' for i in range(600)]
  found = guess.guess(logs.write(tmp_path / 'log.csv', columns))
  assert not any('have no customer_id' in note for note in found.notes)


def test_rows_without_a_session_are_said(tmp_path):
  sessions = [f's{i // 5}' if i % 20 else '' for i in range(600)]
  columns = {'session_id': sessions, 'click': [i % 3 // 2 for i in range(600)]}
  log = logs.write(tmp_path / 'log.csv', columns | {'x': range(600)})
  said = '5.0% of the rows have no session_id, and'
  assert any(note.startswith(said) for note in guess.guess(log).notes)


def test_events_without_an_item_are_said(tmp_path):
  columns = _log_of_users([f'u{i % 90}' for i in range(600)])
  del columns['click']
  columns['event'] = [['view', 'view', 'buy'][i % 3] for i in range(600)]
  columns['item_id'] = ['' if i % 10 == 0 else i % 50 for i in range(600)]
  found = guess.guess(logs.write(tmp_path / 'log.csv', columns))
  assert 'events' in found.schema
  said = '10.0% of the rows have no item_id, and'
  assert any(note.startswith(said) for note in found.notes)


def test_a_later_time_gives_way_to_an_order_alone(tmp_path):
  rows = [f'2024-05-{i // 30 + 1:02}' for i in range(600)]
  travel = [f'2024-06-{i * 11 % 28 + 1:02}' for i in range(600)]
  columns = _log_of_users([f'u{i % 90}' for i in range(600)])
  del columns['time']
  columns |= {'travel': travel, 'updated_at': rows}
  columns['message'] = [1_600_000_000_000 + 7919 * i for i in range(600)]
  columns['season'] = [f'20{i // 100 + 10}-10' for i in range(600)]
  for later in (rows, travel[::-1]):
    columns['updated_at'] = later
    found = guess.guess(logs.write(tmp_path / 'log.csv', columns))
    assert found.schema['time']['column'] == 'updated_at'


def test_a_time_before_the_row_is_told_where_no_other_is(tmp_path):
  days = [f'2024-06-{i * 11 % 28 + 1:02}' for i in range(600)]
  columns = {'last_login': days, 'last_login_date': days, 'x': range(600)}
  columns['churned'] = [i % 3 // 2 for i in range(600)]
  found = guess.guess(logs.write(tmp_path / 'log.csv', columns))
  assert 'time' not in found.schema
  said = [note for note in found.notes if 'last_login_date' in note]
  assert said and said[0].startswith('Columns that may be it')


def test_a_later_time_tells_no_weekday(tmp_path):
  days = [f'2024-05-{i * 11 % 28 + 1:02}' for i in range(600)]
  click = [i % 3 // 2 for i in range(600)]
  for name, made in (('status_date', None), ('date', ['weekday'])):
    columns = {name: days, 'x': range(600), 'click': click}
    found = guess.guess(logs.write(tmp_path / 'log.csv', columns))
    assert found.schema['time']['column'] == name
    assert found.schema.get('from_time') == made
  # Beside a date that only its order tells, it is not the time.
  rows = [f'2024-05-{i // 30 + 1:02}' for i in range(600)]
  columns = {'created': rows, 'status_date': days, 'x': range(600)}
  columns['closed_at'] = [f'{day} 12:00:00' for day in days]
  log = logs.write(tmp_path / 'log.csv', columns | {'click': click})
  found = guess.guess(log)
  assert found.schema['time']['column'] == 'created'
  why = {one.name: one.why for one in found.columns}
  for name in ('status_date', 'closed_at'):
    assert why[name].endswith('; created is the time')


@pytest.mark.parametrize(
  ('name', 'values'),
  [
    ('interaction', [i % 4 for i in range(600)]),
    ('activity', [['play', 'run', 'swim'][i % 3] for i in range(600)]),
  ],
)
def test_a_column_of_codes_does_not_outdo_a_rating(tmp_path, name, values):
  columns = _log_of_users([f'u{i % 90}' for i in range(600)])
  del columns['click']
  columns |= {name: values, 'rating': [1 + i // 7 % 5 for i in range(600)]}
  found = guess.guess(logs.write(tmp_path / 'log.csv', columns))
  assert {task['column'] for task in found.schema['tasks']} == {'rating'}


def _ratings(values):
  columns = _log_of_users([f'u{i % 90}' for i in range(600)])
  del columns['click']
  return columns | {
    'rating': [values[i // 7 % len(values)] for i in range(600)]
  }


@pytest.mark.parametrize(
  ('values', 'least'),
  [
    ([1, 2, 3, 4, 5], 4),
    ([0.5 * i for i in range(1, 11)], 4),
    (range(1, 11), 8),
    ([1, 2, 3], 3),
  ],
)
@pytest.mark.parametrize('form', ['csv', 'parquet'])
def test_high_ratings_are_a_task(tmp_path, values, least, form):
  path = logs.write(tmp_path / 'log.csv', _ratings(values))
  if form == 'parquet':
    path = tmp_path / 'log.parquet'
    pq.write_table(pa_csv.read_csv(tmp_path / 'log.csv'), path)
  found = guess.guess(path)
  like, rating = found.schema['tasks']
  assert like == {
    'name': 'like',
    'column': 'rating',
    'at_least': least,
    'known_after_seconds': 0,
  }
  assert rating['name'] == rating['column'] == 'rating'
  assert any(
    note.startswith(f'like: rating of {least} and more') for note in found.notes
  )
  manifest = _prepared(path, found.schema, tmp_path)
  rows = sum(split.rows for split in manifest.splits.values())
  high = sum(split.positives['like'] for split in manifest.splits.values())
  expected = [v >= least for v in _ratings(values)['rating']]
  assert (high, rows) == (sum(expected), 600)


@pytest.mark.parametrize(
  ('rating', 'least', 'null', 'high', 'observed'),
  [
    ([-1, 3, 6], 6, ['-1'], 200, 400),  # somebody did not rate
    ([1, '', 3, 5], 5, 'not_observed', 150, 450),
    ([1, 'NA', 3, 4, 5], 4, 'not_observed', 240, 480),
  ],
)
def test_a_task_of_high_ratings_of_those_who_rated(
  tmp_path, rating, least, null, high, observed
):
  columns = _ratings([1]) | {'rating': rating * (600 // len(rating))}
  path = logs.write(tmp_path / 'log.csv', columns)
  found = guess.guess(path)
  like, number = found.schema['tasks']
  assert like['name'] == 'like' and like['at_least'] == least
  assert like['null'] == number['null'] == null
  splits = _prepared(path, found.schema, tmp_path).splits.values()
  assert sum(split.positives['like'] for split in splits) == high
  assert sum(split.observed['like'] for split in splits) == observed


def test_a_task_of_high_ratings_beside_a_column_of_its_name(tmp_path):
  columns = _ratings([1, 2, 3, 4, 5]) | {'like': [i % 3 for i in range(600)]}
  found = guess.guess(logs.write(tmp_path / 'log.csv', columns))
  assert [task['name'] for task in found.schema['tasks']] == [
    'high_rating',
    'rating',
  ]


@pytest.mark.parametrize(
  ('changes', 'dropped'),
  [
    (dict.fromkeys(('like', 'high_rating'), [0, 1, 2] * 200), ()),  # both taken
    ({'rating': [*([1, 2, 3] * 199), 3, 4, 11]}, ()),  # hardly any is high
    ({'rating': [*([0.5, 0, 2] * 199), 1, 0, 1e9]}, ()),  # nor above the mean
    ({'rating': [1000 + i % 12 / 100 for i in range(600)]}, ()),  # all, of 1e3
    ({}, ['customer_id']),
    ({}, ['time']),
  ],
)
def test_no_task_of_high_ratings(tmp_path, changes, dropped):
  columns = _ratings([1, 2, 3, 4, 5]) | changes
  columns = {k: v for k, v in columns.items() if k not in dropped}
  found = guess.guess(logs.write(tmp_path / 'log.csv', columns))
  assert not any('at_least' in task for task in found.schema['tasks'])


def test_answers_are_known_with_their_row(tmp_path):
  columns = _log_of_users([f'u{i % 90}' for i in range(600)])
  columns['correct'] = columns.pop('click')
  found = guess.guess(logs.write(tmp_path / 'log.csv', columns))
  (task,) = found.schema['tasks']
  assert task == {
    'name': 'correct',
    'column': 'correct',
    'known_after_seconds': 0,
  }
  assert any('correct: taken as known with' in note for note in found.notes)


@pytest.mark.parametrize('labels', [(), ('watch_time',)])
def test_high_numbers_are_a_task(tmp_path, labels):
  columns = _ratings([1]) | {'watch_time': [i % 50 for i in range(600)]}
  del columns['rating']
  path = logs.write(tmp_path / 'log.csv', columns)
  found = guess.guess(path, labels=labels)
  assert found.schema['tasks'] == [
    {'name': 'high_watch_time', 'column': 'watch_time', 'at_least': 24.5},
    {'name': 'watch_time', 'column': 'watch_time', 'kind': 'regression'},
  ]
  manifest = _prepared(path, found.schema, tmp_path)
  splits = manifest.splits.values()
  assert sum(split.positives['high_watch_time'] for split in splits) == 300
