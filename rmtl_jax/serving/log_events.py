"""Events in the log that the past is computed from, as rows with an impression.

The history of a model of events may hold the raw events. Rows to predict for
are impressions, and events of the same session and item are their labels.
"""

from __future__ import annotations

from rmtl_jax.preparation import sessions, sql
from rmtl_jax.preparation.schema import events as events_lib
from rmtl_jax.preparation.sources import table_events
from rmtl_jax.serving import log, log_columns


def is_impression(events: events_lib.Events) -> str:
  """SQL of whether a row of the log is an impression."""
  listed = sql.in_list(table_events.codes(events).impressions)
  return f'(event IS NULL OR event IN {listed})'


def gather(
  connection: sql.Connection,
  log_schema: log_columns.LogSchema,
  idle_ms: int,
) -> int:
  """Replaces the log by one with a row per session and item, as prepared.

  Every row of it has a session, those to predict for stay as they are, and
  labels that come after a row to predict for are its own.

  Args:
    idle_ms: longest gap within a session, ms.

  Returns:
    How many rows to predict for are of a session and an item that had an
    impression before: prepared data has no row for these.
  """
  assert log_schema.events is not None
  kinds = table_events.codes(log_schema.events)
  item = sql.quote(log.item_column(log_schema))
  numbered = sessions.number_sessions(
    connection,
    log.TABLE,
    idle_ms,
    has_session=log_schema.session is not None,
    has_user=log_schema.user is not None,
  )
  placed, pairs = sql.unique_name('placed'), sql.unique_name('pairs')
  # Positions follow time within a session, so the least one is the first.
  connection.execute(
    f'CREATE TABLE {placed} AS SELECT n.rowid AS place, n.session_number, l.*'
    f' FROM {numbered.table} n JOIN {log.TABLE} l USING (row_id)'
  )
  merged = {
    sql.quote(f't_{task}'): f'least(min({sql.quote(f"t_{task}")}),'
    f' min(timestamp) FILTER (WHERE event IN {sql.in_list(codes)}))'
    for task, codes in kinds.labels.items()
  }
  connection.execute(
    f'CREATE TABLE {pairs} AS SELECT'
    f' min(place) FILTER (WHERE {is_impression(log_schema.events)}) AS place,'
    f' {", ".join(f"{value} AS {name}" for name, value in merged.items())}'
    f' FROM {placed} WHERE {item} IS NOT NULL GROUP BY session_number, {item}'
  )
  labels = ''.join(
    f', CASE WHEN p.place IS NULL THEN l.{name} ELSE p.{name} END AS {name}'
    for name in merged
  )
  gathered = sql.unique_name('gathered')
  # Where the history has events, what came of a row is in it.
  connection.execute(
    f'CREATE TABLE {gathered} AS SELECT l.* EXCLUDE (place, session_number)'
    f" REPLACE ('s' || l.session_number AS session{labels}, l.labelled OR"
    f' (p.place IS NOT NULL AND EXISTS (FROM {log.TABLE} WHERE event IS NOT'
    f' NULL)) AS labelled) FROM {placed} l LEFT JOIN {pairs} p USING (place)'
    ' WHERE l.scored OR p.place IS NOT NULL'
  )
  repeated = sql.fetch_value(
    connection,
    f'SELECT count(*) FROM {placed} l LEFT JOIN {pairs} p USING (place)'
    f' WHERE l.scored AND p.place IS NULL AND l.{item} IS NOT NULL',
  )
  for table in (log.TABLE, placed, pairs, numbered.table):
    connection.execute(f'DROP TABLE {table}')
  connection.execute(f'ALTER TABLE {gathered} RENAME TO {log.TABLE}')
  return repeated
