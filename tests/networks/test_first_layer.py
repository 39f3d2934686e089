from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from rmtl_jax import config as config_lib
from rmtl_jax import types
from rmtl_jax.networks import first_layer


def make(spec, **changes):
  config = config_lib.NetworkConfig(embedding_dim=1, **changes)
  rngs = nnx.Rngs(params=jax.random.key(0))
  return first_layer.FirstLayer(spec, config, rngs, units=1, gates=1)


@pytest.mark.parametrize('form', ['plain', 'distinct'])
def test_a_first_layer_by_hand(form):
  spec = types.FeatureSpec((2, 3), ((2, 2),), 2, 1)
  layer = make(spec, first_layer=form)
  layer.table[...] = jnp.array([[0.0], [1], [0], [2], [3], [0], [4]])
  # Columns: what a ReLU reads, then a gate.
  layer.kernel[...] = jnp.array(
    [[[1.0, 0]], [[10.0, 0]], [[100.0, 0]], [[1000.0, 1]]]
  )
  layer.bias[...] = jnp.array([0.5, 0.0])
  layer.numeric.kernel[...] = jnp.array([[1.0], [-1.0]])
  layer.numeric.bias[...] = jnp.array([2.0])
  inputs = types.Inputs(
    np.array([[[1, 2], [0, 1]]]),
    np.array([[[1, 0], [1, -1]]]),
    np.array([[[3.0, 1.0], [0.0, 4.0]]]),
  )
  lanes = jax.vmap(layer, in_axes=(layer.shared_axes, 0))
  run = jax.jit(lambda inputs: lanes(layer.share(inputs), inputs))
  (hidden,), gates = run(inputs)
  # 1 + 10 * 3 + 100 * (4 + 0) / 2 + 1000 * (2 + 3 - 1) + 0.5
  # 0 + 10 * 2 + 100 * 4 + 1000 * (2 - 4) + 0.5
  np.testing.assert_allclose(hidden, [[[4231.5], [-1579.5]]], rtol=1e-6)
  np.testing.assert_allclose(gates, [[[4.0], [-2.0]]], rtol=1e-6)
