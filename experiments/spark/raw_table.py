"""A raw event table, described by a schema, to rows that Spark can encode."""

from __future__ import annotations

import pathlib
import urllib.parse
from collections.abc import Sequence

from pyspark import sql
from pyspark.sql import functions as F
from pyspark.sql import types as spark_types

from experiments.spark import work as work_lib
from rmtl_jax import types
from rmtl_jax.config import kinds
from rmtl_jax.preparation import checks, source
from rmtl_jax.preparation import schema as schema_lib
from rmtl_jax.preparation.raw import files as raw_files

# As in rmtl_jax.preparation.checks.
_EARLIEST_MS, _LATEST_MS = -2_208_988_800_000, 32_503_680_000_000
_LARGEST, _LARGEST_WEIGHT = 1e30, 1e15
_TYPES = {'s': 'double', 'iso': 'timestamp'}
# Of units that are whole numbers, how many are a millisecond.
_PER_MS = {'ms': 1, 'us': 1000, 'ns': 1_000_000}


def read(
  work: work_lib.Work,
  paths: Sequence[pathlib.Path],
  schema: schema_lib.TableSchema,
) -> sql.DataFrame:
  """Reads, checks and keeps the rows.

  Args:
    work: where.
    paths: the files, all CSV or all Parquet, in the order of their rows. A CSV
      value may not hold a line break.
    schema: the columns' meaning.

  Returns:
    `row_id` (counts the rows of all files from 0), `session`, `user` and
    `timestamp` as rmtl_jax.preparation.source has them, `row_hash` of all raw
    columns, `f_`, `m_` (array of text), `x_`, `y_` and `v_` columns.

  Raises:
    types.InputError: a column that is missing or a value that can't be used;
      names files, column and row.
  """
  sign = raw_files.delimiter_of(paths[0], schema.delimiter)
  raw = _open(work.spark, paths, sign)
  wanted = [schema.time, schema.session, schema.user, schema.item]
  wanted += [part.column for part in (*schema.fields, *schema.tasks)]
  wanted += _weights(schema)
  for column in wanted:
    if column is not None and column not in raw.columns:
      raise types.InputError(f'{paths[0]}: no column {column!r}')
  everything = [
    part
    for column in sorted(raw.columns)
    for part in (_column(column), _column(column).isNull())
  ]
  places = raw.select(
    *map(_column, raw.columns),
    F.xxhash64(*everything).alias('row_hash'),
    F.col('_metadata.file_path').alias('raw_file'),
    F.col('_metadata.file_block_start').alias('raw_block'),
    F.monotonically_increasing_id().alias('raw_place'),
  )
  rows = _number_rows(work, places, paths)
  _check(rows, paths[0].parent, schema)
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


def _column(name: str) -> sql.Column:
  return F.col('`' + name.replace('`', '``') + '`')


def _number_rows(
  work: work_lib.Work, places: sql.DataFrame, paths: Sequence[pathlib.Path]
) -> sql.DataFrame:
  """Adds `row_id`: blocks come in order, and one task reads each in order."""
  blocks = (
    places.groupBy('raw_file', 'raw_block')
    .agg(F.min('raw_place'), F.count('*'))
    .collect()
  )
  order = {str(path.resolve()): i for i, path in enumerate(paths)}

  def key(block: sql.Row) -> tuple[int, int]:
    path = urllib.parse.unquote(urllib.parse.urlparse(block[0]).path)
    return order[str(pathlib.Path(path).resolve())], block[1]

  offsets, rows = [], 0
  for file, block, place, count in sorted(blocks, key=key):
    offsets.append((file, block, rows - place))
    rows += count
  table = work.table(offsets, 'raw_file string, raw_block long, shift long')
  return places.join(table, ['raw_file', 'raw_block']).withColumn(
    'row_id', F.col('raw_place') + F.col('shift')
  )


def _time(schema: schema_lib.TableSchema) -> sql.Column:
  """Time in ms; null where it is none."""
  value = _column(schema.time)
  if schema.unit in _PER_MS:
    value = value.try_cast('decimal(38, 6)')
    # Fractions are rounded, as a cast to a whole number does elsewhere.
    value = F.round(value).try_cast('bigint')
    per_ms = _PER_MS[schema.unit]
    return (
      value if per_ms == 1 else F.call_function('div', value, F.lit(per_ms))
    )
  value = value.try_cast(_TYPES[schema.unit])
  if schema.unit == 's':
    return F.round(value * 1000).try_cast('bigint')
  return F.unix_millis(value)


def _key(column: str | None) -> sql.Column:
  """A session or user; null where it is missing or empty."""
  if column is None:
    return F.lit(None).cast('string')
  value = _column(column)
  return F.when(value.cast('string') != '', value)


def _number(column: str) -> sql.Column:
  return _column(column).try_cast('double')


def _weights(schema: schema_lib.TableSchema) -> list[str]:
  """The columns of weights, each once."""
  return list(dict.fromkeys(c for t in schema.tasks for c in t.weights))


