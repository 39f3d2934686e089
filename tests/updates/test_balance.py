"""Balancers in a real step: what they get, and what comes out."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from rmtl_jax import config as config_lib
from rmtl_jax.balancing import factory, registry, tasks
from rmtl_jax.updates import actor as actor_lib
from rmtl_jax.updates import balance as balance_lib
from rmtl_jax.updates import forward, shared, state
from tests import tiers
from tests.updates import problem

ROWS = problem.columns()
KEY = jax.random.key(0)
NAMES = [name for name in registry.RECORDS if name != 'equal']
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
  link = factory.make_balancer(config, 2)
  record = registry.find(name)
  masks = None
  if record.acts_on == registry.GRADIENTS:
    masks = _masks(backbone)
  return balance_lib.Balance(record, link, masks)


def _stage_1(balance, optimizer, backbone='shared_bottom'):
  network = problem.actor(backbone)
  step = actor_lib.make_actor_step(network, optimizer, balance=balance)
  params = problem.actor_params(network)
  return jax.jit(step), state.init_actor(
    params, optimizer, UNWEIGHTED, 2, balance.link
  )


def _stage_3(balance, optimizer, backbone='shared_bottom'):
  """With RMTL's weights of rows ahead of the balancer."""
  network, critic = problem.actor(backbone), problem.critic()
  step, init = problem.finetuning(
    network, critic, config_lib.Config(backbone=backbone), optimizer, balance
  )
  full = init(
    problem.actor_params(network), problem.critic_params(critic, 'shared')
  )
  return jax.jit(step), full


def _actor(full):
  return getattr(full, 'actor', full)


def _task_gradients(*args):
  """Of each task's share of the mean, by jax.grad; arrays of numpy."""
  return jax.device_get(_compiled_gradients(*args))


@functools.partial(jax.jit, static_argnums=2)
def _compiled_gradients(params, batch, backbone, weights=1.0):
  def share(params, k):
    losses, _ = forward.actor_losses(
      problem.actor(backbone), params, batch, KEY
    )
    cotangent = forward.mean_cotangent(batch.mask, 2) * weights
    return jnp.sum((losses * cotangent)[..., k])

  return [jax.grad(share)(params, k) for k in range(2)]


def _losses(network, params, batch):
  """As `forward.actor_losses` has them."""
  return jax.jit(lambda p: forward.actor_losses(network, p, batch, KEY))(params)


@pytest.mark.parametrize(
  ('name', 'make'),
  tiers.some(
    [(name, _stage_1) for name in NAMES]
    + [(name, _stage_3) for name in ('famo', 'pcgrad')],
    [(name, _stage_1) for name in FEW]
    + [(name, _stage_3) for name in ('famo', 'pcgrad')],
  ),
)
def test_every_balancer_takes_steps(name, make):
  """Finite, moving, compiled once, a state of one form, another each step."""
  optimizer = state.make_optimizer(config_lib.StageConfig())
  step, full = make(_balance(name), optimizer)
  first = full
  batches = problem.two_batches(ROWS)
  for batch in (*batches, *batches):
    new_full, metrics = step(full, batch, KEY)
    problem.assert_finite((_actor(new_full), metrics))
    assert jax.tree.structure(new_full) == jax.tree.structure(full)
    full = new_full
  assert step._cache_size() == 1
  problem.assert_all_moved(_actor(full).params, _actor(first).params)


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
  (a, c), (_, b) = np.asarray(jax.jit(tasks.gram)(seen), np.float64)
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


def test_rows_weights_come_first():
  """In stage 3 the tasks' losses and gradients are those that RMTL weighs."""
  step, full = _stage_3(_balance('gls'), problem.recorder())
  batch = problem.batch(ROWS)
  new_full, _ = step(full, batch, KEY)
  network, critic = problem.actor(), problem.critic()
  losses, actions = _losses(network, full.actor.params, batch)
  q_values = jax.jit(functools.partial(forward.values, critic))(
    full.critic.params, batch.inputs, actions
  )
  weights = 1.0 - 0.7 * q_values
  gradients = _task_gradients(
    full.actor.params, batch, 'shared_bottom', weights
  )
  of_rows = np.where(batch.mask[..., None], weights * losses, 0.0)
  means = np.sum(of_rows, (0, 1)) / np.sum(batch.mask)
  # d sqrt(L1 L2) = sqrt(L1 L2) / 2 sum dL_k / L_k; a gradient is dL_k / 2.
  scale = np.sqrt(means[0] * means[1]) / means
  by_hand = jax.tree.map(lambda a, b: scale[0] * a + scale[1] * b, *gradients)
  found = jax.device_get(new_full.actor.opt_state)
  # Up to a factor, which the balancer's convention decides.
  ratio = float(optax.global_norm(found) / optax.global_norm(by_hand))
  problem.assert_trees_close(
    found,
    jax.tree.map(lambda g: ratio * g, by_hand),
    rtol=1e-3,
    atol=1e-5,
  )


def test_losses_after_the_step_are_of_the_same_batch():
  """What FAMO is told: the new parameters' losses, with the same dropout."""
  link = optax.GradientTransformationExtraArgs(
    lambda params: jnp.zeros(2),
    lambda updates, state, params=None, **extra: (updates, state),
  )
  record = registry.Balancer('told', '', observe=lambda state, losses: losses)
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
  losses, _ = _losses(network, new_actor.params, batch)
  expected = tasks.mean_losses(forward.mean_cotangent(batch.mask, 2), losses)
  np.testing.assert_allclose(new_actor.balancing_state, expected, rtol=1e-5)
