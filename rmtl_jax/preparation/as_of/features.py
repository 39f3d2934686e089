"""As-of features: statistics of a row's session, user and item before the row.

A row's past consists of strictly earlier rows; rows of one time do not see each
other. It covers the rows of prepared data of the row's own split and earlier
ones, as serving would see them. Labels that come too late for their split count
once they are known, and rows that are dropped for them belong to the past too:
they were shown. A label that is not observed counts in no rate. Without an
earlier row a feature is missing (row 0). Every
feature is binned at its quantiles over train, as a numeric field with transform
`bins`; `history` is a list of items (rmtl_jax.preparation.as_of.history).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

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
# Short reasons for what is left out.
_NO_TIMES = 'no label times'
_ONE_VALUE = 'one value in train'
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
    and `rates` the part of a user or an item that it lacks, with a warning;
    `auto` does so without one, and leaves out groups with a field's name.

  Raises:
    types.InputError: a named group needs a user, an item or label times that
      the log lacks, or a field has the name of a feature.
  """
  supported = _supported(rows, places, config)
  groups = supported.groups
  rows = dataclasses.replace(
    rows,
    warnings=rows.warnings + supported.warnings,
    as_of_left_out=supported.left_out,
  )
  if not groups:
    return rows
  options = rows.options | {'as_of': list(groups)}
  if history.GROUP in groups:
    rows = _with_history(rows, config.history_items)
    options['history_items'] = config.history_items
  rows = dataclasses.replace(rows, options=options)
  groups = tuple(group for group in groups if group != history.GROUP)
  if not groups:
    return rows
  made = {name: group for group in groups for name in _names(rows, group)}
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


