"""Turns events into rows, one per session and item with an impression.

A row is a (session, item) pair with an impression, at the time of the first of
them; a task is positive where the session has an event of one of its kinds for
the item, at the time of the first. Pairs without an impression are all positive
and dropped.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from rmtl_jax.preparation import sessionize as sessions
from rmtl_jax.preparation import sql, time_window


@dataclasses.dataclass(frozen=True)
class EventKinds:
  """Meanings of events, by code.

  Attributes:
    impressions: codes of impressions.
    labels: codes that make a task positive, by task.
  """

  impressions: tuple[int, ...]
  labels: Mapping[str, tuple[int, ...]]


# Where a log is extended, the table of the open events of the log so far: the
# columns of `Pairs.open_events`, with negative `row_id`.
PAST = 'past_events'


@dataclasses.dataclass(frozen=True)
class Pairs:
  """(session, item) pairs of events.

  Attributes:
    table: `row_id` (of the first impression), `session`, `user`, `item`,
      `timestamp` and `t_<task>`.
    tasks: names of the tasks.
    unviewed: (session, item) pairs without an impression.
    pairs: all pairs.
    sessions: sessions of the log.
    duplicates: events that repeat another one exactly.
    open_events: table of the events of sessions that had not been idle for
      long when the log ended: `row_id`, `session` (if the log has them),
      `visitor`, `item`, `timestamp` and `event`.
  """

  table: str
  tasks: tuple[str, ...]
  unviewed: int
  pairs: int
  sessions: int
  duplicates: int
  open_events: str


def make_pairs(
  connection: sql.Connection,
  events: str,
  kinds: EventKinds,
  idle_ms: int,
  has: sessions.Keys,
  identity: tuple[str, ...],
  window: time_window.Window = time_window.EVERYTHING,
) -> Pairs:
  """Cuts sessions and joins each session's events of an item to a pair.

  Args:
    events: view with `row_id`, `session`, `user`, `timestamp`, `visitor` (the
      user again), `item` and `event` (a code of `kinds`).
    idle_ms: longest gap within a session, ms.
    has: the keys of sessions that the view has.
    identity: columns in which exact duplicates are equal.
    window: events outside of it are left out.
  """
  events, identity = _gather(connection, events, window, identity)
  numbered = sessions.number_sessions(
    connection,
    events,
    idle_ms,
    has,
    identity=identity,
    carry=('visitor', 'item', 'event', *(['session'] if has.session else [])),
    drop=False,  # they change no first time
  )
  labels = {sql.quote(f't_{t}'): codes for t, codes in kinds.labels.items()}
  firsts = ', '.join(
    f'min(timestamp) FILTER (WHERE event IN {sql.in_list(codes)}) AS {name}'
    for name, codes in labels.items()
  )
  # Positions follow time within a session, so the least one is the first.
  gathered = sql.create_table(
    connection,
    'SELECT session_number, item, min(rowid) FILTER'
    f' (WHERE event IN {sql.in_list(kinds.impressions)}) AS view, {firsts}'
    f' FROM {numbered.table} GROUP BY session_number, item',
  )
  pairs, unviewed, number = sql.fetch_row(
    connection,
    'SELECT count(*), count(*) FILTER (WHERE view IS NULL),'
    f' count(DISTINCT session_number) FROM {gathered}',
  )
  table = sql.create_table(
    connection,
    'SELECT n.row_id, g.session_number AS session, n.visitor AS "user", g.item,'
    f' n.timestamp, {", ".join(labels)}'
    f' FROM {gathered} g JOIN {numbered.table} n ON n.rowid = g.view',
  )
  sql.drop_tables(connection, gathered)
  open_events = _open_events(connection, numbered.table, idle_ms, window)
  sql.drop_tables(connection, numbered.table)
  return Pairs(
    table,
    tuple(kinds.labels),
    unviewed,
    pairs,
    number,
    numbered.duplicates,
    open_events,
  )


def _gather(
  connection: sql.Connection,
  events: str,
  window: time_window.Window,
  identity: tuple[str, ...],
) -> tuple[str, tuple[str, ...]]:
  """The events inside of the window, after those of the log so far.

  Returns:
    A view, and the columns in which its duplicates are equal.
  """
  extended = sql.has_table(connection, PAST)
  if not window and not extended:
    return events, identity
  inside = f'SELECT *, 0 AS alone FROM {events} WHERE {window.condition}'
  if extended:
    known, wanted = (sql.column_types(connection, r) for r in (PAST, events))
    typed = ', '.join(
      f'TRY_CAST({sql.value_text(name)} AS {wanted[name]}) AS {name}'
      for name in ('session', 'visitor', 'item')
      if name in known
    )
    inside += (
      ' UNION ALL BY NAME SELECT *, visitor AS "user", row_id AS alone'
      f' FROM (SELECT * REPLACE ({typed}) FROM {PAST})'
    )
  view = sql.create_view(connection, inside)
  return view, (*identity, 'alone')


def _open_events(
  connection: sql.Connection,
  numbered: str,
  idle_ms: int,
  window: time_window.Window,
) -> str:
  """Makes `Pairs.open_events`."""
  end = window.until
  if end is None:
    end = sql.fetch_value(
      connection, f'SELECT coalesce(max(timestamp), 0) FROM {numbered}'
    )
  return sql.create_table(
    connection,
    'SELECT n.* EXCLUDE (session_number, begins, tied)'
    f' FROM {numbered} n SEMI JOIN (SELECT session_number FROM {numbered}'
    f'  WHERE timestamp >= {end - idle_ms}) s USING (session_number)',
  )
