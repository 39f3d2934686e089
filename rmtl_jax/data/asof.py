"""As-of features: what was known of a row's session, user and item before it.

Past is what is strictly earlier: rows of one time do not see each other. It
holds the rows that prepared data holds, of the row's own split and of earlier
ones, as serving would see them; never of a later one. Rows that are left out
because a label is known too late for their split belong to it: they were shown,
and their labels count once they are known. Where there is no earlier
row, a feature is missing (row 0). Every feature is cut at its quantiles over
train, as a numeric field with transform `bins` is; but `history` is a list of
items (rmtl_jax.data.history).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import duckdb

from rmtl_jax import types
from rmtl_jax.config import prepare as prepare_config
from rmtl_jax.data import (
  asof_feedback,
  asof_rates,
  history,
  labels,
  sessions,
  source,
  sql,
)

BINS = 32
PREFIX = 'asof_'
_KEYED = ('views', 'counts', 'rates', history.GROUP)
_LABELLED = ('rates', 'feedback')
# The rows of a window that are strictly earlier: times are whole ms.
_EARLIER = 'RANGE BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING'
_WINDOWS = {
  'session': 'session_id',
  'pair': '"user", item',
  'one_user': '"user"',
  'one_item': 'item',
}


@dataclasses.dataclass(frozen=True)
class _Feature:
  """A feature that windows can tell.

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
    """SQL of the value, over rows with their keys."""
    order = f'PARTITION BY {_WINDOWS[self.window]} ORDER BY timestamp'
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
  _Feature('user_rows', 'counts', 'one_user', 'rows'),
  _Feature('item_rows', 'counts', 'one_item', 'rows'),
)


def add(
  connection: duckdb.DuckDBPyConnection,
  rows: source.SourceTable,
  placed: sessions.Placed,
  config: prepare_config.PrepareConfig,
) -> source.SourceTable:
  """The reader's result with the as-of features that the options name.

  Args:
    connection: holds the rows and their places.
    rows: the reader's result.
    placed: session and split of every row that is kept.
    config: `as_of`; `idle_minutes`, after which a label counts as known;
      `history_items`.

  Returns:
    The result with further fields, `asof_` and a name, at the end; its options
    name the groups. Of `all`, groups that the log cannot support are left out
    with a warning.

  Raises:
    types.InputError: a group is named that needs a user, an item or times of
      labels that the log lacks, or a field has the name of a feature.
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
  made = {f.name: f.group for f in _FEATURES if f.group in groups}
  if 'rates' in groups:
    made |= dict.fromkeys(asof_rates.names(rows.tasks), 'rates')
  if 'feedback' in groups:
    made |= dict.fromkeys(asof_feedback.names(rows.tasks), 'feedback')
  _check_names(rows, made)
  idle_ms = round(config.idle_minutes * 60_000)
  table, details = compute(connection, rows, placed, groups, idle_ms)
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


def compute(
  connection: duckdb.DuckDBPyConnection,
  rows: source.SourceTable,
  placed: sessions.Placed,
  groups: tuple[str, ...],
  idle_ms: int,
  train: Sequence[float] | None = None,
  labelled: str = '',
) -> tuple[str, dict[str, dict[str, Any]]]:
  """The values of groups, before they are cut at quantiles.

  Args:
    connection: holds the rows and their places.
    rows: the reader's result.
    placed: session and split of every row that is kept.
    groups: some of prepare_config.AS_OF, not `history`; at least one.
    idle_ms: the idle time after which a label counts as known.
    train: each task's rate, from which rates start; that of the train rows if
      None.
    labelled: SQL, over the rows as `r`, of whether a row's labels are told;
      a row whose labels are not counts in no rate. Empty if all are.

  Returns:
    A table with `row_id` and a DOUBLE per feature, named without PREFIX, and
    details for the manifest, by name.
  """
  keyed = _with_keys(connection, rows, placed, groups, labelled)
  if train is None and set(groups) & set(_LABELLED):
    train = asof_rates.train_rates(
      connection, keyed, len(rows.tasks), placed.is_mature_train()
    )
  tables, details = _make(connection, keyed, rows.tasks, groups, idle_ms, train)
  connection.execute(f'DROP TABLE {keyed}')
  # Joined two by two, once: every join of a view takes memory at every use.
  whole = tables[0]
  for table in tables[1:]:
    joined = sql.fresh('joined')
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
  """The groups to make, and warnings of what is left out."""
  groups, warnings = [], []
  for group in prepare_config.as_of_groups(config):
    lack = _lack(rows, group)
    if lack and group in config.as_of:
      raise types.InputError(f'as_of: {group!r} {lack}')
    if lack:
      warnings.append(f'as_of: {group!r} is left out: it {lack}')
      continue
    groups.append(group)
    if group == 'feedback' and (
      silent := asof_feedback.tasks_without_label_time(rows.tasks)
    ):
      warnings.append(
        f'as_of: {group!r} leaves out {", ".join(silent)}: when such labels'
        ' become known is not told'
      )
  return tuple(groups), tuple(warnings)


def _lack(rows: source.SourceTable, group: str) -> str:
  """What a group needs that the log lacks; empty if it lacks nothing."""
  if group in _KEYED and not rows.has_user:
    return 'needs a user, and the log has no column of users'
  if group in _KEYED and rows.item_field is None:
    return 'needs an item, and no categorical field of the log is the item'
  if group == 'feedback' and not asof_feedback.names(rows.tasks):
    return (
      'needs a task that tells when its labels become known, and the log has'
      ' none; in a schema, "known_after_seconds" of a task tells'
    )
  return ''


def _check_names(rows: source.SourceTable, made: dict[str, str]) -> None:
  """Refuses features that have the name of a field."""
  taken = {field.name.lower() for field in rows.fields}
  for name, group in made.items():
    if (PREFIX + name).lower() in taken:
      raise types.InputError(
        f'as_of: {group!r} makes a field {PREFIX + name!r}, and the log has'
        ' one; give that another name'
      )


def _with_history(rows: source.SourceTable, items: int) -> source.SourceTable:
  """The reader's result with the field of histories, which `encode` makes."""
  _check_names(rows, {history.GROUP: history.GROUP})
  assert rows.item_field is not None
  field = history.field(PREFIX + history.GROUP, rows.item_field, items)
  return dataclasses.replace(rows, fields=(*rows.fields, field))


