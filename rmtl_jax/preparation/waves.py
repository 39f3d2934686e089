"""What helps a log of few times, all of whose train rows are of the first."""

from __future__ import annotations

from rmtl_jax.preparation import sessions, source, splits, sql
from rmtl_jax.preparation.raw import files as raw

# Fewest times of which train can have two, and most that a flag lists.
_FEWEST, _MOST = 3, 10


def warnings(
  connection: sql.Connection,
  rows: source.SourceTable,
  places: sessions.RowPlaces,
  rule: splits.SplitRule,
) -> list[str]:
  """Says that no train row has a past, and which split would give it one."""
  is_own = 'schema' in rows.options  # whose splits may be a column
  if not (rule.by_time and is_own and rows.time_column and rows.key_columns):
    return []
  starts = connection.execute(
    f'SELECT start, min(split) FROM {places.table} GROUP BY start ORDER BY'
    f' start LIMIT {_MOST + 1}'
  ).fetchall()
  if not _FEWEST <= len(starts) <= _MOST or starts[1][1] == 0:
    return []
  *train, test = _written(connection, rows) or ('FIRST', 'SECOND', 'LAST')
  values = [*(f'train={time}' for time in train), f'test={test}']
  return [
    'all train rows are of one time, so none has a past, and what was known'
    ' before a row can tell nothing: its features are left out. With'
    f' --split_column={rows.time_column} --split_values={",".join(values)}'
    ' train has all times but the last, and validation is drawn of the last of'
    ' these'
  ]


def _written(connection: sql.Connection, rows: source.SourceTable) -> list[str]:
  """The times as `split_values` takes them; none of text with a pattern."""
  name = raw.PREFIX + rows.time_column
  kind = sql.column_types(connection, rows.table.name).get(name, 'VARCHAR')
  if kind == 'VARCHAR':
    return []
  column = sql.quote(name)
  text = sql.value_text(column)
  if kind.startswith('TIMESTAMP'):
    text = (
      f"CASE WHEN {column} = date_trunc('day', {column})"
      f' THEN CAST(CAST({column} AS DATE) AS VARCHAR)'
      f" ELSE replace({text}, ' ', 'T') END"
    )
  found = connection.execute(
    f'SELECT DISTINCT {column} AS time, {text} FROM {rows.table.name}'
    f' WHERE {column} IS NOT NULL ORDER BY time LIMIT {_MOST + 1}'
  ).fetchall()
  return [text for _, text in found] if len(found) <= _MOST else []
