"""Which fields tell of the item alone, and which of the user alone.

A factorised affinity (rmtl_jax.networks.affinity) is a product of the user's
side and the item's. Logs do not say which side a field is on; train rows do: a
field of the item hardly differs between the rows that show one item.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import duckdb

from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.preparation import sql

# Least share of rows whose item (or user) has one value of the field in all of
# them: properties change now and then, and logs have slips.
SHARE = 0.95


def infer_sides(
  connection: duckdb.DuckDBPyConnection,
  table: str,
  fields: Sequence[manifest_lib.Field],
  item_field: str | None,
  user_field: str | None,
  has_user: bool,
) -> tuple[manifest_lib.Field, ...]:
  """The fields, with `side` in the details of those that are on one.

  A field is the item's if at least SHARE of the train rows show an item that
  has one value of it throughout, and the user's likewise; where both hold, the
  greater share decides. Only items that several users saw count (several
  sessions, in a log without users), and users who saw several items: of the
  others every field would look to be. As-of features and numbers are on no
  side.

  Args:
    connection: holds the rows.
    table: encoded rows, with `user_id` and `split`.
    fields: as they are without sides.
    item_field: the item; without one nothing is told.
    user_field: the user, or None.
    has_user: whether `user_id` is ever given.
  """
  if item_field is None:
    return tuple(fields)
  columns = [sql.quote(field.column) for field in candidate_fields(fields)]
  item = sql.quote(f'f_{item_field}')
  viewer = 'user_id' if has_user else 'session_id'
  return assign_sides(
    fields,
    item_field,
    user_field,
    _shares(connection, table, columns, f'nullif({item}, 0)', viewer),
    _shares(connection, table, columns, 'user_id', item),
  )


def candidate_fields(
  fields: Sequence[manifest_lib.Field],
) -> tuple[manifest_lib.Field, ...]:
  """Those that can be on a side."""
  return tuple(
    field
    for field in fields
    if field.kind != 'numeric' and 'as_of' not in field.details
  )


def assign_sides(
  fields: Sequence[manifest_lib.Field],
  item_field: str,
  user_field: str | None,
  of_item: Sequence[float],
  of_user: Sequence[float],
) -> tuple[manifest_lib.Field, ...]:
  """The fields with their sides, as `infer_sides` has them.

  Args:
    fields: as they are without sides.
    item_field: the item.
    user_field: the user, or None.
    of_item: for each of the `candidate_fields`, the fraction of rows that show
      an item with one value of the field.
    of_user: likewise for users.
  """
  sides = {
    field.name: _side(item, user)
    for field, item, user in zip(
      candidate_fields(fields), of_item, of_user, strict=True
    )
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
  """'item', 'user' or '' for neither, from the shares of rows."""
  if of_item >= max(SHARE, of_user):
    return 'item'
  return 'user' if of_user >= SHARE else ''


def _shares(
  connection: duckdb.DuckDBPyConnection,
  table: str,
  columns: Sequence[str],
  key: str,
  other: str,
) -> list[float]:
  """Of each column, the share of rows whose key has one value of it.

  Args:
    connection: holds the rows.
    table: encoded rows.
    columns: SQL of the columns.
    key: SQL of what groups rows; NULL is no key.
    other: only keys with several values of this column count.

  Returns:
    0 for every column where no key counts.
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
  return [float(share) for share in found]
