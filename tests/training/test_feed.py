"""What dispatches get, of rows on the device and of rows on disk."""

import dataclasses
from unittest import mock

import jax
import numpy as np
import pytest

from rmtl_jax import types
from rmtl_jax.data import batches
from rmtl_jax.training import feed, split_data
from rmtl_jax.updates import loop as loop_lib
from tests import paper, tiny

BATCH = paper.batch(lanes=4, lane_length=8)


@pytest.fixture(autouse=True, scope='module')
def _small_blocks():
  with mock.patch.multiple(batches, BLOCK_SESSIONS=5, WINDOW_BLOCKS=3):
    yield


@pytest.fixture(scope='module', params=['all kinds', 'one kind'])
def both(tmp_path_factory, request):
  """The train split in memory and on disk."""
  path = tmp_path_factory.mktemp('feed')
  manifest = tiny.write_prepared(path)
  if request.param == 'one kind':
    fields = manifest.of_kind('categorical')
    manifest = dataclasses.replace(manifest, fields=fields)
  return [
    split_data.read(
      path, manifest, 'train', dataclasses.replace(BATCH, input=source)
    )
    for source in ('resident', 'streaming')
  ]


def _batches(made):
  """Every batch, with its extras."""
  found = []
  for one in made:
    for i in range(int(one.steps)):
      slots = jax.tree.map(lambda x, i=i: x[i], one.slots)
      row = np.maximum(slots.row, 0)
      extras = tuple(np.asarray(x)[row] for x in one.extras)
      batch = loop_lib.gather(one.columns, slots)
      found.append((batch._replace(row=one.row[i]), extras))
  return found


@pytest.mark.parametrize('begin', [0, 2])
def test_streamed_batches_are_the_resident_ones(both, begin):
  """To the last bit, in padding too, with extra values."""
  values = np.random.default_rng(0).random((both[0].host.rows, 2))
  epoch = batches.Epoch(both[0].host.starts, (1, 2), 3, BATCH)
  assert (epoch.plan.row < 0).any() and epoch.steps % 3
  resident, streamed = (
    _batches(feed.dispatches(split, epoch, 3, begin, (split.put(values),)))
    for split in both
  )
  assert len(resident) == epoch.steps - 3 * begin
  jax.tree.map(np.testing.assert_array_equal, resident, streamed)


def test_what_is_made_ahead_comes_in_order_and_stops_when_left():
  made = []

  def numbers():
    for i in range(100):
      made.append(i)
      yield i

  ahead = feed.ahead(numbers())
  assert [next(ahead) for _ in range(5)] == list(range(5))
  ahead.close()
  assert 5 <= len(made) < 12


def test_an_error_ahead_is_raised_where_it_is_reached():
  def numbers():
    yield 1
    raise OSError('gone')

  ahead = feed.ahead(numbers())
  assert next(ahead) == 1
  with pytest.raises(OSError, match='gone'):
    next(ahead)


@pytest.mark.parametrize(
  ('settings', 'rows', 'expected'),
  [
    ({'input': 'streaming'}, 1, True),
    ({'input': 'resident'}, 10**12, False),
    ({}, 1000, False),
    ({}, 10**12, True),
  ],
)
def test_the_size_decides(tmp_path, settings, rows, expected):
  spec = tiny.write_prepared(tmp_path).feature_spec()
  config = dataclasses.replace(BATCH, **settings)
  assert split_data.streams(spec, rows, config) is expected


def test_a_split_with_too_many_rows_is_refused(tmp_path):
  manifest = tiny.write_prepared(tmp_path)
  train = dataclasses.replace(manifest.splits['train'], rows=2**31)
  manifest = dataclasses.replace(
    manifest, splits={**manifest.splits, 'train': train}
  )
  with pytest.raises(types.InputError, match="'train' has 2147483648 rows"):
    split_data.read(tmp_path, manifest, 'train', BATCH)
