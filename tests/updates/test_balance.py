"""Balancers in a real step: what they get, and what comes out."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from rmtl_jax import config as config_lib
from rmtl_jax.balancing import balancer_registry, task_sums
from rmtl_jax.updates import actor as actor_lib
from rmtl_jax.updates import balance as balance_lib
from rmtl_jax.updates import forward, shared, state, weighted_grad
from tests import tiers
from tests.updates import problem

ROWS = problem.columns()
KEY = jax.random.key(0)
NAMES = [name for name in balancer_registry.RECORDS if name != 'equal']
BACKBONES = tiers.some(
  ('shared_bottom', 'mmoe', 'ple', 'esmm'), ('shared_bottom', 'esmm')
)
# One of each kind of state.
FEW = ('dwa', 'pcgrad', 'gradnorm')
UNWEIGHTED = optax.with_extra_args_support(optax.identity())


@functools.cache
def _masks(backbone):
  return shared.shared_parameters(problem.SPEC, backbone, problem.NETWORK)


def _balance(name, backbone='shared_bottom', **settings):
  config = config_lib.BalancingConfig(name=name, **settings)
  link = balancer_registry.make_balancer(config, 2)
  record = balancer_registry.find(name)
  masks = None
  if record.acts_on == balancer_registry.GRADIENTS:
    masks = _masks(backbone)
  return balance_lib.Balance(record, link, masks)


def _stage_1(balance, optimizer, backbone='shared_bottom'):
  network = problem.actor(backbone)
  step = actor_lib.make_actor_step(network, optimizer, balance=balance)
  params = problem.actor_params(network)
  return jax.jit(step), state.init_actor(
    params, optimizer, UNWEIGHTED, 2, balance.link
  )


def _task_gradients(*args):
  """Of each task's share of the mean, by jax.grad; arrays of numpy."""
  return jax.device_get(_compiled_gradients(*args))


@functools.partial(jax.jit, static_argnums=2)
def _compiled_gradients(params, batch, backbone):
  def share(params, k):
    losses, _ = forward.actor_losses(
      problem.actor(backbone), params, batch, KEY
    )
    cotangent = weighted_grad.mean_cotangent(batch.mask, 2)
    return jnp.sum((losses * cotangent)[..., k])

  return [jax.grad(share)(params, k) for k in range(2)]


@pytest.mark.parametrize('name', tiers.some(NAMES, FEW))
def test_every_balancer_takes_steps(name):
  """Finite, moving, compiled once, a state of one form, another each step."""
  optimizer = state.make_optimizer(1e-3, 1e-6)
  step, first = _stage_1(_balance(name), optimizer)
  actor = first
  batches = problem.two_batches(ROWS)
  for batch in (*batches, *batches):
    new_actor, metrics = step(actor, batch, KEY)
    problem.assert_finite((new_actor, metrics))
    assert jax.tree.structure(new_actor) == jax.tree.structure(actor)
    actor = new_actor
  assert step._cache_size() == 1
  problem.assert_all_moved(actor.params, first.params)


@pytest.mark.parametrize('backbone', BACKBONES)
def test_gradients_are_combined_where_tasks_share(backbone):
  """A tower's own parameters keep their plain gradient."""
  step, actor = _stage_1(
    _balance('mgda', backbone), problem.recorder(), backbone
  )
  batch = problem.batch(ROWS)
  new_actor, metrics = step(actor, batch, KEY)
  gradients = _task_gradients(actor.params, batch, backbone)
  stacked = jax.tree.map(lambda *g: np.stack(g), *gradients)
  seen = jax.tree.map(
    lambda mask, g: np.where(mask, g, 0.0), _masks(backbone), stacked
  )
  (a, c), (_, b) = np.asarray(jax.jit(task_sums.gram)(seen), np.float64)
  # The point of least norm on the line between two gradients.
  share = np.clip((b - c) / (a + b - 2 * c), 0.0, 1.0)
  weights = 2 * np.array([share, 1 - share])
  expected = jax.tree.map(
    lambda mask, g: np.where(
      mask, weights[0] * g[0] + weights[1] * g[1], g[0] + g[1]
    ),
    _masks(backbone),
    stacked,
  )
  problem.assert_trees_close(
    new_actor.opt_state, expected, rtol=2e-3, atol=1e-5
  )
  found = [float(metrics[f'weight_{k}'] / metrics['rows']) for k in range(2)]
  np.testing.assert_allclose(found, weights, rtol=1e-3)


def test_losses_after_the_step_are_of_the_same_batch():
  """What FAMO is told: the new parameters' losses, with the same dropout."""
  link = optax.GradientTransformationExtraArgs(
    lambda params: jnp.zeros(2),
    lambda updates, state, params=None, **extra: (updates, state),
  )
  record = balancer_registry.Balancer(
    'told', '', observe=lambda state, losses: losses
  )
  network = problem.actor(dropout=0.5)
  optimizer = optax.sgd(0.5)
  step = jax.jit(
    actor_lib.make_actor_step(
      network, optimizer, balance=balance_lib.Balance(record, link)
    )
  )
  actor = state.init_actor(
    problem.actor_params(network), optimizer, UNWEIGHTED, 2, link
  )
  batch = problem.batch(ROWS)
  new_actor, _ = step(actor, batch, KEY)
  losses, _ = jax.jit(
    lambda params: forward.actor_losses(network, params, batch, KEY)
  )(new_actor.params)
  expected = task_sums.mean_losses(
    weighted_grad.mean_cotangent(batch.mask, 2), losses
  )
  np.testing.assert_allclose(new_actor.balancing_state, expected, rtol=1e-5)
