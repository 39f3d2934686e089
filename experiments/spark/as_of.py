"""As-of features: what rmtl_jax.preparation.as_of.as_of_features does.

The SQL is that package's, but for joins by time, which Spark lacks: what
becomes known is an event of its own there, which rows see from the ms after it
on, so a running window over rows and events takes their place.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from pyspark import sql
from pyspark.sql import functions as F

from experiments.spark import sessions
from experiments.spark import work as work_lib
from rmtl_jax.preparation import label_sql, ranks, source
from rmtl_jax.preparation import sql as duckdb_sql
from rmtl_jax.preparation.as_of import feedback as asof_feedback
from rmtl_jax.preparation.as_of import groups as asof_groups
from rmtl_jax.preparation.as_of import rates as asof_rates
from rmtl_jax.preparation.as_of import recency as asof_recency
from rmtl_jax.preparation.as_of import slates as asof_slates
from rmtl_jax.preparation.as_of import tastes as asof_tastes
from rmtl_jax.preparation.as_of import window_features as asof_windows

# Spark walks such a window once, and one of following rows anew for each row.
_FROM_HERE = 'ORDER BY timestamp DESC'


class Features(NamedTuple):
  """Features that are not yet binned.

  Attributes:
    rows: `row_id` and a DOUBLE per feature, named without groups.PREFIX.
    details: for the manifest, by name.
  """

  rows: sql.DataFrame
  details: dict[str, dict[str, Any]]


def compute(
  work: work_lib.Work,
  places: sessions.RowPlaces,
  described: source.SourceTable,
  plan: asof_groups.Plan,
) -> Features:
  """Computes the features of a plan but histories.

  Args:
    work: where.
    places: rows with session and split.
    described: what the log has, tasks with the edges of their ranks.
    plan: at least one group but `history`.
  """
  groups, rated_tasks = plan.groups, described.rated_tasks
  numbers = plan.numbers if asof_slates.GROUP in groups else ()
  tastes = plan.tastes if asof_tastes.GROUP in groups else ()
  keyed = work.keep(
    _with_keys(work, places, described, numbers, tastes), 'keyed'
  )
  train: Sequence[float] = ()
  if set(groups) & set(asof_groups.LABELLED):
    query = asof_rates.train_rates_sql(
      'keyed', rated_tasks, _is_train(places, rated_tasks)
    )
    train = work.query(query, keyed=keyed).collect()[0]
  tables = []
  windows = asof_windows.features_of(described, groups)
  if windows:
    columns = ', '.join(
      f'{f.sql} AS {duckdb_sql.quote(f.name)}' for f in windows
    )
    query = f'SELECT row_id, {columns} FROM keyed'
    tables.append(work.query(query, keyed=keyed))
  if rated := asof_groups.rated_keys(described, plan):
    tables += _rates(work, keyed, rated, rated_tasks, plan.idle_ms, train)
  tasks = asof_groups.positives(described, plan)
  if source.with_label_time(tasks):
    query = asof_recency.features_sql('keyed', tasks)
    tables.append(work.query(query, keyed=keyed))
  if 'feedback' in groups:
    tables.append(_feedback(work, keyed, rated_tasks, train))
  if asof_slates.GROUP in groups:
    query = asof_slates.features_sql('keyed', numbers)
    tables.append(work.query(query, keyed=keyed))
  tables = [work.keep(table, f'features_{i}') for i, table in enumerate(tables)]
  # Rows without a key have no rates of it.
  whole = keyed.select('row_id')
  for table in tables:
    whole = whole.join(table, 'row_id', 'left')
  return Features(whole, asof_groups.features(described, plan, train))


def with_edges(
  work: work_lib.Work,
  places: sessions.RowPlaces,
  described: source.SourceTable,
) -> source.SourceTable:
  """Finds the edges of the ranks of labels, which its options then name."""
  tasks = described.rated_tasks
  known = _is_train(places, tasks)
  found = {}
  for i, task in enumerate(tasks):
    if task.is_ranked:
      given = label_sql.label_and_time_columns(
        tasks, places.record.boundaries, 'split'
      )[2 * i]
      table = f'(SELECT row_id, split, timestamp, {given} FROM past)'
      query = ranks.edges_sql(table, f'y_{i}', known[i])
      row = work.query(query, past=places.past).collect()[0]
      found[task.name] = ranks.edges_of(row)
  return ranks.declare(described, found)


def find_tastes(
  work: work_lib.Work, log: sql.DataFrame, described: source.SourceTable
) -> Sequence[str]:
  """What rmtl_jax.preparation.as_of.tastes.find does."""
  fields = asof_tastes.fields_of(described)
  if not fields:
    return ()
  query = asof_tastes.find_sql(fields, 'log', _given('"user"'), _value)
  return asof_tastes.found_of(fields, work.query(query, log=log).collect()[0])


def _with_keys(
  work: work_lib.Work,
  places: sessions.RowPlaces,
  described: source.SourceTable,
  numbers: Sequence[str],
  tastes: Sequence[str],
) -> sql.DataFrame:
  """Past rows: places, time, keys, labels, numbers and values."""
  columns = ['row_id', 'session_id', 'split', 'timestamp']
  for key, column in described.key_columns.items():
    value = _given(duckdb_sql.quote(column))
    columns.append(f'{value} AS {duckdb_sql.quote(key)}')
  columns += label_sql.label_and_time_columns(
    described.rated_tasks, places.record.boundaries, 'split'
  )
  columns += asof_slates.number_columns(described, numbers)
  columns += asof_tastes.value_columns(described, tastes, _value)
  return work.query(f'SELECT {", ".join(columns)} FROM past', past=places.past)


def _given(key: str) -> str:
  """SQL of a key; NULL if empty."""
  return f"CASE WHEN CAST({key} AS STRING) <> '' THEN {key} END"


def _value(column: str, many: bool) -> str:
  """SQL of a category or a list, which the log has as text; NULL if empty."""
  if many:
    values = f'array_sort(array_distinct({column}))'
    few = f'size({values}) BETWEEN 1 AND {asof_tastes.LONGEST}'
    return f'CASE WHEN {few} THEN {values} END'
  return f"nullif({column}, '')"


def _is_train(
  places: sessions.RowPlaces, tasks: Sequence[source.SourceTask]
) -> list[str]:
  """SQL, for each task, of the train rows that know its label."""
  if not places.record.by_time:
    return ['split = 0'] * len(tasks)
  return [
    places.record.is_mature_train(task.known_after_ms or 0) for task in tasks
  ]


def _rates(
  work: work_lib.Work,
  keyed: sql.DataFrame,
  keys: Sequence[asof_rates.Key],
  tasks: Sequence[source.SourceTask],
  idle_ms: int,
  train: Sequence[float],
) -> list[sql.DataFrame]:
  """Rates by each key."""
  query = asof_rates.rested_sql(
    'keyed', asof_rates.key_columns(keys), tasks, idle_ms, _FROM_HERE
  )
  rested = work.keep(work.query(query, keyed=keyed), 'rested')
  found = []
  for key in keys:
    query = asof_rates.features_sql('keyed', 'rested', key, tasks, train)
    tables = {'keyed': keyed, 'rested': rested}
    if key.many:  # what Key.rows does
      values = asof_rates.value_column(key.by)
      for name, table in tables.items():
        tables[name] = table.withColumn(values, F.explode(f'`{values}`'))
    found.append(work.query(query, **tables))
  return found


def _feedback(
  work: work_lib.Work,
  keyed: sql.DataFrame,
  tasks: Sequence[source.SourceTask],
  train: Sequence[float],
) -> sql.DataFrame:
  """Positives of the session so far."""
  query = asof_feedback.rows_sql('keyed', tasks)
  rows = work.keep(work.query(query, keyed=keyed), 'feedback_rows')
  past = work.query(asof_feedback.past_sql('rows', tasks), rows=rows)
  query = asof_feedback.features_sql('past', tasks, train)
  return work.query(query, past=past)
