"""Values to numbers of prepared data: what rmtl_jax.preparation.encode does.

Vocabularies, bins and normalisation come from train rows (split 0) alone.
"""

from __future__ import annotations

import functools
import operator
from typing import NamedTuple

from pyspark import sql
from pyspark.sql import functions as F
from pyspark.sql import types as spark_types

from experiments.spark import work as work_lib
from rmtl_jax.config import prepare as prepare_config
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.preparation import numbers, source

_TRAIN = 'split = 0'
_INTEGERS = (
  spark_types.ByteType,
  spark_types.ShortType,
  spark_types.IntegerType,
  spark_types.LongType,
)


class Column(NamedTuple):
  """A field's column, encoded.

  Attributes:
    rows: the rows with the column.
    field: for the manifest.
    vocabulary: `value`, `count` in the order of `id` (from 0), or None.
    cut_values: values beyond the slots of a multi-valued field.
  """

  rows: sql.DataFrame
  field: manifest_lib.Field
  vocabulary: sql.DataFrame | None = None
  cut_values: int = 0


def encode(
  work: work_lib.Work,
  rows: sql.DataFrame,
  coded: sql.DataFrame,
  field: source.SourceField,
  options: prepare_config.PrepareConfig,
) -> Column:
  """Puts a field's column of numbers in the place of its values.

  Args:
    work: where.
    rows: of `sessions.split_sessions`; they are on disk, and statistics come
      from them.
    coded: the rows with other fields encoded, this one not.
    field: the field.
    options: `min_count` and `max_values`.
  """
  if field.kind == 'multi_valued':
    return _lists(work, rows, coded, field, options)
  if field.transform == 'bins':
    return _bins(work, rows, coded, field)
  if field.kind == 'numeric':
    return _number(rows, coded, field)
  value = F.col(field.source_column).cast('string')
  details = {'column': field.column, 'min_count': options.min_count}
  return _ids(work, rows, coded, value, field.name, details, options.min_count)


def _ids(
  work: work_lib.Work,
  rows: sql.DataFrame,
  coded: sql.DataFrame,
  value: sql.Column,
  name: str,
  details: dict[str, object],
  min_count: int,
) -> Column:
  """Text to rows of its vocabulary, in a column `f_<name>`."""
  column = f'f_{name}'
  values = rows.where(_TRAIN).select(value.alias('value'))
  words, size = _vocabulary(work, values, column, min_count)
  ids = words.where('id > 0').select(F.col('value').alias(column), 'id')
  coded = (
    coded.withColumn(column, value)
    .join(ids, column, 'left')
    .withColumn(column, F.coalesce('id', F.lit(0)).cast('int'))
    .drop('id')
  )
  field = manifest_lib.Field(name, 'categorical', size, 0, details)
  return Column(coded, field, words)


def _vocabulary(
  work: work_lib.Work, values: sql.DataFrame, name: str, min_count: int
) -> tuple[sql.DataFrame, int]:
  """`id`, `value` and `count` from a column `value` of train, and the size."""
  counts = work.keep(
    values.groupBy('value').agg(F.count('*').alias('count')), f'{name}_counts'
  )
  known = counts.where((F.col('value') != '') & (F.col('count') >= min_count))
  order = [F.col('count').desc(), F.col('value').asc()]
  numbered = work.keep(
    work.number(known, order, f'{name}_sorted').select(
      (F.col('number') + 1).cast('int').alias('id'), 'value', 'count'
    ),
    f'{name}_words',
  )
  total, kept, size = (
    counts.agg(F.sum('count')).collect()[0][0] or 0,
    numbered.agg(F.sum('count')).collect()[0][0] or 0,
    numbered.count() + 1,
  )
  rest = work.table(
    [(0, None, total - kept)], 'id int, value string, count long'
  )
  return rest.unionByName(numbered), size


