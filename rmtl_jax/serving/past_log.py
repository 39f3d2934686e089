"""The log that the past is computed from: users, times, items and labels.

Rows of the history and rows to predict for are in one DuckDB table, `log`,
with the columns of a reader's view (rmtl_jax.preparation.source), so that the
SQL of `rmtl prepare` runs over them.
"""

from __future__ import annotations

import pathlib

import pyarrow as pa

from rmtl_jax import types
from rmtl_jax.preparation import sessionize, source, sql, value_checks
from rmtl_jax.preparation.raw import raw_files as raw
from rmtl_jax.preparation.raw import readings
from rmtl_jax.preparation.schema import log_entries
from rmtl_jax.preparation.sources import table_events
from rmtl_jax.serving import log_columns, raw_fields, raw_rows

TABLE = 'log'


def check(
  log_schema: log_columns.LogSchema,
  schema: pa.Schema,
  path: str,
  needs_user: bool = False,
  needs_item: bool = False,
  needs_labels: bool = False,
  needs_tastes: bool = False,
) -> None:
  """Refuses columns that no past can be computed from.

  Args:
    needs_user: whether the model's past is the user's.
    needs_item: whether the model knows earlier items.
    needs_labels: whether the model reads labels of these rows.
    needs_tastes: whether the model reads rates by values of fields.

  Raises:
    types.InputError: a column that is missing or of another type.
  """
  wanted = [] if log_schema.time is None else [log_schema.time]
  if not log_schema.optional:
    wanted += [
      c for c in (log_schema.session, log_schema.user) if c is not None
    ]
  elif not log_schema.keys(schema):
    raise types.InputError(
      f'{path}: no column {log_schema.session!r} or'
      f' {log_schema.user!r}; one of them identifies sessions'
    )
  if needs_user and log_schema.user is not None:
    wanted.append(log_schema.user)
  if needs_item and log_schema.item is not None:
    wanted.append(log_schema.item)
  if needs_labels:
    wanted += log_schema.label_columns(schema)
  if needs_tastes:
    wanted += log_schema.tastes.values()
  raw.check_columns(pathlib.Path(path), schema.names, wanted)
  kinds = {}
  if log_schema.time is not None:
    kinds[log_schema.time] = log_schema.clock.column_type
  texts = [*log_schema.keys(schema).values(), log_schema.item]
  many = {field.column for field in log_schema.lists.values()}
  texts += [c for c in log_schema.tastes.values() if c not in many]
  kinds |= {c: '' for c in texts if c is not None and c in schema.names}
  for column in many.intersection(schema.names):
    nested = pa.types.is_nested(schema.field(column).type)
    kinds[column] = 'VARCHAR[]' if nested else ''
  kinds |= {
    c: log_columns.label_reading(log_schema, task).type
    for task, c in zip(log_schema.tasks, log_schema.labels, strict=True)
    if c in schema.names
  }
  if (column := log_schema.event_column(schema)) is not None:
    kinds[column] = ''
  for column, kind in kinds.items():
    found = schema.field(column).type
    readings.check_type(pathlib.Path(path), column, found, kind)


def create_table(
  connection: sql.Connection, log_schema: log_columns.LogSchema
) -> None:
  """Makes the empty table.

  It has the columns of a reader's view and: `scored`, whether to predict for
  the row; `labelled`, whether it has labels; `same` and `alone`, which are both
  equal for exact duplicates in the history and for no other rows.
  """
  columns = [
    f'{sql.quote(name)} {kind}' for name, kind in _columns(log_schema).items()
  ]
  connection.execute(f'CREATE TABLE {TABLE} ({", ".join(columns)})')


