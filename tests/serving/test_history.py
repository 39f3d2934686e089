"""Predictions where the user's earlier items are a feature."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rmtl_jax.data import columns as columns_lib
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.data import manifest_file
from rmtl_jax.serving import encoder, raw_rows
from tests.serving import table_run

FIELD = 'asof_history'
ITEMS = 5


def raw(table=None):
  """The raw rows with each one's history, all of it, as items of the log."""
  table = table_run.table() if table is None else table
  rows = table.select(['Visit', 'time', 'Customer No', 'item']).to_pylist()
  starts: dict[int, int] = {}
  for row in rows:
    starts.setdefault(row['Visit'], row['time'])
  lists = [
    [
      past['item']
      for past in rows[: starts[row['Visit']]]
      if row['Customer No'] and past['Customer No'] == row['Customer No']
    ]
    for row in rows
  ]
  return table.append_column(FIELD, [pa.array(lists, pa.list_(pa.int64()))])


@pytest.fixture(scope='module')
def data(tmp_path_factory):
  options = {'as_of': ('history',), 'history_items': ITEMS}
  return table_run.prepare_table(tmp_path_factory.mktemp('history'), **options)


def chunk(table):
  return raw_rows.Chunk(table, 'log.parquet', range(1, 1 + table.num_rows))


def test_raw_items_get_what_their_prepared_rows_have(data):
  manifest = manifest_file.read(data)
  found = encoder.Encoder(data, manifest)
  table = raw()
  found.check(table.schema, 'log.parquet')
  for split in manifest_lib.SPLITS:
    columns = columns_lib.read_split(data, manifest, split)
    inputs = found.encode(chunk(table.take(pa.array(columns.row_id))))
    np.testing.assert_array_equal(inputs.multi_valued, columns.multi_valued)
    # Some have no history, some more than there is room for.
    first = columns.multi_valued[:, -ITEMS]
    assert split != 'train' or (first == 0).any()
    assert (columns.multi_valued[:, -1] > 0).any()


def test_the_last_known_items_stay(data):
  words = pq.read_table(data / 'vocabulary' / 'item.parquet')['value']
  words = words.to_pylist()
  a, b, c = words[1:4]
  lists = [
    [],
    None,
    ['new', None, 'none'],
    [a, 'new', b, None, ' ', c],
    [c, 'new', a, b, a, b, a, 'new'],
  ]
  table = table_run.table(len(lists)).append_column(
    FIELD, [pa.array(lists, pa.list_(pa.string()))]
  )
  found = encoder.Encoder(data, manifest_file.read(data))
  np.testing.assert_array_equal(
    found.encode(chunk(table)).multi_valued[:, -ITEMS:],
    [
      [0, -1, -1, -1, -1],
      [0, -1, -1, -1, -1],
      [0, -1, -1, -1, -1],
      [1, 2, 3, -1, -1],
      [1, 2, 1, 2, 1],
    ],
  )
