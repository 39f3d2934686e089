"""What happens between the epochs of stage 1, and where stage 3 starts."""

import numpy as np
import pytest

from rmtl_jax.config import values as config_values
from rmtl_jax.evaluation import monitor
from rmtl_jax.runtime import progress
from rmtl_jax.training import (
  actor_stage,
  context,
  stage,
  validation,
)
from rmtl_jax.updates import state
from tests import tiny

CONFIG = config_values.from_dict(
  {
    'backbone': 'shared_bottom',
    'network': {'embedding_dim': 4, 'bottom_units': [8], 'tower_units': [6]},
    'batch': {'lanes': 4, 'lane_length': 8, 'steps_per_dispatch': 4},
    'pretrain': {
      'max_epochs': 3,
      'learning_rate': 0.01,
      'patience': 3,
      'schedule': 'linear',
    },
  }
)


def stage_of(shared, seed=0, **changes):
  config = config_values.from_dict({'seed': seed, 'pretrain': changes}, CONFIG)
  return actor_stage.pretrain(
    context.Context(config, tiny.TASKS, *shared, progress.Progress(quiet=True))
  )


def table(params):
  return np.asarray(params['first']['table'])


@pytest.mark.parametrize('stage_steps', [3, 5])
def test_a_schedule_falls_over_all_epochs_of_the_first_ones_length(
  shared, stage_steps
):
  one = stage_of(shared, max_epochs=stage_steps, patience=9)
  steps = len(one.context.epoch('pretrain', 1).plan.row)
  *_, schedule = one.arms['pretrain'].state.opt_state
  assert float(schedule.total) == stage_steps * steps
  assert (
    one.arms['pretrain'].program is stage_of(shared).arms['pretrain'].program
  )


def finetune_of(shared, weightings, **changes):
  """Stage 3, the pre-trained actor and the critics' parameters."""
  config = config_values.from_dict(
    {
      'critic': {'in_finetune': 'frozen'},
      **changes,
    },
    CONFIG,
  )
  run = context.Context(
    config, tiny.TASKS, *shared, progress.Progress(quiet=True)
  )
  # Whatever stage 1 would have left: not what it began with.
  actor = run.init_actor(7)
  critics = run.init_critic(actor)
  names = {name: name for name in weightings}
  return actor_stage.finetune(run, names, actor, critics), actor, critics


@pytest.mark.slow
def test_from_scratch_is_from_the_initial_parameters(shared):
  """Of all arms alike, and without the pre-trained model for a candidate."""
  one, actor, _ = finetune_of(
    shared,
    ('constant', 'advantage'),
    finetune={'start': 'scratch', 'max_epochs': 2, 'learning_rate': 0.0},
  )
  initial = one.context.init_actor()
  assert np.any(table(initial) != table(actor))
  for arm in one.arms.values():
    np.testing.assert_array_equal(
      table(state.actor_of(arm.state).params), table(initial)
    )
    assert arm.stopping == actor_stage.EarlyStopping()
  stage.run(one)
  for arm in one.arms.values():
    # Nothing moves, so the first epoch is as good as any.
    assert arm.stopping.best_epoch == 1 and arm.stopping.bad == 1
    np.testing.assert_array_equal(table(arm.best_params), table(initial))


def test_by_default_stage_3_starts_from_the_pre_trained_actor(shared):
  one, actor, _ = finetune_of(shared, ('advantage',))
  arm = one.arms['advantage']
  np.testing.assert_array_equal(
    table(state.actor_of(arm.state).params), table(actor)
  )
  auc = np.nanmean(validation.validate(one.context, actor).auc)
  assert arm.stopping == actor_stage.EarlyStopping(float(auc), 0, 0)


@pytest.mark.slow
def test_the_mean_weights_are_of_the_policy_that_the_critics_know(shared):
  found = [
    finetune_of(shared, ('constant_mean',), finetune={'start': start})[0]
    .arms['constant_mean']
    .state.weighting_state[0]
    .task_weights
    for start in ('pretrained', 'scratch')
  ]
  np.testing.assert_array_equal(*found)
  assert np.all(np.asarray(found[0]) > 1)


def test_stages_stop_on_what_is_monitored(shared):
  """Both by hand, from the predictions of validation rows."""
  one, actor, _ = finetune_of(shared, ('advantage',))
  context = one.context
  found = validation.validate(context, actor)
  labels = context.validation.host.labels.astype(np.float64)
  p = context.predict(actor, context.validation).astype(np.float64)
  logloss = -np.mean(labels * np.log(p) + (1 - labels) * np.log1p(-p), axis=0)
  np.testing.assert_allclose(found.logloss, logloss, rtol=1e-5)
  rate = labels.mean(0)
  of_rate = -rate * np.log(rate) - (1 - rate) * np.log1p(-rate)
  assert found.monitored == np.mean(found.auc)
  found = found._replace(monitor=monitor.of('logloss'))
  expected = -np.mean(logloss / of_rate)
  assert found.monitored == pytest.approx(expected, rel=1e-5)
