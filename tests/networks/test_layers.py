from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rmtl_jax.networks import layers


@pytest.mark.parametrize('gain', [layers.HE, layers.LECUN])
def test_kernels_have_the_variance_of_their_gain(gain):
  kernel = layers.init_kernel(jax.random.key(0), (3, 40, 500), gain)
  assert kernel.shape == (3, 40, 500)
  # 60,000 uniform values: the variance's relative deviation is 0.4 %.
  np.testing.assert_allclose(np.var(kernel), gain / 40, rtol=0.02)
  assert np.abs(kernel).max() <= np.sqrt(3 * gain / 40)


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
