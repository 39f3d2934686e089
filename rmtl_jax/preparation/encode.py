"""Encodes a reader's rows as the columns of prepared data."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

from rmtl_jax.config import prepare as prepare_config
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.preparation import (
  labels,
  lists,
  manifest_fields,
  numbers,
  sessions,
  sides,
  source,
  sql,
  vocabulary,
)
from rmtl_jax.preparation import users as users_lib
from rmtl_jax.preparation.as_of import history

# Rows in which most columns have more than one value.
_SAMPLE = 2_048


@dataclasses.dataclass(frozen=True)
class Encoded:
  """Rows as they will be written, in a sorted DuckDB table.

  Attributes:
    table: columns of prepared data and `split`; numeric ones not normalised,
      and `marker` in place of the step.
    step: SQL of the step.
    columns: SQL of every column to write, in order.
    fields: for the manifest.
    vocabularies: by field name, of the fields with one of their own.
    cut_values: number of values cut from multi-valued fields, by field name.
    constant: names of the log's own fields with one value over all train rows.
    left_out: names of as-of features that were not encoded, as they have one
      value over all train rows and their group was not asked for by name.
    users: `table` of users.UserNumbers.
  """

  table: str
  step: str
  columns: tuple[str, ...]
  fields: tuple[manifest_lib.Field, ...]
  vocabularies: dict[str, vocabulary.Vocabulary]
  cut_values: dict[str, int]
  constant: tuple[str, ...]
  left_out: tuple[str, ...] = ()
  users: str = ''


class Tables(NamedTuple):
  """Lookup tables of encoding.

  Attributes:
    vocabularies: by column.
    lists: by column.
    histories: their tables, by column.
    users: numbers of users.
  """

  vocabularies: dict[str, vocabulary.Vocabulary]
  lists: dict[str, lists.ListEncoding]
  histories: dict[str, str]
  users: users_lib.UserNumbers


def encode(
  connection: sql.Connection,
  rows: source.SourceTable,
  places: sessions.RowPlaces,
  options: prepare_config.PrepareConfig,
) -> Encoded:
  """Fits vocabularies, bins and normalisation on train and applies them.

  Args:
    places: session, step and split of every row that is kept.
    options: `min_count`, `max_values` and `as_of`.

  Returns:
    The encoded rows, sorted by session and step.
  """
  binned = [f for f in rows.fields if f.is_binned]
  joined, train, past = _join(connection, rows, places)
  edges = numbers.fit_bin_edges(connection, train, binned)
  featured = add_bins(connection, joined, binned, edges)
  vocabularies = vocabulary.build_categorical(
    connection,
    train,
    {
      field.source_column: options.min_count
      for field in rows.fields
      if field.kind == 'categorical'
    },
  )
  users = users_lib.number(connection, featured, rows)
  tables = Tables(vocabularies, {}, {}, users)
  _add_lists(connection, featured, past, rows, options, tables)
  table = apply(connection, featured, rows, places, tables)
  of_past = {
    field.name: sql.quote(field.encoded_column)
    for field in rows.fields
    if 'as_of' in field.details
    and prepare_config.is_auto(options, field.details['as_of'])
  }
  left_out = _constant(connection, table, of_past)
  # Normalisation is fitted on the written table, a sorted one: sums over a view
  # would depend on the order in which threads deliver rows.
  scales = numbers.fit_normalisations(
    connection, table, [f.source_column for f in rows.fields if f.is_scaled]
  )
  quantiles = numbers.fit_quantiles(
    connection,
    table,
    {
      column: scale.apply(sql.quote(column)) for column, scale in scales.items()
    },
  )
  fitted = manifest_fields.Fitted(
    vocabularies, tables.lists, edges, scales, quantiles, options.min_count
  )
  fields = sides.infer_sides(
    connection,
    table,
    [
      manifest_fields.record(f, fitted)
      for f in rows.fields
      if f.name not in left_out
    ],
    rows.item_field,
    rows.user_field,
    rows.has_user,
  )
  own = {
    field.name: _value(field, scales)
    for field in fields
    if 'as_of' not in field.details
  }
  return Encoded(
    table=table,
    step=places.step,
    columns=columns(rows, fields, scales, places.step),
    fields=fields,
    vocabularies={
      field.name: tables.lists[field.column].values
      if field.kind == 'multi_valued'
      else vocabularies[field.column]
      for field in fields
      if field.has_vocabulary
    },
    cut_values={
      column.removeprefix('m_'): found.cut
      for column, found in tables.lists.items()
    },
    constant=_constant(connection, table, own),
    left_out=left_out,
    users=users.table,
  )


def _join(
  connection: sql.Connection,
  rows: source.SourceTable,
  places: sessions.RowPlaces,
) -> tuple[str, str, str]:
  """Makes views of the rows with their places, of train, and of the past."""
  # Train rows are known by their time alone, so fitting scans the view without
  # the join with the places.
  train = sql.create_view(
    connection,
    f'SELECT *, 0 AS split FROM {rows.view} WHERE {places.is_train()}',
  )
  joined = with_places(connection, rows, places, places.table)
  past = joined
  if places.past:
    past = with_places(connection, rows, places, places.past)
  return joined, train, past


def with_places(
  connection: sql.Connection,
  rows: source.SourceTable,
  places: sessions.RowPlaces,
  table: str,
) -> str:
  """Makes a view of the rows that have a place, with it."""
  return sql.create_view(
    connection,
    f'SELECT r.*, {places.columns} FROM {rows.view} r'
    f' JOIN {table} p ON {places.condition}',
  )


def add_bins(
  connection: sql.Connection,
  joined: str,
  binned: list[source.SourceField],
  edges: dict[str, list[float]],
) -> str:
  """Makes a view with the id of each binned field's bin."""
  if not binned:
    return joined
  extra = ', '.join(
    f'{numbers.bin_id(f, edges[f.name])} AS {sql.quote(f.encoded_column)}'
    for f in binned
  )
  return sql.create_view(connection, f'SELECT *, {extra} FROM {joined}')


