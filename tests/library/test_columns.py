"""What columns mean, found where there is no doubt and else asked for."""

import datetime

import numpy as np
import pyarrow as pa
import pytest

from rmtl_jax import types
from rmtl_jax.library import columns
from rmtl_jax.preparation import schema as schema_lib
from tests.library import small

TASKS = ('click', 'buy')


def described(table, **wanted):
  found = columns.describe(
    pa.table(table), columns.Wanted(**{'tasks': TASKS, **wanted})
  )
  schema_lib.parse(found.schema)  # which `rmtl prepare` takes
  return found


def without(*names):
  return {k: v for k, v in small.table(8).items() if k not in names}


def test_names_and_types_tell_everything():
  found = described(small.table(8))
  assert found.left_out == {}
  assert found.schema == {
    'session': 'session_id',
    'user': 'user_id',
    'item': 'item_id',
    'time': {'column': 'timestamp', 'unit': 's'},
    'categorical': [
      {'name': 'user_id', 'column': 'user_id'},
      {'name': 'item_id', 'column': 'item_id'},
    ],
    'multi_valued': [{'name': 'tags', 'column': 'tags'}],
    'numeric': [{'name': 'price', 'column': 'price'}],
    'tasks': [
      {'name': 'click', 'column': 'click'},
      {'name': 'buy', 'column': 'buy'},
    ],
  }


@pytest.mark.parametrize(
  ('value', 'unit'),
  [
    (1_700_000_000, 's'),
    (1_700_000_000.5, 's'),
    (1_700_000_000_000, 'ms'),
    (1_700_000_000_000_000, 'us'),
    ('2024-05-01 12:30:00', 'iso'),
    (datetime.datetime(2024, 5, 1), 'iso'),
    (datetime.date(2024, 5, 1), 'iso'),
  ],
)
def test_values_tell_the_unit(value, unit):
  found = described({**without('timestamp'), 'at': [value] * 8}, time='at')
  assert found.schema['time'] == {'column': 'at', 'unit': unit}


def test_a_column_of_times_needs_no_name():
  at = [datetime.datetime(2024, 5, 1)] * 8
  found = described({**without('timestamp'), 'seen': at})
  assert found.schema['time'] == {'column': 'seen', 'unit': 'iso'}
  # Of several the one whose name says so too.
  found = described({**without('timestamp'), 'seen': at, 'event_time': at})
  assert found.schema['time'] == {'column': 'event_time', 'unit': 'iso'}


def test_types_tell_the_kinds_of_fields():
  more = {
    'shop_code': [1] * 8,
    'age': [30] * 8,
    'new': [True] * 8,
    'empty': [None] * 8,
    'nested': [{'a': 1}] * 8,
    'Big Brand': ['b'] * 8,
    'big_brand': ['b'] * 8,
  }
  found = described({**small.table(8), **more}, exclude=('price',))
  kinds = {
    entry['name']: kind
    for kind in ('categorical', 'numeric', 'multi_valued')
    for entry in found.schema[kind]
  }
  assert kinds == {
    'user_id': 'categorical',
    'item_id': 'categorical',
    'tags': 'multi_valued',
    'shop_code': 'categorical',
    'age': 'numeric',
    'new': 'categorical',
    'Big_Brand': 'categorical',
    'big_brand_2': 'categorical',
  }
  assert found.left_out == {
    'price': 'excluded',
    'empty': 'holds nothing',
    'nested': 'is of type struct<a: int64>',
  }


def test_an_index_is_a_field_only_if_it_is_named():
  table = pa.table({**small.table(8), 'row': [*range(8)]})
  wanted = columns.Wanted(tasks=TASKS)
  found = columns.describe(table, wanted, ['row', 'user_id', 'timestamp'])
  assert found.left_out == {
    'row': "the frame's index, which no parameter names"
  }
  assert found.schema['user'] == 'user_id'
  assert found.schema['time']['column'] == 'timestamp'
  wanted = columns.Wanted(tasks=TASKS, numeric=('row',))
  found = columns.describe(table, wanted, ['row'])
  assert 'row' in [entry['column'] for entry in found.schema['numeric']]


def test_columns_of_frames_may_name_fields():
  names = np.array(['price', 'age'])  # neither true nor false, as an Index
  found = described({**small.table(8), 'age': [30] * 8}, numeric=names)
  assert [e['name'] for e in found.schema['numeric']] == ['price', 'age']


def test_names_keep_letters_of_every_script():
  more = {name: list('abcdefgh') for name in ('商品', 'カテゴリ [旧]', 'Größe')}
  found = described({**small.table(8), **more})
  names = [entry['name'] for entry in found.schema['categorical']]
  assert names[-3:] == ['商品', 'カテゴリ__旧_', 'Größe']


