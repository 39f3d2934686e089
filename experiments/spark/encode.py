"""Values to numbers of prepared data: what rmtl_jax.preparation.encode does.

Vocabularies, bins and normalisation come from train rows (split 0) alone, those
of all fields at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pyspark import sql
from pyspark.sql import functions as F
from pyspark.sql import types as spark_types

from experiments.spark import history, lists, numeric, raw_columns, vocabulary
from experiments.spark import work as work_lib
from rmtl_jax.config import prepare_settings
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.preparation import source

_TRAIN = 'split = 0'
_INTEGERS = (
  spark_types.ByteType,
  spark_types.ShortType,
  spark_types.IntegerType,
  spark_types.LongType,
)


class Encoded(NamedTuple):
  """The rows, encoded.

  Attributes:
    rows: with `user_id` and a column per field.
    fields: for the manifest, without sides.
    vocabularies: of the fields that have one of their own.
    cut_values: values beyond the slots of multi-valued fields, by name.
    left_out: names of as-of features that were not encoded, as they have one
      value over all train rows and nobody named their group.
  """

  rows: sql.DataFrame
  fields: tuple[manifest_lib.Field, ...]
  vocabularies: vocabulary.Vocabularies
  cut_values: dict[str, int]
  left_out: tuple[str, ...]


def encode(
  work: work_lib.Work,
  rows: sql.DataFrame,
  past: sql.DataFrame,
  fields: Sequence[source.SourceField],
  config: prepare_settings.PrepareConfig,
) -> Encoded:
  """Puts every field's column of numbers in the place of its values.

  Args:
    work: where.
    rows: those that are kept, on disk, with `split`.
    past: those that histories see.
    fields: in the networks' order.
    config: `min_count`, `max_values` and `as_of`.
  """
  train = rows.where(_TRAIN)
  scaled = [f for f in fields if f.transform in ('standard', 'log1p')]
  scales = numeric.fit_normalisations(train, scaled)
  values = {
    field.name: numeric.normalised(field, scale)
    for field, scale in zip(scaled, scales, strict=True)
  }
  binned = [field for field in fields if field.transform == 'bins']
  ranked = numeric.rank(
    work, train, values | {f.name: numeric.transformed(f) for f in binned}
  )
  edges = numeric.fit_bin_edges(ranked, {f.name: f.bins for f in binned})
  named = [field for field in fields if field.kind == 'categorical']
  texts = {f.name: F.col(f'`{f.source_column}`') for f in named}
  listed = [f for f in fields if f.kind == 'multi_valued' and not f.width]
  flat = lists.flatten(rows, listed, config.max_values)
  words = vocabulary.build(
    work,
    vocabulary.train_values(
      train,
      texts,
      {name: some.where(_TRAIN) for name, some in flat.values.items()},
    ),
    {f.name: config.min_count for f in (*named, *listed)},
  )
  coded = rows.withColumns(
    {field.source_column: values[field.name] for field in scaled}
  )
  coded = coded.withColumns(
    {f.encoded_column: numeric.bin_id(f, edges[f.name]) for f in binned}
  )
  for field in named:
    coded = _join_ids(coded, field.source_column, words.ids(field.name))
  coded = lists.join_ids(coded, flat, words, listed)
  for field in fields:
    if field.vocabulary_owner:
      coded = history.join(work, coded, past, field, words)
  details: dict[str, dict[str, Any]] = {}
  quantiles = numeric.fit_quantiles(ranked, list(values))
  for field, scale in zip(scaled, scales, strict=True):
    details[field.name] = {'transform': field.transform}
    details[field.name] |= scale.details()
    if quantiles[field.name]:
      details[field.name]['quantiles'] = quantiles[field.name]
  for field in binned:
    details[field.name] = {'transform': 'bins', 'edges': edges[field.name]}
  for field in (*named, *listed):
    details[field.name] = {'min_count': config.min_count}
  coded = work.keep(users(work, coded), 'coded')
  left_out = _constant(coded, fields, config)
  return Encoded(
    coded,
    tuple(
      _field(field, words, flat.widths, details.get(field.name, {}))
      for field in fields
      if field.name not in left_out
    ),
    words,
    flat.cut,
    left_out,
  )


def _join_ids(
  coded: sql.DataFrame, column: str, ids: sql.DataFrame
) -> sql.DataFrame:
  """Text to rows of its vocabulary."""
  ids = ids.withColumnRenamed('value', column)
  return (
    coded.join(ids, column, 'left')
    .withColumn(column, F.coalesce('id', F.lit(0)).cast('int'))
    .drop('id')
  )


def _constant(
  coded: sql.DataFrame,
  fields: Sequence[source.SourceField],
  config: prepare_settings.PrepareConfig,
) -> tuple[str, ...]:
  """Names of the `auto` as-of features with one value in all train rows."""
  asked = [
    field
    for field in fields
    if 'as_of' in field.details
    and prepare_settings.is_auto(config, field.details['as_of'])
  ]
  found = []
  for field in asked:
    ids = field.encoded_column
    varies = F.min(ids) != F.max(ids)
    if not coded.where(_TRAIN).agg(varies).collect()[0][0]:
      found.append(field.name)
  return tuple(found)


def _field(
  field: source.SourceField,
  words: vocabulary.Vocabularies,
  widths: Mapping[str, int],
  found: Mapping[str, Any],
) -> manifest_lib.Field:
  """The field as the manifest records it.

  Args:
    field: as declared.
    words: the vocabularies.
    widths: of multi-valued fields with vocabularies of their own.
    found: details that train told.
  """
  kind, size = field.kind, 0
  if field.is_binned:
    kind, size = 'categorical', len(found['edges']) + 2
  elif kind != 'numeric':
    size = words.sizes[field.vocabulary_owner or field.name]
  return manifest_lib.Field(
    field.name,
    kind,
    size,
    field.width or widths.get(field.name, 0),
    {'column': field.column or field.name, **field.details, **found},
    field.vocabulary_owner or None,
  )


def users(work: work_lib.Work, rows: sql.DataFrame) -> sql.DataFrame:
  """Adds `user_id`: the user's own whole number, else one by name."""
  kind = rows.schema['user'].dataType
  if isinstance(kind, _INTEGERS):
    return rows.withColumn('user_id', F.col('user').cast('long'))
  named = rows.withColumn('user', raw_columns.text(F.col('user'), kind))
  names = named.where('user is not null').select('user').distinct()
  number = F.col('user').try_cast('long')
  same = F.coalesce(number.cast('string') == F.col('user'), F.lit(False))
  if names.where(~same).isEmpty():
    return named.withColumn('user_id', number)
  numbered = work.number(names, [F.col('user').asc()], 'users')
  ids = numbered.select('user', F.col('number').alias('user_id'))
  return named.join(ids, 'user', 'left')
