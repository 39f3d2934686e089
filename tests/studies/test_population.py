"""Stages and passes that one program trains side by side."""

import io

import jax
import numpy as np
import pytest

from rmtl_jax.data import batches
from rmtl_jax.runtime import progress as progress_lib
from rmtl_jax.studies import population
from rmtl_jax.training import programs, stage, trainer
from tests.training import test_stage
from tests.training import test_trainer as alone
from tests.updates import problem

PLANS, KEYS, SPLIT, QUIET = alone.PLANS, alone.KEYS, alone.SPLIT, alone.QUIET


def pass_of(program, state, plan, key, extras=()):
  return stage.Pass('', '', program, state, plan, key, extras)


def run_epochs(passes, split=SPLIT, progress=QUIET, interrupted=int):
  steps = alone.BATCH.steps_per_dispatch
  return population.run_epochs(passes, split, steps, progress, interrupted)


@pytest.mark.parametrize(
  'parts', [alone.pretraining, alone.critics, alone.finetuning]
)
def test_members_end_where_they_end_alone(parts):
  assert [len(plan.row) for plan in PLANS[:2]] == [1, 3]
  assert len(PLANS[2].row) > 4  # more than two chunks
  step, start = parts()
  program = programs.CompiledLoop(step)
  extras = [
    alone.policies(p) if parts is alone.critics else () for p in range(3)
  ]
  together = [start(p) for p in range(3)]
  expected = [start(p) for p in range(3)]
  kept = list(together)
  for epoch in range(2):
    plans = PLANS if epoch == 0 else [alone.plan_of(p, epoch) for p in range(3)]
    together, sums = run_epochs(
      [
        pass_of(program, *each)
        for each in zip(together, plans, KEYS, extras, strict=True)
      ]
    )
    run = population._LOOPS[program]
    assert run._cache_size() == 1  # pyright: ignore
    for p in range(3):
      expected[p], totals = alone.run_epoch(
        program,
        expected[p],
        SPLIT,
        plans[p],
        KEYS[p],
        extras=extras[p],
      )
      problem.assert_trees_close(together[p], expected[p], rtol=1e-4, atol=1e-5)
      assert sums[p] == pytest.approx(totals, rel=1e-5)
      if epoch == 0:
        assert int(together[p].step) == len(plans[p].row)
  # What was handed in stays, though the loop donates its state.
  assert not any(leaf.is_deleted() for leaf in jax.tree.leaves(kept))


def test_chunks_side_by_side_by_hand():
  row = np.arange(6, dtype=np.int32).reshape(3, 1, 2)
  long = batches.Plan(row, row % 2 == 0, row + 10)
  short = jax.tree.map(lambda x: x[:1], long)
  (first, counts), (second, later) = population.chunks([long, short], 2)
  assert counts.tolist() == [2, 1] and later.tolist() == [1, 0]
  nothing = [[-1, -1]]
  assert first.row.tolist() == [[[[0, 1]], [[0, 1]]], [[[2, 3]], nothing]]
  assert second.row.tolist() == [[[[4, 5]], nothing], [nothing, nothing]]
  assert second.segment[0].tolist() == [[[14, 15]], nothing]
  assert second.is_last[0].tolist() == [[[True, False]], [[False, False]]]


def counters(*plans):
  """Passes of a step that counts."""
  return [
    pass_of(alone.trail_program(), alone.counter(), plan, key)
    for plan, key in zip(plans, KEYS, strict=False)
  ]


def test_a_pass_of_two_sees_every_row_twice_and_says_so():
  progress = progress_lib.Progress(io.StringIO(), quiet=True)
  progress.start('two', 2 * problem.ROWS)
  _, sums = run_epochs(
    counters(alone.plan_of(3), alone.plan_of(4)), progress=progress
  )
  labels = float(np.sum(SPLIT.host.labels))
  expected = {'rows': problem.ROWS, 'labels': labels, 'nonfinite': 0.0}
  assert sums == [expected, expected]
  assert progress._done == 2 * problem.ROWS


def test_a_signal_stops_between_chunks():
  asked = []

  def interrupted():
    asked.append(1)
    return 15 if len(asked) > 1 else 0

  with pytest.raises(trainer.Interrupted, match='15'):
    run_epochs(counters(PLANS[2]), interrupted=interrupted)


def test_the_member_at_fault_is_named():
  with pytest.raises(
    FloatingPointError, match=r'^member 1: loss .* at step 4$'
  ):
    run_epochs(counters(PLANS[0], PLANS[2]), alone.with_a_nan())


def test_members_are_cut_by_program():
  a, b = programs.CompiledLoop(int), programs.CompiledLoop(int)
  members = [(a, 0), (b, 1), (a, 2), (a, 3)]
  groups = [group for _, group in population.by_program(members, 2)]
  assert groups == [[0, 2], [3], [1]]


def test_a_resumed_job_runs_groups_of_the_size_it_began_with(monkeypatch):
  """Though most members have finished: other sizes round otherwise."""
  sizes = []
  run_epochs = population.run_epochs

  def counting(passes, *args):
    sizes.append(len(passes))
    return run_epochs(passes, *args)

  monkeypatch.setattr(population, 'run_epochs', counting)
  stages = [test_stage.Counting(epochs) for epochs in (1, 1, 3)]
  left = population.fit_together(stages, 3)
  assert sizes == [3, 3, 3]
  assert [one['count'].epoch for one in left] == [1, 1, 3]
  assert [one['count'].params for one in left] == [
    each.epoch * each.steps for each in stages
  ]


def test_a_group_of_one_is_trained_alone(monkeypatch):
  monkeypatch.setattr(population, 'run_epochs', None)
  stages = [test_stage.Counting(1), test_stage.Counting(2)]
  left = population.fit_together(stages, 1)
  assert [one['count'].epoch for one in left] == [1, 2]


def test_how_many_are_trained_together(monkeypatch):
  assert population.size(3, 8) == 3
  monkeypatch.setattr(jax, 'default_backend', lambda: 'cpu')
  assert population.size(0, 8) == 1
  monkeypatch.setattr(jax, 'default_backend', lambda: 'gpu')
  assert population.size(0, 8) == 8
