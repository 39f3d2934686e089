from __future__ import annotations

import datetime
import re

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rmtl_jax import types
from rmtl_jax.preparation.raw import load as raw_load


@pytest.fixture
def connection():
  with duckdb.connect() as found:
    found.execute("SET TimeZone = 'UTC'")
    yield found


def load(connection, path, columns, kinds):
  pq.write_table(pa.table(columns), path)
  table = raw_load.load(connection, [path], raw_load.Columns(kinds))
  return connection.execute(
    f'SELECT {", ".join(kinds)} FROM {table.name}'
  ).fetchall(), table


def test_types_become_the_wanted_ones(connection, tmp_path):
  when = datetime.datetime(2024, 5, 1, 12, 30)
  columns = {
    'label': [True, False],
    'text_number': ['1.5', None],
    'time': [when, None],
    'code': pa.array(['x', 'y']).dictionary_encode(),
    'tags': [[1, 2], []],
    'key': [7, 8],
  }
  kinds = {
    'label': 'DOUBLE',
    'text_number': 'DOUBLE',
    'time': 'TIMESTAMPTZ',
    'code': 'VARCHAR',
    'tags': 'VARCHAR[]',
    'key': '',
  }
  rows, table = load(connection, tmp_path / 'x.parquet', columns, kinds)
  assert [row[:2] + row[3:] for row in rows] == [
    (1.0, 1.5, 'x', ['1', '2'], 7),
    (0.0, None, 'y', [], 8),
  ]
  ms = connection.execute(f'SELECT epoch_ms(time) FROM {table.name}').fetchall()
  assert ms == [(1714566600000,), (None,)]


@pytest.mark.parametrize(
  ('first', 'second', 'expected'),
  [
    ([1, 2], [0.5, 2.0], ['1', '2', '0.5', '2']),
    ([1, 2], [None, float('nan')], ['1', '2', None, None]),
    ([2.0, None], [2**53, 2**53 + 1], ['2', None, str(2**53), str(2**53 + 1)]),
    (['1', ''], [1.0, 2.5], ['1', None, '1', '2.5']),
    ([True, False], [3, 4], ['true', 'false', '3', '4']),
    ([None, None], [0.5, 1.0], [None, None, '0.5', '1']),
    (['x', 'y'], pa.array(['x', 'z']).dictionary_encode(), [*'xyxz']),
  ],
)
def test_a_key_of_several_types(connection, tmp_path, first, second, expected):
  paths = [tmp_path / 'a.parquet', tmp_path / 'b.parquet']
  for path, values in zip(paths, (first, second), strict=True):
    pq.write_table(pa.table({'key': values}), path)
  table = raw_load.load(connection, paths, raw_load.Columns({'key': ''}))
  rows = connection.execute(f'SELECT key FROM {table.name}').fetchall()
  assert [value for (value,) in rows] == expected


@pytest.mark.parametrize(
  ('columns', 'kinds'),
  [
    ({'a': [1, 1, 1], 'other': ['x', 'x', 'y']}, {'a': ''}),
    ({'a': ['x', 'x', 'y'], 'b': [1, 1, 1]}, {'a': '', 'b': 'DOUBLE'}),
    # A cast makes them one number.
    ({'a': [2**60, 2**60, 2**60 + 1]}, {'a': 'DOUBLE'}),
    ({'a': ['1.0', '1.0', '1']}, {'a': 'DOUBLE'}),
    ({'a': [['x'], ['x'], ['x', 'y']]}, {'a': 'VARCHAR[]'}),
  ],
)
def test_row_hash_covers_all_columns(connection, tmp_path, columns, kinds):
  path = tmp_path / 'x.parquet'
  _, table = load(connection, path, columns, kinds)
  query = f'SELECT {table.row_hash} FROM {table.name} ORDER BY rowid'
  hashes = [row[0] for row in connection.execute(query).fetchall()]
  assert hashes[0] == hashes[1] != hashes[2]


@pytest.mark.parametrize(
  ('columns', 'kind', 'line'),
  [
    ({'a': ['1', 'x']}, 'DOUBLE', "row 2, column 'a': 'x', expected a number"),
    ({'a': ['2024-05-01', 'soon']}, 'TIMESTAMPTZ', "row 2, column 'a': 'soon'"),
    ({'a': [[1]]}, 'DOUBLE', "column 'a' is of type list<"),
    ({'a': [1]}, 'VARCHAR[]', "column 'a' is of type int64, expected a list"),
    ({'a': [1]}, 'TIMESTAMPTZ', "column 'a' is of type int64, expected a time"),
    ({'b': [1]}, 'DOUBLE', "no column 'a'; it has b"),
    ({'a': pa.array([], pa.int64())}, 'DOUBLE', 'no rows'),
  ],
)
def test_faults(connection, tmp_path, columns, kind, line):
  path = tmp_path / 'x.parquet'
  with pytest.raises(types.InputError, match=re.escape(line)) as caught:
    load(connection, path, columns, {'a': kind})
  assert str(caught.value).startswith(f'{path}: ')
