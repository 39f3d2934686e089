"""Splits on disk: the same rows, in the same batches, a window at a time."""

import dataclasses
from unittest import mock

import hypothesis
import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import strategies as st

from rmtl_jax import config as config_lib
from rmtl_jax import types
from rmtl_jax.data import batches, prepared_file, streaming
from rmtl_jax.data import columns as columns_lib
from tests import tiny

CONFIG = config_lib.BatchConfig(lanes=4, lane_length=8)
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


@pytest.mark.parametrize(('size', 'readers'), [(1, 1), (3, 4), (100, 2)])
def test_pieces_are_the_plan_with_its_rows(both, size, readers):
  resident, streamed = both
  config = dataclasses.replace(CONFIG, readers=readers)
  epoch = batches.Epoch(resident.starts, (3, 1), 2, config)
  pieces = list(streaming.pieces(streamed, epoch, size))
  assert epoch.steps == len(epoch.plan.row)
  assert len(pieces) == -(-epoch.steps // size)
  for name in batches.Plan._fields:
    joined = np.concatenate([getattr(p.plan, name) for p in pieces])
    expected = getattr(epoch.plan, name)
    np.testing.assert_array_equal(joined[: epoch.steps], expected)
    rest = joined[epoch.steps :]
    assert np.all(rest == (0 if name == 'is_last' else -1))
  for name in prepared_file.Features._fields:
    joined = np.concatenate([getattr(p.features, name) for p in pieces])
    expected = getattr(resident.take(epoch.plan.row), name)
    np.testing.assert_array_equal(joined[: epoch.steps], expected)


@pytest.mark.parametrize('readers', [1, 2])
def test_a_pass_goes_on_where_it_was_cut_off(both, readers):
  resident, streamed = both
  config = dataclasses.replace(CONFIG, readers=readers)
  epoch = batches.Epoch(resident.starts, (3, 1), 2, config)
  whole = list(streaming.pieces(streamed, epoch, 3))
  for begin in range(len(whole) + 1):
    rest = list(streaming.pieces(streamed, epoch, 3, begin))
    assert len(rest) == len(whole) - begin
    for found, expected in zip(rest, whole[begin:], strict=True):
      for a, b in zip(
        (*found.plan, *found.features),
        (*expected.plan, *expected.features),
        strict=True,
      ):
        np.testing.assert_array_equal(a, b)


def test_each_reader_has_its_lanes_of_every_batch(both):
  resident, streamed = both
  config = dataclasses.replace(CONFIG, readers=4)
  epoch = batches.Epoch(resident.starts, (3, 1), 2, config)
  own = [
    list(streaming.pieces(streamed, epoch, 2, readers=[r])) for r in range(4)
  ]
  assert len({len(pieces) for pieces in own}) == 1
  for number, piece in enumerate(streaming.pieces(streamed, epoch, 2)):
    parts = [pieces[number].plan.row for pieces in own]
    assert parts[0].shape == (2, 1, 8)
    np.testing.assert_array_equal(np.concatenate(parts, 1), piece.plan.row)
    rows = [set(part[part >= 0].tolist()) for part in parts]
    assert sum(map(len, rows)) == len(set().union(*rows))


def _change(path, manifest, row, column, value):
  """Another value in a row of the train split's third file."""
  file = path / 'train/cut-2.parquet'
  table = pq.read_table(file)
  at = table.schema.get_field_index(column)
  values = table[column].to_pylist()
  values[row] = value
  changed = table.set_column(at, column, [values])
  pq.write_table(changed.cast(table.schema), file, row_group_size=7)


@pytest.mark.parametrize(
  ('column', 'value', 'told'),
  [
    ('f_item', 99, r"cut-2\.parquet: row 17, column 'f_item': is 99"),
    ('y_click', 2.0, r"cut-2\.parquet: row 17, column 'y_click': is 2.0"),
    ('session_id', 0, r"cut-2\.parquet: row 17, column 'session_id': is less"),
    ('timestamp', None, r"cut-2\.parquet: row 17, column 'timestamp': is null"),
  ],
)
def test_a_bad_value_is_named_with_its_row(tmp_path, column, value, told):
  manifest = tiny.write_prepared(tmp_path)
  train = manifest.splits['train']
  (tmp_path / 'train/part-00000.parquet').rename(
    tmp_path / 'train/cut-2.parquet'
  )
  train = dataclasses.replace(train, files=('train/cut-2.parquet',))
  manifest = dataclasses.replace(
    manifest, splits={**manifest.splits, 'train': train}
  )
  _change(tmp_path, manifest, 16, column, value)
  for read in (columns_lib.read_split, streaming.StreamedColumns):
    with pytest.raises(types.InputError, match=told):
      read(tmp_path, manifest, 'train')


def test_a_file_that_changes_later_is_named(tmp_path):
  manifest = tiny.write_prepared(tmp_path)
  streamed = streaming.StreamedColumns(tmp_path, manifest, 'train')
  (tmp_path / 'train/part-00000.parquet').write_bytes(b'')
  told = r'part-00000\.parquet: the data were replaced while they were read'
  with pytest.raises(types.InputError, match=told):
    streamed.take(np.arange(3))
  (tmp_path / 'train/part-00000.parquet').unlink()
  with pytest.raises(types.InputError, match=told):
    _ = streamed.labels
