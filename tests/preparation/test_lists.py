from __future__ import annotations

import duckdb
import pytest

from rmtl_jax.preparation import lists, vocabulary


@pytest.fixture
def connection():
  with duckdb.connect() as found:
    found.execute('CREATE TABLE log (m VARCHAR[], split BIGINT)')
    yield found


def encode(connection, rows, min_count=1, max_values=8):
  connection.executemany('INSERT INTO log VALUES (?, ?)', rows)
  found = lists.encode_lists(
    connection,
    'log',
    'm',
    lambda counts: vocabulary.build(connection, counts, min_count),
    max_values,
  )
  ids = connection.execute(f'SELECT key, ids FROM {found.table}').fetchall()
  words = connection.execute(
    f'SELECT value FROM {found.values.table} ORDER BY id'
  ).fetchall()
  return found, {tuple(key): value for key, value in ids}, [w for (w,) in words]


def test_lists_by_hand(connection):
  found, ids, words = encode(
    connection,
    [
      (['x', 'y'], 0),
      (['y'], 0),
      (['y'], 0),
      ([], 0),
      (None, 0),
      (['z', 'y', 'x'], 1),
      (['new'], 2),
    ],
  )
  assert words == ['y', 'x']  # three and one in train
  assert (found.width, found.values.size, found.cut) == (2, 3, 1)
  assert ids == {
    ('x', 'y'): [2, 1],
    ('y',): [1],
    ('z', 'y', 'x'): [0, 1],
    ('new',): [0],
  }
