"""Encodes a reader's rows as the columns of prepared data."""

from __future__ import annotations

import dataclasses
from typing import Any

import duckdb

from rmtl_jax.config import prepare as prepare_config
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.preparation import (
  labels,
  lists,
  numbers,
  sessions,
  sides,
  source,
  sql,
  vocabulary,
)
from rmtl_jax.preparation.as_of import feedback as asof_feedback
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
    users: table of numbered users (see UserNumbers); empty if there is none.
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


@dataclasses.dataclass(frozen=True)
class UserNumbers:
  """How users become numbers.

  Attributes:
    value: SQL of the number, BIGINT, over rows as `r`.
    joins: SQL that joins what it needs.
    table: of users that are no numbers: `name` and `number`; empty if all are.
  """

  value: str
  joins: tuple[str, ...] = ()
  table: str = ''


def encode(
  connection: duckdb.DuckDBPyConnection,
  rows: source.SourceTable,
  places: sessions.RowPlaces,
  options: prepare_config.PrepareConfig,
) -> Encoded:
  """Fits vocabularies, bins and normalisation on train and applies them.

  Args:
    connection: holds the rows and their places.
    rows: the reader's result.
    places: session, step and split of every row that is kept.
    options: `min_count`, `max_values` and `as_of`.

  Returns:
    The encoded rows, sorted by session and step.
  """
  # Bins come before vocabularies: a binned field is categorical from here on,
  # and its vocabulary consists of the numbers of its bins.
  binned = [f for f in rows.fields if f.transform == 'bins']
  joined, train, past = _join(connection, rows, places)
  edges = numbers.fit_bin_edges(connection, train, binned)
  featured = add_bins(connection, joined, binned, edges)
  vocabularies = vocabulary.build_categorical(
    connection,
    add_bins(connection, train, binned, edges),
    {
      id_column(field): 1 if field.transform == 'bins' else options.min_count
      for field in rows.fields
      if is_categorical(field)
    },
    {
      id_column(field): field.details['buckets']
      for field in rows.fields
      if 'buckets' in field.details
    },
  )
  encoded_lists = _lists(connection, featured, rows, options)
  sequences = _sequences(connection, featured, rows, vocabularies, options)
  # Histories see immature rows too: they were shown, though not trained on.
  histories = _histories(connection, past, rows, vocabularies)
  users = _number_users(connection, featured, rows)
  table = apply(
    connection,
    featured,
    rows,
    places,
    vocabularies,
    encoded_lists | sequences,
    histories,
    users,
  )
  of_past = {
    field.name: sql.quote(_encoded_column(field))
    for field in rows.fields
    if 'as_of' in field.details
    and prepare_config.is_auto(options, field.details['as_of'])
  }
  left_out = _constant(connection, table, of_past)
  # Normalisation is fitted on the written table, a sorted one: sums over a view
  # would depend on the order in which threads deliver rows.
  scaled = [f for f in rows.fields if f.transform in ('standard', 'log1p')]
  scales = numbers.fit_normalisations(
    connection, table, [f.source_column for f in scaled]
  )
  quantiles = numbers.fit_quantiles(
    connection,
    table,
    {
      column: scale.apply(sql.quote(column)) for column, scale in scales.items()
    },
  )
  bins = _bins(connection, binned, edges, vocabularies)
  fields = sides.infer_sides(
    connection,
    table,
    [
      _field(
        f,
        vocabularies,
        encoded_lists | sequences,
        scales,
        quantiles,
        bins,
        options,
      )
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
      field.name: encoded_lists[field.column].values
      if field.kind == 'multi_valued'
      else vocabularies[field.column]
      for field in fields
      if field.has_vocabulary
    },
    cut_values={
      f.name: found[f.source_column].cut
      for found in (encoded_lists, sequences)
      for f in rows.fields
      if f.source_column in found
    },
    constant=_constant(connection, table, own),
    left_out=left_out,
    users=users.table,
  )


def is_categorical(field: source.SourceField) -> bool:
  """Whether the field's values are single ids."""
  return field.kind == 'categorical' or field.transform == 'bins'


def has_lists(field: source.SourceField) -> bool:
  """Whether the field's lists have a vocabulary of their own."""
  return field.kind == 'multi_valued' and not field.vocabulary_owner


def is_history(field: source.SourceField) -> bool:
  """Whether the field's lists are made of the log's rows."""
  return field.details.get('as_of') == history.GROUP


def _encoded_column(field: source.SourceField) -> str:
  """The field's column in the encoded table."""
  return id_column(field) if is_categorical(field) else field.source_column


def id_column(field: source.SourceField) -> str:
  """The column of a categorical field's ids."""
  return f'f_{field.name}'


