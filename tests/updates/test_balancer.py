"""A balancer on task gradients, with a state that is saved."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from rmtl_jax import config as config_lib
from rmtl_jax.runtime import checkpoints
from rmtl_jax.updates import actor as actor_lib
from rmtl_jax.updates import forward, state
from rmtl_jax.weighting import factory, registry
from tests import registries
from tests.updates import problem

ROWS = problem.columns()
DECAY = 0.5


class _Norms(NamedTuple):
  """A running mean of each task's gradient norm, f32[K]."""

  norms: jax.Array


def _scale_by_equal_norms(lambda_):
  """Weights (mean of norms / norm of the task) ** lambda."""

  def init(params):
    return _Norms(jnp.zeros(params.shape[-1:]))

  def update(updates, state, params=None, *, task_gradients, **extra):
    del params, extra
    gradients = task_gradients(updates)
    squares = [
      jnp.sum(jnp.square(g.reshape(g.shape[0], -1)), -1)
      for g in jax.tree.leaves(gradients)
    ]
    norms = DECAY * state.norms + jnp.sqrt(sum(squares))
    weights = (jnp.mean(norms) / norms) ** lambda_
    return updates * weights[None, None], _Norms(norms)

  return optax.GradientTransformationExtraArgs(init, update)


@pytest.fixture
def balancer():
  """The weighting `equal_norms`, which asks no critics, for one test."""
  kept = registries.Registries()
  registry.register(
    registry.Weighting(
      'equal_norms',
      'equal gradient norms',
      _scale_by_equal_norms,
      asks=registry.NEVER,
      needs=('task_gradients',),
    )
  )
  yield config_lib.WeightingConfig(name='equal_norms', lambda_=1.0)
  kept.undo()


def _stage_1(config, optimizer):
  """The step of stage 1, jitted, and its first state."""
  network = problem.actor()
  params = problem.actor_params(network)
  weighting = factory.make_weighting(config)
  step = actor_lib.make_actor_step(network, optimizer, weighting)
  return jax.jit(step), state.init_actor(params, optimizer, weighting, 2)


def test_its_gradient_is_that_of_weights_by_hand(balancer):
  """The norms come from jax.grad of each task's own share of the mean."""
  step, full = _stage_1(balancer, problem.recorder())
  batch = problem.batch(ROWS)
  params = full.params

  def task_loss(params, k):
    losses, _ = forward.actor_losses(
      problem.actor(), params, batch, jax.random.key(0)
    )
    even = forward.mean_cotangent(batch.mask, 2)
    return jnp.sum(losses[..., k] * even[..., k])

  gradients = jax.device_get(
    jax.jit(lambda p: [jax.grad(task_loss)(p, k) for k in range(2)])(params)
  )
  norms = np.array([float(optax.global_norm(g)) for g in gradients])
  assert abs(norms[0] / norms[1] - 1) > 0.05
  weights = norms.mean() / norms
  expected = jax.tree.map(
    lambda a, b: weights[0] * a + weights[1] * b, *gradients
  )
  new_full, metrics = step(full, batch, jax.random.key(0))
  problem.assert_trees_close(new_full.opt_state, expected, rtol=1e-4, atol=1e-6)
  found = [metrics[f'weight_{k}'] / metrics['rows'] for k in range(2)]
  np.testing.assert_allclose(found, weights, rtol=1e-5)


def test_its_state_goes_through_a_checkpoint(balancer, tmp_path):
  optimizer = state.make_optimizer(config_lib.StageConfig())
  step, full = _stage_1(balancer, optimizer)
  batch, key = problem.batch(ROWS), jax.random.key(0)
  half, _ = step(full, batch, key)
  store = checkpoints.Store(tmp_path)
  store.save(1, half, {'stage': 'any'})
  store.close()
  store = checkpoints.Store(tmp_path)
  restored = store.restore(lambda record: half)
  store.close()
  assert restored is not None
  whole, _ = step(half, batch, key)
  again, _ = step(restored.arrays, batch, key)
  jax.tree.map(np.testing.assert_array_equal, again, whole)
  old, new = (optax.tree.get(s.weighting_state, 'norms') for s in (half, whole))
  assert np.all(np.asarray(new) > np.asarray(old))
