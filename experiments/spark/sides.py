"""Infers which fields describe the item and which the user.

What rmtl_jax.preparation.sides does, by Spark.
"""

from __future__ import annotations

from collections.abc import Sequence

from pyspark import sql
from pyspark.sql import functions as F

from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.preparation import sides


def infer_sides(
  train: sql.DataFrame,
  fields: Sequence[manifest_lib.Field],
  item_field: str | None,
  user_field: str | None,
  has_user: bool,
) -> tuple[manifest_lib.Field, ...]:
  """As rmtl_jax.preparation.sides.infer_sides, of the train rows as written."""
  if item_field is None:
    return tuple(fields)
  columns = [field.column for field in sides.candidate_fields(fields)]
  item = f'f_{item_field}'
  viewer = 'user_id' if has_user else 'session_id'
  items = train.where(F.col(item) != 0)
  users = train.where('user_id is not null')
  return sides.assign_sides(
    fields,
    item_field,
    user_field,
    _constant_fractions(items, columns, item, viewer),
    _constant_fractions(users, columns, 'user_id', item),
    _varying(train, columns),
  )


def _constant_fractions(
  rows: sql.DataFrame, columns: Sequence[str], key: str, other: str
) -> list[float]:
  """For each column, the fraction of rows with a key that has one value of it.

  Args:
    rows: with a key each.
    columns: the columns.
    key: the column that groups rows.
    other: only keys with several values of this column count.

  Returns:
    0 for every column where no key counts.
  """
  keys = rows.groupBy(key).agg(
    F.count('*').alias('n'),
    (F.min(other) != F.max(other)).alias('counts'),
    *(
      (F.min(column) == F.max(column)).alias(f'same_{i}')
      for i, column in enumerate(columns)
    ),
  )
  fractions = (
    F.sum(F.when(F.col(f'same_{i}'), F.col('n')).otherwise(0)) / F.sum('n')
    for i in range(len(columns))
  )
  found = keys.where('counts').agg(*fractions).collect()[0]
  return [float(fraction or 0) for fraction in found]


def _varying(rows: sql.DataFrame, columns: Sequence[str]) -> list[bool]:
  """For each column, whether rows differ in it."""
  differ = (F.min(column) != F.max(column) for column in columns)
  return [bool(varies) for varies in rows.agg(*differ).collect()[0]]
