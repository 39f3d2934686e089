"""Turns shop events into rows, one per session and viewed item.

A row is a (session, item) pair with a view, at the time of its first view;
click: the item was put in the cart or bought in that session; conversion:
bought. Pairs without a view are all positive and dropped by default
(Liu et al., WWW 2023, by the base rates of the authors' data).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import duckdb

from rmtl_jax.preparation import sessions, source, sql
from rmtl_jax.preparation.raw import times

# Codes of events.
VIEW, CART, PURCHASE = 0, 1, 2
TASKS = (
  source.SourceTask('click', None, timed=True),
  source.SourceTask('conversion', 'click', timed=True),
)


@dataclasses.dataclass(frozen=True)
class Pairs:
  """(session, item) pairs of events.

  Attributes:
    table: `row_id` (of the first view), `session`, `user`, `item`,
      `timestamp`, `t_click` and `t_conversion`.
    unviewed: (session, item) pairs without a view, dropped or not.
    pairs: all pairs.
    sessions: sessions of the log.
    duplicates: events that repeat another one exactly.
  """

  table: str
  unviewed: int
  pairs: int
  sessions: int
  duplicates: int


def make_pairs(
  connection: duckdb.DuckDBPyConnection,
  events: str,
  idle_ms: int,
  *,
  has_session: bool,
  identity: tuple[str, ...],
  keep_unviewed: bool,
) -> Pairs:
  """Cuts sessions and joins each session's events of an item to a pair.

  Args:
    connection: holds the events.
    events: view with `row_id`, `session`, `user`, `timestamp`, `visitor` (the
      user again), `item` and `event` (VIEW, CART or PURCHASE).
    idle_ms: longest gap within a session, ms.
    has_session: whether `session` is ever given.
    identity: columns in which exact duplicates are equal.
    keep_unviewed: keep pairs without a view, timed at their first event.
  """
  numbered = sessions.number_sessions(
    connection,
    events,
    idle_ms,
    has_session=has_session,
    identity=identity,
    carry=('visitor', 'item', 'event'),
    drop=False,  # they change no first time
  )
  gathered, table = sql.unique_name('gathered'), sql.unique_name('pairs')
  # Positions follow time within a session, so the least one is the first.
  connection.execute(
    f'CREATE TABLE {gathered} AS SELECT session_number, item,'
    ' min(visitor) AS "user", min(rowid) AS first,'
    f' min(rowid) FILTER (WHERE event = {VIEW}) AS view,'
    f' min(timestamp) FILTER (WHERE event <> {VIEW}) AS t_click,'
    f' min(timestamp) FILTER (WHERE event = {PURCHASE}) AS t_conversion'
    f' FROM {numbered.table} GROUP BY session_number, item'
  )
  pairs, unviewed, last = sql.fetch_row(
    connection,
    'SELECT count(*), count(*) FILTER (WHERE view IS NULL),'
    f' coalesce(max(session_number), -1) FROM {gathered}',
  )
  position = 'coalesce(view, first)' if keep_unviewed else 'view'
  connection.execute(
    f'CREATE TABLE {table} AS SELECT n.row_id, g.session_number AS session,'
    ' g."user", g.item, n.timestamp, g.t_click, g.t_conversion'
    f' FROM (SELECT *, {position} AS position FROM {gathered}) g'
    f' JOIN {numbered.table} n ON n.rowid = g.position'
  )
  connection.execute(f'DROP TABLE {gathered}')
  connection.execute(f'DROP TABLE {numbered.table}')
  return Pairs(table, unviewed, pairs, last + 1, numbered.duplicates)


def categorical_field(name: str) -> source.SourceField:
  """A field; parts of the time describe neither user nor item."""
  no_side = {'side': source.NO_SIDE} if name in times.PARTS else {}
  return source.SourceField(name, 'categorical', details=no_side)


def make_view(
  connection: duckdb.DuckDBPyConnection,
  pairs: Pairs,
  columns: Mapping[str, str],
  joins: str,
) -> str:
  """Makes a reader's view (see `rmtl_jax.preparation.source`).

  Args:
    connection: holds the tables.
    pairs: the rows, to be called `p`.
    columns: SQL of further columns, by name.
    joins: SQL that joins other tables to `p`.
  """
  view = sql.unique_name('rows')
  extra = ', '.join(f'{e} AS {sql.quote(name)}' for name, e in columns.items())
  connection.execute(
    f'CREATE VIEW {view} AS SELECT p.row_id, p.session, p.timestamp,'
    f' p.t_click, p.t_conversion, {extra} FROM {pairs.table} p {joins}'
  )
  return view


def count_pairs(
  pairs: Pairs, keep_unviewed: bool
) -> tuple[dict[str, int], dict[str, int]]:
  """(rows dropped by reason, counts) for the manifest."""
  counts = {'sessions_of_the_log': pairs.sessions, 'pairs': pairs.pairs}
  dropped = {'exact duplicate event': pairs.duplicates}
  if keep_unviewed:
    counts['pairs_without_a_view'] = pairs.unviewed
  else:
    dropped['(session, item) pair without a view'] = pairs.unviewed
  return dropped, counts
