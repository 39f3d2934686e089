from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rmtl_jax import config as config_lib
from rmtl_jax.data import batches
from tests import paper

LENGTHS = st.lists(st.integers(1, 23), min_size=1, max_size=60)
CONFIGS = st.builds(
  config_lib.BatchConfig,
  lanes=st.integers(1, 5),
  lane_length=st.integers(2, 20),
)
SEEDS = st.tuples(st.integers(0, 2**31 - 1), st.integers(1, 3))


@pytest.fixture(autouse=True, scope='module')
def _small_blocks():
  with mock.patch.multiple(batches, BLOCK_SESSIONS=5, WINDOW_BLOCKS=3):
    yield


def starts_of(lengths):
  return np.concatenate([[0], np.cumsum(lengths)])


def runs_of(plan):
  """(rows, ends) of every run of slots with one segment, lane by lane."""
  runs = []
  slots = plan.row.shape[-1]
  for row, is_last, segment in zip(
    plan.row.reshape(-1, slots),
    plan.is_last.reshape(-1, slots),
    plan.segment.reshape(-1, slots),
    strict=True,
  ):
    begin = 0
    for t in range(1, slots + 1):
      if t == slots or segment[t] != segment[begin]:
        if segment[begin] >= 0:
          runs.append((row[begin:t].tolist(), is_last[begin:t].tolist()))
        else:
          assert not is_last[begin:t].any()
        begin = t
  return runs


def pieces_of(lengths, capacity):
  """What the runs should be, one session after the other."""
  pieces, first = [], 0
  for length in lengths:
    for begin in range(0, length, capacity):
      size = min(capacity, length - begin)
      ends = begin + size == length
      pieces.append(
        (
          list(range(first + begin, first + begin + size)),
          [False] * (size - 1) + [ends],
        )
      )
    first += length
  return pieces


def check_plan(plan, lengths, config):
  """Every row once; sessions whole, in order, cut where a lane is too short."""
  steps = len(plan.row)
  for array in plan:
    assert array.shape == (steps, config.lanes, config.lane_length)
  assert plan.row.dtype == plan.segment.dtype == np.int32
  assert plan.is_last.dtype == bool
  np.testing.assert_array_equal(plan.row < 0, plan.segment < 0)
  np.testing.assert_array_equal(
    np.sort(plan.row[plan.row >= 0]), np.arange(sum(lengths))
  )
  assert sorted(runs_of(plan)) == pieces_of(lengths, config.lane_length)
  # A batch without a row would be a step without a loss.
  assert (plan.row.reshape(steps, -1) >= 0).any(axis=1).all()


@settings(deadline=None, max_examples=40)
@given(LENGTHS, CONFIGS, SEEDS, st.integers(0, 5))
def test_training_plan_has_every_row_once(lengths, config, seed, epoch):
  plan = batches.Epoch(starts_of(lengths), seed, epoch, config).plan
  check_plan(plan, lengths, config)


@settings(deadline=None, max_examples=25)
@given(LENGTHS, CONFIGS)
def test_ordered_plan_has_every_row_once_in_order(lengths, config):
  plan = batches.ordered_plan(starts_of(lengths), config)
  check_plan(plan, lengths, config)
  held = plan.row[plan.row >= 0]
  np.testing.assert_array_equal(held, np.arange(sum(lengths)))


@mock.patch.multiple(batches, BLOCK_SESSIONS=256, WINDOW_BLOCKS=256)
@pytest.mark.parametrize(('mean', 'deviation'), [(4, 1.0), (6, 0.6)])
def test_padding_is_below_five_percent(mean, deviation):
  """Of all slots of 64, on 40,000 sessions with heavy-tailed lengths."""
  rng = np.random.default_rng(int(10 * mean + 100 * deviation))
  location = np.log(mean) - deviation**2 / 2
  lengths = rng.lognormal(location, deviation, 40_000)
  lengths = np.maximum(1, np.round(lengths)).astype(int)
  plan = batches.Epoch(starts_of(lengths), (0, 1), 1, paper.batch()).plan
  used = (plan.row >= 0).mean()
  assert 1 - used < 0.05
  # Every batch but the last is about as full as the others.
  by_batch = (plan.row[:-1] >= 0).mean(axis=(1, 2))
  assert by_batch.min() > 0.9
