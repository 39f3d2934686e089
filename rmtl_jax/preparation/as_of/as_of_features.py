"""As-of features: statistics of a row's session, user and item before the row.

And of what was shown with it (rmtl_jax.preparation.as_of.slates).

A row's past consists of strictly earlier rows; rows of one time do not see each
other. It covers the rows of prepared data of the row's own split and earlier
ones, as serving would see them. Labels that come too late for their split count
once they are known, and rows that are dropped for them belong to the past too:
they were shown. A label that is not observed counts in no rate. Without an
earlier row a feature is missing (row 0). Every feature is binned at its
quantiles over train, as a numeric field with transform `bins`; `history` is a
list of items (rmtl_jax.preparation.as_of.history).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from rmtl_jax.config import prepare_settings
from rmtl_jax.preparation import label_sql, ranks, sessionize, source, sql
from rmtl_jax.preparation.as_of import feedback as asof_feedback
from rmtl_jax.preparation.as_of import groups as asof_groups
from rmtl_jax.preparation.as_of import history, window_features
from rmtl_jax.preparation.as_of import rates as asof_rates
from rmtl_jax.preparation.as_of import recency as asof_recency
from rmtl_jax.preparation.as_of import slates as asof_slates
from rmtl_jax.preparation.as_of import tastes as asof_tastes


def add_features(
  connection: sql.Connection,
  rows: source.SourceTable,
  places: sessionize.RowPlaces,
  config: prepare_settings.PrepareConfig,
) -> source.SourceTable:
  """Adds the as-of features that the options name to the reader's result.

  Args:
    places: session and split of every row that is kept.
    config: `as_of`, `history_items` and `idle_minutes`; a label of unknown
      time counts once its session has been idle for so long.

  Returns:
    The result with further fields `asof_<name>` at the end; its options name
    the groups (see groups.find_supported).

  Raises:
    types.InputError: as groups.find_supported.
  """
  plan, left_out = asof_groups.find_supported(
    rows,
    places.rate_keys,
    config,
    lambda: asof_slates.find(connection, rows),
    lambda: asof_tastes.find(connection, rows),
  )
  rows = asof_groups.declare(rows, plan, left_out, config)
  if not {*plan.groups} - {history.GROUP}:
    return rows
  if {*plan.groups} & {*asof_groups.LABELLED}:
    rows = with_edges(connection, rows, places)
  table, made = compute_features(connection, rows, places, plan)
  fields = asof_groups.binned_fields(made)
  return dataclasses.replace(
    rows,
    view=join(connection, rows, table, fields),
    fields=rows.fields + fields,
  )


def with_edges(
  connection: sql.Connection,
  rows: source.SourceTable,
  places: sessionize.RowPlaces,
) -> source.SourceTable:
  """Finds the edges of the ranks of labels, which its options then name."""
  tasks = rows.rated_tasks
  found = {}
  for i, task in enumerate(tasks):
    if task.is_ranked:
      given = label_sql.label_and_time_columns(
        tasks, places.boundaries, 'p.split'
      )[2 * i]
      table = (
        f'(SELECT r.row_id, r.timestamp, {given} FROM {rows.view} r'
        f' JOIN {places.seen} p ON r.row_id = p.row_id)'
      )
      known = places.is_mature_train(task.known_after_ms or 0)
      query = ranks.edges_sql(table, f'y_{i}', known)
      found[task.name] = ranks.edges_of(sql.fetch_row(connection, query))
  return ranks.declare(rows, found)


def compute_features(
  connection: sql.Connection,
  rows: source.SourceTable,
  places: sessionize.RowPlaces,
  plan: asof_groups.Plan,
  labelled: str = '',
) -> tuple[str, dict[str, dict[str, Any]]]:
  """Computes the features of a plan but histories, not yet binned.

  Args:
    rows: whose tasks know the edges of their ranks, where groups read these.
    places: session and split of every row that is kept.
    labelled: SQL condition, over the rows as `r`, that a row has labels; other
      rows count in no rate. Empty if all have.

  Returns:
    A table with `row_id` and a DOUBLE per feature, named without PREFIX, and
    all features (see groups.features).
  """
  groups, train = plan.groups, plan.train
  keyed = _with_keys(connection, rows, places, plan, labelled)
  rated = rows.rated_tasks
  if train is None and set(groups) & set(asof_groups.LABELLED):
    is_train = [places.is_mature_train(t.known_after_ms or 0) for t in rated]
    train = asof_rates.train_rates(connection, keyed, rated, is_train)
  tables = []
  features = window_features.features_of(rows, groups)
  if features:
    query = window_features.features_sql(keyed, features)
    tables.append(sql.create_table(connection, query))
  if keys := asof_groups.rated_keys(rows, plan):
    assert train is not None
    tables += asof_rates.make_rates(
      connection, keyed, keys, rated, plan.idle_ms, train
    )
  tasks = asof_groups.positives(rows, plan)
  if source.with_label_time(tasks):
    query = asof_recency.features_sql(keyed, tasks)
    tables.append(sql.create_table(connection, query))
  if 'feedback' in groups and source.with_label_time(rated):
    assert train is not None
    tables.append(asof_feedback.make_feedback(connection, keyed, rated, train))
  if asof_slates.GROUP in groups:
    query = asof_slates.features_sql(keyed, plan.numbers)
    tables.append(sql.create_table(connection, query))
  sql.drop_tables(connection, keyed)
  return _join_all(connection, tables), asof_groups.features(rows, plan, train)


def _join_all(connection: sql.Connection, tables: Sequence[str]) -> str:
  """Joins tables by `row_id` into one, two by two; drops them."""
  # Once: every join of a view takes memory at every use.
  whole = tables[0]
  for table in tables[1:]:
    # Rows without a value may be missing in either.
    joined = sql.create_table(
      connection, f'FROM {whole} FULL JOIN {table} USING (row_id)'
    )
    sql.drop_tables(connection, whole, table)
    whole = joined
  return whole


def _with_keys(
  connection: sql.Connection,
  rows: source.SourceTable,
  places: sessionize.RowPlaces,
  plan: asof_groups.Plan,
  labelled: str,
) -> str:
  """Makes a table of past rows: places, time, and what groups read of them."""
  # Only what the groups read: the view joins further tables (users, items),
  # which every column of theirs would make DuckDB do.
  columns, groups = [], {*plan.groups}
  if groups - {*asof_groups.OF_SESSIONS}:
    for key, column in rows.key_columns.items():
      value = sql.null_if_empty(f'r.{sql.quote(column)}')
      columns.append(f'{value} AS {sql.quote(key)}')
  if groups & {*asof_groups.LABELLED, asof_recency.GROUP}:
    columns += label_sql.label_and_time_columns(
      rows.rated_tasks, places.boundaries, 'p.split', labelled
    )
  if asof_slates.GROUP in groups:
    columns += asof_slates.number_columns(rows, plan.numbers)
  if asof_tastes.GROUP in groups:
    columns += asof_tastes.value_columns(rows, plan.tastes)
  relation = rows.view if columns else rows.keys or rows.view
  columns = ['r.row_id, p.session_id, p.split, r.timestamp', *columns]
  return sql.create_table(
    connection,
    f'SELECT {", ".join(columns)} FROM {relation} r'
    f' JOIN {places.seen} p ON r.row_id = p.row_id',
  )


def join(
  connection: sql.Connection,
  rows: source.SourceTable,
  table: str,
  fields: tuple[source.SourceField, ...],
) -> str:
  """Joins the features to the reader's view, as columns `x_asof_<name>`.

  Returns:
    A view.
  """
  columns = ', '.join(
    f'a.{sql.quote(field.name.removeprefix(asof_groups.PREFIX))}'
    f' AS {sql.quote(field.source_column)}'
    for field in fields
  )
  return sql.create_view(
    connection,
    f'SELECT r.*, {columns} FROM {rows.view} r'
    f' LEFT JOIN {table} a ON r.row_id = a.row_id',
  )
