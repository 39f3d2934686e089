"""Keys are read without a query as the query reads them."""

from __future__ import annotations

import decimal

import numpy as np
import pyarrow as pa
import pytest

from rmtl_jax import types
from rmtl_jax.data import manifest_file
from rmtl_jax.server.state import reading, records
from rmtl_jax.serving import past
from rmtl_jax.serving import rows as rows_lib
from tests.server.state import test_replay_events
from tests.serving import past_run, test_events

NEEDS = past.Needs((), False)
KEYS = {
  'visit': ['a'],
  'who': [1],
  'item': ['x'],
  'time': [10],
  'brand': ['b'],
  'tags': ['0'],
}
TABLE = {
  'visit': ['a', None, '7.0', ''],
  'who': [1, 2, 3, 4],
  'item': ['x', '118.0', None, ''],
  'time': [10, 20, 30, 40],
  'brand': ['b', '7.0', '', None],
  'tags': ['b|a||b', '7.0|', '|', None],
}


@pytest.fixture(scope='module')
def reader(tmp_path_factory):
  run = past_run.prepare_run(
    tmp_path_factory.mktemp('reading'),
    raw=past_run.log(300),
    schema=past_run.BRANDS,
    as_of=('tastes',),
  )
  return reading.Reader(manifest_file.read_copy(run))


def both(reader, table, monkeypatch):
  table = rows_lib.rows_of_table(table)
  quick = list(reader.read(table, NEEDS, scored=True))
  with monkeypatch.context() as patched:
    patched.setattr(reader, '_keys', lambda table: None)
    slow = list(reader.read(table, NEEDS, scored=True))
  assert quick == slow
  return quick


@pytest.mark.parametrize(
  'labels',
  [
    {'clicked': [0, 1, 1, None], 'bought': [0, 0, 1, 0]},
    {'clicked': [False, True, None, None], 'bought': [None] * 4},
    {'clicked': [0, 0, 1, 1], 'bought': [0, 1, 1, 1]},
    {'clicked': [0, 2, 1, 1], 'bought': [0, 0, 1, 1]},
    {'clicked': ['0', '1', '', None], 'bought': [0.0, 1.0, None, 0.0]},
  ],
)
def test_plain_rows_that_were_shown(reader, monkeypatch, labels):
  table = rows_lib.rows_of_table(TABLE | labels)
  found = []
  for quick in (True, False):
    with monkeypatch.context() as patched:
      if not quick:
        patched.setattr(reader, '_shown', lambda table: None)
      try:
        found.append(list(reader.read(table, NEEDS, scored=False)))
      except types.InputError as error:
        found.append(str(error))
  assert found[0] == found[1]


def test_plain_values(reader, monkeypatch):
  found = both(reader, TABLE, monkeypatch)
  assert found == [
    records.Row('a', '1', 'x', 10_000, values=('b', ('a', 'b'))),
    records.Row(None, '2', '118', 20_000, values=('7', ('7',))),
    records.Row('7', '3', None, 30_000, values=(None, None)),
    records.Row(None, '4', None, 40_000, values=(None, None)),
  ]


@pytest.mark.parametrize(
  'change',
  [
    {'who': ['u', 'nan', ' v ', 'ü']},
    {'who': [1.0, float('nan'), 2.5, 3.0], 'visit': ['a', 'b', 'c', 'd']},
    {'who': [True, False, True, True]},
    {'brand': [1.0, 2.5, float('nan'), None]},
    {'tags': [[1.0, 2.5], [2, 1, 2], [], None]},
    {'tags': [[' a ', None], [''], ['x|y'], list('abcdefghijk')]},
    {'tags': ['0|1|2|3|4|5|6|7|8|9', '0|1|2|3|4|5|6|7|8|9|x', '0', '1']},
    {'time': [1.5, 2.0, 3.0, 4.0]},
    {'time': ['1', '2', '3', '4']},
    {'visit': [None] * 4},
  ],
)
def test_other_values(reader, monkeypatch, change):
  both(reader, TABLE | change, monkeypatch)


@pytest.mark.parametrize(
  ('change', 'text'),
  [
    ({'time': [10, None, 30, 40]}, "row 2, column 'time'"),
    ({'time': [10, 20, 10**15, 40]}, "row 3, column 'time'"),
    ({'who': [None, None, 1, 2]}, "row 2, column 'visit'"),
  ],
)
def test_faults_name_row_and_column(reader, change, text):
  with pytest.raises(types.InputError, match=text):
    list(reader.read(rows_lib.rows_of_table(TABLE | change), NEEDS, True))