def _columns(
  rows: sql.DataFrame, schema: schema_lib.TableSchema
) -> list[sql.Column]:
  columns = [
    F.col('row_id'),
    _key(schema.session).alias('session'),
    _key(schema.user).alias('user'),
    _time(schema).alias('timestamp'),
    F.col('row_hash'),
  ]
  for field in schema.fields:
    if field.kind == 'numeric':
      value = _number(field.column)
    elif field.kind == 'multi_valued':
      value = _values(rows, field)
    else:
      value = _column(field.column)
    columns.append(value.alias(field.source_column))
  columns += [
    _number(task.column).alias(f'y_{task.name}') for task in schema.tasks
  ]
  columns += [_number(name).alias(f'v_{name}') for name in _weights(schema)]
  return columns


def _values(rows: sql.DataFrame, field: source.SourceField) -> sql.Column:
  """A list of text without empty values."""
  value = _column(field.column)
  kind = rows.schema[field.column].dataType
  if isinstance(kind, spark_types.ArrayType):
    value = value.cast('array<string>')
  else:
    value = F.split(value.cast('string'), _literal(field.details['separator']))
  trimmed = F.transform(value, lambda v: F.trim(v))
  return F.filter(trimmed, lambda v: v != '')


def _literal(text: str) -> str:
  r"""A regular expression of Java that is the text."""
  return '\\Q' + text.replace('\\E', '\\E\\\\E\\Q') + '\\E'


def _check(
  rows: sql.DataFrame, where: pathlib.Path, schema: schema_lib.TableSchema
) -> None:
  """Raises for the first row that has a value which can't be used."""
  time = _time(schema)
  faults = [
    (
      schema.time,
      ~F.coalesce(time.between(_EARLIEST_MS, _LATEST_MS), F.lit(False)),
      f'a time between the years 1900 and 3000 ({schema.unit})',
    ),
    (
      schema.session or schema.user or '',
      _key(schema.session).isNull() & _key(schema.user).isNull(),
      'a session id or a user',
    ),
  ]
  for field in schema.fields:
    faults += _field_faults(field)
  columns = {task.name: task.column for task in schema.tasks}
  for task in schema.tasks:
    value = _number(task.column)
    record = kinds.LOSSES.find(task.loss)
    expected = kinds.expected(record, task.levels)
    wrong = _is_no_label(task)
    if task.nullable:
      wrong = _column(task.column).isNotNull() & wrong
    faults.append((task.column, wrong, expected))
    if task.after is not None and not task.only_after:
      parent = columns[task.after]
      wrong = (value != 0) & (_number(parent) == 0)
      faults.append((task.column, wrong, f'0 where {parent!r} is 0'))
  for name in _weights(schema):
    wrong = ~F.coalesce(_number(name).between(0, _LARGEST_WEIGHT), F.lit(False))
    expected = f'a weight from 0 to {_LARGEST_WEIGHT:g}'
    faults.append((name, wrong, expected))
  firsts = rows.agg(
    *(F.min(F.when(fault, F.col('row_id'))) for _, fault, _ in faults)
  ).first()
  assert firsts is not None
  wrong = [i for i, row in enumerate(firsts) if row is not None]
  if wrong:
    first = min(wrong, key=lambda i: firsts[i])
    column, _, expected = faults[first]
    row = rows.where(F.col('row_id') == firsts[first]).first()
    assert row is not None
    raise types.InputError(
      f'{where}: row_id {firsts[first]} (counted from 0 over all files), column'
      f' {column!r}: {row[column]!r:.80}, expected {expected}'
    )


def _is_no_label(task: source.SourceTask) -> sql.Column:
  """Rows whose label is missing, or one that the task can't have."""
  value, labels = _number(task.column), kinds.LOSSES.find(task.loss).labels
  if task.kind == kinds.BINARY:
    right = value.isin(0.0, 1.0)
  elif task.levels:
    right = value.isin(*map(float, task.levels))
  elif task.kind == kinds.ORDINAL:
    right = (value == F.round(value)) & (F.abs(value) <= checks.LARGEST_LEVEL)
  else:
    right = ~F.isnan(value) & (F.abs(value) <= checks.LARGEST)
    if labels != 'any':
      right &= value >= 0 if labels == 'zero' else value > 0
  return ~F.coalesce(right, F.lit(False))


def _field_faults(
  field: source.SourceField,
) -> list[tuple[str, sql.Column, str]]:
  if field.kind != 'numeric':
    return []
  raw, value = _column(field.column), _number(field.column)
  faults = [
    (field.column, raw.isNotNull() & value.isNull(), 'a number'),
    (
      field.column,
      ~F.isnan(value) & (F.abs(value) > _LARGEST),
      f'a number below {_LARGEST:g} in size',
    ),
  ]
  if field.transform == 'log1p':
    faults.append(
      (field.column, value <= -1, 'a number above -1, to take log(1 + x) of')
    )
  return faults
