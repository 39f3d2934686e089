"""Raw events to prepared data with Spark, for logs larger than one machine.

    PYTHONPATH=. spark-submit experiments/spark/prepare_job.py \
      --raw_dir=LOG --schema=schema.json --data_dir=DATA

Does for a table what `rmtl prepare --source=table` does, and gives the same
rows, ids, labels, splits and as-of features; numbers agree to rounding. LOG is
a Parquet or CSV file or a directory of such, the schema is that of
docs/your_data.md, and DATA keeps the contract of docs/prepared_data.md: `rmtl
prepare --check --data_dir=DATA` says so. Driver and executors must see both
places under the same path (a shared file system). Needs rmtl_jax on the driver
alone.
"""

from __future__ import annotations

import dataclasses
import pathlib
import shutil
import sys
from collections.abc import Sequence

from absl import app, flags
from pyspark import sql
from pyspark.sql import functions as F

from experiments.spark import (
  as_of,
  encode,
  raw_table,
  sessions,
  sides,
  supported,
  vocabulary,
  writer,
)
from experiments.spark import work as work_lib
from rmtl_jax import types
from rmtl_jax.config import prepare_settings
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.data import manifest_file
from rmtl_jax.preparation import (
  given_splits,
  label_statistics,
  source,
  split_rules,
  warning_lines,
)
from rmtl_jax.preparation import prepare_log as prepare_lib
from rmtl_jax.preparation import schema as schema_lib
from rmtl_jax.preparation import writer as writer_lib
from rmtl_jax.preparation.as_of import groups as asof_groups
from rmtl_jax.preparation.as_of import slates as asof_slates
from rmtl_jax.preparation.raw import folders, raw_files

_RECORDED = ('idle_minutes', 'min_count', 'max_values')


def prepare(
  spark: sql.SparkSession, config: prepare_settings.PrepareConfig
) -> manifest_lib.Manifest:
  """Turns a raw event table into prepared data.

  Args:
    spark: its time zone is set to UTC.
    config: `raw_dir`, `schema`, `data_dir`, `idle_minutes`, `min_count`,
      `max_values`, `rows_per_file`, `as_of`, `history_items` and what splits
      (`split...`, `validation...`, `test_dir`); the others mean nothing here.

  Returns:
    The manifest that was written.

  Raises:
    types.InputError: bad options, schema or rows; nothing is left behind.
  """
  prepare_settings.validate(config)
  schema = schema_lib.read(pathlib.Path(config.schema))
  files = given_splits.by_files(
    [
      folders.find(pathlib.Path(place)) if place else []
      for place in (config.raw_dir, config.validation_dir, config.test_dir)
    ]
  )
  supported.check(schema, config.schema, files.paths)
  described = _describe(schema, files, config)
  rule = split_rules.find_rule(described, config)
  spark.conf.set('spark.sql.session.timeZone', 'UTC')
  data_dir = pathlib.Path(config.data_dir)
  with writer_lib.new_directory(data_dir, False) as directory:
    work = work_lib.Work(spark, directory / 'work')
    rows = raw_table.read(work, files, schema, config)
    raw_rows = rows.count()
    idle_ms = round(config.idle_minutes * 60_000)
    places = sessions.split_sessions(work, rows, described, rule, idle_ms)
    prepare_lib.check_split(described, places.record, config, rule)
    described, kept = _add_features(work, rows, described, places, config)
    encoded = encode.encode(work, kept, places.past, described.fields, config)
    described = asof_groups.without_fields(described, encoded.left_out)
    vocabulary.write(
      work,
      encoded.vocabularies,
      [field.name for field in encoded.fields if field.has_vocabulary],
      directory,
    )
    split_records = writer.write(
      encoded, described, places.record, config.rows_per_file, directory
    )
    train = spark.read.parquet(str(directory / manifest_lib.SPLITS[0]))
    manifest = manifest_lib.Manifest(
      source='table',
      fields=sides.infer_sides(
        train,
        encoded.fields,
        described.item_field,
        described.user_field,
        described.has_user,
      ),
      tasks=label_statistics.of_files(directory, schema.tasks, config.raw_dir),
      splits=split_records,
      user_field=described.user_field,
      item_field=described.item_field,
      has_time=described.has_time,
      split_by_time=places.record.by_time,
      options={name: getattr(config, name) for name in _RECORDED}
      | rule.record()
      | described.options
      | {'engine': f'spark {spark.version}'},
      report=_report(raw_rows, described, places, encoded),
    )
    shutil.rmtree(work.directory)
    manifest_file.write(manifest, directory)
  return manifest