def append_rows(
  connection: sql.Connection,
  log_schema: log_columns.LogSchema,
  chunk: raw_rows.Chunk,
  first: int,
  scored: bool,
) -> None:
  """Appends raw rows to the table.

  Raises:
    types.InputError: a time, key or label that can't be used; names file,
      column and row.
  """
  values = raw_fields.to_duckdb_types(chunk.table.combine_chunks(), chunk.path)
  schema = values.schema
  names = [raw.PREFIX + name for name in schema.names]
  # After an error it stays: a transaction that failed takes no more commands.
  connection.register('chunk', values.rename_columns(names))
  with sql.name_errors(chunk.path, 'not usable'):
    selected = _select(log_schema, schema, first, scored)
    raw_fields.check_faults(
      connection, chunk, selected, _faults(log_schema, schema, scored)
    )
    names = sql.quote_all(_columns(log_schema))
    # Events of other kinds count for nothing.
    where = ''
    if log_schema.events is not None:
      where = ' WHERE event IS NOT NULL OR given_event IS NULL'
    connection.execute(
      f'INSERT INTO {TABLE} BY NAME SELECT {names} FROM ({selected}){where}'
    )
  connection.unregister('chunk')


def source_table(log_schema: log_columns.LogSchema) -> source.SourceTable:
  """The table as a reader's result."""
  return source.SourceTable(
    view=TABLE,
    fields=tuple(log_schema.lists.values()),
    tasks=log_schema.tasks,
    table=raw.RawTable(TABLE, ()),
    # Events are joined within sessions, which every row then has.
    has_session=bool(log_schema.session or log_schema.events),
    has_user=log_schema.user is not None,
    has_time=log_schema.time is not None,
    item_field=log_schema.item_field,
    item='' if log_schema.item is None else item_column(log_schema),
  )


def item_column(log_schema: log_columns.LogSchema) -> str:
  """The table's column of items."""
  return f'f_{log_schema.item_field or "item"}'


def taste_columns(log_schema: log_columns.LogSchema) -> dict[str, str]:
  """The table's columns of the fields that `tastes` is made by, by field."""
  return {
    name: f'm_{name}' if name in log_schema.lists else f'f_{name}'
    for name in log_schema.tastes
  }


def _columns(log_schema: log_columns.LogSchema) -> dict[str, str]:
  """Names and types of the table's columns."""
  return {
    'row_id': 'BIGINT',
    'session': 'VARCHAR',
    'user': 'VARCHAR',
    'timestamp': 'BIGINT',
    item_column(log_schema): 'VARCHAR',
    **{
      column: 'VARCHAR[]' if name in log_schema.lists else 'VARCHAR'
      for name, column in taste_columns(log_schema).items()
    },
    **{
      name: 'BIGINT' if task.timed else 'DOUBLE'
      for task, name in zip(log_schema.tasks, _labels(log_schema), strict=True)
    },
    'scored': 'BOOLEAN',
    'labelled': 'BOOLEAN',
    'same': 'UBIGINT',
    'alone': 'BIGINT',
    **({} if log_schema.events is None else {'event': 'TINYINT'}),
  }


def _labels(log_schema: log_columns.LogSchema) -> list[str]:
  """Columns of the labels in the table."""
  return [f't_{t.name}' if t.timed else f'y_{t.name}' for t in log_schema.tasks]


