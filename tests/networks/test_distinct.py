from __future__ import annotations

import dataclasses

import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rmtl_jax import types
from rmtl_jax.networks import (
  backbone_registry,
  distinct,
  from_settings,
  functional,
)
from tests import paper, tiers
from tests.networks import small

find = jax.jit(distinct.distinct, static_argnums=(1, 2))


@pytest.mark.parametrize('examples', tiers.examples(15, 100))
def test_distinct_values_are_numpys(examples):
  tiers.check(
    distinct_values_are_numpys,
    examples,
    st.integers(1, 60).flatmap(
      lambda top: hnp.arrays(np.int32, 12, elements=st.integers(0, top))
    ),
    st.sampled_from([2, 5, 12]),
  )


def distinct_values_are_numpys(array, room):
  first, places, number = find(array, room, 61)
  values, inverse = np.unique(array, return_inverse=True)
  kept = min(len(values), room)
  assert number == len(values)
  assert first.shape == (room,)
  np.testing.assert_array_equal(first[:kept], values[:room])
  np.testing.assert_array_equal(first[kept:], 0)
  np.testing.assert_array_equal(places, inverse)


SPEC = types.FeatureSpec((3, 200, 100, 150), ((5, 2),), 1, 2)


def batch(variety: int) -> types.Inputs:
  """4 x 8 slots; all but the first field have at most `variety` values."""
  inputs = small.inputs(SPEC, variety, lanes=4, slots=8)
  categorical = inputs.categorical.copy()
  categorical[..., 1:] = (categorical[..., 1:] % variety) * 13 % 97
  return inputs._replace(categorical=categorical)


# Distinct values of a field; there is room for 12.
VARIETIES = (1, 8, 12, 90)
ROOMY = dataclasses.replace(SPEC, distinct=(3, 12, 12, 12))
NAMES = (*small.FIRST_LAYERS, 'shared', 'separate')
QUICK = ('mmoe', 'separate')


@pytest.mark.parametrize('name', tiers.some(NAMES, QUICK))
def test_distinct_equals_plain_in_values_and_gradients(name):
  functions = []
  for spec, form in ((SPEC, 'plain'), (ROOMY, 'distinct')):
    config = dataclasses.replace(small.CONFIG, first_layer=form)
    args = ()
    if name in backbone_registry.BACKBONES:
      network = from_settings.make_actor(spec, name, config)
    else:
      critic = paper.critic(form=name)
      network = from_settings.make_critic(spec, config, critic)
      args = (np.full((4, 8, 2), 0.3, np.float32),)
    params = small.params(network)

    def loss(params, inputs, network=network, args=args):
      key = jax.random.key(0)
      out = functional.apply(network, params, inputs, *args, dropout_key=key)
      weights = jnp.arange(64.0).reshape(out.shape) / 64
      return (out * weights).mean(), out

    functions.append(small.jit(jax.value_and_grad(loss, has_aux=True)))
  for variety in VARIETIES:
    (plain, slopes), (other, other_slopes) = (
      function(params, batch(variety)) for function in functions
    )
    np.testing.assert_allclose(other[1], plain[1], rtol=1e-5, atol=1e-5)
    jax.tree.map(
      lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5),
      other_slopes,
      slopes,
    )
