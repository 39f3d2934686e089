from __future__ import annotations

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rmtl_jax.networks import backbones


def exact_logits(z):
  """log p - log(1 - p) of the chain in float64, from log p alone."""
  log_p = np.cumsum(-np.logaddexp(0, -np.asarray(z, np.float64)), axis=-1)
  return log_p - np.log(-np.expm1(log_p))


chain = jax.jit(backbones.chain_logits)


@hypothesis.settings(deadline=None, max_examples=50)
@hypothesis.given(
  st.lists(st.floats(-60, 60, width=32), min_size=3, max_size=3)
)
def test_chained_logits_keep_their_digits(z):
  z = np.array([z], np.float32)
  found = np.asarray(chain(z))
  np.testing.assert_allclose(found, exact_logits(z), rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize(
  'z', [[-300, 5, 5], [300, 300, 300], [300, -300, 0], [0, 0, 0], [80, 90, 99]]
)
def test_chained_logits_and_gradients_of_extremes_are_finite(z):
  z = jnp.array([z], jnp.float32)
  logits, jacobian = chain(z), jax.jit(jax.jacobian(backbones.chain_logits))(z)
  assert np.isfinite(logits).all()
  assert np.isfinite(jacobian).all()
  assert (np.diff(logits) <= 1e-5).all()  # a product only shrinks
