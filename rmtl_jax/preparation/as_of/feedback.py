"""Positives and ranks of the session so far, as known before a row.

Only tasks with a label time can be used: the time of the event, or a fixed
delay after the row, but never before the row. A row counts the positives that
were known strictly before the row's own time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rmtl_jax.preparation import source, sql
from rmtl_jax.preparation.as_of import rates as asof_rates

# Pseudo-rows with train's rate that a session starts from. Fewer than for users
# and items: sessions are short, and intents differ.
WEIGHT = 5
# Details of `since_<task>`: the unit of the field.
ROWS_BACK = 'rows back'


def _names(task: source.SourceTask) -> tuple[str, ...]:
  """Names of the count of positives, their rate, the rows since the last.

  Or of the mean rank.
  """
  if task.is_ranked:
    return (f'session_{task.name}_rank',)
  return (
    f'session_{task.name}s',
    f'session_{task.name}_rate',
    f'since_{task.name}',
  )


def make_feedback(
  connection: sql.Connection,
  keyed: str,
  tasks: Sequence[source.SourceTask],
  train: Sequence[float],
) -> str:
  """Computes the features of the session's positives so far.

  Per task: the number n of known positives; (n + WEIGHT * train's rate) /
  (earlier rows of the session + WEIGHT); and the distance in rows to the last
  known positive, 1 for the row before. All are NULL for a session's first row,
  the last also where no positive is known. Of ranks, their mean over the rows
  of the session that are known, with asof_rates.RANK_WEIGHT rows of train's
  mean; NULL where none is known.

  Args:
    keyed: table with `row_id`, `session_id`, `split`, `timestamp` and the
      columns of labels.label_and_time_columns.
    tasks: the reader's; at least one has a label time.
    train: each task's prior rate.

  Returns:
    A table with `row_id` and a DOUBLE per feature.
  """
  rows = sql.create_table(connection, rows_sql(keyed, tasks))
  past = sql.create_table(connection, past_sql(rows, tasks))
  table = sql.create_table(connection, features_sql(past, tasks, train))
  sql.drop_tables(connection, rows, past)
  return table


def details(
  tasks: Sequence[source.SourceTask], train: Sequence[float]
) -> dict[str, dict[str, Any]]:
  """The features: details for the manifest, by name."""
  found: dict[str, dict[str, Any]] = {}
  for i in source.with_label_time(tasks):
    of_task = {'key': 'session', 'task': tasks[i].name}
    if tasks[i].is_ranked:
      start = {'train_rate': train[i], 'weight': asof_rates.RANK_WEIGHT}
      found |= {name: of_task | start for name in _names(tasks[i])}
      continue
    number, rate, since = _names(tasks[i])
    start = {'train_rate': train[i], 'weight': WEIGHT}
    found |= {number: of_task, rate: of_task | start}
    found[since] = of_task | {'counts': ROWS_BACK}
  return found


def rows_sql(keyed: str, tasks: Sequence[source.SourceTask]) -> str:
  """SQL of rows with `position`, the number of earlier rows of the session.

  And `k_<i>`, the time at which a positive or the rank, `y_<i>`, of task i is
  known.
  """
  known = ', '.join(
    f'CASE WHEN y_{i} {"IS NOT NULL" if tasks[i].is_ranked else "= 1"}'
    f' THEN greatest(timestamp, t_{i}) END AS k_{i}'
    + (f', y_{i}' if tasks[i].is_ranked else '')
    for i in source.with_label_time(tasks)
  )
  return (
    f'SELECT row_id, session_id, timestamp, {known},'
    ' rank() OVER (PARTITION BY session_id ORDER BY timestamp) - 1 AS position'
    f' FROM {keyed}'
  )


def past_sql(rows: str, tasks: Sequence[source.SourceTask]) -> str:
  """SQL of the positives and ranks of each task that are known before a row.

  Returns:
    SQL of `row_id`, `position`, and for each task with a label time `n_<i>`,
    how many are known, and `told_<i>`, the position of the last row with a
    positive or the sum of the ranks.
  """
  numbers, nothing = source.with_label_time(tasks), 'CAST(NULL AS BIGINT)'
  # A positive is an event of its own, which rows see from the ms after it is
  # known: one running window over rows and events, however late those are. (A
  # frame that ends 1 ms before would take ten times as long in long sessions.)
  none = ''.join(f', {nothing} AS p_{i}' for i in numbers)
  events = [
    f'SELECT row_id, session_id, timestamp AS time, position{none} FROM {rows}'
  ]
  for i in numbers:
    value = f'y_{i}' if tasks[i].is_ranked else 'position'
    values = ''.join(f', {value if i == j else nothing}' for j in numbers)
    events.append(
      f'SELECT {nothing}, session_id, k_{i} + 1, {nothing}{values}'
      f' FROM {rows} WHERE k_{i} IS NOT NULL'
    )
  found = ', '.join(
    f'count(p_{i}) OVER past AS n_{i},'
    f' {"sum" if tasks[i].is_ranked else "max"}(p_{i}) OVER past AS told_{i}'
    for i in numbers
  )
  return (
    f'SELECT * FROM (SELECT row_id, position, {found}'
    f' FROM ({" UNION ALL ".join(events)}) WINDOW past AS ('
    '  PARTITION BY session_id ORDER BY time))'
    ' WHERE row_id IS NOT NULL'
  )


def features_sql(
  past: str, tasks: Sequence[source.SourceTask], train: Sequence[float]
) -> str:
  """SQL of `row_id` and the features."""
  columns = []
  for i in source.with_label_time(tasks):
    if tasks[i].is_ranked:
      known = f'told_{i}', f'n_{i}'
      mean = asof_rates.smoothed_sql(tasks[i], train[i], *known)
      columns += [f'{mean} AS {sql.quote(name)}' for name in _names(tasks[i])]
      continue
    number, rate, since = map(sql.quote, _names(tasks[i]))
    prior = sql.float_literal(WEIGHT * train[i])
    share = f'(n_{i} + {prior}) / (position + {WEIGHT})'
    columns += [
      f'CAST(CASE WHEN position > 0 THEN n_{i} END AS DOUBLE) AS {number}',
      f'CASE WHEN position > 0 THEN {share} END AS {rate}',
      f'CAST(position - told_{i} AS DOUBLE) AS {since}',
    ]
  return f'SELECT row_id, {", ".join(columns)} FROM {past}'
