import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings

from rmtl_jax.contrib.weightings import uncertainty
from tests.weighting import test_relative as common

WEIGHTS = jax.jit(uncertainty.uncertainty_weights)


@settings(deadline=None, max_examples=200)
@given(common.VALUES, common.MASKS, common.LAMBDAS)
def test_weights_are_finite_not_negative_and_of_mean_one(values, mask, lambda_):
  weights = np.asarray(WEIGHTS(-values, mask, lambda_))
  assert np.all(np.isfinite(weights)) and np.all(weights >= 0)
  np.testing.assert_array_equal(weights[~mask], 1.0)
  if np.any(mask):
    np.testing.assert_allclose(weights[mask].mean(0), 1.0, rtol=1e-4)


@pytest.mark.parametrize('value', [0.0, 0.6931472, 3.3, 47.1])
@pytest.mark.parametrize('lambda_', [0.7, 5.0, -5.0])
def test_values_that_do_not_vary_weigh_nothing(value, lambda_):
  values = jnp.full((32, 64, 2), value, jnp.float32)
  mask = jnp.arange(64)[None, :] < jnp.arange(1, 33)[:, None]
  weights = WEIGHTS(values, mask, lambda_)
  np.testing.assert_allclose(weights, 1.0, rtol=1e-4)


def test_one_critic_has_no_uncertainty():
  mask = jnp.array([[True, True, False]])
  weights = uncertainty.uncertainty_weights(jnp.zeros((1, 3, 2)), mask, 0.7)
  np.testing.assert_array_equal(weights, jnp.ones((1, 3, 2)))


def test_a_negative_lambda_turns_the_weights_round():
  """u = 3, 1, 1, 3 by their mean, 2."""
  deviation = jnp.array([[[3.0], [1.0], [1.0], [3.0]]])
  weights = WEIGHTS(deviation, jnp.ones((1, 4), bool), -0.25)
  np.testing.assert_allclose(
    weights[0, :, 0], [0.875, 1.125, 1.125, 0.875], rtol=1e-6
  )
