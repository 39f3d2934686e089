"""Encodes a reader's rows as the columns of prepared data."""

from __future__ import annotations

import dataclasses
import functools
import pathlib
from typing import NamedTuple

from rmtl_jax.config import prepare_settings
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.preparation import (
  field_vectors,
  fit,
  label_sql,
  lists,
  numbers,
  sessionize,
  source,
  sql,
  vocabulary,
)
from rmtl_jax.preparation import users as users_lib
from rmtl_jax.preparation.as_of import history
from rmtl_jax.preparation.extending import known as known_lib


@dataclasses.dataclass(frozen=True)
class Encoded:
  """Rows as they will be written, in a sorted DuckDB table.

  Attributes:
    table: columns of prepared data and `split`; numeric ones not normalised.
    columns: SQL of every column to write, in order.
    fields: for the manifest.
    vocabularies: by field name, of the fields with one of their own.
    cut_values: number of values cut from multi-valued fields, by field name.
    users: `table` of users.UserNumbers.
  """

  table: str
  columns: tuple[str, ...]
  fields: tuple[manifest_lib.Field, ...]
  vocabularies: dict[str, vocabulary.Vocabulary]
  cut_values: dict[str, int]
  users: str = ''


class _Tables(NamedTuple):
  """Look-up tables of values: by column, and numbers of users."""

  vocabularies: dict[str, vocabulary.Vocabulary]
  lists: dict[str, lists.ListEncoding]
  histories: dict[str, str]
  users: users_lib.UserNumbers


def encode(
  connection: sql.Connection,
  rows: source.SourceTable,
  places: sessionize.RowPlaces,
  config: prepare_settings.PrepareConfig,
  known: known_lib.Known | None = None,
) -> Encoded:
  """Puts ids and scaled numbers in the place of values.

  Args:
    rows: of a reader, with as-of features.
    places: session, step and split of every row that is kept.
    config: `min_count`, `max_values` and `as_of`.
    known: bins, scales and vocabularies of data that is extended, by which the
      new rows alone are encoded; None: they are fitted on train rows.

  Returns:
    The encoded rows, sorted by session and step.
  """
  placed = _placed(connection, rows, places.table)
  binned = [field for field in rows.fields if field.is_binned]
  if known is None:
    # Train rows are known by their time alone, so fitting scans the view
    # without the join with the places.
    train = sql.create_view(
      connection,
      f'SELECT *, 0 AS split FROM {rows.view} WHERE {places.is_train()}',
    )
    edges = numbers.fit_bin_edges(connection, train, binned)
    featured = _with_bins(connection, placed, binned, edges)
    vocabularies = vocabulary.build_categorical(
      connection,
      train,
      {
        field.source_column: config.min_count
        for field in rows.fields
        if field.kind == 'categorical'
      },
    )
    users = users_lib.number(connection, featured, rows)
  else:
    # A table, as every field reads the new rows again.
    placed = sql.create_table(connection, f'FROM {placed} WHERE split = 2')
    edges = {f.name: known.fields[f.name].details['edges'] for f in binned}
    featured = _with_bins(connection, placed, binned, edges)
    vocabularies = known.vocabularies(rows, featured)
    users = known.users(rows, featured)
  tables = _Tables(vocabularies, {}, {}, users)
  for field in rows.fields:
    column = field.source_column
    width = known.fields[field.name].width if known else 0
    most = width or field.width or config.max_values
    if field.has_own_lists:
      build = functools.partial(_build, connection, config, known, field.name)
      tables.lists[column] = lists.encode_lists(
        connection, featured, column, build, most, width
      )
    elif history.is_history(field):
      # They see immature rows too: these were shown, though not trained on.
      tables.histories[column] = history.encode_histories(
        connection,
        _placed(connection, rows, places.seen),
        field.owner_column,
        vocabularies[field.owner_column].table,
        field.width,
      )
    elif field.vocabulary_owner:
      owner = vocabularies[field.owner_column]
      if known is not None:  # lists have values that no new row has
        everything = known.grown[field.vocabulary_owner].everything
        owner = dataclasses.replace(owner, table=f'(FROM {everything})')
      tables.lists[column] = lists.encode_sequences(
        connection, featured, column, owner, most, width
      )
  table = _apply(connection, featured, rows, places, tables)
  if known is None:
    fields = fit.fit_fields(
      connection, table, rows, config, edges, vocabularies, tables.lists
    )
  else:
    fields = known.grown_fields()
  return Encoded(
    table=table,
    columns=_columns(rows, fields, known.first_row if known else 0),
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
    users=users.table,
  )