def test_integers_of_few_values_are_categories():
  more = {'hour': [n % 4 for n in range(100)], 'age': list(range(100))}
  found = described({**small.table(100), **more})
  assert [e['name'] for e in found.schema['categorical']] == [
    *('user_id', 'item_id'),
    'hour',
  ]
  assert [e['name'] for e in found.schema['numeric']] == ['price', 'age']


def test_what_is_named_is_taken_as_it_is():
  found = described(
    small.table(8),
    tasks={'click': 'click', 'sale': {'column': 'buy', 'after': 'click'}},
    session=None,
    user='user_id',
    item=None,
    time_zone='Europe/Berlin',
    from_time=['hour'],
    categorical=['user_id'],
    numeric=[{'column': 'price', 'transform': 'log1p'}, 'item_id'],
    missing=['NULL'],
  )
  schema = found.schema
  assert 'session' not in schema and 'item' not in schema
  assert schema['time']['zone'] == 'Europe/Berlin'
  assert schema['from_time'] == ['hour']
  assert schema['missing'] == ['NULL']
  assert schema['tasks'][1] == {
    'name': 'sale',
    'column': 'buy',
    'after': 'click',
  }
  assert schema['numeric'] == [
    {'name': 'price', 'column': 'price', 'transform': 'log1p'},
    {'name': 'item_id', 'column': 'item_id'},
  ]
  # A column that could be a session and is none is a category like others.
  assert found.left_out == {'session_id': 'not among categorical'}


def test_one_of_a_list_may_be_given_alone():
  price = {'column': 'price', 'transform': 'log1p'}
  found = described(
    small.table(8),
    from_time='hour',
    categorical='item_id',
    numeric=price,
    exclude='tags',
    missing='NULL',
  )
  assert found.schema['from_time'] == ['hour']
  assert found.schema['categorical'] == [
    {'name': 'item_id', 'column': 'item_id'}
  ]
  assert found.schema['numeric'] == [{'name': 'price', **price}]
  assert found.schema['missing'] == ['NULL']
  assert found.left_out == {
    'user_id': 'not among categorical',
    'tags': 'excluded',
  }


@pytest.mark.parametrize(
  ('table', 'wanted', 'told'),
  [
    (without('timestamp'), {}, "Pass time='COLUMN', one of session_id,"),
    (without('session_id', 'user_id'), {}, "Pass session='COLUMN'"),
    (
      {**small.table(8), 'customer': ['c'] * 8},
      {},
      "user: which of .* Pass user='COLUMN', one of user_id, customer",
    ),
    (
      {**small.table(8), 'born': [datetime.date(1990, 5, 1)] * 8},
      {},
      "time: which of .* Pass time='COLUMN', one of timestamp, born",
    ),
    ({**without('timestamp'), 'time': [5] * 8}, {}, "pass time_unit='s'"),
    (
      {**small.table(8), 'timestamp': [datetime.timedelta(1)] * 8},
      {},
      r"column 'timestamp' of type duration\[us\] holds no times",
    ),
    ({**small.table(8), 'timestamp': [None] * 8}, {}, 'null holds no times'),
    (small.table(0), {}, 'table: has no rows'),
    (small.table(8), {'tasks': 5}, "as \\('click',\\), found 5"),
    (small.table(8), {'tasks': ('click', 5)}, 'found 5'),
    (small.table(8), {'tasks': {'click': 5}}, 'found 5'),
    (small.table(8), {'tasks': {5: 'click'}}, 'found 5'),
    (small.table(8), {'tasks': ('clik',)}, "did you mean 'click'"),
    (small.table(8), {'tasks': ()}, 'tasks: expected columns of labels'),
    (small.table(8), {'user': 'who'}, "user: the table has no column 'who'"),
    (small.table(8), {'numeric': ['prise']}, "did you mean 'price'"),
    ({**small.table(8), '5': [1.5] * 8}, {'user': 5}, "did you mean '5'"),
    (small.table(8), {'numeric': (5,)}, 'numeric: expected columns .* found 5'),
  ],
)
def test_doubt_is_one_line_that_says_what_to_pass(table, wanted, told):
  with pytest.raises(types.InputError, match=told):
    described(table, **wanted)


def test_what_is_excluded_leaves_no_doubt():
  table = {**small.table(8), 'born': [datetime.date(1990, 5, 1)] * 8}
  found = described(table, exclude=['born'])
  assert found.schema['time']['column'] == 'timestamp'
  # An id that is no feature is the user all the same.
  assert described(table, exclude=['born', 'user_id']).schema['user']


def test_none_of_a_list_is_no_column():
  nothing = dict.fromkeys(('from_time', 'exclude', 'missing'))
  assert described(small.table(8), **nothing) == described(small.table(8))


def test_a_table_without_a_time_or_sessions_says_so():
  table = without('timestamp', 'session_id', 'user_id')
  found = described(table, time=None, session=None, user=None)
  assert not {'time', 'session', 'user'} & {*found.schema}
