"""Vectors learnt elsewhere: blocks of features, frozen or trained."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from rmtl_jax import types
from rmtl_jax.networks import from_settings, functional, pretrained
from rmtl_jax.updates import state
from tests import tiers
from tests.networks import reference, small

SPEC = dataclasses.replace(
  small.spec(),
  names=('user', 'item', 'tags', 'labels'),
  pretrained=(
    types.Pretrained(0, 'user', 2, trained=True),
    types.Pretrained(1, 'item', 5),
  ),
)
VECTORS = {
  'user': np.arange(8, dtype=np.float32).reshape(4, 2),
  'item': np.linspace(-1, 1, 30, dtype=np.float32).reshape(6, 5),
}


def made(backbone='mmoe', spec=SPEC, **changes):
  config = dataclasses.replace(small.CONFIG, **changes)
  return from_settings.make_actor(spec, backbone, config)


@pytest.mark.parametrize('backbone', tiers.some(small.FIRST_LAYERS, ('mmoe',)))
def test_first_layers_equal_numpy(backbone):
  inputs, network = small.inputs(SPEC), made(backbone)
  params = small.params(network)
  np.testing.assert_allclose(
    small.run(network, params, inputs),
    reference.actor_logits(SPEC, backbone, small.CONFIG, params, inputs),
    rtol=1e-5,
    atol=1e-5,
  )


def test_frozen_vectors_get_no_gradient_no_moments_and_no_step():
  network, inputs = made(), small.inputs(SPEC)
  params = pretrained.fill(small.params(network), VECTORS)

  def loss(params):
    return jnp.sum(functional.apply(network, params, inputs) ** 2)

  optimizer = state.make_optimizer(0.1, 0.1)
  opt_state = optimizer.init(params)
  shapes = [leaf.shape for leaf in jax.tree.leaves(opt_state)]
  assert (4, 2) in shapes and (6, 5) not in shapes

  @jax.jit
  def step(params, opt_state):
    gradients = jax.grad(loss)(params)
    updates, opt_state = optimizer.update(gradients, opt_state, params)
    return optax.apply_updates(params, updates), opt_state

  new_params, _ = step(params, opt_state)
  first = new_params['first']
  np.testing.assert_array_equal(
    first['pretrained_item']['frozen'], VECTORS['item']
  )
  moved = first['pretrained_user']['vectors'] - VECTORS['user']
  assert np.abs(moved).max() > 0.05
  kernels = [
    p['first']['pretrained_item']['kernel'] for p in (params, new_params)
  ]
  assert np.abs(kernels[0] - kernels[1]).max() > 0.05
