import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rmtl_jax.ops import rewards

VARIANTS = pytest.mark.parametrize(
  'variant', [lambda f: f, jax.jit], ids=['eager', 'jit']
)


@VARIANTS
def test_log_likelihood_by_hand(variant):
  value = variant(rewards.log_likelihood)(
    jnp.array([[0.8, 0.8], [0.25, 0.5]]), jnp.array([[1.0, 0.0], [0.0, 1.0]])
  )
  expected = [[-0.2231436, -1.6094379], [-0.2876821, -0.6931472]]
  np.testing.assert_allclose(value, expected, atol=1e-6)


@VARIANTS
def test_log_likelihood_is_clipped(variant):
  # log(1e-4) at the wrong end, log(1 - 1e-4) at the right one.
  value = variant(rewards.log_likelihood)(
    jnp.array([0.0, 1.0, 0.0, 1.0]), jnp.array([1.0, 0.0, 0.0, 1.0])
  )
  expected = [-9.2103404, -9.2103404, -1.0000500e-4, -1.0000500e-4]
  np.testing.assert_allclose(value[:2], expected[:2], rtol=2e-5)
  np.testing.assert_allclose(value[2:], expected[2:], atol=1e-7)


def test_log_likelihood_gradient():
  # (y - a) / (a (1 - a)) within the margins, 0 where the action is clipped.
  gradient = jax.vmap(jax.grad(rewards.log_likelihood))(
    jnp.array([0.2, 0.2, 0.0, 1.0]), jnp.array([1.0, 0.0, 1.0, 0.0])
  )
  np.testing.assert_allclose(gradient, [5.0, -1.25, 0.0, 0.0], rtol=1e-6)
