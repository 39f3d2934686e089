"""As-of features: statistics of a row's session, user and item before the row.

A row's past consists of strictly earlier rows; rows of one time do not see each
other. It covers the rows of prepared data of the row's own split and earlier
ones, as serving would see them. Rows that are dropped because a label comes
too late for their split belong to it: they were shown, and their labels count
once they are known. Without an earlier row a feature is missing (row 0). Every
feature is binned at its quantiles over train, as a numeric field with transform
`bins`; `history` is a list of items (rmtl_jax.preparation.as_of.history).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import duckdb

from rmtl_jax import types
from rmtl_jax.config import prepare as prepare_config
from rmtl_jax.preparation import labels, sessions, source, sql
from rmtl_jax.preparation.as_of import feedback as asof_feedback
from rmtl_jax.preparation.as_of import history
from rmtl_jax.preparation.as_of import rates as asof_rates

BINS = 32
PREFIX = 'asof_'
_KEYS = {'user': 'a user', 'item': 'an item'}
# Groups of users' rows with items, and groups with a part per key.
_PAIRED = ('views', history.GROUP)
_KEYED = ('counts', 'rates')
_LABELLED = ('rates', 'feedback')
# The rows of a window that are strictly earlier: times are whole ms.
_EARLIER = 'RANGE BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING'
_WINDOWS = {
  'session': 'session_id',
  'pair': '"user", item',
  'user': '"user"',
  'item': 'item',
}


@dataclasses.dataclass(frozen=True)
class _Feature:
  """A feature that an SQL window function computes.

  Attributes:
    name: of the field, without PREFIX.
    group: one of prepare_config.AS_OF.
    window: one of _WINDOWS.
    what: `rows` (how many are earlier), `last` (ms since the last of them) or
      `first` (ms since the first).
  """

  name: str
  group: str
  window: str
  what: str

  @property
  def sql(self) -> str:
    """SQL of the value over the rows of `_with_keys`."""
    order = f'PARTITION BY {_WINDOWS[self.window]} ORDER BY timestamp'
    # Rows of one time share a rank, so the rank counts strictly earlier rows.
    # `first_value` may be a row of the same time; its distance is 0 then, which
    # means that nothing is earlier.
    if self.what == 'rows':
      value = f'nullif(rank() OVER ({order}) - 1, 0)'
    elif self.what == 'first':
      value = f'nullif(timestamp - first_value(timestamp) OVER ({order}), 0)'
    else:
      value = f'timestamp - last_value(timestamp) OVER ({order} {_EARLIER})'
    keys = _WINDOWS[self.window].split(', ')
    known = ' AND '.join(f'{key} IS NOT NULL' for key in keys)
    return f'CAST(CASE WHEN {known} THEN {value} END AS DOUBLE)'


_FEATURES = (
  _Feature('gap', 'gap', 'session', 'last'),
  _Feature('position', 'position', 'session', 'rows'),
  _Feature('session_age', 'position', 'session', 'first'),
  _Feature('views', 'views', 'pair', 'rows'),
  _Feature('view_gap', 'views', 'pair', 'last'),
  _Feature('user_rows', 'counts', 'user', 'rows'),
  _Feature('item_rows', 'counts', 'item', 'rows'),
)


def add_features(
  connection: duckdb.DuckDBPyConnection,
  rows: source.SourceTable,
  places: sessions.RowPlaces,
  config: prepare_config.PrepareConfig,
) -> source.SourceTable:
  """Adds the as-of features that the options name to the reader's result.

  Args:
    connection: holds the rows and their places.
    rows: the reader's result.
    places: session and split of every row that is kept.
    config: `as_of`, `history_items` and `idle_minutes`; a label of unknown
      time counts once its session has been idle for so long.

  Returns:
    The result with further fields `asof_<name>` at the end; its options name
    the groups. `all` leaves out groups that the log can't support, and `counts`
    and `rates` the part of a user or an item that it lacks, with a warning.

  Raises:
    types.InputError: a named group needs a user, an item or label times that
      the log lacks, or a field has the name of a feature.
  """
  groups, warnings = _supported(rows, config)
  if not groups:
    return rows
  options = rows.options | {'as_of': list(groups)}
  if history.GROUP in groups:
    rows = _with_history(rows, config.history_items)
    options['history_items'] = config.history_items
  rows = dataclasses.replace(
    rows, warnings=rows.warnings + warnings, options=options
  )
  groups = tuple(group for group in groups if group != history.GROUP)
  if not groups:
    return rows
  made = {f.name: f.group for f in _window_features(rows, groups)}
  if 'rates' in groups:
    names = asof_rates.rate_names(_keys(rows), rows.tasks)
    made |= dict.fromkeys(names, 'rates')
  if 'feedback' in groups:
    made |= dict.fromkeys(asof_feedback.feedback_names(rows.tasks), 'feedback')
  _check_names(rows, made)
  idle_ms = round(config.idle_minutes * 60_000)
  table, details = compute_features(connection, rows, places, groups, idle_ms)
  fields = tuple(
    source.SourceField(
      PREFIX + name,
      'numeric',
      transform='bins',
      bins=BINS,
      details={'as_of': group, **details.get(name, {})},
    )
    for name, group in made.items()
  )
  return dataclasses.replace(
    rows,
    view=_view(connection, rows, table, fields),
    fields=rows.fields + fields,
  )


def compute_features(
  connection: duckdb.DuckDBPyConnection,
  rows: source.SourceTable,
  places: sessions.RowPlaces,
  groups: tuple[str, ...],
  idle_ms: int,
  train: Sequence[float] | None = None,
  labelled: str = '',
) -> tuple[str, dict[str, dict[str, Any]]]:
  """Computes the features of groups, not yet binned.

  Args:
    connection: holds the rows and their places.
    rows: the reader's result.
    places: session and split of every row that is kept.
    groups: some of prepare_config.AS_OF, not `history`; at least one.
    idle_ms: the idle time after which a label counts as known.
    train: each task's prior rate; that of the train rows if None.
    labelled: SQL condition, over the rows as `r`, that a row has labels; other
      rows count in no rate. Empty if all have.

  Returns:
    A table with `row_id` and a DOUBLE per feature, named without PREFIX, and
    details for the manifest, by name.
  """
  keyed = _with_keys(connection, rows, places, groups, labelled)
  if train is None and set(groups) & set(_LABELLED):
    train = asof_rates.train_rates(
      connection, keyed, len(rows.tasks), places.is_mature_train()
    )
  tables, details = _compute_groups(
    connection, keyed, rows, groups, idle_ms, train
  )
  connection.execute(f'DROP TABLE {keyed}')
  # Joined two by two, once: every join of a view takes memory at every use.
  whole = tables[0]
  for table in tables[1:]:
    joined = sql.unique_name('joined')
    connection.execute(
      f'CREATE TABLE {joined} AS FROM {whole} JOIN {table} USING (row_id)'
    )
    connection.execute(f'DROP TABLE {whole}')
    connection.execute(f'DROP TABLE {table}')
    whole = joined
  return whole, details


def _supported(
  rows: source.SourceTable, config: prepare_config.PrepareConfig
) -> tuple[tuple[str, ...], tuple[str, ...]]:
  """The groups to compute, and warnings about those left out."""
  groups, warnings = [], []
  for group in prepare_config.as_of_groups(config):
    lack = _missing_input(rows, group)
    if lack and group in config.as_of:
      raise types.InputError(f'as_of: {group!r} {lack}')
    if lack:
      warnings.append(f'as_of: {group!r} is left out: it {lack}')
      continue
    groups.append(group)
    if group in _KEYED:
      warnings += [
        f"as_of: {group!r} leaves out the {key}'s: {why}"
        for key, why in _lacking(rows).items()
      ]
    if group == 'feedback' and (
      without_time := asof_feedback.tasks_without_label_time(rows.tasks)
    ):
      warnings.append(
        f'as_of: {group!r} leaves out {", ".join(without_time)}: when such'
        ' labels become known is not told'
      )
  return tuple(groups), tuple(warnings)


def _missing_input(rows: source.SourceTable, group: str) -> str:
  """Says what a group needs that the log lacks; empty if nothing."""
  lacking = _lacking(rows)
  if group in _PAIRED and lacking:
    key, why = next(iter(lacking.items()))
    return f'needs {_KEYS[key]}, and {why}'
  if group in _KEYED and len(lacking) == len(_KEYS):
    whys = ', and '.join(lacking.values())
    return f'needs {" or ".join(_KEYS.values())}, and {whys}'
  if group == 'feedback' and not asof_feedback.feedback_names(rows.tasks):
    return (
      'needs a task that tells when its labels become known, and the log has'
      ' none; in a schema, "known_after_seconds" of a task tells'
    )
  return ''


def _lacking(rows: source.SourceTable) -> dict[str, str]:
  """The keys that the log lacks, and why."""
  lacking = {}
  if not rows.has_user:
    lacking['user'] = 'the log has no column of users'
  if rows.item_field is None:
    lacking['item'] = 'no categorical field of the log is the item'
  return lacking


def _keys(rows: source.SourceTable) -> list[str]:
  """The keys that the log has."""
  return [key for key in _KEYS if key not in _lacking(rows)]


def _window_features(
  rows: source.SourceTable, groups: Sequence[str]
) -> list[_Feature]:
  """The features of groups that SQL windows compute, of the log's keys."""
  lacking = _lacking(rows)
  return [f for f in _FEATURES if f.group in groups and f.window not in lacking]


