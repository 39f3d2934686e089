import jax
import jax.numpy as jnp
import numpy as np

from rmtl_jax.updates import forward, weighted_grad
from rmtl_jax.weighting import critic as weights_lib
from tests.updates import problem

ROWS = problem.columns()


def test_mean_cotangent_by_hand():
  # Three rows, two tasks: every loss counts for a sixth, padding for nothing.
  mask = jnp.array([[True, True, False], [True, False, False]])
  value = np.asarray(forward.mean_cotangent(mask, 2))
  expected = np.where(np.asarray(mask)[..., None], np.float32(1 / 6), 0)
  np.testing.assert_allclose(value, np.repeat(expected, 2, -1), rtol=1e-6)
  assert abs(value.sum() - 1) < 1e-6


def test_weighed_pullback_is_the_gradient_of_the_weighed_mean():
  """The chain on the cotangent gives what jax.grad of the mean gives."""
  rng = np.random.default_rng(0)
  x = rng.normal(size=(2, 4, 3)).astype(np.float32)
  q = -rng.random((2, 4, 2)).astype(np.float32)
  mask = np.array([[True, True, True, False], [True, True, False, False]])
  params = {'w': jnp.asarray(rng.normal(size=(3, 2)), jnp.float32)}

  def row_losses(params):
    return jnp.square(x @ params['w'])

  def mean(params):
    weighed = (1 - 0.7 * q) * row_losses(params)
    return jnp.sum(jnp.where(mask[..., None], weighed, 0.0)) / (5 * 2)

  rows = weighted_grad.differentiate(
    lambda p: (row_losses(p), jnp.float32(3.0)), params, jnp.asarray(mask)
  )
  link = weights_lib.scale_by_critic(lambda_=0.7)
  cotangent = forward.mean_cotangent(jnp.asarray(mask), 2)
  weighed, _ = link.update(
    cotangent, link.init(cotangent), q_values=jnp.asarray(q)
  )
  assert rows.aux == 3.0
  np.testing.assert_array_equal(rows.mean_cotangent, cotangent)
  np.testing.assert_allclose(rows.losses, row_losses(params))
  np.testing.assert_allclose(
    rows.pullback(weighed)['w'], jax.grad(mean)(params)['w'], rtol=1e-6
  )


def test_dropout_follows_the_key_and_spares_the_policy():
  network = problem.actor(dropout=0.5)
  params = problem.actor_params(network)
  batch = problem.batch(ROWS)
  losses = jax.jit(
    lambda key: forward.actor_losses(network, params, batch, key)[1]
  )
  first, again, other = (losses(jax.random.key(seed)) for seed in (0, 0, 1))
  np.testing.assert_array_equal(first, again)
  assert np.any(np.asarray(first) != np.asarray(other))
  policy = jax.jit(lambda p: forward.policy(network, p, batch.inputs))
  plain = jax.jit(lambda p: forward.policy(problem.actor(), p, batch.inputs))
  np.testing.assert_array_equal(policy(params), plain(params))
