"""The events of a user's own table, as rows with an impression each."""

from __future__ import annotations

import dataclasses

from rmtl_jax import types
from rmtl_jax.preparation import source, sql, time_window, value_checks
from rmtl_jax.preparation.raw import raw_files as raw
from rmtl_jax.preparation.schema import log_entries
from rmtl_jax.preparation.sources import pairs

# The view's column of the kind of event.
KIND = 'event_kind'


def code_sql(events: log_entries.Events, kind: str) -> str:
  """SQL of an event's code, its place among `events.kinds`; NULL for others.

  Args:
    kind: SQL of the kind, as text.
  """
  cases = ' '.join(
    f'WHEN {sql.is_in(kind, (name,))} THEN {code}'
    for code, name in enumerate(events.kinds)
  )
  return f'CAST(CASE {cases} END AS TINYINT)'


def codes(events: log_entries.Events) -> pairs.EventKinds:
  """The codes of impressions and of each task."""
  places = {name: code for code, name in enumerate(events.kinds)}
  return pairs.EventKinds(
    tuple(places[name] for name in events.impressions),
    {
      task: tuple(places[name] for name in names)
      for task, names in events.labels.items()
    },
  )


def to_impressions(
  connection: sql.Connection,
  rows: source.SourceTable,
  events: log_entries.Events,
  item_column: str,
  idle_ms: int,
  any_dates: bool,
  window: time_window.Window,
) -> source.SourceTable:
  """Joins each session's events of an item to one row.

  The row has the features of the pair's first impression.

  Args:
    rows: events as a reader's rows, with `item` and KIND.
    item_column: the raw column of the item, for errors.
    idle_ms: longest gap within a session, ms.
    any_dates: as for `checks.check`.
    window: events outside of it are left out.

  Raises:
    types.InputError: an event without a time, an item, or a session and user,
      or no event that is an impression.
  """
  alone = dataclasses.replace(rows, fields=(), tasks=())
  value_checks.check(connection, alone, any_dates)
  lacks: list[raw.Fault] = [
    (column, f'{name} IS NULL', what)
    for column, name, what in (
      (item_column, 'item', 'an item'),
      (events.column, KIND, 'a kind of event'),
    )
  ]
  raw.check(connection, rows.table, lacks, rows.view, 'row_id')
  kinds = codes(events)
  split = ', split' if rows.has_split else ''
  view = sql.create_view(
    connection,
    'SELECT row_id, session, "user", timestamp,'
    f' "user" AS visitor, item, {code_sql(events, KIND)} AS event,'
    f' {raw.ROW_HASH}{split} FROM {rows.view}',
  )
  counts = _count_kinds(connection, view)
  if not any(counts.get(code) for code in kinds.impressions):
    raise types.InputError(
      f'{rows.table.files[0].path}: column {events.column!r} is in no row'
      f' {" or ".join(map(repr, events.impressions))}, an impression'
    )
  known = sql.create_view(connection, f'FROM {view} WHERE event IS NOT NULL')
  found = pairs.make_pairs(
    connection,
    known,
    kinds,
    idle_ms,
    rows.session_keys,
    (raw.ROW_HASH,),
    window,
  )
  dropped = {
    'exact duplicate event': found.duplicates,
    '(session, item) pair without a view': found.unviewed,
  }
  if counts.get(None):
    dropped['event of another kind'] = counts[None]
  return dataclasses.replace(
    rows,
    view=_joined(connection, rows, found),
    keys=found.table,
    has_session=True,
    identity=(),
    open_events=found.open_events,
    dropped=rows.dropped | dropped,
    counts={'sessions_of_the_log': found.sessions, 'pairs': found.pairs},
    warnings=tuple(
      f'events: {name!r} is in no row of column {events.column!r}'
      for code, name in enumerate(events.kinds)
      if not counts.get(code)
    ),
  )


def _count_kinds(
  connection: sql.Connection, view: str
) -> dict[int | None, int]:
  """The number of events by code."""
  found = connection.execute(
    f'SELECT event, count(*) FROM {view} GROUP BY event'
  )
  return dict(found.fetchall())


def _joined(
  connection: sql.Connection, rows: source.SourceTable, found: pairs.Pairs
) -> str:
  """Makes the view of the pairs with all that their first impression has."""
  labels = ', '.join(f'p.{sql.quote(f"t_{task}")}' for task in found.tasks)
  return sql.create_view(
    connection,
    'SELECT r.* REPLACE (p.session AS session),'
    f' {labels} FROM {found.table} p JOIN {rows.view} r ON p.row_id = r.row_id',
  )
