"""Lambda moves after a step, and nothing else does."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rmtl_jax import config as config_lib
from rmtl_jax.updates import state
from rmtl_jax.weighting import factory, registry
from tests.updates import problem
from tests.updates import test_finetune as common


def test_lambda_is_learnt_on_another_batch():
  """One step moves it by the rate, whichever way helps; all else is as ever."""
  config = config_lib.Config(
    backbone='shared_bottom',
    critic=dataclasses.replace(common.QUIET, in_finetune='frozen'),
    weighting=config_lib.WeightingConfig(meta_learning_rate=0.03),
  )
  still = dataclasses.replace(config, weighting=config_lib.WeightingConfig())
  actor, critic = problem.actor(dropout=0.2), problem.critic()
  optimizer = state.make_optimizer(config_lib.StageConfig())
  params = problem.actor_params(actor), problem.critic_params(critic, 'shared')
  batch, validation = problem.two_batches(common.ROWS)
  step, init = common.make(actor, critic, config, optimizer)
  step, full = jax.jit(step), init(*params)
  new_full, metrics = step(full, batch, common.KEY, validation)
  moved = float(factory.lambda_of(new_full.actor.weighting_state)) - 0.7
  np.testing.assert_allclose(abs(moved), 0.03, rtol=1e-3)
  other, _ = step(full, batch, common.KEY, batch)
  problem.assert_trees_close(new_full.actor.params, other.actor.params, rtol=0)

  plain, init = common.make(actor, critic, still, optimizer)
  expected, same = jax.jit(plain)(init(*params), batch, common.KEY)
  problem.assert_trees_close(
    new_full.actor.params, expected.actor.params, rtol=1e-6, atol=1e-7
  )
  np.testing.assert_allclose(metrics['loss'], same['loss'], rtol=1e-6)
  again, _ = step(new_full, validation, common.KEY, batch)
  problem.assert_finite(again)
  assert step._cache_size() == 1


@pytest.mark.parametrize(
  'form', [f for f in registry.FORMS if f != 'negative_q']
)
def test_every_form_tells_how_its_weights_follow_lambda(form):
  """Else a learnt lambda would stay where it starts."""
  config = config_lib.WeightingConfig(name=form)
  chain = factory.make_weighting(config)
  rng = np.random.default_rng(0)
  q = jnp.asarray(-rng.random((2, 6, 2)), jnp.float32)
  extra = {
    'q_values': q,
    'q_deviation': 0.1 - 0.2 * q,
    'labels': jnp.ones_like(q),
    'mask': jnp.ones((2, 6), bool),
  }
  directions = jnp.asarray(rng.normal(size=q.shape), jnp.float32)
  start = chain.init(jnp.zeros(()))

  def total(value):
    moved = factory.with_values(start, lambda_=value)
    return jnp.sum(chain.update(directions, moved, **extra)[0])

  slope = float(jax.grad(total)(jnp.float32(0.3)))
  step = 1e-2
  finite = (total(0.3 + step) - total(0.3 - step)) / (2 * step)
  np.testing.assert_allclose(slope, finite, rtol=2e-2)
  assert abs(slope) > 0.05