def without_fields(
  rows: source.SourceTable, names: Sequence[str]
) -> source.SourceTable:
  """Leaves out as-of features that have one value over all train rows.

  Args:
    rows: with as-of features.
    names: of the fields to leave out.

  Returns:
    The result without them; a group without fields is not in its options.
  """
  if not names:
    return rows
  fields = tuple(field for field in rows.fields if field.name not in names)
  left = {field.details.get('as_of') for field in fields}
  gone = [group for group in rows.options['as_of'] if group not in left]
  options = dict(rows.options)
  options['as_of'] = [g for g in options['as_of'] if g not in gone]
  if not options['as_of']:
    del options['as_of']
  if history.GROUP in gone:
    del options['history_items']
  said = gone + [
    field.name
    for field in rows.fields
    if field.name in names and field.details['as_of'] not in gone
  ]
  return dataclasses.replace(
    rows,
    fields=fields,
    options=options,
    as_of_left_out=rows.as_of_left_out | dict.fromkeys(said, _ONE_VALUE),
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
      connection,
      keyed,
      [
        places.is_mature_train(task.known_after_ms or 0)
        for task in rows.binary_tasks
      ],
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


class _Supported(NamedTuple):
  """Groups to compute, warnings, and what is left out quietly, and why."""

  groups: tuple[str, ...]
  warnings: tuple[str, ...]
  left_out: dict[str, str]


def _supported(
  rows: source.SourceTable,
  places: sessions.RowPlaces,
  config: prepare_config.PrepareConfig,
) -> _Supported:
  groups: list[str] = []
  warnings: list[str] = []
  left_out: dict[str, str] = {}
  for group in prepare_config.as_of_groups(config):
    auto = prepare_config.is_auto(config, group)
    lack = _missing_input(rows, group)
    if group == 'rates' and not places.in_order and not lack:
      # Rates of train rows would count earlier labels of test rows.
      if group in config.as_of:
        warnings.append(
          "as_of: 'rates' of train rows count labels of other splits, as splits"
          ' overlap in time'
        )
      else:
        lack = _Lack(
          'splits overlap in time',
          'needs splits that follow each other in time',
        )
    taken = _taken_name(rows, group) if not lack else ''
    if lack and group in config.as_of:
      raise types.InputError(f'as_of: {group!r} {lack.long}')
    if taken and not auto:
      raise types.InputError(
        f'as_of: {group!r} makes a field {taken!r}, and the log has one; give'
        ' that another name'
      )
    if taken:
      left_out[group] = f'the log has a field {taken!r}'
    elif lack and auto:
      left_out[group] = lack.short
    elif lack:
      warnings.append(f'as_of: {group!r} is left out: it {lack.long}')
    else:
      groups.append(group)
      for part, why in _missing_parts(rows, group).items():
        if auto:
          left_out[f'{group} of {part}'] = why.short
        else:
          warnings.append(f'as_of: {group!r} leaves out {why.long}')
  return _Supported(tuple(groups), tuple(warnings), left_out)


class _Lack(NamedTuple):
  """What the log lacks: in a word or two, and to end a sentence."""

  short: str
  long: str


def _missing_input(rows: source.SourceTable, group: str) -> _Lack | None:
  """What a group needs that the log lacks; None if nothing."""
  if not rows.has_time:
    return _Lack('no time', 'needs a time, and the log has none')
  lacking = _lacking(rows)
  if group in _PAIRED and lacking:
    key, why = next(iter(lacking.items()))
    return _Lack(f'no {key}', f'needs {_KEYS[key]}, and {why}')
  if group == history.GROUP and rows.item_field is None:
    why = 'no categorical field of the log is the item'
    return _Lack('no item field', f'needs the embeddings of items, and {why}')
  if group in _KEYED and len(lacking) == len(_KEYS):
    whys = ', and '.join(lacking.values())
    needed = ' or '.join(_KEYS.values())
    return _Lack(f'no {" or ".join(_KEYS)}', f'needs {needed}, and {whys}')
  if group in _LABELLED and not rows.binary_tasks:
    return _Lack('no binary task', 'needs a binary task, and the log has none')
  if group == 'feedback' and not asof_feedback.feedback_names(
    rows.binary_tasks
  ):
    return _Lack(
      _NO_TIMES,
      'needs a task that tells when its labels become known, and the log has'
      ' none; in a schema, "known_after_seconds" of a task tells',
    )
  return None


def _missing_parts(rows: source.SourceTable, group: str) -> dict[str, _Lack]:
  """The parts of a group that the log can't support: keys or tasks."""
  if group in _KEYED:
    return {
      f'{key}s': _Lack(f'no {key}', f"the {key}'s: {why}")
      for key, why in _lacking(rows).items()
    }
  if group == 'feedback':
    names = ', '.join(asof_feedback.tasks_without_label_time(rows.binary_tasks))
    why = f'{names}: when such labels become known is not told'
    return {names: _Lack(_NO_TIMES, why)} if names else {}
  return {}


def _lacking(rows: source.SourceTable) -> dict[str, str]:
  """The keys that the log lacks, and why."""
  lacking = {}
  if not rows.has_user:
    lacking['user'] = 'the log has no column of users'
  if not rows.item_column:
    lacking['item'] = 'the log has no column of items'
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


def _names(rows: source.SourceTable, group: str) -> list[str]:
  """Names of a group's fields, without PREFIX."""
  if group == history.GROUP:
    return [group]
  if group == 'rates':
    return asof_rates.rate_names(_keys(rows), rows.binary_tasks)
  if group == 'feedback':
    return asof_feedback.feedback_names(rows.binary_tasks)
  return [feature.name for feature in _window_features(rows, (group,))]


def _taken_name(rows: source.SourceTable, group: str) -> str:
  """The first field of a group with the name of a field of the log, or ''."""
  taken = {field.name.lower() for field in rows.fields}
  names = (PREFIX + name for name in _names(rows, group))
  return next((name for name in names if name.lower() in taken), '')


def _with_history(rows: source.SourceTable, items: int) -> source.SourceTable:
  """Declares the field of histories; `encode` computes it."""
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
    given = {'user': 'user', 'item': rows.item_column}
    for key in _keys(rows):
      value = sql.null_if_empty(f'r.{sql.quote(given[key])}')
      columns.append(f'{value} AS {sql.quote(key)}')
  if set(groups) & set(_LABELLED):
    columns += labels.label_and_time_columns(
      rows.binary_tasks, places.boundaries, 'p.split', labelled
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
      connection, keyed, _keys(rows), rows.binary_tasks, idle_ms, train
    )
  if 'feedback' in groups:
    assert train is not None
    made.append(
      asof_feedback.make_feedback(connection, keyed, rows.binary_tasks, train)
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
