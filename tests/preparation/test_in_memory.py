"""Tables that a program holds, prepared as the files that they could be."""

from __future__ import annotations

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import rmtl_jax
from rmtl_jax.config import prepare_settings
from tests.preparation import raw_files

SCHEMA = raw_files.SCHEMA


def columns(rows=24):
  return {
    'user': [f'u{i % 3}' for i in range(rows)],
    'item': [f'i{i % 4}' for i in range(rows)],
    'ts': [i * 10**7 for i in range(rows)],
    'price': [i / 2 for i in range(rows)],
    'clicked': [i % 2 for i in range(rows)],
    'bought': [int(i % 4 == 1) for i in range(rows)],
  }


def config(tmp_path, **options):
  return prepare_settings.PrepareConfig(
    data_dir=str(tmp_path / 'out'),
    **{'min_count': 1, 'any_dates': True, 'as_of': ('none',), **options},
  )


def run(tmp_path, table, schema=SCHEMA, **options):
  return rmtl_jax.prepare(
    config(tmp_path, **options), table=table, schema=schema
  )


@pytest.fixture(scope='module')
def from_file(tmp_path_factory):
  """What the same rows in a file become."""
  tmp_path = tmp_path_factory.mktemp('file')
  pq.write_table(pa.table(columns()), tmp_path / 'log.parquet')
  schema = raw_files.write_schema(tmp_path / 'schema.json')
  raw_files.run(tmp_path, 'table', tmp_path / 'log.parquet', schema=schema)
  return raw_files.read(tmp_path)


def batches():
  for i in range(0, 24, 5):
    yield pa.record_batch(columns()).slice(i, 5)


def of_duckdb(connection):
  connection.register('log', pa.table(columns()))
  return connection.sql('FROM log')


def of_library(name):
  module = pytest.importorskip(name)
  return module.DataFrame(columns())


FORMS = {
  'dict': lambda _: columns(),
  'table': lambda _: pa.table(columns()),
  'reader': lambda _: pa.RecordBatchReader.from_batches(
    next(batches()).schema, batches()
  ),
  'duckdb': of_duckdb,
  'pandas': lambda _: of_library('pandas'),
  'polars': lambda _: of_library('polars'),
}


@pytest.mark.parametrize('form', FORMS)
def test_any_table_is_prepared_as_its_file(tmp_path, from_file, form):
  with duckdb.connect() as connection:
    manifest = run(tmp_path, FORMS[form](connection))
  assert raw_files.read(tmp_path) == from_file
  assert manifest.source == 'table'
  assert [file['name'] for file in manifest.source_files] == ['table.parquet']
  assert {path.name for path in (tmp_path / 'out').iterdir()} == {
    *('manifest.json', 'past', 'vocabulary', 'train', 'validation', 'test')
  }


def test_a_reader_that_fails_is_named(tmp_path):
  def broken():
    yield next(batches())
    raise ValueError('the line is dead')

  reader = pa.RecordBatchReader.from_batches(next(batches()).schema, broken())
  call = lambda: run(tmp_path, reader)
  line = raw_files.fails(tmp_path, call, 'the line is dead')
  assert line.startswith('table: not usable')
