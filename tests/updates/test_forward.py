import jax
import jax.numpy as jnp
import numpy as np

from rmtl_jax.updates import forward, weighted_grad
from tests.updates import problem

ROWS = problem.columns()


def test_mean_cotangent_by_hand():
  # Three rows, two tasks: every loss counts for a sixth, padding for nothing.
  mask = jnp.array([[True, True, False], [True, False, False]])
  value = np.asarray(weighted_grad.mean_cotangent(mask, 2))
  expected = np.where(np.asarray(mask)[..., None], np.float32(1 / 6), 0)
  np.testing.assert_allclose(value, np.repeat(expected, 2, -1), rtol=1e-6)
  assert abs(value.sum() - 1) < 1e-6


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