def _join(
  connection: duckdb.DuckDBPyConnection,
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
  connection: duckdb.DuckDBPyConnection,
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
  connection: duckdb.DuckDBPyConnection,
  joined: str,
  binned: list[source.SourceField],
  edges: dict[str, list[float]],
) -> str:
  """Makes a view with each binned field's bin as a categorical column."""
  if not binned:
    return joined
  extra = ', '.join(
    f'{numbers.bin_index(f, edges[f.name])} AS {sql.quote(id_column(f))}'
    for f in binned
  )
  return sql.create_view(connection, f'SELECT *, {extra} FROM {joined}')


def apply(
  connection: duckdb.DuckDBPyConnection,
  featured: str,
  rows: source.SourceTable,
  places: sessions.RowPlaces,
  vocabularies: dict[str, vocabulary.Vocabulary],
  encoded_lists: dict[str, lists.ListEncoding],
  histories: dict[str, str],
  users: UserNumbers,
) -> str:
  """Looks every value up and sorts the rows, in one query.

  Args:
    connection: holds the rows and their places.
    featured: the rows with their places and bins.
    rows: the reader's result.
    places: what sorts the rows, and where their splits end.
    vocabularies: by column.
    encoded_lists: by column.
    histories: their tables, by column.
    users: how users become numbers.

  Returns:
    A table of the encoded rows.
  """
  # Left joins: what a vocabulary lacks (missing, unseen, rare) becomes row 0.
  joins = [*users.joins]
  selected = [
    'r.session_id',
    f'{users.value} AS user_id',
    'r.row_id, r.marker, r.timestamp, r.split',
  ]
  for i, (name, known) in enumerate(vocabularies.items()):
    joins.append(
      f'LEFT JOIN {known.table} v{i} ON r.{sql.quote(name)} = v{i}.key'
    )
    row = known.id_sql(f'r.{sql.quote(name)}', f'v{i}.id')
    selected.append(f'{row} AS {sql.quote(name)}')
  for i, (name, found) in enumerate(encoded_lists.items()):
    joins.append(
      f'LEFT JOIN {found.table} l{i} ON r.{sql.quote(name)} = l{i}.key'
    )
    selected.append(f'coalesce(l{i}.ids, [0]) AS {sql.quote(name)}')
  for i, (name, found) in enumerate(histories.items()):
    joins.append(
      f'LEFT JOIN {found} h{i} ON r.session_id = h{i}.session_id'
      f' AND r."user" = h{i}."user"'
    )
    selected.append(f'coalesce(h{i}.ids, [0]) AS {sql.quote(name)}')
  for field in rows.fields:
    if field.transform in ('standard', 'log1p'):
      selected.append(
        f'{numbers.transformed(field)} AS {sql.quote(field.source_column)}'
      )
  of_tasks = labels.label_columns(rows.tasks, places.boundaries, 'r.split')
  selected += [
    f'{label.value} AS {sql.quote(label.name)}' for label in of_tasks
  ]
  selected += [
    f'{label.weight} AS {sql.quote(_weight_column(label))}'
    for label in of_tasks
    if label.weight
  ]
  selected += [
    f'CAST({sql.quote(f"v_{task.propensity}")} AS FLOAT)'
    f' AS {sql.quote(f"q_{task.name}")}'
    for task in rows.tasks
    if task.propensity
  ]
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


def _weight_column(label: labels.LabelColumn) -> str:
  return f'w_{label.name.removeprefix("y_")}'


def _number_users(
  connection: duckdb.DuckDBPyConnection, featured: str, rows: source.SourceTable
) -> UserNumbers:
  """Numbers users that are no numbers."""
  if not rows.has_user:
    return UserNumbers('NULL::BIGINT')
  kind = sql.fetch_value(
    connection,
    f"SELECT column_type FROM (DESCRIBE {featured}) WHERE column_name = 'user'",
  )
  if kind in sql.INTEGERS:
    return UserNumbers('CAST(r."user" AS BIGINT)')
  # Text of whole numbers keeps them, so that users can be found in the raw log;
  # other users are numbered in the order of their names.
  table, user = sql.unique_name('users'), sql.quote('user')
  connection.execute(
    f'CREATE TABLE {table}_0 AS SELECT "user" AS key, {sql.value_text(user)} AS'
    f' name FROM {featured} WHERE {user} IS NOT NULL GROUP BY {user}'
    ' ORDER BY name'
  )
  numbers_only = sql.fetch_value(
    connection,
    'SELECT coalesce(bool_and(coalesce(CAST(TRY_CAST(name AS BIGINT) AS'
    f' VARCHAR) = name, false)), true) FROM {table}_0',
  )
  number = 'TRY_CAST(name AS BIGINT)' if numbers_only else 'rowid'
  connection.execute(
    f'CREATE VIEW {table} AS SELECT *, {number} AS number FROM {table}_0'
  )
  return UserNumbers(
    'u.number',
    (f'LEFT JOIN {table} u ON r."user" = u.key',),
    '' if numbers_only else table,
  )


