"""Encodes a reader's rows as the columns of prepared data."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.preparation import (
  fit as fit_lib,
)
from rmtl_jax.preparation import (
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


def encode(fit: fit_lib.Fit) -> Encoded:
  """Puts ids and scaled numbers in the place of values.

  Args:
    fit: the rows, and what their values are looked up in.

  Returns:
    The encoded rows, sorted by session and step.
  """
  connection, rows, places = fit.connection, fit.rows, fit.places
  binned = [field for field in rows.fields if field.is_binned]
  edges = fit.edges(binned)
  featured = _with_bins(connection, fit.placed(places.table), binned, edges)
  tables = _Tables(fit.vocabularies(featured), {}, {}, fit.users(featured))
  for field in rows.fields:
    column = field.source_column
    if field.has_own_lists:
      tables.lists[column] = fit.own_lists(featured, field)
    elif field.vocabulary_owner:
      owner = tables.vocabularies[field.owner_column]
      if history.is_history(field):
        tables.histories[column] = fit.histories(field, owner)
      else:
        tables.lists[column] = fit.sequences(featured, field, owner)
  table = _apply(connection, featured, rows, places, tables)
  fields = fit.fields(table, edges, tables.vocabularies, tables.lists)
  return Encoded(
    table=table,
    columns=_columns(rows, fields, fit.first_row),
    fields=fields,
    vocabularies={
      field.name: tables.lists[field.column].values
      if field.kind == 'multi_valued'
      else tables.vocabularies[field.column]
      for field in fields
      if field.has_vocabulary
    },
    cut_values={
      column.removeprefix('m_'): found.cut
      for column, found in tables.lists.items()
    },
    users=tables.users.table,
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
  with sql.joins_as_written(connection):
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
