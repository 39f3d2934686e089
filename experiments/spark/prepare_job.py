"""Raw events to prepared data with Spark, for logs larger than one machine.

    PYTHONPATH=. spark-submit experiments/spark/prepare_job.py \
      --raw_dir=LOG --schema=schema.json --data_dir=DATA

Does for a table what `rmtl prepare --source=table` does, and gives the same
rows, ids, labels and splits; numbers agree to rounding. LOG is a Parquet or CSV
file or a directory of such, the schema is that of docs/own_data.md, and DATA
keeps the contract of docs/prepared_data.md: `rmtl prepare --check
--data_dir=DATA` says so. Driver and executors must see both places under the
same path (a shared file system). Needs rmtl_jax on the driver alone. No as-of
features.
"""

from __future__ import annotations

import pathlib
import shutil
import sys
from collections.abc import Sequence

from absl import app, flags
from pyspark import sql
from pyspark.sql import functions as F

from experiments.spark import encode, raw_table, sessions, sides, supported
from experiments.spark import work as work_lib
from rmtl_jax import types
from rmtl_jax.config import prepare as prepare_config
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.preparation import label_statistics, labels, source, writer
from rmtl_jax.preparation import schema as schema_lib
from rmtl_jax.preparation.raw import folders

_RECORDED = ('idle_minutes', 'min_count', 'max_values')


def prepare(
  spark: sql.SparkSession, config: prepare_config.PrepareConfig
) -> manifest_lib.Manifest:
  """Turns a raw event table into prepared data.

  Args:
    spark: its time zone is set to UTC.
    config: `raw_dir`, `schema`, `data_dir`, `idle_minutes`, `min_count`,
      `split`, `max_values`, `rows_per_file`; the others mean nothing here
      (`as_of` is `auto` or `none`, and makes none).

  Returns:
    The manifest that was written.

  Raises:
    types.InputError: bad options, schema or rows; nothing is left behind.
  """
  prepare_config.validate(config)
  named = [group for group in config.as_of if group not in ('auto', 'none')]
  if named:
    raise types.InputError(
      f'as_of: {",".join(named)}: the Spark job makes no as-of features;'
      ' rmtl prepare does'
    )
  schema = schema_lib.read(pathlib.Path(config.schema))
  paths = folders.find(pathlib.Path(config.raw_dir))
  supported.check(config.schema, schema, paths)
  spark.conf.set('spark.sql.session.timeZone', 'UTC')
  with writer.new_directory(pathlib.Path(config.data_dir), False) as directory:
    work = work_lib.Work(spark, directory / 'work')
    rows = raw_table.read(work, paths, schema)
    raw_rows = rows.count()
    places = sessions.split_sessions(
      work,
      rows,
      round(config.idle_minutes * 60_000),
      config.split,
      source.fastest(schema.tasks).delay_ms,
    )
    if not all(places.kept):
      empty = manifest_lib.SPLITS[places.kept.index(0)]
      raise types.InputError(
        f'{config.raw_dir}: {raw_rows} rows cannot be split'
        f' {":".join(map(str, config.split))} by session start: {empty} would'
        ' be empty'
      )
    columns, coded = _encode(work, places, schema, config)
    splits = _write(coded, places, schema, config.rows_per_file, directory)
    user_field = schema.categorical_of(schema.user)
    item_field = schema.categorical_of(schema.item)
    manifest = manifest_lib.Manifest(
      source='table',
      fields=sides.infer_sides(
        spark.read.parquet(str(directory / manifest_lib.SPLITS[0])),
        [column.field for column in columns],
        item_field,
        user_field,
        schema.user is not None,
      ),
      tasks=label_statistics.of_files(directory, schema.tasks, config.raw_dir),
      splits=splits,
      user_field=user_field,
      item_field=item_field,
      options={
        **{name: getattr(config, name) for name in _RECORDED},
        'split': list(config.split),
        'schema': schema.to_dict(),
        'engine': f'spark {spark.version}',
      },
      report=_report(raw_rows, places, columns),
    )
    shutil.rmtree(work.directory)
    manifest_lib.write(manifest, directory)
  return manifest


def _encode(
  work: work_lib.Work,
  places: sessions.RowPlaces,
  schema: schema_lib.TableSchema,
  config: prepare_config.PrepareConfig,
) -> tuple[list[encode.Column], sql.DataFrame]:
  """Every field's column, and the rows with all columns of prepared data."""
  rows = places.rows
  coded = encode.users(work, rows)
  columns = []
  (work.directory.parent / 'vocabulary').mkdir()
  for field in schema.fields:
    column = encode.encode(work, rows, coded, field, config)
    coded = column.rows
    columns.append(column)
    if column.vocabulary is not None:
      _write_vocabulary(work, column.vocabulary, field.name)
  found = labels.label_columns(schema.tasks, places.boundaries, 'split')
  return columns, coded.select(
    'session_id',
    'user_id',
    'row_id',
    F.col('step').cast('int').alias('step'),
    'timestamp',
    *(column.field.column for column in columns),
    *(_expression(one.value).alias(one.name) for one in found),
    *(
      _expression(one.weight).alias(f'w_{one.name.removeprefix("y_")}')
      for one in found
      if one.weight
    ),
    'split',
  )