def _lists(
  work: work_lib.Work,
  rows: sql.DataFrame,
  coded: sql.DataFrame,
  field: source.SourceField,
  options: prepare_config.PrepareConfig,
) -> Column:
  """A column of lists to lists of rows of its vocabulary."""
  column = field.source_column
  length = F.coalesce(F.size(column), F.lit(0))
  longest = rows.where(_TRAIN).agg(F.max(length)).collect()[0][0] or 1
  width = max(1, min(options.max_values, longest))
  cut = rows.agg(F.sum(F.greatest(length - width, F.lit(0)))).collect()[0][0]
  flat = rows.select(
    'row_id', 'split', F.posexplode(F.slice(column, 1, width))
  ).toDF('row_id', 'split', 'slot', 'value')
  words, size = _vocabulary(
    work, flat.where(_TRAIN).select('value'), column, options.min_count
  )
  known = words.where('id > 0').select('value', 'id')
  pairs = F.sort_array(
    F.collect_list(F.struct('slot', F.coalesce('id', F.lit(0)).alias('id')))
  )
  lists = (
    flat.join(known, 'value', 'left')
    .groupBy('row_id')
    .agg(F.transform(pairs, lambda pair: pair['id']).alias('ids'))
  )
  nothing = F.array(F.lit(0))
  coded = (
    coded.drop(column)
    .join(lists, 'row_id', 'left')
    .withColumn(column, F.coalesce('ids', nothing).cast('array<int>'))
    .drop('ids')
  )
  details = {'column': field.column, **field.details}
  details['min_count'] = options.min_count
  made = manifest_lib.Field(field.name, 'multi_valued', size, width, details)
  return Column(coded, made, words, cut or 0)


def _clean(field: source.SourceField) -> sql.Column:
  """A number before normalisation; NaN counts as missing."""
  value = F.col(field.source_column)
  if field.transform == 'log1p':
    value = F.log(1 + value)
  return F.when(~F.isnan(value), value)


def _number(
  rows: sql.DataFrame, coded: sql.DataFrame, field: source.SourceField
) -> Column:
  """A column of numbers, normalised."""
  column = field.source_column
  train = rows.where(_TRAIN).select(_clean(field).alias(column))
  mean = train.agg(F.avg(column)).collect()[0][0] or 0.0
  squares = (F.col(column) - F.lit(mean)) ** 2
  deviation = (train.agg(F.avg(squares)).collect()[0][0] or 0.0) ** 0.5
  if deviation <= 1e-9 * abs(mean):  # a constant column
    deviation = 1.0
  cleaned = _clean(field)
  scaled = (cleaned - F.lit(mean)) / F.lit(deviation)
  bounded = F.least(F.greatest(scaled, F.lit(-1e30)), F.lit(1e30))
  value = F.when(cleaned.isNull(), F.lit(0.0)).otherwise(bounded).cast('float')
  details = {
    'column': field.column,
    **field.details,
    'transform': field.transform,
    'mean': mean,
    'deviation': deviation,
  }
  if quantiles := _quantiles(rows.where(_TRAIN).select(value.alias('value'))):
    details['quantiles'] = quantiles
  made = manifest_lib.Field(field.name, 'numeric', 0, 0, details)
  return Column(coded.withColumn(column, value), made)


def _quantiles(values: sql.DataFrame) -> list[float]:
  """Edges of equally full bins of a column `value`; none of a constant one."""
  shares = ', '.join(str(n / numbers.BINS) for n in range(numbers.BINS + 1))
  within = F.expr(
    f'percentile_disc(array({shares})) WITHIN GROUP (ORDER BY value)'
  )
  edges = sorted(set(values.agg(within).collect()[0][0] or []))
  return edges if len(edges) > 1 else []


def _bins(
  work: work_lib.Work,
  rows: sql.DataFrame,
  coded: sql.DataFrame,
  field: source.SourceField,
) -> Column:
  """A column of numbers to quantile bins, a categorical field."""
  value = _clean(field)
  shares = F.array(*(F.lit(n / field.bins) for n in range(1, field.bins)))
  found = (
    rows.where(_TRAIN).agg(F.percentile(value, shares)).collect()[0][0] or []
  )
  edges = sorted(set(found))
  number = functools.reduce(
    operator.add,
    ((value >= F.lit(edge)).cast('int') for edge in edges),
    F.lit(0),
  )
  details = {
    'column': field.column,
    **field.details,
    'transform': 'bins',
    'edges': edges,
  }
  return _ids(
    work, rows, coded, number.cast('string'), field.name, details, min_count=1
  )


def users(work: work_lib.Work, rows: sql.DataFrame) -> sql.DataFrame:
  """Adds `user_id`: the user's own whole number, else one by name."""
  kind = rows.schema['user'].dataType
  if isinstance(kind, _INTEGERS):
    return rows.withColumn('user_id', F.col('user').cast('long'))
  named = rows.withColumn('user', F.col('user').cast('string'))
  names = named.where('user is not null').select('user').distinct()
  number = F.col('user').try_cast('long')
  same = F.coalesce(number.cast('string') == F.col('user'), F.lit(False))
  if names.where(~same).isEmpty():
    return named.withColumn('user_id', number)
  numbered = work.number(names, [F.col('user').asc()], 'users')
  ids = numbered.select('user', F.col('number').alias('user_id'))
  return named.join(ids, 'user', 'left')
