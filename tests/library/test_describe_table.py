"""What columns mean: the guess of `rmtl init`, and what a person says."""

import datetime

import numpy as np
import pyarrow as pa
import pytest

from rmtl_jax import types
from rmtl_jax.library import describe_table
from rmtl_jax.preparation import schema as schema_lib
from tests.library import small

TASKS = ('click', 'buy')
ROWS = 40


def described(table, tasks=TASKS, **schema):
  found = describe_table.describe(pa.table(table), tasks, schema)
  schema_lib.parse(found.schema)  # which `rmtl prepare` takes
  return found


def names_of(found, kind):
  return [entry['column'] for entry in found.schema[kind]]


def test_what_reveals_a_label_is_left_out_with_its_reason():
  table = small.table(400)
  paid = [9.5 if buy else None for buy in table['buy']]
  found = described({**table, 'gross_bookings_usd': paid})
  assert 'only where buy is 1' in found.left_out['gross_bookings_usd']
  alone = described(table, tasks=('click',))
  assert alone.left_out['buy'].endswith('naming it in tasks makes it a label')


def test_what_is_named_is_taken_as_it_is():
  found = described(
    small.table(ROWS),
    tasks={'click': 'click', 'sale': {'column': 'buy', 'after': 'click'}},
    session=None,
    user='user_id',
    item=None,
    time={'zone': 'Europe/Berlin'},
    from_time='hour',
    categorical='user_id',
    numeric=[{'column': 'price', 'transform': 'log1p'}, 'item_id'],
    multi_valued=np.array(['tags']),
    exclude=None,
    missing=['NULL'],
  )
  schema = found.schema
  assert 'session' not in schema and 'item' not in schema
  assert schema['time']['zone'] == 'Europe/Berlin'
  assert schema['from_time'] == ['hour']
  assert schema['missing'] == ['NULL']
  assert schema['tasks'][1]['name'] == 'sale'
  assert schema['numeric'][0]['transform'] == 'log1p'
  assert names_of(found, 'numeric') == ['price', 'item_id']
  assert names_of(found, 'categorical') == ['user_id']


@pytest.mark.parametrize(
  ('table', 'wanted', 'told'),
  [
    (small.table(8), {}, 'too few rows, 8; expected at least 30'),
    (small.table(ROWS), {'tasks': 5}, "as \\('click',\\), found 5"),
    (small.table(ROWS), {'tasks': {'click': 5}}, 'found 5'),
    (small.table(ROWS), {'tasks': ('clik',)}, "did you mean 'click'"),
    (small.table(ROWS), {'tasks': ()}, 'tasks: expected columns of labels'),
    (small.table(ROWS), {'user': 'who'}, "user: the table has no column 'who'"),
    (small.table(ROWS), {'tasks': ('a', 'b')}, "no columns 'a', 'b'; it has"),
    (small.table(ROWS), {'numeric': ['prise']}, "did you mean 'price'"),
    (small.table(ROWS), {'numeric': (5,)}, 'numeric: expected columns'),
  ],
)
def test_bad_parameters_are_one_line(table, wanted, told):
  with pytest.raises(types.InputError, match=told):
    described(table, **wanted)


def test_what_is_excluded_is_no_feature_but_may_be_the_user():
  born = [datetime.date(1990, 5, 1)] * ROWS
  found = described(
    {**small.table(ROWS), 'born': born}, exclude=['born', 'price']
  )
  assert found.schema['time']['column'] == 'timestamp'
  assert 'numeric' not in found.schema
  assert found.left_out['price'] == 'excluded'


def test_parts_of_the_time_and_kinds_of_labels_are_as_they_are_named():
  assert 'from_time' not in described(small.table(ROWS), from_time=()).schema
  # A stray 2 among labels of 0 and 1 makes no regression of them.
  table = small.table(ROWS)
  table['click'] = [2, *table['click'][1:]]
  assert 'kind' not in described(table).schema['tasks'][0]
