"""What helps a log of few times, all of whose train rows are of the first."""

from __future__ import annotations

import datetime

import duckdb

from rmtl_jax.preparation import sessions, source, splits, sql
from rmtl_jax.preparation.raw import files as raw

# Fewest times of which train can have two, and most that a flag lists.
_FEWEST, _MOST = 3, 10
_PER_SECOND = {'s': 1, 'ms': 10**3, 'us': 10**6, 'ns': 10**9}


def warnings(
  connection: duckdb.DuckDBPyConnection,
  rows: source.SourceTable,
  places: sessions.RowPlaces,
  rule: splits.SplitRule,
) -> list[str]:
  """Says that no train row has a past, and which split would give it one.

  Args:
    connection: holds the rows.
    rows: the reader's result.
    places: of the rows that are kept.
    rule: how they were split.
  """
  has_keys = rows.has_user or rows.item_column
  if not (rule.by_time and rows.time_column and has_keys):
    return []
  starts = connection.execute(
    f'SELECT start, min(split) FROM {places.table} GROUP BY start ORDER BY'
    f' start LIMIT {_MOST + 1}'
  ).fetchall()
  if not _FEWEST <= len(starts) <= _MOST or starts[1][1] == 0:
    return []
  kinds = sql.column_types(connection, rows.table.name)
  flags = f'--split_column={rows.time_column}'
  # Text of a pattern of its own is not known here.
  if kinds.get(raw.PREFIX + rows.time_column, 'VARCHAR') != 'VARCHAR':
    times = [_written(ms, rows.time_unit) for ms, _ in starts]
    *train, test = times
    values = [*(f'train={time}' for time in train), f'test={test}']
    flags += f' --split_values={",".join(values)}'
  return [
    'all train rows are of one time, so none has a past, and what was known'
    ' before a row can tell nothing: its features are left out. With'
    f' {flags} train has the others, and validation is drawn of the last of'
    ' these'
  ]


def _written(ms: int, unit: str) -> str:
  """A time as its column has it."""
  if unit != 'iso':
    return str(ms * _PER_SECOND[unit] // 1000)
  time = datetime.datetime.fromtimestamp(ms / 1000, datetime.UTC)
  if not ms % 86_400_000:
    return time.date().isoformat()
  return time.replace(tzinfo=None).isoformat() + 'Z'
