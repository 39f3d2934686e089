"""Schemas that are guessed, beside what a person would have written."""

import datetime
import gzip
import json

import hypothesis
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import strategies as st

from rmtl_jax import types
from rmtl_jax.preparation import schema as schema_lib
from rmtl_jax.preparation.guess import guess
from tests.preparation.guess import logs

SHOP = {
  'session': 'visit_id',
  'user': 'customer',
  'item': 'product_id',
  'time': {'column': 'shown_at', 'unit': 's'},
  'categorical': ['customer', 'product_id', 'shop'],
  'multi_valued': [{'column': 'tags', 'separator': '|'}],
  'numeric': ['price', {'column': 'stock_count', 'transform': 'log1p'}],
  'from_time': ['hour', 'weekday'],
  'tasks': [
    {'name': 'click', 'column': 'is_click'},
    {'name': 'bought', 'column': 'bought', 'after': 'click'},
  ],
  'missing': ['NULL'],
}


def guessed(columns, labels=()):
  found = guess.guess_schema(pa.table(columns), labels=labels)
  schema_lib.parse(json.loads(json.dumps(found.schema)))
  return found


def roles(found):
  return {one.name: one.role for one in found.columns}


def reasons(found):
  return {one.name: one.why for one in found.columns}


def test_a_shop_is_read_as_a_person_would(tmp_path):
  log = logs.write(tmp_path / 'log.csv', logs.shop())
  found = guess.guess_schema(log)
  assert found.schema == SHOP
  assert found.is_whole and found.rows == logs.ROWS and not found.notes
  left_out = {n for n, role in roles(found).items() if role == 'left out'}
  assert left_out == {'title', 'country', 'paid_amount', 'watch_seconds'}
  assert 'only where bought is 1' in reasons(found)['paid_amount']
  assert 'is_click' in reasons(found)['watch_seconds']


@pytest.mark.parametrize('form', ['semicolon', 'gz', 'hive'])
def test_every_form_of_a_log_has_the_same_schema(tmp_path, form):
  columns, wanted = logs.shop(), dict(SHOP)
  if form == 'semicolon':
    log = logs.write(tmp_path / 'log.csv', columns, ';')
    wanted['delimiter'] = ';'
  elif form == 'gz':
    log = tmp_path / 'log.csv.gz'
    plain = logs.write(tmp_path / 'plain', columns)
    log.write_bytes(gzip.compress(plain.read_bytes()))
  else:
    columns['paid_amount'] = [v or None for v in columns['paid_amount']]
    log = tmp_path / 'days'
    place = log / 'shop=north' / 'log.parquet'
    place.parent.mkdir(parents=True)
    del columns['shop'], wanted['missing']
    wanted['categorical'] = ['customer', 'product_id']  # the shop is constant
    pq.write_table(pa.table(columns), place)
  assert guess.guess_schema(log).schema == wanted


@pytest.mark.parametrize(
  ('names', 'wanted'),
  [
    (('personId', 'contentId'), ('personId', 'contentId')),
    (('visitorid', 'itemid'), ('visitorid', 'itemid')),
    (('customer_unique_id', 'sku'), ('customer_unique_id', 'sku')),
    (('uid', 'movieId'), ('uid', 'movieId')),
    (('person_age', 'brand_id'), (None, 'brand_id')),
    (('user_segment', 'price_code'), (None, None)),
  ],
)
def test_names_tell_users_and_items(names, wanted):
  rows = np.arange(600)
  found = guessed(
    {
      names[0]: rows // 6,
      names[1]: rows * 7 % 90,
      'ts': 1_700_000_000_000 + rows,
      'clicked': rows % 5 == 0,
    }
  )
  assert (found.schema.get('user'), found.schema.get('item')) == wanted
  lacking = [r for r, w in zip(('user', 'item'), wanted, strict=True) if not w]
  assert bool(lacking) == any(
    all(role in note for role in lacking) for note in found.notes
  )


def test_a_column_whose_positives_imply_a_label_names_the_flag():
  rows = np.arange(600)
  columns = {
    'user_id': rows // 6,
    'click': rows % 5 == 0,
    'flagged': (rows % 10 == 0).astype(int),  # only where there is a click
    'gross_usd': [9.5 if n % 10 == 0 else None for n in rows],
    'noise': rows * 37 % 101,
  }
  found = guessed(columns)
  assert roles(found)['flagged'] == 'left out'
  assert '--label=flagged' in reasons(found)['flagged']
  assert roles(found)['gross_usd'] == 'left out'
  assert roles(found)['noise'] == 'number'
  # With the label that is named, the other outcome is left out by its name.
  found = guessed(columns, ['flagged'])
  assert [t['name'] for t in found.schema['tasks']] == ['flagged']
  assert '--label=click' in reasons(found)['click']


