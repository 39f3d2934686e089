"""Infers which fields describe the item and which the user.

Recommended settings cross fields of the user with fields of the item. Logs
don't name the side of a field, but train rows show it: a field of the item has
one value over nearly all rows of an item.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.preparation import sql

# Minimum fraction of rows with an item (or user) that has one value of the
# field: below 1, as properties change now and then and logs have errors.
MIN_CONSTANT = 0.95


def infer_sides(
  connection: sql.Connection,
  table: str,
  fields: Sequence[manifest_lib.Field],
  item_field: str | None,
  user_field: str | None,
  has_user: bool,
) -> tuple[manifest_lib.Field, ...]:
  """Adds `side` to the details of the fields that have one.

  A field is on the item's side if at least MIN_CONSTANT of the train rows show
  an item with one value of the field, and likewise for the user; if both hold,
  the greater fraction decides. Only items with several users count (several
  sessions, in a log without users), and users with several items: for others
  every field is constant. As-of features and numbers have no side, nor have
  fields with one value over all train rows; a reader may have given one.

  Args:
    table: encoded rows, with `user_id` and `split`.
    item_field: the item; without one no field gets a side.
    has_user: whether `user_id` is ever given.
  """
  if item_field is None:
    return tuple(fields)
  candidates = [
    field
    for field in fields
    if field.kind != 'numeric' and not {'as_of', 'side'} & {*field.details}
  ]
  columns = [sql.quote(field.column) for field in candidates]
  item = sql.quote(f'f_{item_field}')
  viewer = 'user_id' if has_user else 'session_id'
  varying = ', '.join(f'min({column}) <> max({column})' for column in columns)
  measured = zip(
    candidates,
    _constant_fractions(
      connection, table, columns, f'nullif({item}, 0)', viewer
    ),
    _constant_fractions(connection, table, columns, 'user_id', item),
    sql.fetch_row(connection, f'SELECT {varying} FROM {table} WHERE split = 0'),
    strict=True,
  )
  sides = {
    field.name: _side(of_item, of_user)
    for field, of_item, of_user, varies in measured
    if varies
  }
  sides[item_field] = 'item'
  if user_field is not None:
    sides[user_field] = 'user'
  return tuple(
    dataclasses.replace(field, details=field.details | {'side': side})
    if (side := sides.get(field.name))
    else field
    for field in fields
  )


def _side(of_item: float, of_user: float) -> str:
  """'item', 'user' or '' for neither."""
  if of_item >= max(MIN_CONSTANT, of_user):
    return 'item'
  return 'user' if of_user >= MIN_CONSTANT else ''


def _constant_fractions(
  connection: sql.Connection,
  table: str,
  columns: Sequence[str],
  key: str,
  other: str,
) -> list[float]:
  """For each column, the fraction of rows with a key that has one value of it.

  Args:
    key: SQL of what groups rows; NULL is no key.
    other: only keys with several values of this column count; if none has, all
      fractions are 0.
  """
  same = ', '.join(
    f'min({column}) = max({column}) AS same_{i}'
    for i, column in enumerate(columns)
  )
  found = sql.fetch_row(
    connection,
    'SELECT '
    + ', '.join(
      f'coalesce(sum(CASE WHEN same_{i} THEN n ELSE 0 END) / sum(n), 0)'
      for i in range(len(columns))
    )
    + f' FROM (SELECT count(*) AS n, {same} FROM {table} WHERE split = 0 AND'
    f' {key} IS NOT NULL GROUP BY {key} HAVING min({other}) <> max({other}))',
  )
  return [float(fraction) for fraction in found]
