"""Stage 2: where critics start, when they stop, what is kept."""

import jax
import numpy as np
import pytest

from rmtl_jax.config import values as config_values
from rmtl_jax.evaluation import critic_statistics
from rmtl_jax.ops import rewards
from rmtl_jax.runtime import checkpoints, progress
from rmtl_jax.training import context, critic_stage, stage, trainer
from tests import tiny

CONFIG = config_values.from_dict(
  {
    'backbone': 'shared_bottom',
    'network': {'embedding_dim': 4, 'bottom_units': [8], 'tower_units': [6]},
    'batch': {'lanes': 4, 'lane_length': 8, 'steps_per_dispatch': 4},
    'critic': {
      'stopping': 'return_error',
      'td_lambda': 1.0,
      'max_passes': 5,
      # Fast enough to overshoot, so that the last pass is not the best.
      'learning_rate': 0.3,
    },
  }
)


def start(shared, changes=(), **kwargs):
  config = config_values.with_settings(CONFIG, dict(changes))
  ctx = context.Context(
    config, tiny.TASKS, *shared, progress.Progress(quiet=True), **kwargs
  )
  return critic_stage.start(ctx, ctx.init_actor())


def return_error(training, params):
  ctx = training.context
  policy = np.asarray(training.validation_policy)
  q = ctx.values(params, ctx.validation, policy)
  host = ctx.validation.host
  earned = np.asarray(rewards.log_likelihood(policy, host.labels))
  returns = critic_statistics.discounted_returns(earned, host.session, 0.95)
  return np.mean(np.square(q - returns))


def test_the_pass_nearest_to_the_returns_is_kept(shared):
  training = start(shared)
  stage.run(training)
  errors = training.errors
  assert errors == [
    r['validation_return_error'] for r in training.context.history
  ]
  assert min(errors) < errors[-1]
  np.testing.assert_allclose(
    return_error(training, training.params), min(errors), rtol=1e-5
  )
  np.testing.assert_allclose(
    return_error(training, training.critic.params), errors[-1], rtol=1e-5
  )


@pytest.mark.slow
def test_uniform_actions_are_drawn_once_per_row(shared):
  """Whatever the pass and however its rows are shuffled."""
  changes = {'critic.behaviour': 'uniform', 'critic.stopping': 'td_error'}
  training, again = start(shared, changes), start(shared, changes)
  policy, logged = map(np.asarray, training.extras)
  assert logged.shape == policy.shape
  assert 0 <= logged.min() < 0.05 and 0.95 < logged.max() < 1
  np.testing.assert_array_equal(again.extras[1], logged)
  other = start(shared, {**changes, 'seed': 1})
  assert np.all(np.asarray(other.extras[1]) != logged)
  # A step sees them: with others than these it ends elsewhere.
  again.extras = (again.extras[0], again.extras[0])
  for one in (training, again):
    stage.run(one)
  assert training.errors[0] != again.errors[0]


@pytest.mark.slow
def test_a_stage_that_was_cut_off_ends_as_it_would_have(shared, tmp_path):
  whole = start(shared)
  stage.run(whole)

  def stop_after_two():
    return 15 if len(first.context.history) >= 2 else 0

  store = checkpoints.Store(tmp_path)
  first = start(shared, store=store)
  first.context.interrupted = stop_after_two
  with pytest.raises(trainer.Interrupted):
    stage.run(first)
  again = start(shared, store=store)
  stage.run(again)
  store.close()
  assert again.errors == whole.errors
  jax.tree.map(np.testing.assert_array_equal, again.params, whole.params)
