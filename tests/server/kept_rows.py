"""What a state holds, after checks that it fits together."""

from __future__ import annotations

import contextlib
import pathlib
import sqlite3


def times(place):
  """Times of the rows in a state, after checks of all of it."""
  directory = pathlib.Path(place)
  with contextlib.closing(
    sqlite3.connect(directory / 'state.sqlite')
  ) as connection:
    assert connection.execute('PRAGMA integrity_check').fetchall() == [('ok',)]
    rows = connection.execute(
      'SELECT e.time, v.open FROM events e JOIN visits v ON v.id = e.visit'
    ).fetchall()
    # Of three numbers, one is an item's counter.
    counted = connection.execute(
      'SELECT sum(rows), sum(n) FROM counts WHERE level = 0 AND key > 0 AND'
      ' key % 3 = 1'
    ).fetchone()
    closed = sum(not is_open for _, is_open in rows)
    assert counted == (len(rows), closed)
  return [time // 1000 for time, _ in rows]
