"""Where the stages start, what they stop on, what they keep."""

import numpy as np
import pytest

from rmtl_jax.config import values as config_values
from rmtl_jax.evaluation import critic_statistics, validation_monitor
from rmtl_jax.ops import rewards
from rmtl_jax.runtime import progress
from rmtl_jax.training import actors, context, critics, epoch_loop, validation
from tests import paper, tiny

CONFIG = config_values.from_dict(
  {
    'backbone': 'shared_bottom',
    'network': {'embedding_dim': 4, 'bottom_units': [8], 'tower_units': [6]},
    'batch': {'lanes': 4, 'lane_length': 8, 'steps_per_dispatch': 4},
    'pretrain': {'max_epochs': 3, 'learning_rate': 0.01, 'patience': 3},
    'critic': {
      'stopping': 'return_error',
      'td_lambda': 1.0,
      'max_passes': 5,
      # Fast enough to overshoot, so that the last pass is not the best.
      'learning_rate': 0.3,
    },
  },
  paper.PAPER,
)


def context_of(shared, **changes):
  config = config_values.with_settings(
    CONFIG, {name.replace('__', '.'): value for name, value in changes.items()}
  )
  quiet = progress.Progress(quiet=True)
  return context.Context(config, tiny.TASKS, *shared, quiet)


def table(params):
  return np.asarray(params['first']['table'])


def finetune_of(shared, weightings, **changes):
  """The arms of stage 3, the pre-trained actor and the context."""
  run = context_of(shared, **changes)
  # Whatever stage 1 would have left: not what it began with.
  actor = run.models.init_actor(run.config, run.draws('finetune'))
  policies = critics.policies(run, actor)
  critic = critics.start(run, actor, policies)['critic'].params
  names = {name: name for name in weightings}
  return actors.finetune(run, names, actor, critic), actor, run


def test_by_default_stage_3_starts_from_the_pre_trained_actor(shared):
  arms, actor, run = finetune_of(shared, ('advantage',))
  arm = arms['advantage']
  np.testing.assert_array_equal(table(arm.params), table(actor))
  assert arm.values == [np.nanmean(validation.validate(run, actor).auc)]


def test_stages_stop_on_what_is_monitored(shared):
  """Both by hand, from the predictions of validation rows."""
  run = context_of(shared)
  actor = run.models.init_actor(run.config, run.draws('pretrain'))
  found = validation.validate(run, actor)
  labels = run.validation.host.labels.astype(np.float64)
  p = run.models.predict(run.config, actor, run.validation).astype(np.float64)
  logloss = -np.mean(labels * np.log(p) + (1 - labels) * np.log1p(-p), axis=0)
  np.testing.assert_allclose(found.logloss, logloss, rtol=1e-5)
  rate = labels.mean(0)
  of_rate = -rate * np.log(rate) - (1 - rate) * np.log1p(-rate)
  assert found.monitored == np.mean(found.auc)
  found = found._replace(monitor=validation_monitor.of('logloss'))
  expected = -np.mean(logloss / of_rate)
  assert found.monitored == pytest.approx(expected, rel=1e-5)


def return_error(run, params, policy):
  q = run.models.values(run.config, params, run.validation, policy)
  host = run.validation.host
  earned = np.asarray(rewards.log_likelihood(policy, host.labels))
  returns = critic_statistics.discounted_returns(earned, host.session, 0.95)
  return np.mean(np.square(q - returns))


def test_the_pass_nearest_to_the_returns_is_kept(shared):
  run = context_of(shared)
  actor = run.models.init_actor(run.config, run.draws('pretrain'))
  policies = critics.policies(run, actor)
  arms = critics.start(run, actor, policies)
  beside = critics.extras(run, run.train, policies.train)
  stopping = critics.stopping(run, policies)
  found = epoch_loop.fit(run, 'critic', arms, stopping, beside)['critic']
  errors = critics.errors_of(arms)
  assert errors == [r['validation_return_error'] for r in run.history]
  assert min(errors) < errors[-1] and found.epoch == np.argmin(errors) + 1
  for params, error in (
    (found.params, min(errors)),
    (arms['critic'].params, errors[-1]),
  ):
    np.testing.assert_allclose(
      return_error(run, params, policies.validation), error, rtol=1e-5
    )


def test_uniform_actions_are_drawn_once_per_row(shared):
  """Whatever the pass and however its rows are shuffled."""
  run = context_of(shared, critic__behaviour='uniform')
  policy = np.zeros((run.train.host.rows, 2), np.float32)
  _, logged = map(np.asarray, critics.extras(run, run.train, policy))
  again = critics.extras(run, run.train, policy)[1]
  np.testing.assert_array_equal(again, logged)
  rows = logged[: run.train.host.rows]
  assert 0 <= rows.min() < 0.05 and 0.95 < rows.max() < 1
  other = context_of(shared, critic__behaviour='uniform', seed=1)
  assert np.all(critics.extras(other, other.train, policy)[1][:9] != logged[:9])


def test_means_of_an_epoch_are_over_the_batches_that_have_the_task():
  # Two batches of 4 rows; one has no row of the second task.
  sums = {
    'rows': 8.0,
    'loss_0': 4.0,
    'loss_1': 3.6,
    'rows_0': 8.0,
    'rows_1': 4.0,
    'weight_0': 8.0,
    'weight_1': 6.0,
    'weight_square_0': 8.0,
    'weight_square_1': 10.0,
  }
  assert actors.mean_loss(sums, 2) == pytest.approx((0.5 + 0.9) / 2)
  assert actors.weight_statistics(sums, ('click', 'buy')) == {
    'weight_mean_click': 1.0,
    'weight_deviation_click': 0.0,
    'weight_mean_buy': 1.5,
    'weight_deviation_buy': 0.5,
  }
  none = {'rows': 4.0, 'loss_0': 0.0, 'rows_0': 0.0}
  assert actors.mean_loss(none, 1) == 0.0