def _check_names(rows: source.SourceTable, made: dict[str, str]) -> None:
  """Refuses features with the name of a field of the log."""
  taken = {field.name.lower() for field in rows.fields}
  for name, group in made.items():
    if (PREFIX + name).lower() in taken:
      raise types.InputError(
        f'as_of: {group!r} makes a field {PREFIX + name!r}, and the log has'
        ' one; give that another name'
      )


def _with_history(rows: source.SourceTable, items: int) -> source.SourceTable:
  """Declares the field of histories; `encode` computes it."""
  _check_names(rows, {history.GROUP: history.GROUP})
  assert rows.item_field is not None
  field = history.history_field(PREFIX + history.GROUP, rows.item_field, items)
  return dataclasses.replace(rows, fields=(*rows.fields, field))


def _with_keys(
  connection: duckdb.DuckDBPyConnection,
  rows: source.SourceTable,
  places: sessions.RowPlaces,
  groups: tuple[str, ...],
  labelled: str,
) -> str:
  """Makes a table of past rows: places, time, and keys and labels if needed."""
  # Only what the groups read: the view joins further tables (users, items),
  # which every column of theirs would make DuckDB do.
  columns = ['r.row_id, p.session_id, p.split, r.timestamp']
  relation = rows.keys or rows.view
  if set(groups) & {*_PAIRED, *_KEYED, *_LABELLED}:
    relation = rows.view
  if set(groups) & {*_PAIRED, *_KEYED}:
    given = {'user': 'user', 'item': f'f_{rows.item_field}'}
    for key in _keys(rows):
      value = sql.null_if_empty(f'r.{sql.quote(given[key])}')
      columns.append(f'{value} AS {sql.quote(key)}')
  if set(groups) & set(_LABELLED):
    columns += labels.label_and_time_columns(
      rows.tasks, places.boundaries, 'p.split', labelled
    )
  table = sql.unique_name('keyed')
  connection.execute(
    f'CREATE TABLE {table} AS SELECT {", ".join(columns)} FROM {relation} r'
    f' JOIN {places.past or places.table} p ON {places.condition}'
  )
  return table


