"""Multi-valued fields: what rmtl_jax.preparation.lists does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from pyspark import sql
from pyspark.sql import functions as F

from experiments.spark import vocabulary
from rmtl_jax.preparation import source


class FlatLists(NamedTuple):
  """The values of all lists.

  Attributes:
    values: `row_id`, `split`, `slot` and `value` of those within the slots, by
      field.
    widths: slots by field: the length of train's longest list, capped.
    cut: number of values beyond the slots, by field.
  """

  values: dict[str, sql.DataFrame]
  widths: dict[str, int]
  cut: dict[str, int]


def flatten(
  rows: sql.DataFrame, fields: Sequence[source.SourceField], max_values: int
) -> FlatLists:
  """Takes lists apart.

  Args:
    rows: with a column of lists of text per field, and `split`.
    fields: the fields.
    max_values: most slots of a field.
  """
  widths, cut = {}, {}
  if fields:
    lengths = [
      F.coalesce(F.size(f'`{field.source_column}`'), F.lit(0))
      for field in fields
    ]
    longest = rows.where('split = 0').agg(*map(F.max, lengths)).collect()[0]
    widths = {
      field.name: max(1, min(max_values, most or 1))
      for field, most in zip(fields, longest, strict=True)
    }
    beyond = (
      F.sum(F.greatest(length - widths[field.name], F.lit(0)))
      for field, length in zip(fields, lengths, strict=True)
    )
    counts = rows.agg(*beyond).collect()[0]
    cut = {
      field.name: count or 0
      for field, count in zip(fields, counts, strict=True)
    }
  values = {
    field.name: rows.select(
      'row_id',
      'split',
      F.posexplode(
        F.slice(F.col(f'`{field.source_column}`'), 1, widths[field.name])
      ).alias('slot', 'value'),
    )
    for field in fields
  }
  return FlatLists(values, widths, cut)


def join_ids(
  coded: sql.DataFrame,
  flat: FlatLists,
  words: vocabulary.Vocabularies,
  fields: Sequence[source.SourceField],
) -> sql.DataFrame:
  """Puts lists of rows of their vocabularies in the place of lists of text."""
  pairs = F.sort_array(
    F.collect_list(F.struct('slot', F.coalesce('id', F.lit(0)).alias('id')))
  )
  for field in fields:
    column = field.source_column
    lists = (
      flat.values[field.name]
      .join(words.ids(field.name), 'value', 'left')
      .groupBy('row_id')
      .agg(F.transform(pairs, lambda pair: pair['id']).alias('ids'))
    )
    ids = F.coalesce('ids', F.array(F.lit(0))).cast('array<int>')
    coded = (
      coded.drop(column)
      .join(lists, 'row_id', 'left')
      .withColumn(column, ids)
      .drop('ids')
    )
  return coded
