from __future__ import annotations

import collections

import duckdb
import hypothesis
from hypothesis import strategies as st

from rmtl_jax.preparation import vocabulary


def rows(connection, columns, split=None):
  """A table `log` with a row per position of the columns' lists."""
  count = len(next(iter(columns.values())))
  values = {**columns, 'split': split or [0] * count}
  names = ', '.join(
    f'{name} {"BIGINT" if isinstance(column[0], int) else "VARCHAR"}'
    for name, column in values.items()
  )
  connection.execute(f'CREATE OR REPLACE TABLE log ({names})')
  connection.executemany(
    f'INSERT INTO log VALUES ({", ".join("?" for _ in values)})',
    list(zip(*values.values(), strict=True)),
  )
  return 'log'


def words(connection, found):
  return connection.execute(
    f'SELECT value, count, id FROM {found.table} ORDER BY id'
  ).fetchall()


@hypothesis.settings(deadline=None, max_examples=30)
@hypothesis.given(
  values=st.lists(
    st.one_of(st.none(), st.text('abc', max_size=2)), min_size=1, max_size=30
  ),
  min_count=st.integers(1, 4),
)
def test_against_a_counter(values, min_count):
  with duckdb.connect() as connection:
    log = rows(connection, {'f_a': values or [None]})
    found = vocabulary.build_categorical(connection, log, {'f_a': min_count})
    counts = collections.Counter(v for v in values if v)
    expected = sorted(
      ((-c, v) for v, c in counts.items() if c >= min_count),
    )
    assert [(v, c) for v, c, _ in words(connection, found['f_a'])] == [
      (v, -c) for c, v in expected
    ]
    assert found['f_a'].rest == len(values) + sum(c for c, _ in expected)
