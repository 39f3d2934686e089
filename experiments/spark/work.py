"""What the job's parts share: results on disk, numbers in a global order."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

from pyspark import sql
from pyspark.sql import functions as F
from pyspark.sql import window


def spark_sql(text: str) -> str:
  """SQL that quotes names as Spark does, from SQL that does it as DuckDB."""
  return text.replace('"', '`')


class Work(NamedTuple):
  """Where the job computes.

  Attributes:
    spark: the session.
    directory: for what is computed once and read several times; on storage
      that driver and executors share.
  """

  spark: sql.SparkSession
  directory: pathlib.Path

  def keep(self, frame: sql.DataFrame, name: str) -> sql.DataFrame:
    """The rows, written and read back: computed once, the same ever after."""
    path = str(self.directory / name)
    frame.write.parquet(path)
    return self.spark.read.parquet(path)

  def query(self, text: str, **tables: sql.DataFrame) -> sql.DataFrame:
    """The result of SQL as rmtl_jax.preparation writes it for DuckDB.

    Args:
      text: the query.
      **tables: what the query calls by these names.
    """
    for name, frame in tables.items():
      frame.createOrReplaceTempView(name)
    found = self.spark.sql(spark_sql(text))
    for name in tables:
      self.spark.catalog.dropTempView(name)
    return found

  def table(self, rows: Sequence[Any], columns: str) -> sql.DataFrame:
    """A few rows of the driver, for a join that needs no shuffle.

    Args:
      rows: tuples.
      columns: names and types, as `a long, b string`.
    """
    return F.broadcast(self.spark.createDataFrame(list(rows), columns))

  def number(
    self,
    frame: sql.DataFrame,
    order: Sequence[sql.Column],
    name: str,
    weight: str = '',
  ) -> sql.DataFrame:
    """Numbers rows in a global order, without one task that sees them all.

    Args:
      frame: the rows.
      order: by which to sort; no two rows may be equal in it.
      name: of the result on disk.
      weight: a BIGINT column to add up.

    Returns:
      The rows with `number` BIGINT, from 0, and `before` BIGINT, the sum of
      the weights of earlier rows.
    """
    weight_of = F.col(weight) if weight else F.lit(0)
    places = self.keep(
      frame.sort(*order).select(
        '*',
        weight_of.cast('long').alias('weight'),
        F.spark_partition_id().alias('part'),
        F.monotonically_increasing_id().alias('place'),
      ),
      name,
    )
    parts = places.groupBy('part').agg(F.count('*'), F.sum('weight')).collect()
    offsets, rows, total = [], 0, 0
    for part, count, sum_ in sorted(parts):
      offsets.append((part, rows, total))
      rows, total = rows + count, total + sum_
    earlier = window.Window.partitionBy('part').orderBy('place')
    running = F.sum('weight').over(
      earlier.rowsBetween(window.Window.unboundedPreceding, 0)
    )
    columns = 'part int, rows_of_earlier long, sum_of_earlier long'
    return (
      places.join(self.table(offsets, columns), 'part')
      .withColumn(
        'number',
        F.col('rows_of_earlier') + F.row_number().over(earlier) - F.lit(1),
      )
      .withColumn('before', F.col('sum_of_earlier') + running - F.col('weight'))
      .drop('part', 'place', 'weight', 'rows_of_earlier', 'sum_of_earlier')
    )
