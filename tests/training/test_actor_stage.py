"""What happens between the epochs of stage 1, and where stage 3 starts."""

import numpy as np
import pytest

from rmtl_jax.config import values as config_values
from rmtl_jax.evaluation import monitor
from rmtl_jax.runtime import progress
from rmtl_jax.training import (
  actor_stage,
  context,
  validation,
)
from rmtl_jax.updates import state
from tests import tiny

CONFIG = config_values.from_dict(
  {
    'backbone': 'shared_bottom',
    'network': {'embedding_dim': 4, 'bottom_units': [8], 'tower_units': [6]},
    'batch': {'lanes': 4, 'lane_length': 8, 'steps_per_dispatch': 4},
    'pretrain': {'max_epochs': 3, 'learning_rate': 0.01, 'patience': 3},
  }
)


def stage_of(shared, seed=0, **changes):
  config = config_values.from_dict({'seed': seed, 'pretrain': changes}, CONFIG)
  return actor_stage.pretrain(
    context.Context(config, tiny.TASKS, *shared, progress.Progress(quiet=True))
  )


def table(params):
  return np.asarray(params['first']['table'])


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


def test_by_default_stage_3_starts_from_the_pre_trained_actor(shared):
  one, actor, _ = finetune_of(shared, ('advantage',))
  arm = one.arms['advantage']
  np.testing.assert_array_equal(
    table(state.actor_of(arm.state).params), table(actor)
  )
  auc = np.nanmean(validation.validate(one.context, actor).auc)
  assert arm.stopping == actor_stage.EarlyStopping(float(auc), 0, 0)


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
