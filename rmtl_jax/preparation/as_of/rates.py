"""Smoothed label rates of a row's user and item, as known before the row.

A label may come later than its row, so a row counts only once its session has
rested: no row of the session for more than the idle time. A rest can be seen
without looking ahead; the end of a session cannot. A row never sees labels of
its own session, even after a rest (see asof_feedback for those). A label with a
known time that lies after the rest counts from that time on.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import duckdb

from rmtl_jax.preparation import source, sql

# Pseudo-rows with train's rate that a user or an item starts from.
WEIGHT = 10
_FOLLOWING = 'RANGE BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING'


@dataclasses.dataclass(frozen=True)
class FeatureTable:
  """A table of features that are made from labels.

  Attributes:
    table: DuckDB table with `row_id` and a DOUBLE per feature; NULL where no
      earlier row counts.
    details: for the manifest, by feature: key, task, train's rate, weight.
  """

  table: str
  details: dict[str, dict[str, Any]]


def rate_names(
  keys: Sequence[str], tasks: Sequence[source.SourceTask]
) -> list[str]:
  """Names of all rates."""
  return [_name(key, task) for key in keys for task in tasks]


def _name(key: str, task: source.SourceTask) -> str:
  return f'{key}_{task.name}_rate'


def make_rates(
  connection: duckdb.DuckDBPyConnection,
  keyed: str,
  keys: Sequence[str],
  tasks: Sequence[source.SourceTask],
  idle_ms: int,
  train: Sequence[float],
) -> tuple[FeatureTable, ...]:
  """Computes rates by each key.

  (positives + WEIGHT * train's rate) / (rows + WEIGHT), over the counting rows
  of the same user or item.

  Args:
    connection: holds the rows.
    keyed: table with `row_id`, `session_id`, `split`, `timestamp`, the keys and
      the columns of labels.label_and_time_columns.
    keys: `user`, `item` or both.
    tasks: the reader's.
    idle_ms: a session rests after a gap of more than this, ms.
    train: each task's prior rate.

  Returns:
    One table per key.
  """
  rested = _rest(connection, keyed, keys, tasks, idle_ms)
  found = tuple(
    _of_key(connection, keyed, rested, key, tasks, train) for key in keys
  )
  connection.execute(f'DROP TABLE {rested}')
  return found


def train_rates(
  connection: duckdb.DuckDBPyConnection, keyed: str, is_train: Sequence[str]
) -> tuple[float, ...]:
  """Each task's fraction of positives among its observed train rows.

  Args:
    connection: holds the rows.
    keyed: the table that `make_rates` takes.
    is_train: SQL, for each task, of the train rows that know its label.

  Returns:
    K rates; 0 for a task without such rows.
  """
  # Sums of whole numbers: the same in any order.
  rates = ', '.join(
    f'coalesce(sum(y_{i}) FILTER (WHERE {known})'
    f' / nullif(count(y_{i}) FILTER (WHERE {known}), 0), 0.0)'
    for i, known in enumerate(is_train)
  )
  return sql.fetch_row(connection, f'SELECT {rates} FROM {keyed}')


def _rest(
  connection: duckdb.DuckDBPyConnection,
  keyed: str,
  keys: Sequence[str],
  tasks: Sequence[source.SourceTask],
  idle_ms: int,
) -> str:
  """Makes a table of when rows (`known`) and positives (`k_<i>`) count, ms.

  `resumed`: whether rows of the session follow the rest; `o_<i>`: whether the
  row has the label of a task that not all rows have. Rows without any label
  are dropped; where all tasks have one, only prediction has such rows.
  """
  # A row counts one idle time after the last row before the next rest: `rests`
  # marks those last rows, and each row looks for the first from it on.
  table = sql.unique_name('rested')
  known = ', '.join(
    f'CASE WHEN y_{i} = 1 THEN greatest(known, t_{i}) END AS k_{i}'
    for i in range(len(tasks))
  )
  known += ''.join(
    f', (y_{i} IS NOT NULL)::INT AS o_{i}' for i in lacking(tasks)
  )
  join = ' OR ' if lacking(tasks) else ' AND '
  labelled = join.join(f'y_{i} IS NOT NULL' for i in range(len(tasks)))
  session = 'PARTITION BY session_id'
  connection.execute(
    f'CREATE TABLE {table} AS SELECT session_id, {sql.quote_all(keys)},'
    f' known, known < last AS resumed, {known} FROM ('
    f' SELECT *, {idle_ms} + min(CASE WHEN rests THEN timestamp END) OVER ('
    f'  {session} ORDER BY timestamp {_FOLLOWING}) AS known'
    f' FROM (SELECT *, max(timestamp) OVER ({session}) AS last,'
    f'  coalesce(lead(timestamp) OVER ({session} ORDER BY timestamp)'
    f'   - timestamp > {idle_ms}, true) AS rests FROM {keyed}))'
    f' WHERE ({labelled})'
  )
  return table


def lacking(tasks: Sequence[source.SourceTask]) -> list[int]:
  """Places of the tasks of which not every row has a label."""
  return [i for i, task in enumerate(tasks) if task.may_lack_label]


def _of_key(
  connection: duckdb.DuckDBPyConnection,
  keyed: str,
  rested: str,
  key: str,
  tasks: Sequence[source.SourceTask],
  train: Sequence[float],
) -> FeatureTable:
  """Computes rates by one key."""
  details = {
    _name(key, task): {
      'key': key,
      'task': task.name,
      'train_rate': rate,
      'weight': WEIGHT,
    }
    for task, rate in zip(tasks, train, strict=True)
  }
  # What every session has told of the key, less what the row's own session has:
  # only sessions that go on after a rest can have told anything by then.
  every = _running(connection, rested, [key], tasks)
  resumed = f'(FROM {rested} WHERE resumed)'
  own = _running(connection, resumed, ['session_id', key], tasks)

  def rows(i):
    number = f'n_{i}' if i in lacking(tasks) else 'n'
    return f'every.{number} - coalesce(own.{number}, 0)'

  rates = ', '.join(
    f'CASE WHEN {rows(i)} > 0 THEN (every.s_{i} - coalesce(own.s_{i}, 0)'
    f' + {sql.float_literal(WEIGHT * rate)}) / ({rows(i)} + {WEIGHT}) END'
    f' AS {sql.quote(name)}'
    for i, (name, rate) in enumerate(zip(details, train, strict=True))
  )
  table = sql.unique_name('rates')
  connection.execute(
    f'CREATE TABLE {table} AS SELECT r.row_id, {rates} FROM {keyed} r'
    f' ASOF LEFT JOIN {every} every ON r.{sql.quote(key)} ='
    f' every.{sql.quote(key)} AND r.timestamp > every.time'
    f' ASOF LEFT JOIN {own} own ON r.session_id = own.session_id'
    f' AND r.{sql.quote(key)} = own.{sql.quote(key)}'
    ' AND r.timestamp > own.time'
  )
  connection.execute(f'DROP TABLE {every}')
  connection.execute(f'DROP TABLE {own}')
  return FeatureTable(table, details)


def _running(
  connection: duckdb.DuckDBPyConnection,
  rested: str,
  keys: Sequence[str],
  tasks: Sequence[source.SourceTask],
) -> str:
  """Makes running sums per key up to `time`.

  Rows `n`, positives `s_<i>`, and rows `n_<i>` of a task that not all have.
  """
  by, numbers = sql.quote_all(keys), range(len(tasks))
  some = lacking(tasks)
  given = ' AND '.join(f'{sql.quote(key)} IS NOT NULL' for key in keys)
  # Each row is an event at `known`. A label that comes later is an event of its
  # own, which adds to the positives and not again to the rows.
  events = [
    f'SELECT {by}, known AS time, 1 AS n, '
    + ', '.join(
      f'coalesce(k_{i} = known, false)::INT AS s_{i}' for i in numbers
    )
    + ''.join(f', o_{i} AS n_{i}' for i in some)
    + f' FROM {rested}'
  ]
  for i in numbers:
    ones = ', '.join(str(int(i == j)) for j in numbers)
    events.append(
      f'SELECT {by}, k_{i}, 0, {ones}{", 0" * len(some)} FROM {rested}'
      f' WHERE k_{i} > known'
    )
  sums = ['n', *(f's_{i}' for i in numbers), *(f'n_{i}' for i in some)]
  totals = ', '.join(f'sum({name}) AS {name}' for name in sums)
  running = ', '.join(
    f'CAST(sum({name}) OVER past AS BIGINT) AS {name}' for name in sums
  )
  table = sql.unique_name('running')
  connection.execute(
    f'CREATE TABLE {table} AS SELECT {by}, time, {running} FROM ('
    f' SELECT {by}, time, {totals} FROM ({" UNION ALL ".join(events)})'
    f' WHERE {given} GROUP BY {by}, time)'
    f' WINDOW past AS (PARTITION BY {by} ORDER BY time)'
  )
  return table
