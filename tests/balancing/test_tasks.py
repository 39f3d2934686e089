"""Losses, weights and gradients of whole tasks, by hand and by properties."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rmtl_jax.balancing import task_sums
from rmtl_jax.updates import balance, weighted_grad

LOSSES = jnp.array([[[1.0, 8.0], [3.0, 2.0]], [[5.0, 2.0], [9.0, 9.0]]])
MASK = jnp.array([[True, True], [True, False]])
EVEN = weighted_grad.mean_cotangent(MASK, 2)


def test_mean_losses_by_hand():
  np.testing.assert_allclose(task_sums.mean_losses(EVEN, LOSSES), [3.0, 4.0])


@pytest.mark.parametrize('anything', [jnp.nan, jnp.inf, -jnp.inf])
def test_rows_that_do_not_count_may_have_any_loss(anything):
  losses = LOSSES.at[1, 1].set(anything)
  np.testing.assert_allclose(task_sums.mean_losses(EVEN, losses), [3.0, 4.0])


def gradients(rng, num_tasks):
  return {
    'w': jnp.asarray(rng.normal(size=(num_tasks, 3, 2)), jnp.float32),
    'b': (jnp.asarray(rng.normal(size=(num_tasks,)), jnp.float32),),
  }


@pytest.mark.parametrize('num_tasks', [1, 2, 5])
def test_products_and_sums_are_those_of_flat_gradients(num_tasks):
  tree = gradients(np.random.default_rng(0), num_tasks)
  flat = np.concatenate(
    [np.reshape(leaf, (num_tasks, -1)) for leaf in jax.tree.leaves(tree)], -1
  )
  np.testing.assert_allclose(task_sums.gram(tree), flat @ flat.T, rtol=1e-5)
  weights = jnp.arange(1.0, num_tasks + 1)
  combined = task_sums.combine(tree, weights)
  assert combined['w'].shape == (3, 2) and combined['b'][0].shape == ()
  found = np.concatenate(
    [np.reshape(leaf, -1) for leaf in jax.tree.leaves(combined)]
  )
  np.testing.assert_allclose(found, np.asarray(weights) @ flat, rtol=1e-5)


def test_what_does_not_count_is_zero_in_every_task():
  rng = np.random.default_rng(1)
  leaves = {
    name: jnp.asarray(rng.normal(size=(3, 4, 2)), jnp.float32) for name in 'abc'
  }
  columns = np.array([[True, False]])
  found = task_sums.masked(
    leaves, {'a': np.True_, 'b': np.False_, 'c': columns}
  )
  np.testing.assert_array_equal(found['a'], leaves['a'])
  np.testing.assert_array_equal(found['b'], np.zeros((3, 4, 2)))
  np.testing.assert_array_equal(
    found['c'], np.asarray(leaves['c']) * np.array([1.0, 0.0])
  )


def test_task_gradients_sum_to_the_gradient():
  params = {'w': jnp.array([0.3, -0.5]), 'c': jnp.array(2.0)}

  def losses_of(p):
    return jnp.square(LOSSES * p['w'][None, None] - p['c'])

  _, pullback = jax.vjp(losses_of, params)
  by_task = balance.task_gradients(pullback, EVEN)
  (whole,) = pullback(EVEN)
  found = task_sums.combine(by_task, jnp.ones(2))
  for name, expected in whole.items():
    np.testing.assert_allclose(found[name], expected, rtol=1e-5)
