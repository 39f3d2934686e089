"""Passes of one state and of populations, on a tiny problem's rows."""

import dataclasses
import functools
import io

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from rmtl_jax import config as config_lib
from rmtl_jax.data import batches
from rmtl_jax.data import columns as columns_lib
from rmtl_jax.runtime import progress as progress_lib
from rmtl_jax.training import feed, trainer
from rmtl_jax.training import splits as splits_lib
from rmtl_jax.updates import critic as critic_lib
from rmtl_jax.updates import finetune, forward, loop, pretrain, state
from rmtl_jax.weighting import factory
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


def pretraining():
  """The step of stage 1, and a function from a seed to its state."""
  network = problem.actor('mmoe', dropout=0.2)
  optimizer = state.make_optimizer(config_lib.StageConfig())
  weighting = optax.with_extra_args_support(optax.identity())

  def start(p):
    actor = state.init_actor(
      problem.lively(network, p + 1), optimizer, weighting
    )
    return actor._replace(
      opt_state=state.with_learning_rate(actor.opt_state, RATES[p])
    )

  return pretrain.make_pretrain_step(network, optimizer), start


def critics():
  """The step of stage 2, and a function from a seed to its state."""
  network, config = problem.critic(dropout=0.2), config_lib.CriticConfig()
  optimizer = state.make_optimizer(config)
  step = critic_lib.make_critic_step(network, optimizer, config)

  def start(p):
    return state.init_critic(problem.lively(network, p + 1), optimizer)

  return lambda s, batch, key, pi: step(s, batch, key, pi, pi), start


def finetuning():
  """The step of stage 3 with learning critics, and the same function."""
  config = config_lib.Config(
    critic=config_lib.CriticConfig(in_finetune='learning')
  )
  network = problem.actor('shared_bottom', dropout=0.2)
  critic = problem.critic()
  optimizer = state.make_optimizer(config.finetune)
  weighting = factory.make_weighting(config.weighting)

  def start(p):
    full = finetune.init_finetune(
      problem.lively(network, p + 1),
      problem.lively(critic, p + 4),
      optimizer,
      optimizer,
      weighting,
      config,
    )
    actor = full.actor._replace(
      opt_state=state.with_learning_rate(full.actor.opt_state, RATES[p]),
      weighting_state=factory.with_values(
        full.actor.weighting_state, lambda_=(0.0, 0.7, 2.0)[p]
      ),
    )
    return full._replace(actor=actor)

  step = finetune.make_finetune_step(
    network, optimizer, weighting, config, critic, optimizer
  )
  return step, start


def policies(p):
  """The extra rows of a member's critics."""
  rng = np.random.default_rng(p)
  values = rng.uniform(0.1, 0.9, (problem.ROWS, 2))
  return (SPLIT.beside(values),)


@pytest.mark.parametrize('stage', [pretraining, critics, finetuning])
def test_members_end_where_they_end_alone(stage):
  assert [len(plan.row) for plan in PLANS[:2]] == [1, 3]
  assert len(PLANS[2].row) > 4  # more than two chunks
  step, start = stage()
  run, alone = loop.make_population_loop(step), loop.make_loop(step)
  extras = [policies(p) for p in range(3)] if stage is critics else None
  together = [start(p) for p in range(3)]
  expected = [start(p) for p in range(3)]
  kept = list(together)
  for epoch in range(2):
    plans = PLANS if epoch == 0 else [plan_of(p, epoch) for p in range(3)]
    together, sums = trainer.run_epochs(
      run, together, SPLIT, plans, KEYS, BATCH, QUIET, extras
    )
    assert run._cache_size() == 1  # pyright: ignore
    for p in range(3):
      expected[p], totals = trainer.run_epoch(
        alone,
        expected[p],
        SPLIT,
        plans[p],
        KEYS[p],
        BATCH,
        QUIET,
        extras[p] if extras else (),
      )
      problem.assert_trees_close(together[p], expected[p], rtol=1e-4, atol=1e-5)
      assert sums[p] == pytest.approx(totals, rel=1e-5)
      if epoch == 0:
        assert int(together[p].step) == len(plans[p].row)
  # What was handed in stays, though the loop donates its state.
  assert not any(leaf.is_deleted() for leaf in jax.tree.leaves(kept))


def trail(kept, batch, key, *extras):
  """A step that counts rows and labels."""
  del key, extras
  rows = jnp.sum(batch.mask).astype(jnp.float32)
  labels = jnp.sum(jnp.where(batch.mask[..., None], batch.labels, 0.0))
  return kept._replace(step=kept.step + 1), {'rows': rows, 'labels': labels}


def counter():
  return state.ActorState((), (), (), jnp.int32(0))


