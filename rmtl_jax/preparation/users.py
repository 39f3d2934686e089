"""Numbers of users, as prepared data have them."""

from __future__ import annotations

import dataclasses

from rmtl_jax.preparation import source, sql


@dataclasses.dataclass(frozen=True)
class UserNumbers:
  """How users become numbers.

  Attributes:
    value: SQL of the number, BIGINT, over rows as `r`.
    join: SQL that joins what it needs; empty if that is nothing.
    table: of users that are no numbers: `name` and `number`; empty if all are.
  """

  value: str
  join: str = ''
  table: str = ''


NO_USERS = UserNumbers('NULL::BIGINT')


def by_table(numbered: str, are_names: bool) -> UserNumbers:
  """Numbers of a table with `key` (the log's user), `name` and `number`.

  Args:
    are_names: whether users are no numbers.
  """
  join = f'LEFT JOIN {numbered} u ON r."user" = u.key'
  return UserNumbers('u.number', join, numbered if are_names else '')


def names(connection: sql.Connection, rows: str) -> str:
  """Makes a table of the users of rows: `key` and `name`, in order of names."""
  return sql.create_table(
    connection,
    f'SELECT "user" AS key, {sql.value_text(sql.quote("user"))} AS name'
    f' FROM {rows} WHERE "user" IS NOT NULL GROUP BY "user" ORDER BY name',
  )


def number(
  connection: sql.Connection, relation: str, rows: source.SourceTable
) -> UserNumbers:
  """Numbers the users of a log.

  Text of whole numbers keeps them, so that users can be found in the raw log;
  other users are numbered in the order of their names.

  Args:
    relation: the rows.
  """
  if not rows.has_user:
    return NO_USERS
  if sql.column_types(connection, relation)['user'] in sql.INTEGERS:
    return UserNumbers('CAST(r."user" AS BIGINT)')
  named = names(connection, relation)
  are_numbers = sql.fetch_value(
    connection,
    'SELECT coalesce(bool_and(coalesce(CAST(TRY_CAST(name AS BIGINT) AS'
    f' VARCHAR) = name, false)), true) FROM {named}',
  )
  own = 'TRY_CAST(name AS BIGINT)' if are_numbers else 'rowid'
  numbered = sql.create_view(
    connection, f'SELECT *, {own} AS number FROM {named}'
  )
  return by_table(numbered, not are_numbers)
