import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rmtl_jax.ops import actions

VARIANTS = pytest.mark.parametrize(
  'variant', [lambda f: f, jax.jit], ids=['eager', 'jit']
)

CLIPPED_NOISE = jax.jit(actions.clipped_noise)


@settings(deadline=None, max_examples=50)
@given(
  st.integers(0, 2**31 - 1),
  st.floats(0, 2, width=32),
  st.floats(0, 1, width=32),
)
def test_noise_stays_within_its_limit_and_the_unit(seed, deviation, limit):
  policy = jnp.linspace(0.0, 1.0, 64)
  value = CLIPPED_NOISE(jax.random.key(seed), policy, deviation, limit)
  assert bool(jnp.all((value >= 0) & (value <= 1)))
  assert float(jnp.max(jnp.abs(value - policy))) <= limit + 1e-6


@VARIANTS
def test_noise_is_the_normal_draw_clipped(variant):
  key = jax.random.key(3)
  policy = jnp.array([[0.5, 0.02], [0.98, 0.5]])
  draw = np.asarray(jax.random.normal(key, (2, 2)))
  expected = np.clip(policy + np.clip(0.1 * draw, -0.05, 0.05), 0, 1)
  value = variant(actions.clipped_noise)(key, policy, 0.1, 0.05)
  np.testing.assert_allclose(value, expected, atol=1e-7)


def test_noise_has_the_deviation_and_every_row_its_own():
  policy = jnp.full((20_000,), 0.5)
  value = actions.clipped_noise(jax.random.key(0), policy, 0.05, 0.4)
  # Five standard errors: 0.05 / sqrt(20000) of the mean, / sqrt(40000) of the
  # deviation.
  assert abs(float(jnp.mean(value)) - 0.5) < 5 * 0.05 / 20_000**0.5
  assert abs(float(jnp.std(value)) - 0.05) < 5 * 0.05 / 40_000**0.5
  assert len(np.unique(value)) > 10_000


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
