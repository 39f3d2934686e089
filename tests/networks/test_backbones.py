from __future__ import annotations

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from rmtl_jax import config as config_lib
from rmtl_jax import types
from rmtl_jax.networks import backbones, factory, functional, layers


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


def test_transfer_by_hand():
  config = config_lib.NetworkConfig()
  transfer = backbones.Transfer(
    1, layers.Setup(config, nnx.Rngs(params=jax.random.key(0)))
  )
  for name, kernel in (('info', 2), ('value', 10), ('key', 1), ('query', 1)):
    linear = getattr(transfer, name)
    linear.kernel[...] = jnp.full((1, 1), float(kernel))
  # The second row's message is negative, so nothing is sent.
  previous, own = jnp.array([[1.0], [-1.0]]), jnp.array([[1.0], [3.0]])
  found = transfer(previous, own, None)
  # Scores x^2 of the sources 1 and 2, then 3 and 0; values 10 x.
  weight, other = np.exp(1) / (np.exp(1) + np.exp(4)), 1 / (1 + np.exp(-9))
  expected = [[10 * weight + 20 * (1 - weight)], [30 * other]]
  np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_a_whole_mmoe_by_hand():
  spec = types.FeatureSpec((2,), (), 0, 1)
  config = config_lib.NetworkConfig(
    embedding_dim=1,
    bottom_units=(1,),
    tower_units=(1,),
    num_experts=2,
  )
  network = factory.make_actor(spec, 'mmoe', config)
  one = jnp.ones((1, 1, 1))
  params = {
    'first': {
      'table': jnp.array([[0.0], [1.0]]),
      # Experts 3 x and -x + 1, gate logits log(3) x and 0.
      'kernel': jnp.array([[[3.0, -1.0, np.log(3.0), 0.0]]]),
      'bias': jnp.array([0.0, 1.0, 0.0, 0.0]),
    },
    'towers': {
      'linear_0': {'kernel': 2 * one, 'bias': jnp.zeros((1, 1))},
      'heads': {'linear': {'kernel': -one, 'bias': jnp.full((1, 1), 0.5)}},
    },
  }
  inputs = types.Inputs(
    np.array([[[0], [1]]]), np.zeros((1, 2, 0), int), np.zeros((1, 2, 0))
  )
  # x = 0: experts 0 and 1, gate 1/2: 0.5; tower 2 * 0.5 = 1; 0.5 - 1.
  # x = 1: experts 3 and 0, gate 3/4: 2.25; tower 4.5; 0.5 - 4.5.
  np.testing.assert_allclose(
    functional.apply(network, params, inputs), [[[-0.5], [-4.0]]], rtol=1e-6
  )
