from __future__ import annotations

import duckdb
import pytest
from hypothesis import strategies as st

from rmtl_jax.preparation import sessionize
from tests import tiers

IDLE = 10


def relation(rows, connection):
  """rows: (session, user, timestamp, payload); row_id counts them."""
  connection.execute(
    'CREATE TABLE log (row_id BIGINT, session VARCHAR, "user" BIGINT,'
    ' timestamp BIGINT, payload BIGINT)'
  )
  for i, row in enumerate(rows):
    connection.execute('INSERT INTO log VALUES (?, ?, ?, ?, ?)', [i, *row])
  return 'log'


def numbered(rows, **options):
  connection = duckdb.connect()
  found = sessionize.number_sessions(
    connection, relation(rows, connection), IDLE, **options
  )
  table = connection.execute(
    'SELECT dense_rank() OVER (ORDER BY session_number) - 1, row_id'
    f' FROM {found.table} ORDER BY rowid'
  ).fetchall()
  return connection, found, table


def test_exact_duplicates_leave_the_first():
  rows = [
    (None, 1, 5, 3),
    (None, 1, 5, 4),
    (None, 1, 5, 3),
    (None, 1, 6, 3),
    (None, 1, 6, 3),
    (None, 2, 6, 3),
  ]
  _, found, table = numbered(rows, identity=('payload',))
  assert found.duplicates == 2
  assert table == [(0, 0), (0, 1), (0, 3), (1, 5)]


def reference(rows):
  """Sessions by a plain loop: lists of row ids, in key order."""
  found, last = [], None
  order = sorted(
    range(len(rows)),
    key=lambda i: (
      rows[i][0] is None,
      rows[i][0] or '',
      rows[i][1] if rows[i][0] is None else 0,
      rows[i][2],
      i,
    ),
  )
  for i in order:
    session, user, time, _ = rows[i]
    if session is None:
      same = (
        last is not None
        and last[0] is None
        and last[1] == user
        and time - last[2] <= IDLE
      )
    else:
      same = last is not None and last[0] == session
    if not same:
      found.append([])
    found[-1].append(i)
    last = rows[i]
  return found


LOGS = st.lists(
  st.tuples(
    st.sampled_from([None, None, 'a', 'b']),
    st.integers(0, 3),
    st.integers(0, 60),
    st.just(0),
  ),
  min_size=1,
  max_size=40,
)


@pytest.mark.parametrize('examples', tiers.examples(20, 60))
def test_numbering_is_that_of_a_plain_loop(examples):
  tiers.check(numbering_is_that_of_a_plain_loop, examples, LOGS)


def numbering_is_that_of_a_plain_loop(rows):
  _, _, table = numbered(rows, has=sessionize.Keys(session=True))
  expected = [
    (n, row) for n, session in enumerate(reference(rows)) for row in session
  ]
  assert table == expected


@pytest.mark.parametrize('examples', tiers.examples(20, 60))
def test_split_keeps_time_apart(examples):
  tiers.check(split_keeps_time_apart, examples, LOGS)


def split_keeps_time_apart(rows):
  connection, found, _ = numbered(rows, has=sessionize.Keys(session=True))
  places = sessionize.split_sessions(connection, found, (6, 2, 2))
  table = connection.execute(
    f'SELECT split, session_id, step, position, timestamp FROM {places.table}'
    ' JOIN log USING (row_id) ORDER BY position'
  ).fetchall()
  assert sum(places.rows) == len(table)
  assert sum(places.rows) + sum(places.dropped) == len(rows)
  first, second = places.boundaries
  for split, _, _, _, time in table:
    if split == 0:
      assert first is None or time < first
    if split == 1:
      assert time >= first
      assert second is None or time < second
    if split == 2:
      assert time >= second
  # Dense, in order of the start; steps count from 0 within the session.
  starts = {}
  for _, session, step, _, time in table:
    starts.setdefault(session, []).append((step, time))
  assert list(starts) == list(range(len(reference(rows))))
  begins = [steps[0][1] for steps in starts.values()]
  assert begins == sorted(begins)
  for steps in starts.values():
    assert [step for step, _ in steps] == list(range(len(steps)))
    assert [time for _, time in steps] == sorted(time for _, time in steps)


def test_boundaries_that_are_known():
  rows = [(s, None, t, 0) for s, t in (('a', 0), ('a', 9), ('b', 4), ('c', 7))]
  rows += [('b', None, 8, 0), ('a', None, 5, 0)]
  connection, found, _ = numbered(
    rows, has=sessionize.Keys(session=True, user=False)
  )
  always = 'n.row_id = 1'
  places = sessionize.split_sessions(
    connection, found, boundaries=(4, 7), always=always
  )
  table = connection.execute(
    f'SELECT row_id, split, step FROM {places.table} ORDER BY row_id'
  ).fetchall()
  # Row 5 comes after train's end and row 4 after validation's; row 1 too.
  assert table == [(0, 0, 0), (1, 0, 2), (2, 1, 0), (3, 2, 0)]
  assert places.boundaries == (4, 7) and places.rows == (2, 1, 1)
  assert places.dropped == (1, 1, 0)
