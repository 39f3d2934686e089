"""Passes of one state, on a tiny problem's rows."""

import dataclasses
import functools
import io

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rmtl_jax import config as config_lib
from rmtl_jax.data import batches
from rmtl_jax.data import columns as columns_lib
from rmtl_jax.runtime import progress as progress_lib
from rmtl_jax.training import feed, trainer
from rmtl_jax.training import splits as splits_lib
from rmtl_jax.updates import forward, loop, state
from tests.updates import problem

BATCH = config_lib.BatchConfig(
  lanes=2, lane_length=problem.LANE_LENGTH, steps_per_dispatch=2
)
QUIET = progress_lib.Progress(quiet=True)
STARTS = np.concatenate([[0], np.cumsum(problem.LENGTHS)])
KEYS = [jax.random.key(seed) for seed in (5, 6, 7)]
RATES = (1e-2, 1e-3, 3e-3)


def make_split(**changes):
  rows = jax.device_get(problem.columns())
  host = columns_lib.SplitColumns(
    rows.inputs.categorical,
    rows.inputs.multi_valued,
    rows.inputs.numeric,
    labels=rows.labels,
    session=np.repeat(np.arange(len(problem.LENGTHS)), problem.LENGTHS),
    user=None,
    row_id=np.arange(problem.ROWS),
    oracle=None,
    time=rows.inputs.time,
    starts=STARTS,
  )
  return splits_lib.place(dataclasses.replace(host, **changes), BATCH)


SPLIT = make_split()


def plan_of(seed, epoch=0, size=None):
  """A shuffled plan, or its first `size` batches."""
  plan = batches.Epoch(STARTS, (seed,), epoch, BATCH).plan
  return jax.tree.map(lambda x: x[:size], plan)


# Ends within the first chunk, within the second, after all others.
PLANS = [plan_of(0, size=1), plan_of(1, size=3), plan_of(2)]


def run_epoch(
  loop, state, split, plan, key, progress=QUIET, extras=(), interrupted=int
):
  """A pass, with its sums as numbers."""
  dispatches = feed.dispatches(
    split, plan, BATCH.steps_per_dispatch, extras=extras
  )
  new_state, sums = trainer.run_epoch(
    loop, state, dispatches, key, progress, interrupted
  )
  return new_state, {name: float(value) for name, value in sums.items()}


def trail(kept, batch, key, *extras):
  """A step that counts rows and labels."""
  del key, extras
  rows = jnp.sum(batch.mask).astype(jnp.float32)
  labels = jnp.sum(jnp.where(batch.mask[..., None], batch.labels, 0.0))
  return kept._replace(step=kept.step + 1), {'rows': rows, 'labels': labels}


def counter():
  return state.ActorState((), (), (), jnp.int32(0))


@functools.cache
def trail_program():
  return loop.make_loop(trail)


def test_one_pass_sees_every_row_once_and_says_so():
  progress = progress_lib.Progress(io.StringIO(), quiet=True)
  progress.start('one', problem.ROWS)
  new_state, totals = run_epoch(
    trail_program(), counter(), SPLIT, plan_of(3), KEYS[0], progress
  )
  labels = float(np.sum(SPLIT.host.labels))
  expected = {'rows': problem.ROWS, 'labels': labels, 'nonfinite': 0.0}
  assert totals == expected and int(new_state.step) == len(plan_of(3).row)
  assert progress._done == problem.ROWS


def test_a_signal_stops_between_chunks():
  asked = []

  def interrupted():
    asked.append(1)
    return 15 if len(asked) > 1 else 0

  with pytest.raises(trainer.Interrupted, match='15') as caught:
    run_epoch(
      trail_program(),
      counter(),
      SPLIT,
      PLANS[2],
      KEYS[0],
      interrupted=interrupted,
    )
  assert caught.value.signal_number == 15


def with_a_nan():
  """The split with a NaN label that PLANS[2] alone sees, in its chunk 2."""
  labels = np.array(SPLIT.host.labels)
  row = int(PLANS[2].row[3, 0, 0])
  labels[row] = np.nan
  assert row not in PLANS[0].row
  return make_split(labels=labels)


def test_a_loss_that_is_not_finite_stops_the_pass():
  with pytest.raises(FloatingPointError, match=r'^loss .* at step 4'):
    run_epoch(trail_program(), counter(), with_a_nan(), PLANS[2], KEYS[0])


def repeated(host, times):
  """The rows of a split, each feature's values again and again."""
  index = np.arange(problem.ROWS) % times
  return {
    name: np.ascontiguousarray(getattr(host, name)[index])
    for name in ('categorical', 'multi_valued', 'numeric')
  }


@pytest.mark.parametrize('times', [3, problem.ROWS])
def test_rows_with_equal_features_are_computed_once(times):
  """With few and with no equal rows: the same values, in the rows' order."""
  split = make_split(**repeated(SPLIT.host, times))
  seen = []
  network = problem.actor('shared_bottom')
  params = problem.lively(network, 1)

  def policy(params, batch):
    jax.debug.callback(lambda mask: seen.append(int(mask.sum())), batch.mask)
    return forward.policy(network, params, batch.inputs)

  row_map = loop.make_row_map(policy)
  expected = trainer.map_rows(row_map, params, split)
  jax.effects_barrier()
  assert sum(seen) == problem.ROWS
  seen.clear()
  found = trainer.map_distinct_rows(row_map, params, split)
  jax.effects_barrier()
  assert sum(seen) == (3 if times == 3 else problem.ROWS)
  np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_rows_in_no_session_are_left_out():
  """As those that fill up the chunks of predict."""
  few = make_split(**repeated(SPLIT.host, 3), starts=np.array([0, 2, 4]))
  row_map = loop.make_row_map(lambda params, batch: batch.inputs.numeric)
  found = trainer.map_distinct_rows(row_map, (), few)
  np.testing.assert_array_equal(found, few.host.take(np.arange(4)).numeric)