def _expression(text: str) -> sql.Column:
  """SQL of labels, which quotes names as DuckDB does."""
  return F.expr(text.replace('"', '`'))


def _write_vocabulary(
  work: work_lib.Work, words: sql.DataFrame, name: str
) -> None:
  """One file, its rows in the order of ids."""
  path = work.directory / f'{name}_file'
  ordered = words.repartition(1).sortWithinPartitions('id')
  _save(ordered.select('value', 'count'), path)
  (part,) = path.glob('part-*.parquet')
  part.rename(work.directory.parent / 'vocabulary' / f'{name}.parquet')


def _write(
  coded: sql.DataFrame,
  places: sessions.RowPlaces,
  schema: schema_lib.TableSchema,
  rows_per_file: int,
  directory: pathlib.Path,
) -> dict[str, manifest_lib.Split]:
  """The splits' files, sorted, every session in one of them; their records."""
  splits = {}
  for i, name in enumerate(manifest_lib.SPLITS):
    rows = coded.where(F.col('split') == i).drop('split')
    parts = -(-places.kept[i] // rows_per_file)
    # Rows of one session are equal in the key, so they share a part.
    ordered = rows.repartitionByRange(parts, 'session_id')
    ordered = ordered.sortWithinPartitions('session_id', 'step')
    path = directory / name
    _save(ordered, path)
    for other in [*path.glob('_*'), *path.glob('.*')]:
      other.unlink()
    written = coded.sparkSession.read.parquet(str(path))
    sums = [
      F.sum((F.col(f'y_{task.name}') != 0).cast('long'))
      for task in schema.tasks
    ]
    weighted = labels.weighted(schema.tasks)
    sums += [F.count_if(F.col(f'`w_{name}`') > 0) for name in weighted]
    start, *counts = written.agg(F.min('timestamp'), *sums).collect()[0]
    splits[name] = manifest_lib.Split(
      rows=places.kept[i],
      sessions=places.sessions[i],
      files=tuple(f'{name}/{p.name}' for p in sorted(path.glob('*.parquet'))),
      positives={
        task.name: count
        for task, count in zip(schema.tasks, counts, strict=False)
      },
      start_ms=start,
      end_ms=(*places.boundaries, None)[i],
      observed=dict(zip(weighted, counts[len(schema.tasks) :], strict=True)),
    )
  return splits


def _save(rows: sql.DataFrame, path: pathlib.Path) -> None:
  rows.write.option('compression', 'zstd').option(
    'parquet.block.row.count.limit', writer.ROW_GROUP
  ).parquet(str(path))


def _report(
  raw_rows: int, places: sessions.RowPlaces, columns: Sequence[encode.Column]
) -> dict[str, object]:
  dropped = {'exact duplicate': places.duplicates}
  for reason, counts in (
    (source.AFTER_END, places.dropped),
    (source.LABEL_UNKNOWN, places.immature),
  ):
    for name, count in zip(manifest_lib.SPLITS, counts, strict=True):
      if count:
        dropped[reason.format(name)] = count
  cut = {
    column.field.name: column.cut_values
    for column in columns
    if column.field.kind == 'multi_valued'
  }
  return {'raw_rows': raw_rows, 'dropped': dropped, 'cut_values': cut}


_DEFAULT = prepare_config.PrepareConfig()
_TEXTS = {
  'raw_dir': 'The raw files: a directory, or one file.',
  'schema': 'JSON file that describes the columns (docs/own_data.md).',
  'data_dir': 'Where prepared data goes; must not exist.',
}


def main(argv: Sequence[str]) -> None:
  """Runs the job; exits with 2 and one line on bad input."""
  del argv
  values = flags.FLAGS
  config = prepare_config.PrepareConfig(
    **{name: values[name].value for name in _TEXTS},
    idle_minutes=values.idle_minutes,
    min_count=values.min_count,
    max_values=values.max_values,
    rows_per_file=values.rows_per_file,
    split=tuple(int(part) for part in values.split),
    as_of=tuple(values.as_of),
  )
  spark = sql.SparkSession.builder.appName('rmtl prepare').getOrCreate()
  try:
    manifest = prepare(spark, config)
  except types.InputError as error:
    print(f'prepare_job: {error}', file=sys.stderr)
    sys.exit(2)
  finally:
    spark.stop()
  for name, split in manifest.splits.items():
    print(f'{name}: {split.rows:,} rows in {split.sessions:,} sessions')


if __name__ == '__main__':
  for name, text in _TEXTS.items():
    flags.DEFINE_string(name, None, text, required=True)
  for name in ('min_count', 'max_values', 'rows_per_file'):
    flags.DEFINE_integer(name, getattr(_DEFAULT, name), 'As of rmtl prepare.')
  flags.DEFINE_float(
    'idle_minutes', _DEFAULT.idle_minutes, 'As of rmtl prepare.'
  )
  flags.DEFINE_list('split', '6,2,2', 'As of rmtl prepare.')
  flags.DEFINE_list('as_of', 'auto', 'auto or none: this job makes none.')
  app.run(main)
