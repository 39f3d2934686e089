"""Vocabularies of train rows: what rmtl_jax.preparation.vocabulary does.

Those of all fields at once, in tables with a column `field`, so that their
number costs no further passes.
"""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from pyspark import sql
from pyspark.sql import functions as F

from experiments.spark import work as work_lib


class Vocabularies(NamedTuple):
  """The vocabularies of all fields.

  Attributes:
    words: `field`, `id`, `value` and `count`, row 0 included.
    sizes: rows of each field's, row 0 included.
  """

  words: sql.DataFrame
  sizes: dict[str, int]

  def ids(self, field: str) -> sql.DataFrame:
    """`value` and `id` of a field's values, row 0 left out."""
    known = self.words.where((F.col('field') == field) & (F.col('id') > 0))
    return known.select('value', 'id')


def train_values(
  train: sql.DataFrame,
  values: Mapping[str, sql.Column],
  further: Mapping[str, sql.DataFrame],
) -> sql.DataFrame:
  """`field` and `value` of all values.

  Args:
    train: the rows.
    values: columns of text, by field.
    further: frames with a column `value`, by field.
  """
  pairs = F.array(
    *(
      F.struct(F.lit(name).alias('field'), value.alias('value'))
      for name, value in values.items()
    )
  )
  found = train.select(F.inline(pairs))
  for name, some in further.items():
    found = found.unionByName(some.select(F.lit(name).alias('field'), 'value'))
  return found


def build(
  work: work_lib.Work,
  values: sql.DataFrame,
  min_counts: Mapping[str, int],
) -> Vocabularies:
  """Numbers the values with enough train rows, by count and then by text.

  Args:
    work: where.
    values: `field` and `value` (text, null if missing) of train.
    min_counts: least count of a value with a row of its own, by field.
  """
  least = work.table(list(min_counts.items()), 'field string, least long')
  counts = work.keep(
    values.groupBy('field', 'value').agg(F.count('*').alias('count')), 'counts'
  )
  known = (
    counts.join(least, 'field')
    .where((F.col('value') != '') & (F.col('count') >= F.col('least')))
    .drop('least')
  )
  order = [F.col('field').asc(), F.col('count').desc(), F.col('value').asc()]
  numbered = work.number(known, order, 'words_sorted')
  numbered = work.keep(numbered.drop('before'), 'words_numbered')
  spans = {
    name: (first, size, kept)
    for name, first, size, kept in numbered.groupBy('field')
    .agg(F.min('number'), F.count('*'), F.sum('count'))
    .collect()
  }
  totals = dict(counts.groupBy('field').agg(F.sum('count')).collect())
  firsts, rest = [], []
  for name in min_counts:
    first, _, kept = spans.get(name, (0, 0, 0))
    firsts.append((name, first))
    rest.append((name, 0, None, totals.get(name, 0) - kept))
  firsts = work.table(firsts, 'field string, first long')
  words = numbered.join(firsts, 'field').select(
    'field',
    (F.col('number') - F.col('first') + 1).cast('int').alias('id'),
    'value',
    'count',
  )
  rest = work.table(rest, 'field string, id int, value string, count long')
  return Vocabularies(
    work.keep(rest.unionByName(words), 'words'),
    {name: 1 + spans.get(name, (0, 0, 0))[1] for name in min_counts},
  )


def write(
  work: work_lib.Work,
  made: Vocabularies,
  fields: Sequence[str],
  directory: pathlib.Path,
) -> None:
  """Writes one file per field, its rows in the order of ids.

  Args:
    work: where.
    made: the vocabularies.
    fields: names of the fields, in any order.
    directory: the prepared data's.
  """
  path = work.directory / 'vocabulary_files'
  numbers = {name: i for i, name in enumerate(fields)}
  # Numbers, as a name may not be one that a directory can have.
  table = work.table(list(numbers.items()), 'field string, part int')
  (
    made.words.join(table, 'field')
    .repartition(len(fields), 'part')
    .sortWithinPartitions('part', 'id')
    .select('part', 'value', 'count')
    .write.option('compression', 'zstd')
    .partitionBy('part')
    .parquet(str(path))
  )
  (directory / 'vocabulary').mkdir()
  for name, number in numbers.items():
    (part,) = (path / f'part={number}').glob('part-*.parquet')
    part.rename(directory / 'vocabulary' / f'{name}.parquet')
