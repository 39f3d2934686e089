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
def test_a_stacked_layer_by_hand(form):
  linear = layers.StackedLinear(2, 2, 1, layers.HE, setup(expert_form=form))
  linear.kernel[...] = jnp.array([[[1.0], [2.0]], [[3.0], [4.0]]])
  linear.bias[...] = jnp.array([[10.0], [20.0]])
  x = jnp.array([[1.0, 1.0], [0.0, 2.0]])
  # One input for both members, then one each.
  shared = linear(x)
  np.testing.assert_array_equal(shared[0], [[13], [14]])
  np.testing.assert_array_equal(shared[1], [[27], [28]])
  own = linear(layers.stack([x, -x], form))
  np.testing.assert_array_equal(own[0], [[13], [14]])
  np.testing.assert_array_equal(own[1], [[13], [12]])


@pytest.mark.parametrize('form', ['separate', 'batched'])
def test_columns_split_in_order_and_mix_by_the_gate(form):
  x = jnp.arange(12.0).reshape(2, 6)
  members = layers.stack(jnp.split(x, 3, axis=1), form)
  assert isinstance(members, list) == (form == 'separate')
  np.testing.assert_array_equal(members[1], [[2, 3], [8, 9]])
  gate = jnp.array([[1.0, 0.0, 0.0], [0.0, 0.5, 0.5]])
  np.testing.assert_array_equal(layers.mix(gate, members), [[0, 1], [9, 10]])
  both = layers.concatenate(members[2:], members[:1])
  np.testing.assert_array_equal(both[0], [[4, 5], [10, 11]])
  np.testing.assert_array_equal(both[1], [[0, 1], [6, 7]])


@pytest.mark.parametrize('form', ['separate', 'batched'])
def test_heads_stand_side_by_side(form):
  heads = layers.Heads(3, 2, setup(expert_form=form))
  heads.linear.kernel[...] = jnp.ones((3, 2, 1))
  heads.linear.bias[...] = jnp.array([[0.0], [10.0], [20.0]])
  np.testing.assert_array_equal(
    heads(jnp.array([[1.0, 2.0], [3.0, 4.0]])), [[3, 13, 23], [7, 17, 27]]
  )


@pytest.mark.parametrize('rate', [0.0, 0.5])
def test_an_activation_without_key_or_rate_is_relu(rate):
  activation = layers.Activation(1, setup(dropout=rate))
  x = jnp.array([[-1.0, 2.0]])
  for form in ([x], x[None]):
    np.testing.assert_array_equal(activation(form, None)[0], [[0, 2]])
  dropped = activation([jnp.ones((8, 8))], jax.random.key(0))[0]
  assert set(np.unique(dropped)) == ({1.0} if rate == 0 else {0.0, 2.0})


def test_layers_of_a_network_have_masks_of_their_own():
  network = setup(dropout=0.5)
  hidden = layers.Hidden(2, (6, 6, 6), network)
  found = [
    (a.number, a.count)
    for a in (hidden.activation_0, hidden.activation_1, hidden.activation_2)
  ]
  assert found == [(0, 2), (2, 2), (4, 2)]
  assert network.reserve_masks(1) == 6


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
