"""Keys are read without a query as the query reads them."""

from __future__ import annotations

import pytest

from rmtl_jax import types
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.server.state import reading
from rmtl_jax.serving import past
from rmtl_jax.serving import rows as rows_lib
from tests.serving import past_run

NEEDS = past.Needs((), False)
TABLE = {
  'visit': ['a', None, '7.0', ''],
  'who': [1, 2, 3, 4],
  'item': ['x', '118.0', None, ''],
  'time': [10, 20, 30, 40],
}


@pytest.fixture(scope='module')
def reader(tmp_path_factory):
  run = past_run.prepare_run(
    tmp_path_factory.mktemp('reading'), raw=past_run.log(300), as_of=('none',)
  )
  return reading.Reader(manifest_lib.read(run))


def both(reader, table, monkeypatch):
  table = rows_lib.rows_of_table(table)
  quick = list(reader.read(table, NEEDS, scored=True))
  with monkeypatch.context() as patched:
    patched.setattr(reader, '_keys', lambda table: None)
    slow = list(reader.read(table, NEEDS, scored=True))
  assert quick == slow
  return quick


def test_plain_values(reader, monkeypatch):
  found = both(reader, TABLE, monkeypatch)
  assert found == [
    reading.Row('a', '1', 'x', 10_000),
    reading.Row(None, '2', '118', 20_000),
    reading.Row('7', '3', None, 30_000),
    reading.Row(None, '4', None, 40_000),
  ]


@pytest.mark.parametrize(
  'change',
  [
    {'who': ['u', 'nan', ' v ', 'ü']},
    {'who': [1.0, float('nan'), 2.5, 3.0], 'visit': ['a', 'b', 'c', 'd']},
    {'who': [True, False, True, True]},
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
  assert first[1].labels == ((1, 40_000), (0, None))
  assert second[1].labels == ((1, 40_000), (1, None))
