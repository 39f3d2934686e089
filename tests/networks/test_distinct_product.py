"""The first layer's own gradient: every kind of numeric field, and none."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rmtl_jax import types
from rmtl_jax.networks import distinct_product, factory, functional
from tests import tiers
from tests.networks import small


def loss_of(spec: types.FeatureSpec, form: str, encoding: str):
  config = dataclasses.replace(
    small.CONFIG, first_layer=form, numeric_encoding=encoding
  )
  network = factory.make_actor(spec, 'mmoe', config)

  def loss(params, inputs):
    out = functional.apply(network, params, inputs)
    return jnp.mean(out * jnp.arange(float(out.size)).reshape(out.shape))

  # The inputs' numbers too: what a feature is worth may be asked so.
  def of_numbers(params, numbers, inputs):
    return loss(params, inputs._replace(numeric=numbers))

  return small.params(network), small.jit(
    jax.value_and_grad(of_numbers, argnums=(0, 1))
  )


@pytest.mark.parametrize(  # all fit, some do not
  'room', tiers.some((6, 2), (2,))
)
@pytest.mark.parametrize(
  ('count', 'encoding'),
  [
    (0, 'linear'),
    (1, 'linear'),
    (distinct_product.FEW_NUMERIC + 2, 'linear'),
    (2, 'piecewise'),
  ],
)
def test_numbers_are_added_as_the_plain_layer_adds_them(room, count, encoding):
  spec = dataclasses.replace(
    small.spec(), numeric=count, quantiles=((-1.0, 0.0, 1.0), ())[:count]
  )
  if encoding == 'linear':
    spec = dataclasses.replace(spec, quantiles=())
  roomy = dataclasses.replace(spec, distinct=(min(room, 4), room))
  inputs = small.inputs(spec, lanes=4, slots=8)
  params, plain = loss_of(spec, 'plain', encoding)
  _, other = loss_of(roomy, 'distinct', encoding)
  expected, found = (f(params, inputs.numeric, inputs) for f in (plain, other))
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-5),
    found,
    expected,
  )
