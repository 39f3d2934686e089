"""Smoothed label rates of a user's rows with the row's own value of a field.

What share of the user's earlier rows of the same brand, say, was positive. They
are rates (see rates.py) of two keys, and count the same labels from the same
time on. Of a list (genres, say) they are of all pairs of an earlier row and a
value that both rows' lists have.

Fields are those that differ within users. `prepare` finds them over all rows of
some users and reads no label for that.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rmtl_jax import types
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.preparation import source, sql
from rmtl_jax.preparation.as_of import rates as asof_rates
from rmtl_jax.preparation.guess import words
from rmtl_jax.preparation.schema import fields as fields_lib

GROUP = 'tastes'
# Fields of a log at most, their values at least, and the mean number of values
# of a user at least.
_FIELDS, _VALUES, _OF_USER = 6, 3, 1.5
# Different values of a list at most: each is a row of windows. A longer list is
# as a missing one.
LONGEST = 10
# Users with several rows that are asked at most: those of the least hashes.
_USERS = 10_000


def fields_of(rows: source.SourceTable) -> list[source.SourceField]:
  """The log's own categories and lists but user, item and parts of the time."""
  return [
    field
    for field in rows.fields
    if field.kind == 'categorical' or field.has_own_lists
    if 'as_of' not in field.details
    and field.name not in (rows.user_field, rows.item_field)
    and fields_lib.FROM_TIME not in field.details
    and not fields_lib.is_of_time(field)
    and not words.has(field.name, words.PARTS_OF_TIME)
  ]


def find(
  connection: sql.Connection, rows: source.SourceTable
) -> tuple[str, ...]:
  """Names of the fields that differ most within users, in order.

  Rows have a user.
  """
  fields = fields_of(rows)
  if not fields:
    return ()
  user = sql.null_if_empty('"user"')
  named = ', '.join(
    f'{_value_sql(sql.quote(field.source_column), field.has_own_lists)}'
    f' AS v_{i}'
    for i, field in enumerate(fields)
  )
  numbers = range(len(fields))
  sizes = ', '.join(f'count(DISTINCT v_{i}) AS n_{i}' for i in numbers)
  means = ', '.join(f'avg(n_{i}) AS m_{i}' for i in numbers)
  users = (
    f'SELECT "user" FROM (SELECT {user} AS "user" FROM {rows.view})'
    ' WHERE "user" IS NOT NULL GROUP BY "user" HAVING count(*) > 1'
    f' ORDER BY md5(CAST("user" AS STRING)) LIMIT {_USERS}'
  )
  found = sql.fetch_row(
    connection,
    f'WITH asked AS (SELECT * FROM (SELECT {user} AS "user", {named}'
    f' FROM {rows.view}) WHERE "user" IN ({users}))'
    f' SELECT * FROM (SELECT {sizes} FROM asked), (SELECT {means} FROM ('
    f'SELECT {sizes} FROM asked GROUP BY "user"))',
  )
  mean_of = {
    field.name: mean
    for field, size, mean in zip(
      fields, found[: len(fields)], found[len(fields) :], strict=True
    )
    if size is not None and size >= _VALUES
    if mean is not None and mean >= _OF_USER
  }
  # A stable sort: of ties the first fields stay.
  most = sorted(mean_of, key=lambda name: -mean_of[name])[:_FIELDS]
  return tuple(name for name in mean_of if name in most)


def keys_of(
  rows: source.SourceTable, fields: Iterable[str]
) -> list[asof_rates.Key]:
  """The keys of the rates by fields of a log."""
  lists = [field.name for field in rows.fields if field.has_own_lists]
  return [asof_rates.Key('user', field, field in lists) for field in fields]


def value_columns(rows: source.SourceTable, fields: Iterable[str]) -> list[str]:
  """SQL of the columns of fields' values, of rows `r` of a reader's view."""
  lists = [field.name for field in rows.fields if field.has_own_lists]
  found = []
  for name in fields:
    many = name in lists
    column = sql.quote(f'{"m" if many else "f"}_{name}')
    value = _value_sql(f'r.{column}', many)
    found.append(f'{value} AS {sql.quote(asof_rates.value_column(name))}')
  return found


def _value_sql(column: str, many: bool) -> str:
  """SQL of a value as vocabularies write it, or of a list; NULL if missing."""
  if many:
    values = f'list_sort(list_distinct({sql.value_texts(column)}))'
    few = f'array_length({values}) BETWEEN 1 AND {LONGEST}'
    return f'CASE WHEN {few} THEN {values} END'
  given = f'{sql.null_if_empty(column)} IS NOT NULL'
  return f'CASE WHEN {given} THEN {sql.value_text(column)} END'


def recorded(fields: Sequence[manifest_lib.Field]) -> tuple[str, ...]:
  """Names of the fields that features of the group are made by, in order.

  Args:
    fields: of a manifest, which anybody may have written.

  Raises:
    types.InputError: a feature that can't be computed.
  """
  own = [
    field.name
    for field in fields
    if field.has_vocabulary and 'as_of' not in field.details
  ]
  found = []
  for field in fields:
    if field.details.get('as_of') != GROUP:
      continue
    by = field.details.get('by')
    if by not in own:
      raise types.InputError(
        f'manifest.json: fields: {field.name!r}: no such as-of feature; prepare'
        ' the data again'
      )
    found.append(by)
  return tuple(dict.fromkeys(found))
