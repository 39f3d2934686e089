"""Rows of random exposure as a split of their own, beside the test split.

What a policy showed is no random sample of what it could have shown. Where a
log has rows with items that were drawn at random, those of the test period
become the split `random`: models, vocabularies and as-of features are those of
the other rows, and see of the random ones no more than test rows see of each
other. Random rows from before the test period are left out.
"""

from __future__ import annotations

import dataclasses

from rmtl_jax import types
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.preparation import sessions, source, splits, sql

_EARLIER = 'random row before the test period'


def set_apart(
  connection: sql.Connection,
  rows: source.SourceTable,
  rule: splits.SplitRule,
  idle_ms: int,
  end: int | None = None,
) -> tuple[source.SourceTable, sessions.Boundaries]:
  """Leaves out random rows before the test period, and marks the others.

  Args:
    rows: the reader's result, with `is_random`.
    rule: how the other rows are split.
    idle_ms: longest gap within a session, ms.
    end: of the log, ms; None for none.

  Returns:
    The rows, with `split` in place of `is_random`: RANDOM's place, or 0; and
    the boundaries of the other rows' splits.

  Raises:
    types.InputError: splits don't follow each other in time, or there is no
      random row in the test period.
  """
  if not rule.by_time:
    raise types.InputError(
      f'random_split: needs splits by time, and split_by is {rule.by}'
    )
  boundaries = rule.boundaries or _boundaries(
    connection, rows, rule, idle_ms, end
  )
  start = boundaries[1]
  where = rows.table.place
  keys = rows.keys or rows.view
  later = f'is_random AND timestamp >= {start}'
  if start is None or not sql.any_row(connection, keys, later):
    raise types.InputError(
      f'{where}: no row of random exposure lies in the test period, so there'
      ' is no split of them; leave out random_split'
    )
  earlier = f'is_random AND timestamp < {start}'
  left = sql.count_rows(connection, keys, earlier)
  marked = dataclasses.replace(
    rows,
    view=_marked(connection, rows.view, start),
    keys=_marked(connection, rows.keys, start) if rows.keys else '',
    dropped=rows.dropped | ({_EARLIER: left} if left else {}),
    has_split=True,
  )
  return marked, boundaries


def _boundaries(
  connection: sql.Connection,
  rows: source.SourceTable,
  rule: splits.SplitRule,
  idle_ms: int,
  end: int | None,
) -> sessions.Boundaries:
  """Where the splits of the other rows begin."""
  others = sql.create_view(
    connection, f'FROM {rows.keys or rows.view} WHERE NOT is_random'
  )
  numbered = sessions.number_sessions(
    connection,
    others,
    idle_ms,
    has_session=rows.has_session,
    has_user=rows.has_user,
    identity=rows.identity,
  )
  places = sessions.split_sessions(connection, numbered, rule.ratio, end=end)
  return places.boundaries[:2]


def _marked(connection: sql.Connection, relation: str, start: int) -> str:
  place = manifest_lib.ALL_SPLITS.index(manifest_lib.RANDOM)
  return sql.create_view(
    connection,
    'SELECT * EXCLUDE (is_random),'
    f' CAST(CASE WHEN is_random THEN {place} ELSE 0 END AS TINYINT) AS split'
    f' FROM {relation} WHERE NOT is_random OR timestamp >= {start}',
  )
