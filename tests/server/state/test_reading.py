"""Keys are read without a query as the query reads them."""

from __future__ import annotations

import decimal

import pyarrow as pa
import pytest

from rmtl_jax import types
from rmtl_jax.data import manifest_file
from rmtl_jax.server.state import row_reader, row_types
from rmtl_jax.serving import raw_rows, row_past
from tests.serving import past_run

NEEDS = row_past.Needs(())
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
  return row_reader.Reader(manifest_file.read_copy(run))


def both(reader, table, monkeypatch):
  table = raw_rows.rows_of_table(table)
  quick = list(reader.read(table, NEEDS, scored=True))
  with monkeypatch.context() as patched:
    patched.setattr(reader, '_keys', lambda table: None)
    slow = list(reader.read(table, NEEDS, scored=True))
  assert quick == slow
  return quick


def test_plain_values(reader, monkeypatch):
  found = both(reader, TABLE, monkeypatch)
  assert found == [
    row_types.Row('a', '1', 'x', 10_000, values=('b', ('a', 'b'))),
    row_types.Row(None, '2', '118', 20_000, values=('7', ('7',))),
    row_types.Row('7', '3', None, 30_000, values=(None, None)),
    row_types.Row(None, '4', None, 40_000, values=(None, None)),
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
    list(reader.read(raw_rows.rows_of_table(TABLE | change), NEEDS, True))


def test_rows_are_told_apart_by_all_but_their_labels(reader):
  labels = {'clicked': [0, 1, 0, 0], 'bought': [0, 0, 0, 0]}
  rows = raw_rows.rows_of_table(TABLE | labels)
  first = list(reader.read(rows, NEEDS, False))
  labels['bought'] = [0, 1, 0, 0]
  other = raw_rows.rows_of_table(labels | TABLE)
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
    table = raw_rows.rows_of_table(pa.table(row))
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