def apply(
  connection: sql.Connection,
  featured: str,
  rows: source.SourceTable,
  places: sessions.RowPlaces,
  tables: Tables,
) -> str:
  """Looks every value up and sorts the rows, in one query.

  Args:
    featured: the rows with their places and bins.
    places: what sorts the rows, and where their splits end.
  """
  # Left joins: what a vocabulary lacks (missing, unseen, rare) becomes row 0.
  joins = [tables.users.join]
  selected = [
    'r.session_id',
    f'{tables.users.value} AS user_id',
    'r.row_id, r.marker, r.timestamp, r.split',
  ]
  for i, (name, known) in enumerate(tables.vocabularies.items()):
    joins.append(
      f'LEFT JOIN {known.table} v{i} ON r.{sql.quote(name)} = v{i}.key'
    )
    selected.append(f'coalesce(v{i}.id, 0) AS {sql.quote(name)}')
  for i, (name, found) in enumerate(tables.lists.items()):
    joins.append(
      f'LEFT JOIN {found.table} l{i} ON r.{sql.quote(name)} = l{i}.key'
    )
    selected.append(f'coalesce(l{i}.ids, [0]) AS {sql.quote(name)}')
  for i, (name, found) in enumerate(tables.histories.items()):
    joins.append(
      f'LEFT JOIN {found} h{i} ON r.session_id = h{i}.session_id'
      f' AND r."user" = h{i}."user"'
    )
    selected.append(f'coalesce(h{i}.ids, [0]) AS {sql.quote(name)}')
  for field in rows.fields:
    if field.is_binned:
      selected.append(f'r.{sql.quote(field.encoded_column)}')
    if field.is_scaled:
      selected.append(
        f'{numbers.transformed(field)} AS {sql.quote(field.source_column)}'
      )
  of_tasks = labels.label_columns(rows.tasks, places.boundaries, 'r.split')
  selected += [
    f'{label.value} AS {sql.quote(label.name)}' for label in of_tasks
  ]
  selected += [
    f'{label.weight} AS {sql.quote("w_" + label.name.removeprefix("y_"))}'
    for label in of_tasks
    if label.weight
  ]
  late = labels.delay_columns(rows.tasks, places.boundaries, 'r.split')
  selected += [f'{value} AS {sql.quote(name)}' for name, value in late.items()]
  if rows.has_oracle:
    selected += [
      f'CAST({name} AS FLOAT) AS {name}'
      for name in (sql.quote(f'p_{task.name}') for task in rows.tasks)
    ]
  with sql.joins_as_written(connection):
    return sql.create_table(
      connection,
      f'SELECT {", ".join(selected)} FROM {featured} r {" ".join(joins)}'
      f' ORDER BY {places.order}',
    )


