"""Positives of the session so far, as known before a row.

Only tasks with a label time can be used: the time of the event, or a fixed
delay after the row, but never before the row. A row counts the positives that
were known strictly before the row's own time.
"""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from typing import Any

import duckdb

from rmtl_jax.preparation import source, sql
from rmtl_jax.preparation.as_of import rates as asof_rates

# Pseudo-rows with train's rate that a session starts from. Fewer than for users
# and items: sessions are short, and intents differ.
WEIGHT = 5
# Details of `since_<task>`: the unit of the field.
ROWS_BACK = 'rows back'


def tasks_without_label_time(tasks: Sequence[source.SourceTask]) -> list[str]:
  """Names of the tasks without a time at which a positive is known."""
  return [task.name for task in tasks if not task.has_label_time]


def feedback_names(tasks: Sequence[source.SourceTask]) -> list[str]:
  """Names of all features, task by task."""
  return [
    name for task in tasks if task.has_label_time for name in _names(task)
  ]


def _names(task: source.SourceTask) -> tuple[str, str, str]:
  """Names of the count of positives, their rate, the rows since the last."""
  return (
    f'session_{task.name}s',
    f'session_{task.name}_rate',
    f'since_{task.name}',
  )


def make_feedback(
  connection: duckdb.DuckDBPyConnection,
  keyed: str,
  tasks: Sequence[source.SourceTask],
  train: Sequence[float],
) -> asof_rates.FeatureTable:
  """Computes the features of the session's positives so far.

  Per task: the number n of known positives; (n + WEIGHT * train's rate) /
  (earlier rows of the session + WEIGHT); and the distance in rows to the last
  known positive, 1 for the row before. All are NULL for a session's first row,
  the last also where no positive is known.

  Args:
    connection: holds the rows.
    keyed: table with `row_id`, `session_id`, `split`, `timestamp` and the
      columns of labels.label_and_time_columns.
    tasks: the reader's; at least one has a label time.
    train: each task's prior rate.

  Returns:
    The features and their details.
  """
  timed = {i: task for i, task in enumerate(tasks) if task.has_label_time}
  past = _past(connection, keyed, list(timed))
  columns: list[str] = []
  details: dict[str, dict[str, Any]] = {}
  for i, task in timed.items():
    number, rate, since = _names(task)
    prior = sql.float_literal(WEIGHT * train[i])
    share = f'(n_{i} + {prior}) / (position + {WEIGHT})'
    columns += [
      f'CAST(CASE WHEN position > 0 THEN n_{i} END AS DOUBLE)'
      f' AS {sql.quote(number)}',
      f'CASE WHEN position > 0 THEN {share} END AS {sql.quote(rate)}',
      f'CAST(position - last_{i} AS DOUBLE) AS {sql.quote(since)}',
    ]
    of_task = {'key': 'session', 'task': task.name}
    details |= {number: of_task, since: of_task | {'counts': ROWS_BACK}}
    details[rate] = of_task | {'train_rate': train[i], 'weight': WEIGHT}
  table = sql.unique_name('feedback')
  connection.execute(
    f'CREATE TABLE {table} AS SELECT row_id, {", ".join(columns)} FROM {past}'
  )
  connection.execute(f'DROP TABLE {past}')
  return asof_rates.FeatureTable(table, details)


def _past(
  connection: duckdb.DuckDBPyConnection, keyed: str, numbers: Sequence[int]
) -> str:
  """Makes a table of rows with the known positives of each numbered task.

  `position`: number of earlier rows of the session; `n_<i>`: known positives of
  task i; `last_<i>`: position of the last row with one.
  """
  rows, table = sql.unique_name('rows'), sql.unique_name('past')
  known = ', '.join(
    f'CASE WHEN y_{i} = 1 THEN greatest(timestamp, t_{i}) END AS k_{i}'
    for i in numbers
  )
  connection.execute(
    f'CREATE TABLE {rows} AS SELECT row_id, session_id, timestamp, {known},'
    ' rank() OVER (PARTITION BY session_id ORDER BY timestamp) - 1 AS position'
    f' FROM {keyed}'
  )
  # A positive is an event of its own, which rows see from the ms after it is
  # known: one running window over rows and events, however late those are. (A
  # frame that ends 1 ms before would take ten times as long in long sessions.)
  events = [
    f'SELECT row_id, session_id, timestamp AS time, position FROM {rows}'
  ]
  events += [
    f'SELECT session_id, k_{i} + 1 AS time, position AS p_{i} FROM {rows}'
    f' WHERE k_{i} IS NOT NULL'
    for i in numbers
  ]
  found = ', '.join(
    f'count(p_{i}) OVER past AS n_{i}, max(p_{i}) OVER past AS last_{i}'
    for i in numbers
  )
  connection.execute(
    f'CREATE TABLE {table} AS SELECT * FROM (SELECT row_id, position, {found}'
    f' FROM ({" UNION ALL BY NAME ".join(events)}) WINDOW past AS ('
    '  PARTITION BY session_id ORDER BY time))'
    ' WHERE row_id IS NOT NULL'
  )
  connection.execute(f'DROP TABLE {rows}')
  return table


def row_before_id(
  connection: duckdb.DuckDBPyConnection, vocabulary: str, edges: Sequence[float]
) -> int:
  """Finds the vocabulary row of `since_<task>` that means "the row before".

  Args:
    connection: holds the vocabulary.
    vocabulary: table of the field's vocabulary, with `key` (a bin's number as
      text) and `id`.
    edges: of the bins.

  Returns:
    0 if no bin holds the distance 1 alone: positives are so rare, or sessions
    so long, that a bin spans several distances.
  """
  one, two = (bisect.bisect_right(edges, rows) for rows in (1.0, 2.0))
  if one == two:
    return 0
  found = connection.execute(
    f"SELECT id FROM {vocabulary} WHERE key = '{one}'"
  ).fetchall()
  return found[0][0] if found else 0