def _describe(
  schema: schema_lib.TableSchema,
  files: given_splits.SplitFiles,
  config: prepare_settings.PrepareConfig,
) -> source.SourceTable:
  """The log as a reader describes it, without tables."""
  return source.SourceTable(
    view='',
    fields=schema.fields,
    tasks=schema.tasks,
    table=raw_files.RawTable('', ()),
    has_session=schema.session is not None,
    has_user=schema.user is not None,
    has_time=schema.time is not None,
    has_split=bool(config.split_column or files.counts),
    user_field=schema.categorical_of(schema.user),
    item_field=schema.categorical_of(schema.item),
    item='' if schema.item is None else 'item',
    identity=('row_hash',),
    options={'schema': schema.record},
  )


def _add_features(
  work: work_lib.Work,
  log: sql.DataFrame,
  described: source.SourceTable,
  places: sessions.RowPlaces,
  config: prepare_settings.PrepareConfig,
) -> tuple[source.SourceTable, sql.DataFrame]:
  """Adds as-of features to the description and to the rows of the log."""

  def find_slates() -> asof_slates.Found:
    query = asof_slates.find_sql(described, 'log')
    counted = work.query(query, log=log).collect()[0]
    return asof_slates.found_of(described, counted)

  plan, left_out = asof_groups.find_supported(
    described,
    places.record.rate_keys,
    config,
    find_slates,
    lambda: as_of.find_tastes(work, log, described),
  )
  described = asof_groups.declare(described, plan, left_out, config)
  if not {*plan.groups} - {'history'}:
    return described, places.rows
  if {*plan.groups} & {*asof_groups.LABELLED}:
    described = as_of.with_edges(work, places, described)
  made = as_of.compute(work, places, described, plan)
  fields = asof_groups.binned_fields(made.details)
  features = made.rows.select(
    'row_id',
    *(
      F.col(f'`{field.name.removeprefix(asof_groups.PREFIX)}`').alias(
        field.source_column
      )
      for field in fields
    ),
  )
  rows = work.keep(places.rows.join(features, 'row_id', 'left'), 'featured')
  described = dataclasses.replace(described, fields=described.fields + fields)
  return described, rows


def _report(
  raw_rows: int,
  described: source.SourceTable,
  places: sessions.RowPlaces,
  encoded: encode.Encoded,
) -> dict[str, object]:
  left_out = described.as_of_left_out
  return {
    'raw_rows': raw_rows,
    'dropped': prepare_lib.count_dropped(
      described, places.record, places.duplicates
    ),
    'cut_values': encoded.cut_values,
    **({'as_of_left_out': left_out} if left_out else {}),
    'warnings': [
      *described.warnings,
      *warning_lines.sessions(described),
      *warning_lines.immature(described, places.record),
    ],
  }


_DEFAULT = prepare_settings.PrepareConfig()
_NEEDED = {
  'raw_dir': 'The raw files: a directory, or one file.',
  'schema': 'JSON file that describes the columns (docs/your_data.md).',
  'data_dir': 'Where prepared data goes; must not exist.',
}
_TEXTS = ('split_by', 'split_column', 'validation_dir', 'test_dir')
_COUNTS = (
  *('min_count', 'max_values', 'rows_per_file', 'history_items'),
  'seed',
)
_NUMBERS = ('idle_minutes',)
_LISTS = ('as_of', 'split_dates', 'split_values')
_SAME = 'As of rmtl prepare.'


def main(argv: Sequence[str]) -> None:
  """Runs the job; exits with 2 and one line on bad input."""
  del argv
  values = flags.FLAGS
  given = {
    name: values[name].value
    for name in (*_NEEDED, *_TEXTS, *_COUNTS, *_NUMBERS)
  }
  given |= {name: tuple(values[name].value) for name in _LISTS}
  config = prepare_settings.PrepareConfig(
    split=tuple(int(part) for part in values.split), **given
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
  for warning in manifest.report['warnings']:
    print(f'Warning: {warning}', file=sys.stderr)


if __name__ == '__main__':
  for name, text in _NEEDED.items():
    flags.DEFINE_string(name, None, text, required=True)
  for name in _TEXTS:
    flags.DEFINE_string(name, getattr(_DEFAULT, name), _SAME)
  for name in _COUNTS:
    flags.DEFINE_integer(name, getattr(_DEFAULT, name), _SAME)
  for name in _NUMBERS:
    flags.DEFINE_float(name, getattr(_DEFAULT, name), _SAME)
  for name in _LISTS:
    flags.DEFINE_list(name, list(getattr(_DEFAULT, name)), _SAME)
  flags.DEFINE_list('split', list(map(str, _DEFAULT.split)), _SAME)
  app.run(main)
