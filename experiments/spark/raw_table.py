"""A raw event table, described by a schema, to rows that Spark can encode."""

from __future__ import annotations

import pathlib
import urllib.parse
from collections.abc import Sequence
from typing import Any

from pyspark import sql
from pyspark.sql import functions as F
from pyspark.sql import types as spark_types

from experiments.spark import raw_checks, raw_columns
from experiments.spark import work as work_lib
from rmtl_jax import types
from rmtl_jax.config import prepare_settings
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.preparation import given_splits, source
from rmtl_jax.preparation import schema as schema_lib
from rmtl_jax.preparation.raw import raw_files


def read(
  work: work_lib.Work,
  files: given_splits.SplitFiles,
  schema: schema_lib.TableSchema,
  config: prepare_settings.PrepareConfig,
) -> sql.DataFrame:
  """Reads, checks and keeps the rows.

  Args:
    work: where.
    files: all CSV or all Parquet, in the order of their rows. A CSV value may
      not hold a line break.
    schema: the columns' meaning.
    config: `split_column` and `split_values`.

  Returns:
    `row_id` (counts the rows of all files from 0), `session`, `user` and
    `timestamp` as rmtl_jax.preparation.source has them, `row_hash` of all raw
    columns, `f_`, `m_` (array of text), `x_`, `y_` and `v_` columns, and
    `split` where the log says it.

  Raises:
    types.InputError: a column that is missing or a value that can't be used;
      names files, column and row.
  """
  paths = files.paths
  sign = raw_files.delimiter_of(paths[0], schema.delimiter)
  raw = _open(work.spark, paths, sign)
  wanted = [schema.time, schema.session, schema.user, schema.item]
  wanted += [part.column for part in (*schema.fields, *schema.tasks)]
  wanted += [*raw_columns.weights(schema), config.split_column or None]
  for column in wanted:
    if column is not None and column not in raw.columns:
      raise types.InputError(f'{paths[0]}: no column {column!r}')
  # Columns of the log get a prefix, so that none is taken for one of ours.
  columns = [_given(raw, name, schema, wanted) for name in raw.columns]
  places = raw.select(
    *columns,
    F.col('_metadata.file_path').alias('raw_file'),
    F.col('_metadata.file_block_start').alias('raw_block'),
    F.monotonically_increasing_id().alias('raw_place'),
  )
  everything = [
    part
    for name in sorted(raw.columns)
    for part in (raw_columns.column(name), raw_columns.column(name).isNull())
  ]
  places = places.withColumn('row_hash', F.xxhash64(*everything))
  rows = _number_rows(work, places, paths)
  faults = raw_checks.faults(rows, schema)
  if config.split_column:
    rows = rows.withColumn('split', _named_split(rows, config))
    expected = given_splits.expected_value(config)
    faults.append((config.split_column, F.col('split').isNull(), expected))
  elif files.counts:
    rows = rows.withColumn('split', _split_of_file(files.counts))
  raw_checks.check(rows, paths[0].parent, faults)
  return work.keep(rows.select(*_columns(rows, schema)), 'rows')


def _open(
  spark: sql.SparkSession, paths: Sequence[pathlib.Path], delimiter: str
) -> sql.DataFrame:
  names = [str(path) for path in paths]
  if paths[0].suffix == '.parquet':
    return spark.read.parquet(*names)
  return spark.read.csv(
    names, header=True, sep=delimiter, quote='"', escape='"', mode='FAILFAST'
  )


def _given(
  raw: sql.DataFrame,
  name: str,
  schema: schema_lib.TableSchema,
  wanted: Sequence[str | None],
) -> sql.Column:
  """A column of the log by its name here; null where it is missing."""
  value = F.col(raw_columns.quoted(name))
  is_text = isinstance(raw.schema[name].dataType, spark_types.StringType)
  if schema.missing and is_text and name in wanted:
    value = F.when(~value.isin(*schema.missing), value)
  return value.alias(raw_files.PREFIX + name)


