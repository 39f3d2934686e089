from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from rmtl_jax.networks import layers
from tests.networks import small


def setup(**changes):
  config = dataclasses.replace(small.CONFIG, **changes)
  return layers.Setup(config, nnx.Rngs(params=jax.random.key(0)))


@pytest.mark.parametrize('gain', [layers.HE, layers.LECUN])
def test_kernels_have_the_variance_of_their_gain(gain):
  kernel = layers.init_kernel(jax.random.key(0), (3, 40, 500), gain)
  assert kernel.shape == (3, 40, 500)
  # 60,000 uniform values: the variance's relative deviation is 0.4 %.
  np.testing.assert_allclose(np.var(kernel), gain / 40, rtol=0.02)
  assert np.abs(kernel).max() <= np.sqrt(3 * gain / 40)


@pytest.mark.parametrize('form', ['separate', 'batched'])
def test_a_stacked_layer_by_hand(form, monkeypatch):
  small.run_stacks(monkeypatch, form)
  linear = layers.StackedLinear(2, 2, 1, layers.HE, setup())
  linear.kernel[...] = jnp.array([[[1.0], [2.0]], [[3.0], [4.0]]])
  linear.bias[...] = jnp.array([[10.0], [20.0]])
  x = jnp.array([[1.0, 1.0], [0.0, 2.0]])
  # One input for both members, then one each.
  shared = linear(x)
  np.testing.assert_array_equal(shared[0], [[13], [14]])
  np.testing.assert_array_equal(shared[1], [[27], [28]])
  own = linear(layers.stack([x, -x]))
  np.testing.assert_array_equal(own[0], [[13], [14]])
  np.testing.assert_array_equal(own[1], [[13], [12]])


@pytest.mark.parametrize('form', ['separate', 'batched'])
def test_heads_stand_side_by_side(form, monkeypatch):
  small.run_stacks(monkeypatch, form)
  heads = layers.Heads(3, 2, setup())
  heads.linear.kernel[...] = jnp.ones((3, 2, 1))
  heads.linear.bias[...] = jnp.array([[0.0], [10.0], [20.0]])
  np.testing.assert_array_equal(
    heads(jnp.array([[1.0, 2.0], [3.0, 4.0]])), [[3, 13, 23], [7, 17, 27]]
  )


@pytest.mark.parametrize('backend', ['cpu', 'gpu'])
def test_matmul_has_the_gradients_of_a_product(backend, monkeypatch):
  monkeypatch.setattr(jax, 'default_backend', lambda: backend)
  rng = np.random.default_rng(0)
  x, kernel, cotangent = (
    jnp.asarray(rng.normal(size=shape), jnp.float32)
    for shape in ((3, 4, 5), (5, 2), (3, 4, 2))
  )

  def lanes(x, kernel):
    return jax.vmap(layers.matmul, (0, None))(x, kernel)

  value, pullback = jax.vjp(lanes, x, kernel)
  np.testing.assert_allclose(value, x @ kernel, rtol=1e-5)
  of_x, of_kernel = pullback(cotangent)
  np.testing.assert_allclose(of_x, cotangent @ kernel.T, rtol=1e-5)
  expected = np.einsum('lti,ltu->iu', x, cotangent)
  np.testing.assert_allclose(of_kernel, expected, rtol=1e-4)