def _lists(
  connection: duckdb.DuckDBPyConnection,
  featured: str,
  rows: source.SourceTable,
  options: prepare_config.PrepareConfig,
) -> dict[str, lists.ListEncoding]:
  """Encodes multi-valued fields with vocabularies of their own, by column."""
  return {
    field.source_column: lists.encode_lists(
      connection,
      featured,
      field.source_column,
      options.min_count,
      field.width or options.max_values,
    )
    for field in rows.fields
    if has_lists(field)
  }


def _sequences(
  connection: duckdb.DuckDBPyConnection,
  featured: str,
  rows: source.SourceTable,
  vocabularies: dict[str, vocabulary.Vocabulary],
  options: prepare_config.PrepareConfig,
) -> dict[str, lists.ListEncoding]:
  """Encodes the log's own lists that share a vocabulary, by column."""
  return {
    field.source_column: lists.encode_sequences(
      connection,
      featured,
      field.source_column,
      vocabularies[f'f_{field.vocabulary_owner}'],
      field.width or options.max_values,
    )
    for field in rows.fields
    if field.vocabulary_owner and not is_history(field)
  }


def _histories(
  connection: duckdb.DuckDBPyConnection,
  past: str,
  rows: source.SourceTable,
  vocabularies: dict[str, vocabulary.Vocabulary],
) -> dict[str, str]:
  """Makes the tables of histories, which share a vocabulary, by column."""
  return {
    field.source_column: history.encode_histories(
      connection,
      past,
      f'f_{field.vocabulary_owner}',
      vocabularies[f'f_{field.vocabulary_owner}'].table,
      field.width,
    )
    for field in rows.fields
    if is_history(field)
  }


def _bins(
  connection: duckdb.DuckDBPyConnection,
  binned: list[source.SourceField],
  edges: dict[str, list[float]],
  vocabularies: dict[str, vocabulary.Vocabulary],
) -> dict[str, dict[str, Any]]:
  """Details of binned fields for the manifest, by field name."""
  details = {}
  for field in binned:
    vocabulary = vocabularies[id_column(field)].table
    found = {
      'transform': 'bins',
      'edges': edges[field.name],
      'order': bin_order(connection, vocabulary),
    }
    if field.details.get('counts') == asof_feedback.ROWS_BACK:
      found['previous'] = asof_feedback.row_before_id(
        connection, vocabulary, edges[field.name]
      )
    details[field.name] = found
  return details


def bin_order(
  connection: duckdb.DuckDBPyConnection, vocabulary: str, first: int = 1
) -> list[int]:
  """The bins of a vocabulary's rows, from row `first` on."""
  found = connection.execute(
    f'SELECT value FROM {vocabulary} WHERE id >= {first} ORDER BY id'
  )
  return [int(value) for (value,) in found.fetchall()]


def _field(
  field: source.SourceField,
  vocabularies: dict[str, vocabulary.Vocabulary],
  encoded_lists: dict[str, lists.ListEncoding],
  scales: dict[str, numbers.Normalisation],
  quantiles: dict[str, list[float]],
  bins: dict[str, dict[str, Any]],
  options: prepare_config.PrepareConfig,
) -> manifest_lib.Field:
  """The field as the manifest records it."""
  details = {'column': field.column or field.name, **field.details}
  size, width, kind = 0, 0, field.kind
  if field.vocabulary_owner:
    size, width = vocabularies[f'f_{field.vocabulary_owner}'].size, field.width
    if not is_history(field):
      width = encoded_lists[field.source_column].width
  elif field.kind == 'multi_valued':
    found = encoded_lists[field.source_column]
    size, width = found.values.size, found.width
    details['min_count'] = options.min_count
  elif field.transform == 'bins':
    kind = 'categorical'
    size = vocabularies[id_column(field)].size
    details |= bins[field.name]
  elif field.kind == 'categorical':
    own = vocabularies[id_column(field)]
    size = own.size
    details['min_count'] = options.min_count
    if own.fractions:
      details['fractions'] = True
  else:
    scale = scales[field.source_column]
    details |= {'transform': field.transform, **dataclasses.asdict(scale)}
    if edges := quantiles[field.source_column]:
      details['quantiles'] = edges
  return manifest_lib.Field(
    field.name, kind, size, width, details, field.vocabulary_owner or None
  )


def _value(
  field: manifest_lib.Field, scales: dict[str, numbers.Normalisation]
) -> str:
  """SQL of the written value of a field."""
  name = sql.quote(field.column)
  return scales[field.column].apply(name) if field.kind == 'numeric' else name


def _constant(
  connection: duckdb.DuckDBPyConnection, table: str, values: dict[str, str]
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


def _varies(
  connection: duckdb.DuckDBPyConnection, table: str, value: str
) -> bool:
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
  found += [sql.quote(f'q_{t.name}') for t in rows.tasks if t.propensity]
  if rows.has_oracle:
    found += [sql.quote(f'p_{task.name}') for task in rows.tasks]
  return tuple(found)
