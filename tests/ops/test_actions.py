import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rmtl_jax.ops import actions

VARIANTS = pytest.mark.parametrize(
  'variant', [lambda f: f, jax.jit], ids=['eager', 'jit']
)


@VARIANTS
def test_noise_is_the_normal_draw_clipped(variant):
  key = jax.random.key(3)
  policy = jnp.array([[0.5, 0.02], [0.98, 0.5]])
  draw = np.asarray(jax.random.normal(key, (2, 2)))
  expected = np.clip(policy + np.clip(0.1 * draw, -0.05, 0.05), 0, 1)
  value = variant(actions.clipped_noise)(key, policy, 0.1, 0.05)
  np.testing.assert_allclose(value, expected, atol=1e-7)


@VARIANTS
def test_uniform_covers_the_unit_whatever_the_policy(variant):
  key = jax.random.key(1)
  value = variant(actions.uniform)(key, jnp.full((1000, 2), 0.9))
  assert value.shape == (1000, 2)
  assert bool(jnp.all((value >= 0) & (value < 1)))
  counts, _ = np.histogram(np.asarray(value), bins=10, range=(0, 1))
  # Binomial(2000, 0.1): mean 200, standard deviation 13.4.
  assert np.all(np.abs(counts - 200) < 5 * 13.4)
  np.testing.assert_array_equal(
    value, actions.uniform(key, jnp.zeros((1000, 2)))
  )
