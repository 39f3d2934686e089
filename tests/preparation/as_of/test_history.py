"""Histories against plain loops, and in prepared data."""

from __future__ import annotations

import functools
from typing import NamedTuple

import duckdb
import hypothesis
from hypothesis import strategies as st

from rmtl_jax.preparation import sql
from rmtl_jax.preparation.as_of import history
from tests.preparation import raw_files


class Row(NamedTuple):
  """A row that has its place; time in ms."""

  session: int
  user: str | None
  item: str | None
  time: int


ITEMS = ('a', 'b', 'c')


@functools.cache
def database():
  """With a vocabulary of ITEMS, rows 1, 2, 3; what else is shown has none."""
  connection = duckdb.connect()
  connection.execute('SET threads = 1')
  connection.execute('CREATE TABLE words (key VARCHAR, id INTEGER)')
  connection.executemany(
    'INSERT INTO words VALUES (?, ?)', [(v, i + 1) for i, v in enumerate(ITEMS)]
  )
  return connection


def histories(rows: list[Row], items: int) -> list[list[int]]:
  """The history of every row; [] where it has none."""
  connection, log = database(), sql.unique_name('log')
  connection.execute(
    f'CREATE TABLE {log} (row_id BIGINT, session_id BIGINT, "user" VARCHAR,'
    ' f_item VARCHAR, timestamp BIGINT)'
  )
  connection.executemany(
    f'INSERT INTO {log} VALUES (?, ?, ?, ?, ?)',
    [(i, *row) for i, row in enumerate(rows)],
  )
  table = history.encode_histories(connection, log, 'f_item', 'words', items)
  found = connection.execute(
    f'SELECT coalesce(ids, []) FROM {log} LEFT JOIN {table}'
    ' USING (session_id, "user") ORDER BY row_id'
  ).fetchall()
  connection.execute(f'DROP TABLE {log}')
  connection.execute(f'DROP TABLE {table}')
  return [ids for (ids,) in found]


def reference(rows: list[Row], items: int) -> list[list[int]]:
  """The same by loops over all pairs of rows."""
  found = []
  for me in rows:
    start = min(row.time for row in rows if row.session == me.session)
    past = [
      (row.time, ITEMS.index(row.item) + 1)
      for row in rows
      if me.user and row.user == me.user and row.time < start
      if row.item in ITEMS
    ]
    found.append([item for _, item in sorted(past)][-items:])
  return found


def test_by_hand():
  rows = [
    Row(1, 'u', 'a', 0),
    Row(1, 'u', 'new', 1),  # not in the vocabulary: left out
    Row(1, 'u', 'b', 2),
    Row(2, 'u', 'c', 2),  # begins at the time of the row before: not seen
    Row(3, 'v', 'c', 2),
    Row(1, 'u', 'c', 5),  # its session goes on: none of its own rows
    Row(2, 'u', 'a', 9),  # nor what came after its session began
    Row(4, 'u', 'a', 9),  # sees rows of both, one time by item
    Row(5, None, 'a', 20),
    Row(6, '', 'a', 30),
    Row(7, 'u', None, 40),
    Row(7, 'v', 'a', 41),  # another user of one session
  ]
  every = [1, 2, 3, 3, 1, 1]
  expected = [[], [], [], [1], [], [], [1], every[:4], [], [], every, [3]]
  assert histories(rows, 20) == expected
  assert histories(rows, 2) == [ids[-2:] for ids in expected]
  assert histories(rows, 1) == [ids[-1:] for ids in expected]


ROWS = st.builds(
  Row,
  session=st.integers(0, 3),
  user=st.sampled_from(['u', 'v', '', None]),
  item=st.sampled_from([*ITEMS, 'new', '', None]),
  time=st.integers(0, 5),
)
SETTINGS = hypothesis.settings(max_examples=30, deadline=None)


@SETTINGS
@hypothesis.given(st.lists(ROWS, min_size=1, max_size=12), st.integers(1, 4))
def test_as_plain_loops_have_it(rows, items):
  assert histories(rows, items) == reference(rows, items)


HOUR = 3_600_000
SCHEMA = {
  'session': 'session',
  'user': 'user',
  'item': 'item',
  'time': {'column': 'ts'},
  'categorical': ['user', 'item'],
  'tasks': [{'name': 'click', 'column': 'clicked'}],
}


def run(tmp_path, rows, schema=None, **options):
  """Prepares rows (session, user, item, hour)."""
  lines = ['session,user,item,ts,clicked']
  lines += [f'{s},{u},{i},{t * HOUR},{t % 2}' for s, u, i, t in rows]
  path = raw_files.write_schema(tmp_path / 'schema.json', schema or SCHEMA)
  options = {'as_of': ('history',), **options}
  return raw_files.run_table(tmp_path, lines, schema=path, **options)


def lists(tmp_path):
  """Histories as raw items, row by row."""
  words = raw_files.vocabulary(tmp_path, 'item')
  return [
    [words[i] for i in row['m_asof_history']]
    for row in raw_files.read(tmp_path)
  ]


# One row a session; x is seen in train once, y never.
VISITS = [(t, 'u', item, t) for t, item in enumerate('abxabcayba')]


def test_the_field_in_prepared_data(tmp_path):
  manifest = run(tmp_path, VISITS, min_count=2, history_items=3)
  user, item, field = manifest.fields
  assert (field.name, field.column) == ('asof_history', 'm_asof_history')
  assert (field.kind, field.width) == ('multi_valued', 3)
  assert (field.vocabulary_owner, field.size) == ('item', item.size)
  assert user.vocabulary_owner is None and item.vocabulary_owner is None
  assert field.details == {'column': 'asof_history', 'as_of': 'history'}
  assert manifest.options['as_of'] == ['history']
  assert manifest.options['history_items'] == 3
  assert not (tmp_path / 'out' / 'vocabulary' / 'asof_history.parquet').exists()
  assert manifest.report['cut_values'] == {}
  # c, x and y have no rows of their own. Splits see those before them.
  assert raw_files.vocabulary(tmp_path, 'item') == [None, 'a', 'b']
  assert [''.join(v or '0' for v in ids) for ids in lists(tmp_path)] == [
    *('0', 'a', 'ab', 'ab', 'aba', 'bab', 'bab', 'aba', 'aba', 'bab')
  ]
  spec = manifest.feature_spec()
  assert spec.vocabulary_owners == (1,) and spec.multi_valued == ((3, 3),)