def _named_split(
  rows: sql.DataFrame, config: prepare_settings.PrepareConfig
) -> sql.Column:
  """A row's split by `split_column`; null where it names none."""
  name = config.split_column
  value = raw_columns.text(
    raw_columns.column(name), raw_columns.kind(rows, name)
  )
  values = given_splits.column_values(config.split_values)
  return F.coalesce(
    *(
      F.when(value.isin(*values[split]), F.lit(i))
      for i, split in enumerate(manifest_lib.SPLITS)
    )
  )


def _split_of_file(counts: Sequence[int]) -> sql.Column:
  """A row's split by its file, of which so many are of each split."""
  train, validation, _ = counts
  number = F.col('raw_number')
  return (number >= train).cast('int') + (number >= train + validation).cast(
    'int'
  )


def _number_rows(
  work: work_lib.Work, places: sql.DataFrame, paths: Sequence[pathlib.Path]
) -> sql.DataFrame:
  """Adds `row_id` and `raw_number`, that of its file, both from 0.

  Blocks come in order, and one task reads each in order.
  """
  blocks = (
    places.groupBy('raw_file', 'raw_block')
    .agg(F.min('raw_place'), F.count('*'))
    .collect()
  )
  order = {str(path.resolve()): i for i, path in enumerate(paths)}

  def key(block: Sequence[Any]) -> tuple[int, int]:
    path = urllib.parse.unquote(urllib.parse.urlparse(block[0]).path)
    return order[str(pathlib.Path(path).resolve())], block[1]

  offsets, rows = [], 0
  for file, block, place, count in sorted(blocks, key=key):
    number, _ = key((file, block))
    offsets.append((file, block, rows - place, number))
    rows += count
  columns = 'raw_file string, raw_block long, shift long, raw_number int'
  table = work.table(offsets, columns)
  return places.join(table, ['raw_file', 'raw_block']).withColumn(
    'row_id', F.col('raw_place') + F.col('shift')
  )


def _columns(
  rows: sql.DataFrame, schema: schema_lib.TableSchema
) -> list[sql.Column]:
  columns = [
    F.col('row_id'),
    raw_columns.key(rows, schema.session).alias('session'),
    raw_columns.key(rows, schema.user).alias('user'),
    *(
      [raw_columns.key(rows, schema.item).alias('item')] if schema.item else []
    ),
    raw_columns.time(schema).alias('timestamp'),
    F.col('row_hash'),
    *([F.col('split')] if 'split' in rows.columns else []),
  ]
  for field in schema.fields:
    if field.kind == 'numeric':
      value = raw_columns.number(field.column)
    elif field.kind == 'multi_valued':
      value = _values(rows, field, schema.missing)
    else:
      value = raw_columns.text(
        raw_columns.column(field.column), raw_columns.kind(rows, field.column)
      )
    columns.append(value.alias(field.source_column))
  columns += [
    raw_columns.number(task.column).alias(f'y_{task.name}')
    for task in schema.tasks
  ]
  columns += [
    raw_columns.number(name).alias(f'v_{name}')
    for name in raw_columns.weights(schema)
  ]
  return columns


def _values(
  rows: sql.DataFrame, field: source.SourceField, missing: Sequence[str]
) -> sql.Column:
  """A list of text without empty values."""
  value = raw_columns.column(field.column)
  found = raw_columns.kind(rows, field.column)
  if isinstance(found, spark_types.ArrayType):
    value = F.transform(value, lambda v: raw_columns.text(v, found.elementType))
  else:
    value = F.split(value.cast('string'), _literal(field.details['separator']))
  trimmed = F.transform(value, lambda v: F.trim(v))
  return F.filter(trimmed, lambda v: ~v.isin('', *missing))


def _literal(text: str) -> str:
  r"""A regular expression of Java that is the text."""
  return '\\Q' + text.replace('\\E', '\\E\\\\E\\Q') + '\\E'
