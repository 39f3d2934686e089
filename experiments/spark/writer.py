"""Writes the splits' files: what rmtl_jax.preparation.writer does."""

from __future__ import annotations

import pathlib

from pyspark import sql
from pyspark.sql import functions as F

from experiments.spark import encode, work
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.preparation import label_sql, sessionize, source, writer


def write(
  encoded: encode.Encoded,
  described: source.SourceTable,
  places: sessionize.RowPlaces,
  rows_per_file: int,
  directory: pathlib.Path,
) -> dict[str, manifest_lib.Split]:
  """Writes the splits, sorted, every session in one file; their records.

  Args:
    encoded: the rows, with session, step and split.
    described: its tasks.
    places: boundaries and counts.
    rows_per_file: about how many rows a file holds.
    directory: the prepared data's.
  """
  rows = _columns(encoded, described, places.boundaries)
  splits = {}
  for i, name in enumerate(manifest_lib.SPLITS):
    parts = -(-places.rows[i] // rows_per_file)
    path = directory / name
    # Rows of one session are equal in the key, so they share a part.
    (
      rows.where(F.col('split') == i)
      .drop('split')
      .repartitionByRange(parts, 'session_id')
      .sortWithinPartitions('session_id', 'step')
      .write.option('compression', 'zstd')
      .option('parquet.block.row.count.limit', writer.ROW_GROUP)
      .parquet(str(path))
    )
    for other in [*path.glob('_*'), *path.glob('.*')]:
      other.unlink()
    written = rows.sparkSession.read.parquet(str(path))
    splits[name] = _record(written, described, places, i, path)
  return splits


def _columns(
  encoded: encode.Encoded,
  described: source.SourceTable,
  boundaries: tuple[int | None, int | None],
) -> sql.DataFrame:
  """The rows with the columns of prepared data, and `split`."""
  found = label_sql.label_columns(described.tasks, boundaries, 'split')
  return encoded.rows.select(
    'session_id',
    'user_id',
    'row_id',
    F.col('step').cast('int').alias('step'),
    'timestamp',
    *(F.col(f'`{field.column}`') for field in encoded.fields),
    *(F.expr(work.spark_sql(one.value)).alias(one.name) for one in found),
    *(
      F.expr(work.spark_sql(one.weight)).alias(
        f'w_{one.name.removeprefix("y_")}'
      )
      for one in found
      if one.weight
    ),
    'split',
  )


def _record(
  written: sql.DataFrame,
  described: source.SourceTable,
  places: sessionize.RowPlaces,
  number: int,
  path: pathlib.Path,
) -> manifest_lib.Split:
  """What the manifest says of a split."""
  names = [task.name for task in described.tasks]
  weighted = label_sql.weighted(described.tasks)
  sums = [F.count_if(F.col(f'`y_{name}`') != 0) for name in names]
  sums += [F.count_if(F.col(f'`w_{name}`') > 0) for name in weighted]
  start, *counts = written.agg(F.min('timestamp'), *sums).collect()[0]
  return manifest_lib.Split(
    rows=places.rows[number],
    sessions=places.sessions[number],
    files=tuple(
      f'{path.name}/{p.name}' for p in sorted(path.glob('*.parquet'))
    ),
    positives=dict(zip(names, counts, strict=False)),
    start_ms=start if described.has_time else None,
    end_ms=(*places.boundaries, None)[number],
    observed=dict(zip(weighted, counts[len(names) :], strict=True)),
  )
