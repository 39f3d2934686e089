"""Slates of raw rows, as prepared data has them."""

from __future__ import annotations

import dataclasses
import pathlib

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest

from rmtl_jax import types
from rmtl_jax.config import prepare_settings
from rmtl_jax.data import columns as columns_lib
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.preparation import prepare_log
from rmtl_jax.preparation.as_of import slates as asof_slates
from rmtl_jax.runtime import workdir
from rmtl_jax.serving import encoder, predict_file, raw_rows, row_slates, scorer
from tests.preparation import raw_files
from tests.serving import past_run, table_run

SCHEMA = {
  'session': 'search',
  'user': 'guest',
  'item': 'hotel',
  'time': {'column': 'ts', 'unit': 's'},
  'categorical': ['hotel', 'guest'],
  'numeric': [
    {'column': 'price', 'null': ['-1']},
    {'column': 'stars', 'transform': 'bins', 'bins': 3},
  ],
  'missing': ['?'],
  'tasks': [{'name': 'book', 'column': 'booked'}],
}
TIMELESS = {
  key: value
  for key, value in SCHEMA.items()
  if key not in ('time', 'user', 'missing')
}


def searches(count=120) -> pa.Table:
  """Searches of one to six rows; some rows of a guest have no search."""
  draw = np.random.default_rng(0)
  rows = []
  for s in range(count):
    prices = draw.choice([70.0, 0.1, 90.5, 90.5, 120.0, -1.0], s % 6 + 1)
    for i, price in enumerate(prices):
      rows.append(
        {
          'search': f's{s}' if s % 7 else '?',
          'guest': f'g{s % 5}',
          'hotel': f'h{i}',
          'ts': 1_700_000_000 + 5_000 * s,
          'price': price,
          'stars': None if i == 2 else int(draw.integers(1, 6)),
          'booked': int(draw.random() < 0.3),
        }
      )
  return pa.Table.from_pylist(rows)


def prepared(
  directory: pathlib.Path,
  schema: dict,
  kind: str = 'parquet',
  **options,
) -> tuple[pathlib.Path, manifest_lib.Manifest]:
  """Prepares searches into DIRECTORY/data; their file and manifest."""
  path = directory / f'log.{kind}'
  write = pq.write_table if kind == 'parquet' else pa_csv.write_csv
  write(searches(), path)
  config = prepare_settings.PrepareConfig(
    source='table',
    raw_dir=str(path),
    schema=raw_files.write_schema(directory / 'schema.json', schema),
    data_dir=str(directory / 'data'),
    min_count=1,
    as_of=('slate',),
    **options,
  )
  return path, prepare_log.prepare(config)


@pytest.mark.parametrize(
  ('schema', 'kind', 'options'),
  [(SCHEMA, 'csv', {}), (TIMELESS, 'parquet', {'split_by': 'random'})],
)
def test_rows_get_what_prepared_data_have(tmp_path, schema, kind, options):
  path, manifest = prepared(tmp_path, schema, kind, **options)
  encode = encoder.Encoder(tmp_path / 'data', manifest)
  found = row_slates.Slates(manifest, encode.as_of)
  assert len(found.columns) == 1 + 2 * len(asof_slates.KINDS)
  parts = []
  with raw_rows.open_rows(str(path)) as rows:
    reader = found.of_rows(rows)
    for chunk in rows.chunks(50):  # slates lie across chunks
      added = reader.take(chunk.table.num_rows)
      whole = scorer.with_columns(chunk.table, added)
      parts.append(encode.encode(dataclasses.replace(chunk, table=whole)))
  inputs = np.concatenate([part.categorical for part in parts])
  count = 0
  for split in manifest_lib.SPLITS:
    expected = columns_lib.read_split(tmp_path / 'data', manifest, split)
    np.testing.assert_array_equal(inputs[expected.row_id], expected.categorical)
    count += len(expected.row_id)
  assert count == len(inputs)


@pytest.fixture(scope='module')
def model(tmp_path_factory):
  directory = tmp_path_factory.mktemp('slates')
  prepared(directory, SCHEMA)
  (directory / 'run').mkdir()
  workdir.create(directory / 'run', table_run.CONFIG, directory / 'data')
  return past_run.untrained(directory / 'run')


def test_rows_are_compared_wherever_they_stand(model):
  table = searches().drop_columns(['booked'])
  whole = model.predict(table)['book']
  order = np.random.default_rng(1).permutation(len(whole))
  mixed = model.predict(table.take(pa.array(order)))['book']
  np.testing.assert_allclose(mixed, whole[order], rtol=1e-5)
  # A row that is sent without the others has none to be compared with.
  alone = model.predict(table.slice(8, 1))['book']
  assert not np.allclose(alone, whole[8:9], rtol=1e-3)


def test_the_columns_may_be_given(model):
  table = searches(20).drop_columns(['booked'])
  given = model.with_slates(table, 'rows')
  assert given.column_names == [*table.column_names, *model.slates.columns]
  expected = model.predict(table)['book']
  np.testing.assert_array_equal(model.predict(given)['book'], expected)
  first, *others = model.slates.columns
  with pytest.raises(types.InputError, match=f'no column {first!r}; it'):
    model.predict(given.drop_columns([first]))
  assert others


@pytest.mark.parametrize('column', ['search', 'ts', 'price'])
def test_a_column_that_is_missing_is_named(model, column):
  table = searches(20).drop_columns([column, 'guest', 'booked'])
  table = table.append_column('guest', pa.array(['g0'] * len(table)))
  with pytest.raises(types.InputError, match=f"column '{column}'"):
    model.predict(table)


def test_files_and_streams(model, tmp_path):
  table = searches(30).drop_columns(['booked'])
  expected = model.predict(table)['book']
  pq.write_table(table, tmp_path / 'rows.parquet')
  out = tmp_path / 'out.parquet'
  predict_file.predict(model, str(tmp_path / 'rows.parquet'), str(out))
  found = pq.read_table(out)
  assert found.column_names == [*table.column_names, 'p_book']
  np.testing.assert_array_equal(found['p_book'].to_numpy(), expected)
