import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from rmtl_jax.weighting import relative, scale_by_q

SHAPE = (2, 3, 2)
VALUES = hnp.arrays(np.float32, SHAPE, elements=st.floats(-50, 0, width=32))
MASKS = hnp.arrays(bool, SHAPE[:2])
LAMBDAS = st.floats(-100, 100, width=32)


@jax.jit
def every(values, mask, lambda_):
  """The weights of both."""
  weights = scale_by_q.critic_weights(values, lambda_)
  return {
    'mean_one': relative.mean_one(weights, mask),
    'advantage': relative.advantage_weights(values, mask, lambda_),
  }


@settings(deadline=None, max_examples=200)
@given(VALUES, MASKS, LAMBDAS)
def test_weights_are_finite_not_negative_and_of_mean_one(values, mask, lambda_):
  for name, weights in every(values, mask, lambda_).items():
    weights = np.asarray(weights)
    assert np.all(np.isfinite(weights)) and np.all(weights >= 0), name
    np.testing.assert_array_equal(weights[~mask], 1.0)
    if np.any(mask):
      np.testing.assert_allclose(weights[mask].mean(0), 1.0, rtol=1e-4)


@pytest.mark.parametrize('value', [0.0, -0.6931472, -3.3, -47.1])
@pytest.mark.parametrize('lambda_', [0.7, 5.0, -5.0])
def test_values_that_do_not_vary_weigh_nothing(value, lambda_):
  """Rounding in means of many rows must not be blown up to weights."""
  values = jnp.full((32, 64, 2), value, jnp.float32)
  mask = jnp.arange(64)[None, :] < jnp.arange(1, 33)[:, None]
  weights = every(values, mask, lambda_)
  np.testing.assert_array_equal(weights['advantage'], jnp.ones((32, 64, 2)))
  np.testing.assert_allclose(weights['mean_one'], 1.0, rtol=1e-4)
  # So does what varies in the last digit alone.
  noisy = values * (
    1 + jnp.float32(1.2e-7) * (jnp.arange(64) % 2)[None, :, None]
  )
  weights = every(noisy, mask, lambda_)
  np.testing.assert_array_equal(weights['advantage'], jnp.ones((32, 64, 2)))


def test_weights_below_zero_are_cut_and_the_rest_has_mean_one():
  """Q = -3, -1, -1, -3 has A = -1, 1, 1, -1, so 1 - 2 A = 3, -1, -1, 3."""
  q_values = jnp.array([[[-3.0], [-1.0], [-1.0], [-3.0], [7.0]]])
  mask = jnp.array([[True, True, True, True, False]])
  weights = relative.advantage_weights(q_values, mask, 2.0)
  np.testing.assert_allclose(weights[0, :, 0], [2, 0, 0, 2, 1], rtol=1e-6)


def test_a_task_that_loses_all_its_weights_has_constant_ones():
  """All of 1 + 2 Q are below 0 in the first task."""
  q_values = jnp.array([[[-3.0, -0.25], [-1.0, -0.375]]])
  mask = jnp.ones((1, 2), bool)
  weights = every(q_values, mask, -2.0)['mean_one']
  np.testing.assert_allclose(weights[0], [[1, 4 / 3], [1, 2 / 3]], rtol=1e-6)
