from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from rmtl_jax.updates import actor as actor_lib
from rmtl_jax.updates import loop, state
from tests.updates import problem

DRAWS = loop.Draws(3, 0)
KEY = loop.random_key(DRAWS)
ROWS = problem.columns()


class Counter(NamedTuple):
  """The smallest state: a step counter and what the steps saw."""

  step: jax.Array
  trail: jax.Array


def counter():
  return Counter(jnp.zeros((), jnp.int32), jnp.zeros((8, 2)))


def count_step(counted, batch, key, *extras):
  """Writes the batch's row numbers, labels and a random number down."""
  labels = jnp.sum(jnp.where(batch.mask[..., None], batch.labels, 0.0))
  extra = sum(jnp.sum(jnp.where(batch.mask[..., None], e, 0.0)) for e in extras)
  seen = jnp.stack([labels + extra, jax.random.uniform(key)])
  trail = counted.trail.at[counted.step].set(seen)
  rows = jnp.sum(batch.mask).astype(jnp.float32)
  new = Counter(counted.step + 1, trail)
  return new, {'labels': labels, 'rows': rows}


def all_slots(lanes=2):
  """The problem's plan on the device, and its number of steps."""
  plan = problem.slots(lanes)
  return jax.device_put(plan), len(plan.row)


def test_gather_by_hand():
  slots = loop.Slots(
    row=jnp.array([[2, 0, -1]]),
    is_last=jnp.array([[False, True, False]]),
    segment=jnp.array([[5, 5, -1]]),
  )
  batch = loop.gather(ROWS, slots)
  assert ROWS.inputs.segment is None
  for found, column in zip(batch.inputs[:3], ROWS.inputs[:3], strict=True):
    np.testing.assert_array_equal(found[0, :2], column[jnp.array([2, 0])])
  np.testing.assert_array_equal(batch.inputs.segment, slots.segment)
  np.testing.assert_array_equal(
    batch.labels[0, :2], ROWS.labels[jnp.array([2, 0])]
  )
  np.testing.assert_array_equal(batch.mask, [[True, True, False]])
  for name in ('is_last', 'segment', 'row'):
    np.testing.assert_array_equal(getattr(batch, name), getattr(slots, name))


def test_loop_equals_a_python_loop():
  slots, steps = all_slots()
  extras = (ROWS.labels * 10,)
  expected, sums = counter(), {'labels': 0.0, 'rows': 0.0}
  for i in range(steps):
    batch = loop.gather(ROWS, jax.tree.map(lambda x, i=i: x[i], slots))
    key = jax.random.fold_in(KEY, expected.step)
    expected, metrics = count_step(
      expected, batch, key, problem.in_slots(extras[0], batch)
    )
    sums = {name: sums[name] + float(metrics[name]) for name in sums}
  run = loop.make_loop(count_step)
  found, totals = run(counter(), ROWS, extras, slots, np.int32(steps), DRAWS)
  assert int(found.step) == steps
  np.testing.assert_allclose(found.trail, expected.trail, rtol=1e-6)
  assert {name: float(v) for name, v in totals.items()} == {
    **sums,
    'nonfinite': 0.0,
  }
  assert sums == {
    'labels': float(jnp.sum(ROWS.labels)),
    'rows': float(problem.ROWS),
  }


def test_pieces_equal_the_whole():
  """Keys follow the state's step: a resumed run draws the same numbers."""
  slots, steps = all_slots()
  run = loop.make_loop(count_step)
  whole, _ = run(counter(), ROWS, (), slots, np.int32(steps), DRAWS)
  part, _ = run(counter(), ROWS, (), slots, np.int32(2), DRAWS)
  rest = jax.tree.map(lambda x: jnp.roll(x, -2, axis=0), slots)
  part, _ = run(part, ROWS, (), rest, np.int32(steps - 2), DRAWS)
  np.testing.assert_array_equal(part.trail, whole.trail)


@pytest.mark.parametrize('bad', [np.nan, np.inf, -np.inf])
def test_nonfinite_counts_the_steps_at_fault(bad):
  slots, steps = all_slots()
  row = int(slots.row[1, 0, 0])
  labels = ROWS.labels.at[row, 0].set(bad)
  run = loop.make_loop(count_step)
  found, sums = run(
    counter(),
    ROWS._replace(labels=labels),
    (),
    slots,
    np.int32(steps),
    DRAWS,
  )
  assert float(sums['nonfinite']) == 1
  assert int(found.step) == steps
  assert not np.isfinite(sums['labels'])


def pretraining(dropout=0.2):
  network = problem.actor(dropout=dropout)
  optimizer = state.make_optimizer(1e-3, 1e-6)
  step = actor_lib.make_actor_step(network, optimizer)
  weighting = optax.with_extra_args_support(optax.identity())
  params = problem.actor_params(network)

  def start():
    return state.init_actor(params, optimizer, weighting)

  return step, start, params


def test_pretraining_in_the_loop_equals_steps_by_themselves():
  step, start, params = pretraining()
  plan = problem.slots(7)
  slots = jax.device_put(plan)
  donated = start()
  run = loop.make_loop(step)
  found, sums = run(donated, ROWS, (), slots, np.int32(2), DRAWS)
  alone, total = start(), 0.0
  single = jax.jit(step)
  for i, batch in enumerate(problem.two_batches(ROWS)):
    alone, metrics = single(alone, batch, jax.random.fold_in(KEY, i))
    total += float(metrics['loss'])
  problem.assert_trees_close(found.params, alone.params, rtol=1e-5, atol=1e-6)
  np.testing.assert_allclose(sums['loss'], total, rtol=1e-5)
  # The state was given away, the parameters that it was made of were not.
  assert all(leaf.is_deleted() for leaf in jax.tree.leaves(donated.params))
  assert not any(leaf.is_deleted() for leaf in jax.tree.leaves(params))
  # Steps go on from what the loop returned, and nothing compiles again.
  other, _ = run(found, ROWS, (), slots, np.int32(1), DRAWS)
  assert int(other.step) == 3
  assert run._cache_size() == 1


def test_row_map_gives_every_slot_its_rows_value():
  slots, steps = all_slots()
  extra = jnp.arange(2.0 * problem.ROWS).reshape(problem.ROWS, 2)
  mapped = loop.make_row_map(
    lambda params, batch, e: (batch.row, params * e + batch.labels)
  )
  row, value = mapped(jnp.float32(3), ROWS, (extra,), slots, np.int32(steps))
  assert row.shape == (steps, 2, problem.LANE_LENGTH)
  held = np.asarray(slots.row) >= 0
  numbers = np.asarray(row)[held]
  np.testing.assert_array_equal(np.sort(numbers), np.arange(problem.ROWS))
  expected = 3 * np.asarray(extra) + np.asarray(ROWS.labels)
  np.testing.assert_array_equal(np.asarray(value)[held], expected[numbers])