def _select(
  log_schema: log_columns.LogSchema, schema: pa.Schema, first: int, scored: bool
) -> str:
  """SQL of a chunk's rows with the table's columns and `position`."""
  time = '0'
  if log_schema.time is not None:
    found = schema.field(log_schema.time).type
    missing = log_schema.missing_in(log_schema.time)
    given = readings.given(_column(log_schema.time), found, missing)
    time = log_schema.clock.ms(given, found)
  present = log_schema.keys(schema)
  columns = [
    f'position + {first} AS row_id',
    f'{_text(log_schema, schema, present.get("session"))} AS session',
    f'{_text(log_schema, schema, present.get("user"))} AS "user"',
    f'CAST({time} AS BIGINT) AS timestamp',
  ]
  item = log_schema.item if log_schema.item in schema.names else None
  columns.append(
    f'{_text(log_schema, schema, item)} AS {sql.quote(item_column(log_schema))}'
  )
  for name, target in taste_columns(log_schema).items():
    column = log_schema.tastes[name]
    found = column if column in schema.names else None
    if found and (field := log_schema.lists.get(name)):
      kind, missing = schema.field(found).type, log_schema.missing_in(found)
      value = raw_fields.list_sql(field, _column(found), kind, missing)
    else:
      value = _text(log_schema, schema, found)
    columns.append(f'{value} AS {sql.quote(target)}')
  event = None if scored else log_schema.event_column(schema)
  if log_schema.events is not None:
    kind = _text(log_schema, schema, event)
    code = table_events.code_sql(log_schema.events, kind)
    columns += [f'{code} AS event', f'{kind} AS given_event']
  labelled, any_of = [], []
  for task, name, column in zip(
    log_schema.tasks, _labels(log_schema), log_schema.labels, strict=True
  ):
    value = given = 'NULL'
    if column in schema.names:
      label = log_columns.label_reading(log_schema, task)
      kind = schema.field(column).type
      given = label.given(_column(column), kind)
      value = label.value(given, kind)
      if task.timed:
        value = f'TRY_CAST({value} AS BIGINT)'
    columns.append(f'{value} AS {sql.quote(name)}')
    columns.append(f'{given} AS {sql.quote("given_" + name)}')
    # A missing time means that there was no such event, which is a label.
    # And so does a missing event.
    is_timed = task.timed and (column in schema.names or event is not None)
    has_label = 'true' if is_timed else f'{sql.quote(name)} IS NOT NULL'
    any_of.append(has_label)
    if not task.nullable:
      labelled.append(has_label)
  # A row of which every task may lack its label has labels if it has one, and
  # one without binary tasks lacks none.
  whole = ' AND '.join(labelled) or f'({" OR ".join(any_of) or "true"})'
  columns.append(f'{scored} AS scored, {whole} AS labelled')
  # Rows to predict for are never duplicates: each gets its own prediction. A
  # column without a name is none, as in prepared data.
  names = [name for name in schema.names if name]
  same = '0' if scored else f'hash({", ".join(map(_column, sorted(names)))})'
  alone = 'position' if scored else '-1'
  columns.append(f'CAST({same} AS UBIGINT) AS same, {alone} AS alone, position')
  rows = 'SELECT row_number() OVER () - 1 AS position, * FROM chunk'
  return f'SELECT {", ".join(columns)} FROM ({rows})'


def _column(column: str) -> str:
  """A chunk's column."""
  return sql.quote(raw.PREFIX + column)


def _text(
  log_schema: log_columns.LogSchema, schema: pa.Schema, column: str | None
) -> str:
  """SQL of a key as text; NULL where it is missing."""
  if column is None:
    return 'NULL::VARCHAR'
  return key_text(log_schema, schema, column, _column(column))


def key_text(
  log_schema: log_columns.LogSchema, schema: pa.Schema, column: str, value: str
) -> str:
  """SQL of a key as text; NULL where it is missing (see sql.null_if_empty)."""
  kind, missing = schema.field(column).type, log_schema.missing_in(column)
  given = readings.text(value, kind, missing)
  return f'CASE WHEN {sql.null_if_empty(value)} IS NOT NULL THEN {given} END'


def _faults(
  log_schema: log_columns.LogSchema, schema: pa.Schema, scored: bool
) -> list[raw.Fault]:
  """The faults that a chunk is checked for."""
  keys = log_schema.keys(schema)
  found = []
  if log_schema.time is not None:
    column, clock = log_schema.time, log_schema.clock
    text = ''
    if clock.unit == 'iso':
      missing = log_schema.missing_in(column)
      text = readings.of_time(column, clock, missing).expected
    found.append(value_checks.time_fault(column, log_schema.any_dates, text))
  if keys:
    roles = [sql.quote(role) for role in keys]
    found.append(value_checks.key_fault(next(iter(keys.values())), roles))
  event = None if scored else log_schema.event_column(schema)
  if event is not None:
    item = sql.quote(item_column(log_schema))
    found.append((log_schema.item or '', f'{item} IS NULL', 'an item'))
    found.append((event, 'given_event IS NULL', 'a kind of event'))
  for task, name, column in zip(
    log_schema.tasks, _labels(log_schema), log_schema.labels, strict=True
  ):
    value, given = sql.quote(name), sql.quote('given_' + name)
    fault = f'({value} IS NULL AND {given} IS NOT NULL)'
    if task.timed:
      expected = 'a time in ms'
      if task.clock is not None:
        expected = log_columns.label_reading(log_schema, task).expected
        found.append(value_checks.label_time_fault(task))
      found.append((column, fault, f'{expected}, or nothing'))
    else:
      fault += f' OR {value_checks.is_no_label(value, task)}'
      expected = '0, 1'
      if task.is_told:
        expected = log_columns.label_reading(log_schema, task).expected
      elif task.is_ranked:
        expected = task.expected
      found.append((column, fault, f'{expected} or nothing'))
    found += [
      (column, *of_parent)
      for _, *of_parent in value_checks.parent_faults(task, log_schema.tasks)
    ]
  return found