def test_rows_are_told_apart_by_all_but_their_labels(reader):
  labels = {'clicked': [0, 1, 0, 0], 'bought': [0, 0, 0, 0]}
  rows = rows_lib.rows_of_table(TABLE | labels)
  first = list(reader.read(rows, NEEDS, False))
  labels['bought'] = [0, 1, 0, 0]
  other = rows_lib.rows_of_table(labels | TABLE)
  second = list(reader.read(other, NEEDS, False))
  assert [row.identity for row in first] == [row.identity for row in second]
  assert len({row.identity for row in first}) == 4
  assert [row.values[0] for row in first] == ['b', '7', None, None]
  assert first[1].labels == ((1, 40_000), (0, None))
  assert second[1].labels == ((1, 40_000), (1, None))


def test_rows_are_the_same_however_they_are_written(reader):
  """A column of a request has the type of all of its rows."""
  labels = {'clicked': [0], 'bought': [0]}

  def identities(**columns):
    row = {**KEYS, **labels, **columns}
    table = rows_lib.rows_of_table(pa.table(row))
    return {row.identity for row in reader.read(table, NEEDS, False)}

  once = identities(price=[3], tags=[[1, 2]], more=[None])
  assert once == identities(price=[3.0], tags=[[1.0, 2.0]])
  assert once == identities(
    price=[3], tags=[[1, 2]], more=pa.array([float('nan')])
  )
  assert once == identities(price=[decimal.Decimal('3.00')], tags=[[1, 2]])
  assert once != identities(price=[3.5], tags=[[1, 2]])
  assert once == identities(price=['3.0'], tags=[[1, 2]], more=[''])
  assert identities(flag=[True]) == identities(flag=['True'])
  assert identities(code=['007']) != identities(code=['7'])
  half = decimal.Decimal('3.50')
  assert identities(price=[3.5]) == identities(price=[half])
  once, again, other = (
    identities(at=pa.array([number], pa.timestamp(unit)))
    for number, unit in ((5, 'ms'), (5_000_000, 'ns'), (5, 'us'))
  )
  assert once == again != other


@pytest.mark.parametrize(
  'column',
  [
    pa.array([1], pa.timestamp('ns')),
    pa.array([2**62], pa.timestamp('s', 'UTC')),
    pa.array([2**30], pa.date32()),
    pa.array([1], pa.duration('ns')),
    pa.array([decimal.Decimal('1e30')], pa.decimal256(50, 0)),
    pa.array([b'\xff']),
    pa.array([[1, 2]], pa.list_(pa.int8(), 2)),
  ],
)
@pytest.mark.parametrize('scored', [False, True])
def test_columns_that_are_not_read_may_be_anything(reader, column, scored):
  """Python and DuckDB lack some of these."""
  row = KEYS | {'time': [10.0], 'clicked': [0], 'bought': [0]}
  rows = []
  for other in (column, pa.nulls(1, column.type)):
    table = pa.table({**row, 'other': other})
    table = rows_lib.rows_of_table(table)
    rows += reader.read(table, NEEDS, scored)
  assert len(rows) == 2 and (scored or rows[0].identity != rows[1].identity)


def test_labels_of_every_kind_are_no_part_of_a_row(tmp_path):
  """A row is posted when it is shown, and again with what came of it."""
  raw = past_run.log(300)
  seconds = pa.array(np.arange(300) % 7 + 0.5)
  schema = past_run.SCHEMA | {
    'tasks': [
      *past_run.SCHEMA['tasks'],
      {'name': 'stay', 'column': 'seconds', 'kind': 'regression'},
    ]
  }
  run = past_run.prepare_run(
    tmp_path,
    raw=raw.append_column('seconds', seconds),
    schema=schema,
    as_of=('none',),
  )
  of_stay = reading.Reader(manifest_file.read_copy(run))
  labels = {'clicked': [None], 'bought': [None], 'seconds': [None]}
  row = KEYS
  found = []
  for told in (labels, labels | {'clicked': [1], 'seconds': [3.5]}):
    table = rows_lib.rows_of_table(pa.table(row | told))
    found += of_stay.read(table, NEEDS, False)
  assert found[0].identity == found[1].identity


def test_events_have_the_fields_of_tastes_if_they_are_impressions(tmp_path):
  run = past_run.prepare_run(
    tmp_path,
    raw=test_replay_events.with_own_label(test_events.raw_events()),
    schema=test_replay_events.OWN_LABEL,
    as_of=('tastes',),
  )
  reader = reading.Reader(manifest_file.read_copy(run))
  names = {'visit': 'a', 'who': 'u', 'item': 'x', 'time': 9, 'liked': None}

  def read(*kinds, **columns):
    rows = [names | columns | {'what': kind} for kind in kinds]
    table = rows_lib.rows_of_table(pa.Table.from_pylist(rows))
    return [row.values for row in reader.read(table, NEEDS, scored=False)]

  assert read('cart', 'buy') == [(None,)] * 2
  assert read('cart', 'peek', brand='b') == [('b',)] * 2
  with pytest.raises(types.InputError, match="no column 'brand'"):
    read('cart', 'peek')
