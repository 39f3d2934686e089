"""Stage 3 without weights: the loop of stage 1, and what it must equal."""

from __future__ import annotations

import pytest

from rmtl_jax.config import values as config_values
from rmtl_jax.data import columns, manifest
from rmtl_jax.runtime.stages import ORDER
from rmtl_jax.training import (
  actor_stage,
  context,
  epoch_figures,
  feed,
  models,
  programs,
  trainer,
)
from rmtl_jax.training import splits as splits_lib
from tests import test_run, tiny
from tests.updates import problem

CONFIG = config_values.with_settings(
  test_run.CONFIG, {'backbone': 'shared_bottom', 'weighting.name': 'constant'}
)


@pytest.fixture(scope='module')
def log(tmp_path_factory):
  """The manifest and placed splits of prepared data."""
  path = tmp_path_factory.mktemp('data')
  written = tiny.write_prepared(path, sessions=40)
  return written, [
    splits_lib.place(columns.read_split(path, written, name), CONFIG.batch)
    for name in manifest.SPLITS[:2]
  ]


def context_of(log, changes):
  written, splits = log
  config = config_values.with_settings(CONFIG, changes)
  made = models.Models(written.feature_spec())
  return context.Context(config, tiny.TASKS, *splits, made, test_run.QUIET)


def epoch(ran, program):
  """The state after an epoch of stage 3, and the sums of its metrics."""
  init = actor_stage.init_finetune(ran, ran.config)
  before = ran.models.place(init, ran.init_actor(), ())
  steps = ran.config.batch.steps_per_dispatch
  dispatches = feed.dispatches(ran.train, ran.epoch('finetune', 1), steps)
  after, sums = trainer.run_epoch(
    program, before, dispatches, ran.key('finetune'), test_run.QUIET
  )
  return after, {name: float(value) for name, value in sums.items()}


@pytest.mark.parametrize('balancer', ['', 'homoscedastic_uncertainty', 'rlw'])
def test_the_loop_of_stage_1_does_what_stage_3s_own_would(log, balancer):
  """Parameters, optimizer, and every metric, weights and draws included."""
  changes = {'finetune.learning_rate': 0.05}
  if balancer:
    for stage in ('pretrain', 'finetune'):
      changes[f'{stage}.balancing.name'] = balancer
  ran = context_of(log, changes)
  taken = ran.models.finetune(ran.config)
  assert isinstance(taken, programs.Unweighted)
  own = programs.CompiledLoop(taken.step)
  after, sums = epoch(ran, taken)
  expected_after, expected_sums = epoch(ran, own)
  problem.assert_trees_close(after, expected_after, rtol=1e-5, atol=1e-6)
  assert sums == pytest.approx(expected_sums, rel=1e-5)
  assert 'weight_1' in sums
  # Nothing was compiled for stage 3, and it is stage 1's that is dropped.
  stage_1 = ran.models.pretrain(ran.config)
  assert taken.was_called and stage_1.was_called
  assert stage_1.function._cache_size() == 1
  assert own.function._cache_size() == 1
  taken.forget()
  assert stage_1.function._cache_size() == 0


def test_rows_with_sample_weights_weigh_1_where_a_task_has_rows():
  """The weights' sums are of the rows that count for each task."""
  sums = {'rows': 9.0, 'rows_0': 9.0, 'rows_1': 4.0, 'loss_0': 1.0}
  found = epoch_figures.weight_statistics(
    programs.with_weights_of_1(sums, 2), tiny.TASKS
  )
  assert found == {
    'weight_mean_click': 1.0,
    'weight_deviation_click': 0.0,
    'weight_mean_conversion': 1.0,
    'weight_deviation_conversion': 0.0,
  }


@pytest.mark.parametrize(
  ('changes', 'is_taken'),
  [
    ({'finetune.learning_rate': 0.5, 'finetune.max_epochs': 9}, True),
    ({'pretrain.patience': 9}, True),
    ({'finetune.clip_norm': 1.0}, False),
    ({'pretrain.schedule': 'cosine'}, False),
    ({'finetune.l2': 0.1}, False),
    ({'finetune.balancing.name': 'homoscedastic_uncertainty'}, False),
    ({'weighting.name': 'critic'}, False),
    ({'weighting.name': 'constant_mean'}, False),
    ({'weighting.name': 'ddpg'}, False),
  ],
)
def test_the_loop_of_stage_1_is_taken_where_steps_are_the_same(
  log, changes, is_taken
):
  ran = context_of(log, changes)
  taken = ran.models.finetune(ran.config)
  assert isinstance(taken, programs.Unweighted) == is_taken


def test_which_loop_a_member_runs_rests_on_its_own_settings(log):
  """Else a resumed member would round otherwise than after the one before."""
  ran = context_of(log, {})
  other = config_values.with_settings(ran.config, {'pretrain.l2': 0.1})
  found = [type(ran.models.finetune(one)) for one in (ran.config, other)]
  assert found == [programs.Unweighted, programs.CompiledLoop]


@pytest.mark.parametrize(
  ('changes', 'stages', 'is_taken'),
  [
    ({}, ORDER, True),
    ({}, ORDER[:1], False),
    ({'control': False}, ORDER, True),
    ({'control': False, 'weighting.name': 'critic'}, ORDER, False),
    ({'finetune.l2': 0.1}, ORDER, False),
  ],
)
def test_stage_1s_loop_is_dropped_after_the_last_stage_that_runs_it(
  log, changes, stages, is_taken
):
  ran = context_of(log, changes)
  forgotten = []
  stage_1 = ran.models.pretrain(ran.config)
  stage_1.forget = lambda: forgotten.append('pretrain')
  ran.models.finetune(ran.config)
  ran.models.forget('pretrain', ran.config, stages)
  assert forgotten == ([] if is_taken else ['pretrain'])
  if stages == ORDER:
    forgotten.clear()
    ran.models.forget('finetune', ran.config, stages)
    assert forgotten == (['pretrain'] if is_taken else [])