@functools.cache
def trail_loops():
  return loop.make_loop(trail), loop.make_population_loop(trail)


def test_chunks_side_by_side_by_hand():
  row = np.arange(6, dtype=np.int32).reshape(3, 1, 2)
  long = batches.Plan(row, row % 2 == 0, row + 10)
  short = jax.tree.map(lambda x: x[:1], long)
  (first, counts), (second, later) = feed.population_chunks([long, short], 2)
  assert counts.tolist() == [2, 1] and later.tolist() == [1, 0]
  nothing = [[-1, -1]]
  assert first.row.tolist() == [[[[0, 1]], [[0, 1]]], [[[2, 3]], nothing]]
  assert second.row.tolist() == [[[[4, 5]], nothing], [nothing, nothing]]
  assert second.segment[0].tolist() == [[[14, 15]], nothing]
  assert second.is_last[0].tolist() == [[[True, False]], [[False, False]]]


def test_one_pass_sees_every_row_once_and_says_so():
  progress = progress_lib.Progress(io.StringIO(), quiet=True)
  progress.start('one', problem.ROWS)
  single, population = trail_loops()
  new_state, totals = trainer.run_epoch(
    single, counter(), SPLIT, plan_of(3), KEYS[0], BATCH, progress
  )
  labels = float(np.sum(SPLIT.host.labels))
  expected = {'rows': problem.ROWS, 'labels': labels, 'nonfinite': 0.0}
  assert totals == expected and int(new_state.step) == len(plan_of(3).row)
  assert progress._done == problem.ROWS
  _, sums = trainer.run_epochs(
    population,
    [counter(), counter()],
    SPLIT,
    [plan_of(3), plan_of(4)],
    KEYS[:2],
    BATCH,
    progress,
  )
  assert sums == [expected, expected]
  assert progress._done == 3 * problem.ROWS


def test_a_signal_stops_between_chunks():
  asked = []

  def interrupted():
    asked.append(1)
    return 15 if len(asked) > 1 else 0

  single, population = trail_loops()
  common = (BATCH, QUIET)
  with pytest.raises(trainer.Interrupted, match='15') as caught:
    trainer.run_epoch(
      single, counter(), SPLIT, PLANS[2], KEYS[0], *common, (), interrupted
    )
  assert caught.value.signal_number == 15
  asked.clear()
  with pytest.raises(trainer.Interrupted, match='15'):
    trainer.run_epochs(
      population,
      [counter()],
      SPLIT,
      PLANS[2:],
      KEYS[:1],
      *common,
      None,
      interrupted,
    )


def test_a_loss_that_is_not_finite_stops_the_pass_and_names_the_member():
  labels = np.array(SPLIT.host.labels)
  row = int(PLANS[2].row[3, 0, 0])  # in its second chunk
  labels[row] = np.nan
  split = make_split(labels=labels)
  assert row not in PLANS[0].row
  single, population = trail_loops()
  with pytest.raises(trainer.NotFinite, match=r'^loss .* at step 4$') as caught:
    trainer.run_epoch(single, counter(), split, PLANS[2], KEYS[0], BATCH, QUIET)
  seen = PLANS[2].row[2:4]
  # Padding holds the values of row 0.
  assert set(caught.value.rows) == set(np.maximum(seen, 0).ravel())
  with pytest.raises(
    FloatingPointError, match=r'^member 1: loss .* at step 4$'
  ):
    trainer.run_epochs(
      population,
      [counter(), counter()],
      split,
      [PLANS[0], PLANS[2]],
      KEYS[:2],
      BATCH,
      QUIET,
    )


def test_members_that_lack_something_are_refused():
  _, population = trail_loops()
  with pytest.raises(ValueError, match='1 states, 2 plans, 1 keys and 1 ext'):
    trainer.run_epochs(
      population, [counter()], SPLIT, PLANS[:2], KEYS[:1], BATCH, QUIET
    )


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
  expected = trainer.map_rows(row_map, params, split, BATCH)
  jax.effects_barrier()
  assert sum(seen) == problem.ROWS
  seen.clear()
  found = trainer.map_distinct_rows(row_map, params, split, BATCH)
  jax.effects_barrier()
  assert sum(seen) == (3 if times == 3 else problem.ROWS)
  np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_rows_in_no_session_are_left_out():
  """As those that fill up the chunks of predict."""
  few = make_split(**repeated(SPLIT.host, 3), starts=np.array([0, 2, 4]))
  row_map = loop.make_row_map(lambda params, batch: batch.inputs.numeric)
  found = trainer.map_distinct_rows(row_map, (), few, BATCH)
  np.testing.assert_array_equal(found, few.host.take(np.arange(4)).numeric)
