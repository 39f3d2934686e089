"""Splits logs in which every row has a session id, without sorting rows.

Grouping by the id gives each session's start and number of rows, and a row gets
the split of its session. The result equals that of `sessions.number_sessions`
and `sessions.split_sessions`, at a fraction of the cost.
"""

from __future__ import annotations

from collections.abc import Sequence

from rmtl_jax.preparation import sessions, sql

# Rows that must be sorted before the whole log is checked for it.
_SAMPLE = 10_000


def split_named_sessions(
  connection: sql.Connection,
  relation: str,
  split_ratio: Sequence[int],
  identity: Sequence[str] = (),
  boundaries: sessions.Boundaries | None = None,
  end: int | None = None,
  number: str = '',
) -> sessions.RowPlaces | None:
  """Does what `sessions.split_sessions` does, for rows with session ids.

  Args:
    relation: table or view with `session`, `timestamp` and what is in
      `identity`.
    split_ratio: of train, validation and test.
    identity: as for `sessions.number_sessions`.
    boundaries: as for `sessions.split_sessions`.
    end: as for `sessions.split_sessions`.
    number: column of the relation with `session` as a number; empty for none.

  Returns:
    Places, one per session: `session` (the id or its number), `before` (kept
    rows of earlier sessions), `ends` (the split's end, ms) and, beside numbers,
    `name` (the id). None if a row has no session id or the log has duplicates:
    both need the rows sorted.
  """
  name, order = '', 'session'
  if number:
    # Ids that are numbers are grouped and joined as such, and sorted as text.
    name, order = ', CAST(session AS VARCHAR) AS name', 'name'
    relation = f'(SELECT * REPLACE ({number} AS session) FROM {relation})'
  if sql.any_row(connection, relation, 'session IS NULL'):
    return None
  found = sql.create_table(
    connection,
    f'SELECT session{name}, min(timestamp) AS start, max(timestamp) AS last,'
    ' count(*) AS rows, 0 AS dropped'
    f' FROM {relation} GROUP BY session ORDER BY start, {order}',
  )
  if identity and _has_duplicates(connection, relation, found, identity):
    sql.drop_tables(connection, found)
    return None
  found = sessions.add_session_ids(connection, found)
  if boundaries is None:
    boundaries = sessions.find_boundaries(connection, found, split_ratio)
  boundaries = sessions.with_end(boundaries, end)
  table = _view(connection, found, boundaries)
  if sql.any_row(connection, table, 'last >= ends'):
    found = _drop_late(connection, relation, found, table)
    table = _view(connection, found, boundaries)
  rows, session_counts, dropped = sessions.count_by_split(
    connection, table, 'sum(rows)', 'count(*)', 'sum(dropped)'
  )
  kept = ' AND r.timestamp < p.ends' if any(dropped) else ''
  same = f'r.{number or "session"} = p.session'
  return sessions.RowPlaces(
    table,
    boundaries,
    rows,
    session_counts,
    dropped,
    whole=table,
    whole_condition=same,
    session='p.name' if number else 'r.session',
    condition=same + kept,
    columns='p.session_id, p.split, p.before AS marker',
    order='session_id, timestamp, row_id',
    step='CAST(rowid - marker AS INTEGER)',
  )


def _has_duplicates(
  connection: sql.Connection, relation: str, found: str, identity: Sequence[str]
) -> bool:
  """Whether rows of one session and time are equal in all of `identity`."""
  # Logs are often written session after session, in the order of time. Where
  # time rises strictly in each, no two rows can be equal; a sample tells first
  # whether looking at all rows is worth it.
  sample = f'(FROM {relation} LIMIT {_SAMPLE})'
  if _rises(
    connection, sample, f'(SELECT DISTINCT session FROM {sample})'
  ) and _rises(connection, relation, found):
    return False
  # Hardly any rows share session and time, and the columns that tell whether
  # they are equal cost more: those two alone are sorted.
  ordered = sql.create_table(
    connection,
    f'SELECT session, timestamp FROM {relation} ORDER BY session, timestamp',
  )
  tied = sql.create_table(
    connection,
    'SELECT DISTINCT session, timestamp FROM (SELECT *,'
    ' session = lag(session) OVER () AND timestamp = lag(timestamp) OVER ()'
    f' AS tied FROM {ordered}) WHERE tied',
  )
  equal = (
    f'(SELECT count(*) AS n FROM {relation} SEMI JOIN {tied}'
    f' USING (session, timestamp) GROUP BY session, timestamp,'
    f' {sql.quote_all(identity)})'
  )
  repeated = sql.any_row(connection, tied, 'true') and sql.any_row(
    connection, equal, 'n > 1'
  )
  sql.drop_tables(connection, ordered, tied)
  return repeated


def _rises(connection: sql.Connection, rows: str, found: str) -> bool:
  """Whether each session is one run of rows with strictly rising time.

  `found` has a row for each session of the rows.
  """
  runs, stays = sql.fetch_row(
    connection,
    'SELECT count(*) FILTER (NOT same), count(*) FILTER (same AND timestamp <='
    ' earlier) FROM (SELECT timestamp, lag(timestamp) OVER () AS earlier,'
    ' coalesce(session = lag(session) OVER (), false) AS same'
    f' FROM {rows})',
  )
  count = sql.count_rows(connection, found)
  return stays == 0 and runs == count


def _view(
  connection: sql.Connection, found: str, boundaries: sessions.Boundaries
) -> str:
  """Makes a view of sessions with their split and the split's end."""
  return sql.create_view(
    connection,
    f'SELECT *, {sessions.split_sql("start", boundaries)} AS split,'
    f' {sessions.split_end_sql("split", boundaries)} AS ends FROM {found}',
  )


def _drop_late(
  connection: sql.Connection, relation: str, found: str, places: str
) -> str:
  """Recounts sessions without the rows at or after their split's end.

  Drops the table of the sessions `found`, and the view of their `places`.
  """
  late = sql.create_table(
    connection,
    f'SELECT session_id, count(*) AS n FROM {relation} r'
    f' JOIN {places} p ON r.session = p.session'
    ' WHERE p.last >= p.ends AND r.timestamp >= p.ends GROUP BY session_id',
  )
  table = sql.create_table(
    connection,
    'SELECT * EXCLUDE (session_id, before, split, ends, n)'
    ' REPLACE (rows - coalesce(n, 0) AS rows, coalesce(n, 0) AS dropped)'
    f' FROM {places} LEFT JOIN {late} USING (session_id) ORDER BY session_id',
  )
  connection.execute(f'DROP VIEW {places}')
  sql.drop_tables(connection, found, late)
  return sessions.add_session_ids(connection, table)