def _add_lists(
  connection: sql.Connection,
  featured: str,
  past: str,
  rows: source.SourceTable,
  options: prepare_config.PrepareConfig,
  tables: Tables,
) -> None:
  """Encodes multi-valued fields, into lists and histories of the tables."""
  for field in rows.fields:
    if field.has_own_lists:
      column = field.source_column
      tables.lists[column] = lists.encode_lists(
        connection,
        featured,
        column,
        options.min_count,
        field.width or options.max_values,
      )
  for field in rows.fields:
    if not field.vocabulary_owner:
      continue
    column, owner = field.source_column, tables.vocabularies[field.owner_column]
    if history.is_history(field):
      # They see immature rows too: these were shown, though not trained on.
      tables.histories[column] = history.encode_histories(
        connection, past, field.owner_column, owner.table, field.width
      )
    else:
      width = field.width or options.max_values
      tables.lists[column] = lists.encode_sequences(
        connection, featured, column, owner, width
      )


def _value(
  field: manifest_lib.Field, scales: dict[str, numbers.Normalisation]
) -> str:
  """SQL of the written value of a field."""
  name = sql.quote(field.column)
  return scales[field.column].apply(name) if field.kind == 'numeric' else name


def _constant(
  connection: sql.Connection, table: str, values: dict[str, str]
) -> tuple[str, ...]:
  """Names of the values (SQL) that are the same in all train rows."""
  if not values:
    return ()
  # Most columns differ within a few rows, which one query tells of all.
  train = f'FROM {table} WHERE split = 0'
  differ = ', '.join(f'min({v}) <> max({v})' for v in values.values())
  found = sql.fetch_row(
    connection, f'SELECT {differ} FROM (SELECT * {train} LIMIT {_SAMPLE})'
  )
  return tuple(
    name
    for (name, value), differs in zip(values.items(), found, strict=True)
    if not differs and not _varies(connection, table, value)
  )


def _varies(connection: sql.Connection, table: str, value: str) -> bool:
  """Whether a value differs between train rows."""
  # Stops at the first row that differs.
  first = f'(SELECT {value} FROM {table} WHERE split = 0 LIMIT 1)'
  differs = f'split = 0 AND {value} IS DISTINCT FROM {first}'
  return sql.any_row(connection, table, differs)


def columns(
  rows: source.SourceTable,
  fields: tuple[manifest_lib.Field, ...],
  scales: dict[str, numbers.Normalisation],
  step: str,
) -> tuple[str, ...]:
  """SQL of the columns to write, with the names of the contract."""
  found = ['session_id', 'user_id', 'row_id', f'{step} AS step', 'timestamp']
  found += [f'{_value(f, scales)} AS {sql.quote(f.column)}' for f in fields]
  found += [sql.quote(f'y_{task.name}') for task in rows.tasks]
  found += [sql.quote(f'w_{name}') for name in labels.weighted(rows.tasks)]
  if late := source.delayed(rows.tasks):
    found += [labels.AGE, *(sql.quote(f'd_{task.name}') for task in late)]
  if rows.has_oracle:
    found += [sql.quote(f'p_{task.name}') for task in rows.tasks]
  return tuple(found)
