"""Raw events to prepared data with Spark, for logs larger than one machine.

    PYTHONPATH=. spark-submit experiments/spark/prepare_job.py \
      --raw_dir=LOG --schema=schema.json --data_dir=DATA

Does for a table what `rmtl prepare --source=table` does, by the same statements
(see engine.py), and gives the same rows, ids, labels, splits and as-of
features; numbers agree to rounding. LOG is a Parquet or CSV file or a directory
of such, the schema is that of docs/your_data.md, and DATA keeps the contract of
docs/prepared_data.md: `rmtl prepare --check --data_dir=DATA` says so. Driver
and executors must see both places under the same path (a shared file system).
Needs rmtl_jax on the driver alone.
"""

from __future__ import annotations

import dataclasses
import pathlib
import shutil
import sys
from collections.abc import Iterator, Sequence
from typing import Any, cast

from absl import app, flags
from pyspark import sql

from experiments.spark import engine as engine_lib
from rmtl_jax import types
from rmtl_jax.commands import common, prepare_command
from rmtl_jax.config import prepare_settings
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.data import manifest_file
from rmtl_jax.preparation import prepare_log, source, summary, writer
from rmtl_jax.preparation import schema as schema_lib
from rmtl_jax.preparation import sql as duckdb_sql
from rmtl_jax.preparation.raw import folders, raw_files
from rmtl_jax.preparation.sources import table as table_lib

_UNITS = ('ms', 'us', 's', 'iso')


def prepare(
  spark: sql.SparkSession, config: prepare_settings.PrepareConfig
) -> manifest_lib.Manifest:
  """Turns a raw event table into prepared data.

  Args:
    spark: its time zone is set to UTC.
    config: what `rmtl prepare` takes, but for what DuckDB is given and what
      reads other sources.

  Returns:
    The manifest that was written.

  Raises:
    types.InputError: bad options, schema or rows; nothing is left behind.
  """
  prepare_settings.validate(config)
  _check(config)
  spark.conf.set('spark.sql.session.timeZone', 'UTC')
  with writer.new_directory(pathlib.Path(config.data_dir), False) as directory:
    engine = engine_lib.Engine(spark, directory / 'work')
    manifest = prepare_log.run(
      cast(duckdb_sql.Connection, engine),
      _read,
      config,
      None,
      directory,
      lambda stage, fraction: None,
    )
    shutil.rmtree(engine.directory)
    manifest = dataclasses.replace(
      manifest,
      options=manifest.options | {'engine': f'spark {spark.version}'},
      digests=writer.digests(directory),
    )
    manifest_file.write(manifest, directory)
  return manifest


def _read(
  connection: duckdb_sql.Connection,
  raw_dir: pathlib.Path,
  config: prepare_settings.PrepareConfig,
) -> source.SourceTable:
  """The rows of the log; its files are not hashed, as the driver would."""
  rows = table_lib.read(connection, raw_dir, config)
  return dataclasses.replace(rows, files=())


def _check(config: prepare_settings.PrepareConfig) -> None:
  """Refuses what Spark does not read, rather than read it otherwise."""
  schema = schema_lib.read(pathlib.Path(config.schema))
  for key in _unread(schema.record):
    raise types.InputError(
      f'{config.schema}: {key}: the Spark job does not take it; rmtl prepare'
      ' does'
    )
  for place in (config.raw_dir, config.validation_dir, config.test_dir):
    for file in folders.find(pathlib.Path(place)) if place else ():
      if raw_files.compression(file) == 'zstd':
        raise types.InputError(
          f'{file}: the Spark job reads no zstd; rmtl prepare does'
        )


def _unread(record: dict[str, Any]) -> Iterator[str]:
  """Keys of a schema whose statements no test runs on Spark."""
  yield from (key for key in ('tables', 'sql', 'events') if key in record)
  time = record.get('time', {})
  if not isinstance(time, str):
    yield from (f'time.{key}' for key in ('zone', 'format') if key in time)
    if time.get('unit', 'ms') not in _UNITS:
      yield f'time.unit={time["unit"]}'
  for i, field in enumerate(record.get('categorical', ())):
    if not isinstance(field, str) and 'vectors' in field:
      yield f'categorical[{i}].vectors'


# What DuckDB is given, and what reads other sources.
_WITHOUT = (
  *('source', 'extend', 'simulated_rows', 'overwrite'),
  *('memory_limit', 'threads', 'temp_dir'),
)


def main(argv: Sequence[str]) -> None:
  """Runs the job; exits with 2 and one line on bad input."""
  del argv
  spark = sql.SparkSession.builder.appName('rmtl prepare').getOrCreate()
  try:
    common.require(flags.FLAGS, 'raw_dir', 'schema', 'data_dir')
    manifest = prepare(spark, prepare_command.settings(flags.FLAGS, _WITHOUT))
  except types.InputError as error:
    print(f'prepare_job: {error}', file=sys.stderr)
    sys.exit(2)
  finally:
    spark.stop()
  for line in (*summary.splits(manifest), *manifest.report['warnings']):
    print(line)


if __name__ == '__main__':
  prepare_command.define_settings(common.Definer(flags.FLAGS), _WITHOUT)
  app.run(main)
