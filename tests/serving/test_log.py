"""The log that the past is read from: columns, keys, times, labels."""

import pyarrow as pa
import pytest

from rmtl_jax import types
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.preparation import sql
from rmtl_jax.serving import log_columns, past_log, raw_rows
from tests.serving import past_run


def manifest(source, **options):
  split = manifest_lib.Split(0, 0, (), {'click': 0, 'conversion': 0})
  return manifest_lib.Manifest(
    source=source,
    fields=(
      manifest_lib.Field('visitor', 'categorical', size=2),
      manifest_lib.Field('item', 'categorical', size=2),
    ),
    tasks=(
      manifest_lib.Task('click'),
      manifest_lib.Task('conversion', 'click'),
    ),
    splits=dict.fromkeys(manifest_lib.SPLITS, split),
    user_field='visitor',
    item_field='item',
    options=options,
  )


def appended(form, table, scored=False):
  """The rows of the log that a table becomes."""
  connection = sql.connect()
  past_log.create_table(connection, form)
  found = raw_rows.rows_of_table(table, 'log.csv')
  past_log.check(form, found.schema, found.path)
  for chunk in found.chunks(100):
    past_log.append_rows(connection, form, chunk, 7, scored)
  query = f'FROM {past_log.TABLE} ORDER BY row_id'
  return connection.sql(query).to_arrow_table().to_pydict()


def test_labels_that_are_not_there_are_not_told():
  form = log_columns.make_log_schema(manifest('mine'))
  assert form.labels == ('click', 'conversion')
  assert not form.tasks[0].has_label_time
  table = {'visitor': ['a', 'b'], 'timestamp': [1, 2], 'item': ['x', 'x']}
  found = appended(form, table, scored=True)
  assert found['labelled'] == [False, False] and found['scored'] == [True, True]
  assert found['y_click'] == [None, None] and found['alone'] == [0, 1]
  labelled = table | {'click': ['1', ''], 'conversion': [True, False]}
  found = appended(form, labelled)
  assert found['labelled'] == [True, False]
  assert found['y_click'] == [1.0, None]
  assert found['y_conversion'] == [1.0, 0.0]


@pytest.mark.parametrize(
  ('unit', 'values', 'expected'),
  [
    ('s', ['1.5', '2'], [1500, 2000]),
    ('us', [1_500_999, 2_000_000], [1500, 2000]),
    ('iso', ['1970-01-01 00:00:01', '1970-01-01T00:00:02+00:00'], [1000, 2000]),
    ('iso', pa.array([1, 2], pa.timestamp('s')), [1000, 2000]),
    ('ns', [1_500_999_999, 2_000_000_000], [1500, 2000]),
    ('Asia/Tokyo', ['1970-01-01 09:00:01', '1970-01-02'], [1000, 54_000_000]),
    ('Asia/Tokyo', pa.array([32401, 32402], pa.timestamp('s')), [1000, 2000]),
    ('%d.%m.%y', [' 02.01.70', '03.01.70'], [86_400_000, 172_800_000]),
  ],
)
def test_times_of_a_schema(unit, values, expected):
  key = 'format' if '%' in unit else 'zone' if '/' in unit else 'unit'
  time = {'column': 'time', 'unit': 'iso', key: unit}
  schema = past_run.SCHEMA | {'time': time}
  form = log_columns.make_log_schema(manifest('table', schema=schema))
  table = {'visit': ['a', 'b'], 'who': ['u', 'v'], 'time': values}
  assert appended(form, table)['timestamp'] == expected


def test_labels_that_are_times_of_their_own():
  time = {'column': 'at', 'unit': 'iso', 'zone': 'Asia/Tokyo', 'null': ['-']}
  tasks = [
    {'name': 'click', 'column': 'clicked'},
    {'name': 'conversion', 'after': 'click', 'time_column': time},
  ]
  schema = past_run.SCHEMA | {'tasks': tasks}
  form = log_columns.make_log_schema(manifest('table', schema=schema))
  table = {
    'visit': ['a'] * 4,
    'who': ['u'] * 4,
    'time': [1, 2, 3, 4],
    'clicked': [1, 1, 0, None],
    'at': ['1970-01-01 09:00:05', '-', '', '1970-01-01 00:00:01Z'],
  }
  found = appended(form, table)
  assert found['t_conversion'] == [5000.0, None, None, 1000.0]
  assert found['labelled'] == [True, True, True, False]
  for wrong in ('soon', '0800-01-01'):
    at = {'at': [wrong, '', '', '']}
    with pytest.raises(types.InputError, match="row 1, column 'at'"):
      appended(form, table | at)


def test_texts_that_stand_for_nothing():
  schema = past_run.SCHEMA | {'missing': ['NULL']}
  form = log_columns.make_log_schema(manifest('table', schema=schema))
  table = {
    'visit': ['NULL', 'a'],
    'who': ['u', 'NULL'],
    'item': ['NULL', 'null'],
    'time': ['1', '2'],
    'clicked': ['1', 'NULL'],
    'bought': ['0', '0'],
  }
  found = appended(form, table)
  assert (found['session'], found['user']) == ([None, 'a'], ['u', None])
  assert found['f_item'] == [None, 'null'] and found['labelled'] == [
    True,
    False,
  ]
  with pytest.raises(types.InputError, match="row 2, column 'visit': 'NULL'"):
    appended(form, table | {'visit': [None, 'NULL']})
