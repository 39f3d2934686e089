import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from rmtl_jax.networks import backbone_registry
from rmtl_jax.updates import actor as actor_lib
from rmtl_jax.updates import state
from tests import tiers
from tests.updates import problem, reference

ROWS = problem.columns()
UNWEIGHTED = optax.with_extra_args_support(optax.identity())


def start(params, optimizer):
  return state.init_actor(params, optimizer, UNWEIGHTED)


@pytest.mark.parametrize(
  'backbone',
  tiers.some(backbone_registry.trained(), ('mmoe', 'esmm', 'single_task')),
)
def test_step_agrees_with_numpy(backbone):
  network = problem.actor(backbone)
  params = problem.actor_params(network)
  run = problem.actor_outputs(backbone)
  logits, _ = run(params, ROWS, jnp.zeros((problem.ROWS, 2)))
  problem.assert_varies(logits)
  loss, row_losses, gradient = reference.weighted_loss(
    logits, ROWS.labels, np.ones((problem.ROWS, 2))
  )
  _, expected = run(params, ROWS, jnp.float32(gradient))
  optimizer = problem.recorder()
  step = jax.jit(actor_lib.make_actor_step(network, optimizer))
  actor, metrics = step(
    start(params, optimizer), problem.batch(ROWS), jax.random.key(0)
  )
  problem.assert_trees_close(actor.opt_state, expected, rtol=1e-5, atol=1e-6)
  assert float(metrics['rows']) == problem.ROWS
  np.testing.assert_allclose(metrics['loss'] / metrics['rows'], loss, rtol=1e-5)
  np.testing.assert_allclose(
    metrics['loss'], row_losses.mean(1).sum(), rtol=1e-5
  )


def test_lanes_and_padding_change_nothing():
  network = problem.actor()
  optimizer = problem.recorder()
  step = jax.jit(actor_lib.make_actor_step(network, optimizer))
  actor = start(problem.actor_params(network), optimizer)
  one, metrics = step(actor, problem.batch(ROWS), jax.random.key(0))
  for lanes, lane_length in ((7, 14), (9, 22)):
    other, other_metrics = step(
      actor, problem.batch(ROWS, lanes, lane_length), jax.random.key(0)
    )
    assert metrics['rows'] == other_metrics['rows'] == problem.ROWS
    np.testing.assert_allclose(
      other_metrics['loss'], metrics['loss'], rtol=1e-6
    )
    problem.assert_trees_close(
      other.opt_state, one.opt_state, rtol=1e-5, atol=1e-6
    )


def test_values_in_padding_change_nothing():
  network = problem.actor()
  optimizer = problem.recorder()
  step = jax.jit(actor_lib.make_actor_step(network, optimizer))
  actor = start(problem.actor_params(network), optimizer)
  batch = problem.batch(ROWS)
  empty = ~batch.mask[..., None]
  dirty = batch._replace(
    labels=jnp.where(empty, 1 - batch.labels, batch.labels),
    inputs=batch.inputs._replace(
      numeric=jnp.where(empty, 9.0, batch.inputs.numeric)
    ),
  )
  one, metrics = step(actor, batch, jax.random.key(0))
  other, other_metrics = step(actor, dirty, jax.random.key(0))
  assert metrics['loss'] == other_metrics['loss']
  problem.assert_trees_close(other.opt_state, one.opt_state, rtol=0)