def _build(
  connection: sql.Connection,
  config: prepare_settings.PrepareConfig,
  known: known_lib.Known | None,
  name: str,
  counts: str,
) -> vocabulary.Vocabulary:
  """The vocabulary of a query of values and their counts."""
  if known is None:
    return vocabulary.build(connection, counts, config.min_count)
  return known.grow(name, counts)


def write_vocabularies(
  connection: sql.Connection, encoded: Encoded, directory: pathlib.Path
) -> tuple[tuple[manifest_lib.Field, ...], tuple[str, ...]]:
  """Writes DIRECTORY/vocabulary and DIRECTORY/vectors.

  Returns:
    The fields for the manifest, and warnings for the report.
  """
  (directory / 'vocabulary').mkdir()
  for name, one in encoded.vocabularies.items():
    one.write(connection, directory / 'vocabulary' / f'{name}.parquet')
  return field_vectors.write(
    connection, encoded.fields, encoded.vocabularies, directory
  )


def _placed(
  connection: sql.Connection, rows: source.SourceTable, table: str
) -> str:
  """Makes a view of the rows that have a place in a table, with it."""
  return sql.create_view(
    connection,
    'SELECT r.*, p.session_id, p.split, p.step, p.position'
    f' FROM {rows.view} r JOIN {table} p ON r.row_id = p.row_id',
  )


def _with_bins(
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


def _apply(
  connection: sql.Connection,
  featured: str,
  rows: source.SourceTable,
  places: sessionize.RowPlaces,
  tables: _Tables,
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
    'r.row_id, r.step, r.timestamp, r.split',
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
  of_tasks = label_sql.label_columns(rows.tasks, places.boundaries, 'r.split')
  selected += [
    f'{label.value} AS {sql.quote(label.name)}' for label in of_tasks
  ]
  selected += [
    f'{label.weight} AS {sql.quote("w_" + label.name.removeprefix("y_"))}'
    for label in of_tasks
    if label.weight
  ]
  late = label_sql.delay_columns(rows.tasks, places.boundaries, 'r.split')
  selected += [f'{value} AS {sql.quote(name)}' for name, value in late.items()]
  if rows.has_oracle:
    selected += [
      f'CAST({name} AS FLOAT) AS {name}'
      for name in (sql.quote(f'p_{task.name}') for task in rows.tasks)
    ]
  return sql.create_table(
    connection,
    f'SELECT {", ".join(selected)} FROM {featured} r {" ".join(joins)}'
    ' ORDER BY position',
  )


def value_sql(field: manifest_lib.Field) -> str:
  """SQL of the written value of a field, over `Encoded.table`."""
  name = sql.quote(field.column)
  if field.kind != 'numeric':
    return name
  return numbers.Normalisation.of(field.details).apply(name)


def _columns(
  rows: source.SourceTable,
  fields: tuple[manifest_lib.Field, ...],
  first_row: int,
) -> tuple[str, ...]:
  """SQL of the columns to write, with the names of the contract."""
  row_id = f'row_id + {first_row} AS row_id' if first_row else 'row_id'
  found = ['session_id', 'user_id', row_id, 'step', 'timestamp']
  found += [f'{value_sql(f)} AS {sql.quote(f.column)}' for f in fields]
  found += [sql.quote(f'y_{task.name}') for task in rows.tasks]
  found += [sql.quote(f'w_{name}') for name in label_sql.weighted(rows.tasks)]
  if late := source.delayed(rows.tasks):
    found += [label_sql.AGE, *(sql.quote(f'd_{task.name}') for task in late)]
  if rows.has_oracle:
    found += [sql.quote(f'p_{task.name}') for task in rows.tasks]
  return tuple(found)
