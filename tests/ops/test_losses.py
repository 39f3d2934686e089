import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rmtl_jax.ops import losses

VARIANTS = pytest.mark.parametrize(
  'variant', [lambda f: f, jax.jit], ids=['eager', 'jit']
)


@VARIANTS
def test_binary_cross_entropy_by_hand(variant):
  # sigmoid(log 4) = 0.8 and sigmoid(-log 3) = 0.25.
  logits = jnp.log(jnp.array([[4.0, 4.0], [1 / 3, 1.0]]))
  value = variant(losses.binary_cross_entropy)(
    logits, jnp.array([[1.0, 0.0], [0.0, 1.0]])
  )
  expected = [[0.2231436, 1.6094379], [0.2876821, 0.6931472]]
  np.testing.assert_allclose(value, expected, atol=1e-6)


@VARIANTS
def test_binary_cross_entropy_of_any_size(variant):
  logits = jnp.array([1e4, -1e4, 1e4, -1e4, -20.0])
  labels = jnp.array([0.0, 1.0, 1.0, 0.0, 0.0])
  value = variant(losses.binary_cross_entropy)(logits, labels)
  np.testing.assert_allclose(
    value, [1e4, 1e4, 0.0, 0.0, 2.0611537e-9], rtol=1e-6
  )


@VARIANTS
def test_td_error_by_hand(variant):
  value = variant(losses.td_error)(
    jnp.array([-1.0, 0.5, 2.0]), jnp.array([-3.0, 0.5, 1.5])
  )
  np.testing.assert_array_equal(value, [4.0, 0.0, 0.25])


@VARIANTS
def test_td_error_moves_the_value_alone(variant):
  gradients = variant(jax.grad(losses.td_error, argnums=(0, 1)))(
    jnp.float32(-1.0), jnp.float32(-3.0)
  )
  np.testing.assert_array_equal(gradients, [4.0, 0.0])


@pytest.mark.parametrize(
  'function', [losses.binary_cross_entropy, losses.td_error]
)
def test_shapes_must_agree(function):
  with pytest.raises(ValueError, match='one shape'):
    function(jnp.zeros((3, 2)), jnp.zeros((3, 1)))