def test_a_column_that_ranks_a_label_alone_is_a_leak():
  rng = np.random.default_rng(0)
  click = rng.random(500) < 0.3
  columns = {
    'user_id': np.arange(500) // 5,
    'echo': click * 1.0 + rng.normal(0, 0.1, 500),
    'page': np.where(click, 'thanks', 'list'),
    'price': rng.random(500),
    'click': click,
  }
  found = guessed(columns)
  assert [roles(found)[n] for n in ('echo', 'page', 'price')] == [
    *('left out', 'left out', 'number')
  ]


def test_labels_are_nested_where_every_positive_agrees():
  rows = np.arange(1000)
  columns = {
    'user_id': rows // 6,
    'click': rows % 4 == 0,
    'cart': rows % 8 == 0,
    'buy': rows % 16 == 0,
    'like': rows % 10 == 1,
  }
  tasks = {t['name']: t.get('after') for t in guessed(columns).schema['tasks']}
  assert tasks == {'click': None, 'cart': 'click', 'buy': 'cart', 'like': None}
  columns['buy'] = columns['buy'] | (rows == 1)  # one row that breaks it
  tasks = {t['name']: t.get('after') for t in guessed(columns).schema['tasks']}
  assert tasks['buy'] is None


@pytest.mark.parametrize(
  ('value', 'form'),
  [
    (lambda n: 1_700_000_000 + n, {'unit': 's'}),
    (lambda n: 1_700_000_000_000 + n, {'unit': 'ms'}),
    (lambda n: 1_700_000_000_000_000 + n, {'unit': 'us'}),
    (lambda n: f'2024-05-0{1 + n % 9} 12:30:00', {'unit': 'iso'}),
    (lambda n: datetime.date(2024, 5, 1 + n % 9), {'unit': 'iso'}),
    (lambda n: 20240501 + n % 28, {'format': '%Y%m%d'}),
  ],
)
def test_values_tell_the_form_of_a_time(value, form):
  rows = range(300)
  found = guessed(
    {
      'user_id': [n // 3 for n in rows],
      'event_time': [value(n) for n in rows],
      'click': [n % 7 == 0 for n in rows],
    }
  )
  assert found.schema['time'] == {'column': 'event_time', **form}


def test_events_become_rows_and_labels():
  rows = np.arange(1200)
  found = guessed(
    {
      'visitorid': rows // 10,
      'itemid': rows % 300 // 3,
      'timestamp': 1_600_000_000_000 + 1000 * rows,
      'event': ['view', 'view', 'addtocart', 'view', 'transaction', 'x'] * 200,
    }
  )
  assert found.schema['events'] == {
    'column': 'event',
    'impressions': ['view'],
    'labels': {'addtocart': ['addtocart'], 'transaction': ['transaction']},
  }


def test_words_are_labels_too():
  rows = np.arange(300)
  found = guessed({'user_id': rows // 3, 'bought': ['Yes', 'no', 'no'] * 100})
  assert found.schema['tasks'] == [
    {'name': 'bought', 'column': 'bought', 'positive': ['Yes']}
  ]


def test_without_a_label_the_columns_that_could_be_are_named():
  rows = np.arange(300)
  table = {'user_id': rows // 3, 'flag': rows % 2 == 0, 'x': rows * 0.5}
  with pytest.raises(types.InputError, match=r'--label=COLUMN .*flag'):
    guess.guess_schema(table)
  assert guessed(table, ['flag']).schema['tasks'][0]['column'] == 'flag'
  with pytest.raises(types.InputError, match="no column 'flig'"):
    guess.guess_schema(table, labels=['flig'])


@pytest.mark.parametrize(
  ('text', 'told'),
  [
    ('', 'log.csv'),
    ('a,b\n', 'no rows'),
    ('1.5,2.5\n3,4\n', 'row 1 is no header'),
  ],
)
def test_what_is_no_log_is_one_line(tmp_path, text, told):
  log = tmp_path / 'log.csv'
  log.write_text(text)
  with pytest.raises(types.InputError, match=told):
    guess.guess_schema(log)


@hypothesis.settings(max_examples=40, deadline=None)
@hypothesis.given(st.data())
def test_any_table_has_a_valid_schema_or_one_line(data):
  """Random names and values never end in a traceback."""
  name = st.text(min_size=1, max_size=8)
  names = data.draw(st.lists(name, min_size=1, max_size=4, unique=True))
  values = st.one_of(
    st.none(), st.integers(-3, 3), st.sampled_from(['a', 'b|c', '2024-01-01'])
  )
  columns = {}
  for one in names:
    drawn = data.draw(st.lists(values, min_size=20, max_size=20))
    columns[one] = [None if v is None else str(v) for v in drawn]
  columns['click'] = [n % 2 for n in range(20)]
  try:
    found = guess.guess_schema(columns)
  except types.InputError as error:
    assert '\n' not in str(error)
  else:
    schema_lib.parse(found.schema)
