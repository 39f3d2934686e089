from __future__ import annotations

import pathlib

import duckdb
import pytest

from rmtl_jax.config import prepare_settings
from rmtl_jax.preparation import encode, fit, sessionize, source
from rmtl_jax.preparation.raw import raw_files as raw

OPTIONS = prepare_settings.PrepareConfig(min_count=1)


def encoded(columns, tasks, fields=(), **table):
  """Encodes a table of four rows, one session each; rows 0-1 are train."""
  connection = duckdb.connect()
  names = ', '.join(f'{name} {kind}' for name, kind in columns.items())
  connection.execute(
    f'CREATE TABLE log (row_id BIGINT, timestamp BIGINT, {names})'
  )
  values = table.pop('values')
  for i, row in enumerate(values):
    marks = ', '.join('?' for _ in range(len(row) + 2))
    connection.execute(f'INSERT INTO log VALUES ({marks})', [i, 10 * i, *row])
  connection.execute(
    'CREATE TABLE places AS SELECT range AS row_id, range AS session_id,'
    ' 0 AS step, range AS position, greatest(range - 1, 0) AS split'
    ' FROM range(4)'
  )
  places = sessionize.RowPlaces(
    'places', (20, 30), (2, 1, 1), (2, 1, 1), (0, 0, 0)
  )
  rows = source.SourceTable(
    view='log',
    fields=fields,
    tasks=tasks,
    table=raw.RawTable('log', (raw.RawFile(pathlib.Path('log'), 0, 4),)),
    **table,
  )
  found = encode.encode(fit.Fit(connection, rows, places, OPTIONS))
  query = f'SELECT {", ".join(found.columns)} FROM {found.table}'
  result = connection.execute(query)
  names = [column[0] for column in result.description or ()]
  return found, [
    dict(zip(names, row, strict=True)) for row in result.fetchall()
  ]


def test_a_funnel_of_three_times_is_closed_and_cut():
  tasks = (
    source.SourceTask('click', timed=True),
    source.SourceTask('cart', 'click', timed=True),
    source.SourceTask('buy', 'cart', timed=True),
  )
  columns = dict.fromkeys(('t_click', 't_cart', 't_buy'), 'BIGINT')
  _, rows = encoded(
    columns,
    tasks,
    has_user=False,
    values=[
      (None, None, 19),  # a purchase alone: all three
      (5, 18, 20),  # the purchase is at train's end
      (None, 30, None),  # past validation's end
      (99, None, 99),
    ],
  )
  assert [(r['y_click'], r['y_cart'], r['y_buy']) for r in rows] == [
    (1, 1, 1),
    (1, 1, 0),
    (0, 0, 0),
    (1, 1, 1),
  ]
  assert [row['user_id'] for row in rows] == [None] * 4


@pytest.mark.parametrize(
  ('kind', 'users', 'expected'),
  [
    ('BIGINT', [9, 8, None, -9], [9, 8, None, -9]),
    ('VARCHAR', ['9', '08', None, '-9'], [2, 1, None, 0]),
    ('VARCHAR', ['9', '8', None, '-9'], [9, 8, None, -9]),
    ('VARCHAR', ['b', 'c', 'a', 'b'], [1, 2, 0, 1]),
  ],
)
def test_users_become_numbers(kind, users, expected):
  _, rows = encoded(
    {'"user"': kind, 'y_click': 'DOUBLE'},
    (source.SourceTask('click'),),
    values=[(user, 1) for user in users],
  )
  found = [row['user_id'] for row in rows]
  if expected:
    assert found == expected
  else:  # too large for 64 bits: numbered instead
    assert sorted(found) == [0, 1, 2, 3]