def _compute_groups(
  connection: duckdb.DuckDBPyConnection,
  keyed: str,
  rows: source.SourceTable,
  groups: tuple[str, ...],
  idle_ms: int,
  train: Sequence[float] | None,
) -> tuple[list[str], dict[str, dict[str, Any]]]:
  """Computes each group's table, keyed by `row_id`, and details by name."""
  tables, made = [], []
  features = _window_features(rows, groups)
  if features:
    columns = [f'{f.sql} AS {sql.quote(f.name)}' for f in features]
    tables.append(sql.unique_name('windows'))
    connection.execute(
      f'CREATE TABLE {tables[0]} AS SELECT row_id, {", ".join(columns)}'
      f' FROM {keyed}'
    )
  if 'rates' in groups:
    assert train is not None
    made += asof_rates.make_rates(
      connection, keyed, _keys(rows), rows.tasks, idle_ms, train
    )
  if 'feedback' in groups:
    assert train is not None
    made.append(
      asof_feedback.make_feedback(connection, keyed, rows.tasks, train)
    )
  details = {n: values for one in made for n, values in one.details.items()}
  return tables + [one.table for one in made], details


def _view(
  connection: duckdb.DuckDBPyConnection,
  rows: source.SourceTable,
  table: str,
  fields: tuple[source.SourceField, ...],
) -> str:
  """Joins the features to the reader's view, as columns `x_asof_<name>`."""
  view = sql.unique_name('asof')
  columns = ', '.join(
    f'a.{sql.quote(field.name.removeprefix(PREFIX))}'
    f' AS {sql.quote(field.source_column)}'
    for field in fields
  )
  connection.execute(
    f'CREATE VIEW {view} AS SELECT r.*, {columns} FROM {rows.view} r'
    f' LEFT JOIN {table} a ON r.row_id = a.row_id'
  )
  return view
