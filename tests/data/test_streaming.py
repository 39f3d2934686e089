"""Splits on disk: the same rows, in the same batches, a window at a time."""

import dataclasses
from unittest import mock

import hypothesis
import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import strategies as st

from rmtl_jax.data import batches, prepared_file, streaming
from rmtl_jax.data import columns as columns_lib
from tests import tiny

WHOLE = ('labels', 'session', 'user', 'row_id', 'oracle', 'starts')


@pytest.fixture(autouse=True, scope='module')
def _small_blocks():
  with mock.patch.multiple(batches, BLOCK_SESSIONS=5, WINDOW_BLOCKS=3):
    yield


@pytest.fixture(scope='module')
def prepared(tmp_path_factory):
  """Three files of the train split, with row groups of 7 rows and ties."""
  path = tmp_path_factory.mktemp('streaming')
  manifest = tiny.write_prepared(path)
  train = manifest.splits['train']
  table = pq.read_table(path / train.files[0])
  at = table.schema.get_field_index('timestamp')
  tied = np.arange(len(table)) // 3
  table = table.set_column(at, 'timestamp', [tied.tolist()])
  files = []
  for number, (begin, end) in enumerate([(0, 90), (90, 91), (91, None)]):
    files.append(f'train/cut-{number}.parquet')
    pq.write_table(table[begin:end], path / files[-1], row_group_size=7)
  splits = {
    **manifest.splits,
    'train': dataclasses.replace(train, files=tuple(files)),
  }
  return path, dataclasses.replace(manifest, splits=splits)


@pytest.fixture(scope='module')
def both(prepared):
  """The split in memory, and on disk."""
  return (
    columns_lib.read_split(*prepared, 'train'),
    streaming.StreamedColumns(*prepared, 'train'),
  )


def test_whole_columns_are_those_in_memory(both):
  resident, streamed = both
  assert streamed.rows == resident.rows
  for name in WHOLE:
    np.testing.assert_array_equal(
      getattr(streamed, name), getattr(resident, name), name
    )
  for number in range(2):
    np.testing.assert_array_equal(
      streamed.field(number), resident.field(number)
    )


@hypothesis.given(st.data())
@hypothesis.settings(max_examples=10, deadline=None)
def test_any_rows_can_be_taken(both, data):
  resident, streamed = both
  rows = data.draw(st.lists(st.integers(-1, resident.rows - 1), min_size=1))
  found = streamed.take(np.array(rows).reshape(-1, 1))
  expected = resident.take(np.array(rows).reshape(-1, 1))
  for name in prepared_file.Features._fields:
    one, other = getattr(found, name), getattr(expected, name)
    assert one.dtype == other.dtype
    np.testing.assert_array_equal(one, other, name)