def is_impression(events: log_entries.Events) -> str:
  """SQL of whether a row of the log is an impression."""
  listed = sql.in_list(table_events.codes(events).impressions)
  return f'(event IS NULL OR event IN {listed})'


def gather_events(
  connection: sql.Connection,
  log_schema: log_columns.LogSchema,
  idle_ms: int,
) -> int:
  """Replaces the log by one with a row per session and item, as prepared.

  Every row of it has a session, those to predict for stay as they are, and
  labels that come after a row to predict for are its own.

  Args:
    idle_ms: longest gap within a session, ms.

  Returns:
    How many rows to predict for are of a session and an item that had an
    impression before: prepared data has no row for these.
  """
  assert log_schema.events is not None
  kinds = table_events.codes(log_schema.events)
  item = sql.quote(item_column(log_schema))
  numbered = sessionize.number_sessions(
    connection,
    TABLE,
    idle_ms,
    sessionize.Keys(
      log_schema.session is not None, log_schema.user is not None
    ),
  )
  placed, pairs = sql.unique_name('placed'), sql.unique_name('pairs')
  # Positions follow time within a session, so the least one is the first.
  connection.execute(
    f'CREATE TABLE {placed} AS SELECT n.rowid AS place, n.session_number, l.*'
    f' FROM {numbered.table} n JOIN {TABLE} l USING (row_id)'
  )
  merged = {
    sql.quote(f't_{task}'): f'least(min({sql.quote(f"t_{task}")}),'
    f' min(timestamp) FILTER (WHERE event IN {sql.in_list(codes)}))'
    for task, codes in kinds.labels.items()
  }
  connection.execute(
    f'CREATE TABLE {pairs} AS SELECT'
    f' min(place) FILTER (WHERE {is_impression(log_schema.events)}) AS place,'
    f' {", ".join(f"{value} AS {name}" for name, value in merged.items())}'
    f' FROM {placed} WHERE {item} IS NOT NULL GROUP BY session_number, {item}'
  )
  labels = ''.join(
    f', CASE WHEN p.place IS NULL THEN l.{name} ELSE p.{name} END AS {name}'
    for name in merged
  )
  gathered = sql.unique_name('gathered')
  # Where the history has events, what came of a row is in it.
  connection.execute(
    f'CREATE TABLE {gathered} AS SELECT l.* EXCLUDE (place, session_number)'
    f" REPLACE ('s' || l.session_number AS session{labels}, l.labelled OR"
    f' (p.place IS NOT NULL AND EXISTS (FROM {TABLE} WHERE event IS NOT'
    f' NULL)) AS labelled) FROM {placed} l LEFT JOIN {pairs} p USING (place)'
    ' WHERE l.scored OR p.place IS NOT NULL'
  )
  repeated = sql.fetch_value(
    connection,
    f'SELECT count(*) FROM {placed} l LEFT JOIN {pairs} p USING (place)'
    f' WHERE l.scored AND p.place IS NULL AND l.{item} IS NOT NULL',
  )
  for table in (TABLE, placed, pairs, numbered.table):
    connection.execute(f'DROP TABLE {table}')
  connection.execute(f'ALTER TABLE {gathered} RENAME TO {TABLE}')
  return repeated
