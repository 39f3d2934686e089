from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rmtl_jax.networks import precision

pytestmark = pytest.mark.slow

# 1 + 2^-8 lies halfway between two numbers of 8 bits and goes to the even one;
# the next representable number above 1 is 1 + 2^-7.
FINE = 1 + 2**-8
COARSE = 1 + 2**-7


def test_operands_are_rounded_and_sums_are_not():
  x = jnp.array([[FINE, 3 * FINE], [COARSE, 2.0]])
  kernel = jnp.array([[COARSE], [FINE]])
  with precision.traced_with('bfloat16'):
    found = precision.product(x, kernel)
  # 3 * FINE = 3.01171875 goes to 3.015625; COARSE + 3.015625 needs 9 bits.
  expected = [[COARSE + 3.015625], [COARSE**2 + 2.0]]
  np.testing.assert_array_equal(found, np.array(expected, np.float32))
  assert found.dtype == jnp.float32
  np.testing.assert_array_equal(
    precision.product(x, kernel), x @ kernel, strict=True
  )


def rounded(x):
  return np.asarray(jnp.asarray(x).astype(jnp.bfloat16), np.float64)


LANES = {'rows': (0, None), 'kernels': (None, 0), 'both': (0, 0)}


@pytest.mark.parametrize('name', [*LANES, 'neither'])
def test_lanes_change_neither_values_nor_gradients(name):
  axes = LANES.get(name, (None, None))
  rng = np.random.default_rng(0)
  sizes = [(3,) if axis == 0 else () for axis in axes]
  x = rng.normal(size=(*sizes[0], 4, 5)).astype(np.float32)
  kernel = rng.normal(size=(*sizes[1], 5, 2)).astype(np.float32)
  cotangent = rng.normal(size=(*max(sizes), 4, 2)).astype(np.float32)

  multiply = precision.product
  if name in LANES:
    multiply = jax.vmap(multiply, axes)
  with precision.traced_with('bfloat16'):
    found, pullback = jax.vjp(multiply, x, kernel)
    of_x, of_kernel = pullback(cotangent)
  # In float64, a lane at a time.
  x, kernel, cotangent = map(rounded, (x, kernel, cotangent))
  wanted_x = cotangent @ np.swapaxes(kernel, -1, -2)
  wanted_kernel = np.swapaxes(x, -1, -2) @ cotangent
  if name in LANES:
    wanted_x = wanted_x.sum(0) if axes[0] is None else wanted_x
    wanted_kernel = wanted_kernel.sum(0) if axes[1] is None else wanted_kernel
  np.testing.assert_allclose(found, x @ kernel, rtol=1e-5, atol=1e-5)
  np.testing.assert_allclose(of_x, wanted_x, rtol=1e-5, atol=1e-5)
  np.testing.assert_allclose(of_kernel, wanted_kernel, rtol=1e-5, atol=1e-5)
