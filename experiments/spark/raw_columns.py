"""Columns of a raw table as Spark's expressions."""

from __future__ import annotations

from pyspark import sql
from pyspark.sql import functions as F
from pyspark.sql import types as spark_types

from rmtl_jax.preparation import schema as schema_lib
from rmtl_jax.preparation import sql as duckdb_sql
from rmtl_jax.preparation.raw import raw_files

# How many of the units that times are counted in are a ms; seconds are counted
# in microseconds.
_PER_MS = {'ms': 1, 'us': 1000, 's': 1000}


def quoted(name: str) -> str:
  """A name in Spark's SQL."""
  return '`' + name.replace('`', '``') + '`'


def column(name: str) -> sql.Column:
  """A column of the log."""
  return F.col(quoted(raw_files.PREFIX + name))


def kind(rows: sql.DataFrame, name: str) -> spark_types.DataType:
  """The type of a column of the log."""
  return rows.schema[raw_files.PREFIX + name].dataType


def text(value: sql.Column, kind: spark_types.DataType) -> sql.Column:
  """A value as text: 118 for 118.0, null for NaN.

  What rmtl_jax.preparation.sql.value_text does.
  """
  written = value.cast('string')
  if isinstance(kind, spark_types.DecimalType):
    return F.regexp_replace(written, duckdb_sql.WHOLE, '$1$2')
  floats = {spark_types.DoubleType: 'DOUBLE', spark_types.FloatType: 'FLOAT'}
  if type(kind) not in floats:
    return written
  exact = duckdb_sql.EXACT[floats[type(kind)]]
  whole = (F.abs(value) < exact) & (value == F.round(value))
  whole_text = value.cast('bigint').cast('string')
  return F.when(whole, whole_text).when(~F.isnan(value), written)


def time(schema: schema_lib.TableSchema) -> sql.Column:
  """Time in ms; null where it is none, 0 where the log has none."""
  if schema.time is None:
    return F.lit(0).cast('bigint')
  value = column(schema.time)
  if schema.clock.unit == 'iso':
    return F.unix_millis(value.try_cast('timestamp'))
  if schema.clock.unit == 's':
    value = F.round(value.try_cast('double') * 1_000_000)
  else:
    # Fractions are rounded, as a cast to a whole number does elsewhere.
    value = F.round(value.try_cast('decimal(38, 6)'))
  value, per_ms = value.try_cast('bigint'), F.lit(_PER_MS[schema.clock.unit])
  # `div` rounds to 0, and ms are rounded down.
  return F.call_function('div', value - F.pmod(value, per_ms), per_ms)


def key(rows: sql.DataFrame, name: str | None) -> sql.Column:
  """A session or user of rows; null where it is missing, empty or NaN."""
  if name is None:
    return F.lit(None).cast('string')
  value = column(name)
  return F.when(text(value, kind(rows, name)) != '', value)


def number(name: str) -> sql.Column:
  """A number; null where it is none."""
  return column(name).try_cast('double')


def weights(schema: schema_lib.TableSchema) -> list[str]:
  """The columns of weights, each once."""
  return list(dict.fromkeys(c for t in schema.tasks for c in t.weights))