def _with_keys(
  connection: duckdb.DuckDBPyConnection,
  rows: source.SourceTable,
  placed: sessions.Placed,
  groups: tuple[str, ...],
  labelled: str,
) -> str:
  """A table of past rows: place, time, keys and labels as needed."""
  columns = ['r.row_id, p.session_id, p.split, r.timestamp']
  relation = rows.keys or rows.view
  if set(groups) & {*_KEYED, *_LABELLED}:
    relation = rows.view
  if set(groups) & set(_KEYED):
    item = sql.quote(f'f_{rows.item_field}')
    columns.append(sql.key('r."user"') + ' AS "user"')
    columns.append(f'{sql.key(f"r.{item}")} AS item')
  if set(groups) & set(_LABELLED):
    columns += labels.columns(
      rows.tasks, placed.boundaries, 'p.split', labelled
    )
  table = sql.fresh('keyed')
  connection.execute(
    f'CREATE TABLE {table} AS SELECT {", ".join(columns)} FROM {relation} r'
    f' JOIN {placed.past or placed.table} p ON {placed.condition}'
  )
  return table


def _make(
  connection: duckdb.DuckDBPyConnection,
  keyed: str,
  tasks: Sequence[source.SourceTask],
  groups: tuple[str, ...],
  idle_ms: int,
  train: Sequence[float] | None,
) -> tuple[list[str], dict[str, dict[str, Any]]]:
  """Tables of the groups' features by `row_id`, and details by name."""
  tables, made = [], []
  features = [feature for feature in _FEATURES if feature.group in groups]
  if features:
    columns = [f'{f.sql} AS {sql.quote(f.name)}' for f in features]
    tables.append(sql.fresh('windows'))
    connection.execute(
      f'CREATE TABLE {tables[0]} AS SELECT row_id, {", ".join(columns)}'
      f' FROM {keyed}'
    )
  if 'rates' in groups:
    assert train is not None
    made += asof_rates.make(connection, keyed, tasks, idle_ms, train)
  if 'feedback' in groups:
    assert train is not None
    made.append(asof_feedback.make(connection, keyed, tasks, train))
  details = {n: values for one in made for n, values in one.details.items()}
  return tables + [one.table for one in made], details


def _view(
  connection: duckdb.DuckDBPyConnection,
  rows: source.SourceTable,
  table: str,
  fields: tuple[source.SourceField, ...],
) -> str:
  """The reader's view with the columns of the table, `x_asof_` and a name."""
  view = sql.fresh('asof')
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
