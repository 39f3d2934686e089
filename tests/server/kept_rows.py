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
    rows = connection.execute('SELECT time, item, open FROM events').fetchall()
    for level in range(4):
      counted = connection.execute(
        'SELECT sum(n) FROM counters WHERE level = ? AND key LIKE'
        " 'item:rows:%'",
        (level,),
      ).fetchone()[0]
      assert counted == len(rows)
    closed = connection.execute(
      'SELECT coalesce(sum(n), 0) FROM counters WHERE level = 0 AND key LIKE'
      " 'item:n:%'"
    ).fetchone()[0]
    assert closed == sum(not is_open for _, _, is_open in rows)
  return [time // 1000 for time, _, _ in rows]
