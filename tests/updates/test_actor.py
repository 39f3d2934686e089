import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from rmtl_jax import config as config_lib
from rmtl_jax.networks import registry as networks_registry
from rmtl_jax.updates import actor as actor_lib
from rmtl_jax.updates import state
from rmtl_jax.weighting import critic as weights_lib
from tests import tiers
from tests.updates import problem, reference

ROWS = problem.columns()
UNWEIGHTED = optax.with_extra_args_support(optax.identity())


def start(params, optimizer):
  return state.init_actor(params, optimizer, UNWEIGHTED)


@pytest.mark.parametrize(
  'backbone', tiers.some(networks_registry.trained(), tiers.BACKBONES)
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


def test_two_steps_move_every_parameter():
  network = problem.actor('mmoe', dropout=0.2)
  optimizer = state.make_optimizer(config_lib.StageConfig(l2=0.0))
  step = jax.jit(actor_lib.make_actor_step(network, optimizer))
  actor = start(problem.actor_params(network), optimizer)
  seen = actor
  for i, batch in enumerate(problem.two_batches(ROWS)):
    seen, metrics = step(seen, batch, jax.random.key(i))
    assert all(np.isfinite(m) for m in metrics.values())
  assert int(seen.step) == 2
  problem.assert_finite(seen)
  problem.assert_all_moved(seen.params, actor.params)


def test_constant_weights_of_tasks_scale_their_gradients():
  """The control constant_mean, against numpy."""
  network, weights = problem.actor(), (1.75, 1.25)
  params = problem.actor_params(network)
  run = problem.actor_outputs()
  logits, _ = run(params, ROWS, jnp.zeros((problem.ROWS, 2)))
  _, _, gradient = reference.weighted_loss(
    logits, ROWS.labels, np.broadcast_to(weights, logits.shape)
  )
  _, expected = run(params, ROWS, jnp.float32(gradient))
  optimizer, chain = problem.recorder(), weights_lib.scale_by_task(weights)
  step = jax.jit(actor_lib.make_actor_step(network, optimizer, weighting=chain))
  actor, metrics = step(
    state.init_actor(params, optimizer, chain, 2),
    problem.batch(ROWS),
    jax.random.key(0),
  )
  problem.assert_trees_close(actor.opt_state, expected, rtol=1e-5, atol=1e-6)
  for k in range(2):
    mean = metrics[f'weight_{k}'] / metrics['rows']
    np.testing.assert_allclose(mean, weights[k], rtol=1e-5)
