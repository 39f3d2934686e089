"""Items that a row's user was shown before the row's session began.

The user's rows that are strictly earlier than the session's first row count,
from any session. So all rows of one session and user have the same history, and
it is computed once for them. Entries are rows of the item field's vocabulary.
Unknown items (row 0) are dropped before the list is cut; an item that was shown
twice occurs twice.
"""

from __future__ import annotations

from rmtl_jax.preparation import source, sql

GROUP = 'history'


def history_field(name: str, item_field: str, items: int) -> source.SourceField:
  """Declares the field; `encode` computes it, so the view has no such column.

  Args:
    item_field: the categorical field whose vocabulary it shares.
    items: most items of a history.
  """
  return source.SourceField(
    name,
    'multi_valued',
    details={'as_of': GROUP},
    vocabulary_owner=item_field,
    width=items,
  )


def is_history(field: source.SourceField) -> bool:
  """Whether a field's lists are made of the log's rows."""
  return field.details.get('as_of') == GROUP


def encode_histories(
  connection: sql.Connection,
  rows: str,
  item: str,
  vocabulary: str,
  items: int,
) -> str:
  """Makes a table of histories, one per session and user.

  A history is a range of its user's rows in the order of time. Rows of one time
  are sorted by item, since the file's order may leak what happened next.

  Args:
    rows: table or view with `session_id`, `user`, `timestamp` and the item.
    vocabulary: table of the items' vocabulary, with `key` and `id`.
    items: most items of a history; the most recent ones stay.

  Returns:
    The name of a table with `session_id`, `user` and `ids` INTEGER[], 1 to
    `items` entries, most recent last; sessions without a history are missing.
  """
  known = sql.null_if_empty('r."user"') + ' IS NOT NULL'
  shown = sql.create_table(
    connection,
    f'SELECT r."user", r.timestamp, v.id FROM {rows} r'
    f' JOIN {vocabulary} v ON r.{sql.quote(item)} = v.key WHERE {known}'
    ' ORDER BY r."user", r.timestamp, CAST(v.key AS VARCHAR)',
  )
  # `rowid` counts the sorted rows, so a user's rows are neighbours and a
  # history is a range [first, last]: of the rows up to the last that a session
  # sees, from the ms after it on. Only these ranges become lists: a window per
  # row would hold all of a user's rows.
  spans = sql.create_table(
    connection,
    f'SELECT session_id, "user", last, greatest(first, last - {items - 1})'
    ' AS first FROM (SELECT session_id, "user", max(last) OVER past AS last,'
    '  min(first) OVER past AS first FROM ('
    '  SELECT session_id, r."user", min(min(timestamp)) OVER ('
    '   PARTITION BY session_id) AS time, NULL AS first, NULL AS last'
    f'  FROM {rows} r GROUP BY session_id, r."user" UNION ALL'
    '  SELECT NULL, "user", timestamp + 1, min(rowid), max(rowid)'
    f'  FROM {shown} GROUP BY "user", timestamp)'
    ' WINDOW past AS (PARTITION BY "user" ORDER BY time))'
    ' WHERE session_id IS NOT NULL AND last IS NOT NULL',
  )
  table = sql.create_table(
    connection,
    'SELECT session_id, s."user",'
    ' list(r.id ORDER BY s.place) AS ids FROM (SELECT session_id, "user",'
    f'  unnest(range(first, last + 1)) AS place FROM {spans}) s'
    f' JOIN {shown} r ON r.rowid = s.place GROUP BY session_id, s."user"',
  )
  sql.drop_tables(connection, shown, spans)
  return table
