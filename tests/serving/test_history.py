"""Predictions where the user's earlier items are a feature."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rmtl_jax import types
from rmtl_jax.data import columns as columns_lib
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.data import manifest_file
from rmtl_jax.networks import from_settings
from rmtl_jax.serving import encoder, raw_rows
from tests.networks import small
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


def config():
  """Trained enough to say something."""
  return table_run.CONFIG


def test_later_rows_change_no_earlier_prediction(data, tmp_path):
  """From prepare to probabilities: another future, the same past."""
  manifest = manifest_file.read(data)
  past = 360  # in the test split: vocabularies stay
  table = table_run.table()
  future = table.slice(past)
  columns = {
    name: future[name].to_numpy()[::-1]
    for name in ('item', 'click', 'buy', 'Customer No')
  }
  for name, values in columns.items():
    at = table.schema.get_field_index(name)
    changed = [*table[name].to_pylist()[:past], *values.tolist()]
    table = table.set_column(at, name, pa.array(changed, table[name].type))
  other = table_run.prepare_table(
    tmp_path, table, as_of=('history',), history_items=ITEMS
  )
  network = from_settings.make_actor(
    manifest.feature_spec(), 'shared_bottom', config().network
  )
  params = small.params(network)
  outputs = []
  for directory in (data, other):
    split = columns_lib.read_split(
      directory, manifest_file.read(directory), 'test'
    )
    inputs = types.Inputs(
      split.categorical[None], split.multi_valued[None], split.numeric[None]
    )
    logits = small.run(network, params, inputs)[0]
    outputs.append(dict(zip(split.row_id, logits, strict=True)))
  one, changed = outputs
  before = [row for row in one if row < past]
  assert len(before) > 20
  for row in before:
    np.testing.assert_array_equal(one[row], changed[row])
  assert any((one[row] != changed[row]).any() for row in one if row >= past)
