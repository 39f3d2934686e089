"""Places of new rows: sessions continue from old to new rows."""

from __future__ import annotations

import dataclasses

from rmtl_jax.preparation import sessionize, source, sql
from rmtl_jax.preparation.extending import past as past_lib
from rmtl_jax.preparation.extending import settings


@dataclasses.dataclass(frozen=True)
class Stitched:
  """Where new rows go.

  Attributes:
    places: of the rows in test.
    everything: table of `row_id`, `number` and `start` (ms) of every new row,
      but for duplicates.
    left_out: new rows of sessions that began before the seam.
    duplicates: number of exact duplicates.
  """

  places: sessionize.RowPlaces
  everything: str
  left_out: int
  duplicates: int


def place(new: settings.Extension) -> Stitched:
  """Finds the sessions of new rows; some began earlier.

  A session lies in the split in which it begins, so rows of those that began
  before the seam are left out, as rows at or after their split's end.
  """
  connection, rows = new.connection, new.rows
  relation, near = _with_near(new)
  numbered = sessionize.number_sessions(
    connection,
    relation,
    new.idle_ms,
    has_session=rows.has_session,
    has_user=rows.has_user,
    identity=(*rows.identity, 'alone') if rows.identity else (),
  )
  found = sessionize.split_sessions(
    connection,
    numbered,
    delay_ms=source.fastest(rows.tasks).delay_ms,
    boundaries=(new.base.boundaries[0], new.seam),
    end=new.until,
  )
  everything, shift, left_out = _number(new, found, near)
  return Stitched(
    dataclasses.replace(
      found,
      table=_in_test(connection, found.table, shift),
      past=_in_test(connection, found.past, shift) if found.past else '',
      rows=(0, 0, found.rows[2]),
      sessions=(0, 0, found.sessions[2]),
      dropped=(0, left_out, 0),
      immature=(0, 0, found.immature[2]),
    ),
    everything,
    left_out,
    numbered.duplicates,
  )


def _number(
  new: settings.Extension, found: sessionize.RowPlaces, near: str
) -> tuple[str, int, int]:
  """Makes the table `Stitched.everything`.

  Args:
    found: places of new rows and of past ones of their sessions.
    near: table of these past rows, with `number` and `start`.

  Returns:
    The table, what the numbers of new sessions are moved by, and the new rows
    of sessions that began before.
  """
  # Sessions are numbered by their start: those that began before come first.
  began, left_out = sql.fetch_row(
    new.connection,
    f'SELECT count(DISTINCT session_id), count(*) FILTER (row_id >= 0)'
    f' FROM {found.whole} WHERE split < 2',
  )
  shift = new.past.next_session - began
  everything = sql.create_table(
    new.connection,
    'WITH begun AS ('
    f'  SELECT DISTINCT p.session_id, n.number, n.start FROM {found.whole} p'
    f'  JOIN {near} n USING (row_id))'
    ' SELECT p.row_id, coalesce(b.number, p.session_id + '
    f'{shift}) AS number, coalesce(b.start, p.start) AS start'
    f' FROM {found.whole} p LEFT JOIN begun b USING (session_id)'
    ' WHERE p.row_id >= 0',
  )
  return everything, shift, left_out


def _in_test(connection: sql.Connection, table: str, shift: int) -> str:
  """Makes a view of the places in test, with their sessions' final numbers."""
  return sql.create_view(
    connection,
    f'SELECT * REPLACE (session_id + {shift} AS session_id) FROM {table}'
    ' WHERE split = 2',
  )


def _with_near(new: settings.Extension) -> tuple[str, str]:
  """Makes a view of new rows and past rows of their sessions.

  Returns:
    The view, and a table of these past rows.
  """
  connection, rows, past = new.connection, new.rows, new.past.rows
  keys = rows.keys or rows.view
  if rows.open_events:
    # The reader has joined them already.
    near = sql.create_table(
      connection,
      f'SELECT row_id, number, start FROM {past}'
      f' SEMI JOIN (SELECT row_id FROM {keys} WHERE row_id < 0) USING (row_id)',
    )
    return keys, near
  named = 'p.session' if past_lib.has_session(rows) else 'NULL'
  wanted = []
  if past_lib.has_session(rows):
    wanted.append(
      f'SELECT DISTINCT number FROM {past} p SEMI JOIN (SELECT session'
      f' FROM {keys} WHERE session IS NOT NULL) USING (session)'
    )
  if rows.has_user:
    wanted.append(
      f'SELECT DISTINCT number FROM {past} p SEMI JOIN (SELECT "user"'
      f' FROM {keys} WHERE session IS NULL) USING ("user")'
      f' WHERE timestamp >= {new.seam - new.idle_ms}'
      f' AND {named} IS NULL'
    )
  user = 'p."user"' if rows.has_user else 'NULL'
  of_past = (
    f'SELECT p.row_id, p.number, p.start, p.timestamp, {user} AS "user",'
    f' {named} AS session, p.row_id AS alone FROM {past} p'
  )
  if wanted:
    of_past += f' SEMI JOIN ({" UNION ".join(wanted)}) USING (number)'
  else:
    of_past += ' WHERE false'
  near = sql.create_table(connection, of_past)
  columns = ['row_id', 'session', '"user"', 'timestamp']
  columns += [sql.quote(name) for name in rows.identity]
  view = sql.create_view(
    connection,
    f'SELECT {", ".join(columns)}, 0 AS alone FROM {keys}'
    f' UNION ALL BY NAME SELECT * EXCLUDE (number, start) FROM {near}',
  )
  return view, near
