from __future__ import annotations

import dataclasses

import duckdb
import pytest
from hypothesis import strategies as st

from rmtl_jax.preparation import session_names, sessions
from tests import tiers
from tests.preparation import raw_files

SHARES = (6, 2, 2)


def log(rows):
  """rows: (session, timestamp, payload); row_id counts them."""
  connection = duckdb.connect()
  connection.execute(
    'CREATE TABLE log (row_id BIGINT, session VARCHAR, "user" BIGINT,'
    ' timestamp BIGINT, payload BIGINT)'
  )
  connection.executemany(
    'INSERT INTO log VALUES (?, ?, NULL, ?, ?)',
    [[i, *row] for i, row in enumerate(rows)],
  )
  return connection


def placed_rows(connection, places):
  """(row id, session, split, step) of the kept rows, in order."""
  connection.execute(
    f'CREATE OR REPLACE TABLE joined AS SELECT r.*, {places.columns} FROM log r'
    f' JOIN {places.table} p ON {places.condition} ORDER BY {places.order}'
  )
  return connection.execute(
    f'SELECT row_id, session_id, split, {places.step} FROM joined'
    ' ORDER BY rowid'
  ).fetchall()


def by_sorting(connection, identity=()):
  numbered = sessions.number_sessions(
    connection, 'log', 10, has_session=True, identity=identity
  )
  return sessions.split_sessions(connection, numbered, SHARES)


def summary(places):
  return places.boundaries, places.rows, places.sessions, places.dropped


LOGS = st.lists(
  st.tuples(
    st.sampled_from(['a', 'b', 'c', '10', '9', 'é']),
    st.integers(0, 60),
    st.integers(0, 2),
  ),
  min_size=1,
  max_size=40,
)


@pytest.mark.parametrize('examples', tiers.examples(20, 80))
def test_places_are_those_of_sorting(examples):
  tiers.check(places_are_those_of_sorting, examples, LOGS)


def places_are_those_of_sorting(rows):
  connection = log(rows)
  expected = by_sorting(connection)
  found = session_names.split_named_sessions(connection, 'log', SHARES)
  assert summary(found) == summary(expected)
  assert found.is_train() == expected.is_train()
  assert placed_rows(connection, found) == placed_rows(connection, expected)


@pytest.mark.parametrize('examples', tiers.examples(20, 80))
def test_duplicates_are_left_to_sorting(examples):
  tiers.check(duplicates_are_left_to_sorting, examples, LOGS, st.booleans())


def duplicates_are_left_to_sorting(rows, in_order):
  connection = log(sorted(rows) if in_order else rows)
  found = session_names.split_named_sessions(
    connection, 'log', SHARES, ('payload',)
  )
  assert (found is None) == (len(set(rows)) < len(rows))


@pytest.mark.parametrize('later', [('a', 5, 1), ('b', 3, 0), ('b', 2, 0)])
def test_a_log_that_falls_out_of_order_late_is_looked_through(
  monkeypatch, later
):
  """Its duplicate is found though its first rows stand in order."""
  monkeypatch.setattr(session_names, '_SAMPLE', 3)
  rows = [('a', 1, 0), ('a', 5, 1), ('b', 2, 0), ('b', 3, 0), later]
  connection = log(rows)
  place = session_names.split_named_sessions
  assert place(connection, 'log', SHARES, ('payload',)) is None
  assert place(log(rows[:-1]), 'log', SHARES, ('payload',)) is not None


def test_rows_without_a_name_are_left_to_sorting():
  rows = [('a', 0, 0), (None, 5, 0)]
  assert session_names.split_named_sessions(log(rows), 'log', SHARES) is None


def test_session_over_a_boundary_by_hand():
  # Ten sessions, the fifth of which goes on for three rows too many.
  rows = [(f's{i}', 100 * i, 0) for i in range(10)]
  rows += [('s4', t, 1) for t in (450, 650, 651, 900)]
  connection = log(rows)
  places = session_names.split_named_sessions(connection, 'log', SHARES)
  # Before s5 lie 9 rows of 14, before s8 lie 12.
  assert places.boundaries == (500, 800)
  assert places.rows == (6, 3, 2)
  assert places.sessions == (5, 3, 2)
  assert places.dropped == (3, 0, 0)
  table = placed_rows(connection, places)
  assert [row for row, *_ in table] == [0, 1, 2, 3, 4, 10, 5, 6, 7, 8, 9]
  assert [session for _, session, *_ in table] == [0, 1, 2, 3, 4, *range(4, 10)]
  assert [step for *_, step in table] == [0] * 5 + [1] + [0] * 5


def lines(in_turn):
  """Rows of nine sessions, in turn or one session after the other."""
  rows = [(s, t) for s in range(9) for t in range(4)]
  if in_turn:
    rows.sort(key=lambda row: row[::-1])
  return [f'visit,{raw_files.HEADER}'] + [
    f'v{8 - s},u{s % 3},i{t},{10**6 * s + 400_000 * t},{t},{(s + t) % 2},0'
    for s, t in rows
  ]


@pytest.mark.parametrize('in_turn', [False, True])
@pytest.mark.parametrize('as_of', [(), ('all',)])
def test_prepared_data_is_that_of_sorting(
  tmp_path, monkeypatch, in_turn, as_of
):
  schema = raw_files.write_schema(tmp_path / 'schema.json', session='visit')

  def prepared(name):
    place = tmp_path / name
    manifest = raw_files.run_table(
      place, lines(in_turn), schema=schema, as_of=as_of
    )
    assert sum(split.rows for split in manifest.splits.values()) < 36
    # The past is a set of rows: their order may differ, and so its digest.
    return dataclasses.replace(manifest, digests={}), raw_files.read(place)

  found = prepared('names')
  monkeypatch.setattr(session_names, 'split_named_sessions', lambda *_: None)
  assert found == prepared('sorting')
