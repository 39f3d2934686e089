from __future__ import annotations

import dataclasses

import hypothesis
import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rmtl_jax import config as config_lib
from rmtl_jax import types
from rmtl_jax.networks import distinct, functional
from tests.networks import small

find = jax.jit(distinct.distinct)


@hypothesis.settings(deadline=None, max_examples=100)
@hypothesis.given(
  st.integers(1, 60).flatmap(
    lambda top: hnp.arrays(np.int32, (3, 4), elements=st.integers(0, top))
  )
)
def test_distinct_values_are_numpys(array):
  found = find(array)
  values, inverse = np.unique(array, return_inverse=True)
  assert found.number == len(values)
  np.testing.assert_array_equal(found.values[: len(values)], values)
  np.testing.assert_array_equal(found.values[len(values) :], 0)
  np.testing.assert_array_equal(found.inverse, inverse)


@pytest.mark.parametrize(
  ('slots', 'expected'), [(2048, (512, 1024, 2048)), (2, (1, 2)), (1, (1,))]
)
def test_the_last_tier_holds_every_slot(slots, expected):
  assert distinct.tiers(slots) == expected


@pytest.mark.parametrize('number', [1, 4, 5, 8, 9, 16])
def test_a_product_is_exact_for_every_number_of_rows(number):
  rng = np.random.default_rng(number)
  rows = rng.normal(size=(16, 3)).astype(np.float32)
  kernel = rng.normal(size=(3, 5)).astype(np.float32)
  wanted = (np.arange(16) < number)[:, None]

  @small.jit
  @jax.value_and_grad
  def loss(arguments, number):
    product = distinct.project(*arguments, number)
    return jnp.where(wanted, product, 0.0).sum() ** 2

  value, gradients = loss((rows, kernel), number)
  total = (rows @ kernel)[:number].sum()
  np.testing.assert_allclose(value, total**2, rtol=1e-5)
  np.testing.assert_allclose(
    gradients[0], 2 * total * wanted * kernel.sum(axis=1), rtol=1e-4
  )
  np.testing.assert_allclose(
    gradients[1],
    np.tile(2 * total * rows[:number].sum(axis=0)[:, None], 5),
    rtol=1e-4,
  )


SPEC = types.FeatureSpec((3, 200, 100, 150), ((5, 2),), 1, 2)


def batch(variety: int) -> types.Inputs:
  """4 x 8 slots; all but the first field have at most `variety` values."""
  inputs = small.inputs(SPEC, variety, lanes=4, slots=8)
  categorical = inputs.categorical.copy()
  categorical[..., 1:] = (categorical[..., 1:] % variety) * 13 % 97
  return inputs._replace(categorical=categorical)


# Every tier of the 32 slots: up to 8, 16 and 32 distinct values.
VARIETIES = (1, 8, 12, 90)
NAMES = (*config_lib.BACKBONES, 'shared', 'separate')


@pytest.mark.parametrize('name', NAMES)
def test_distinct_equals_plain_in_values_and_gradients(name):
  functions = []
  for form in ('plain', 'distinct'):
    config = dataclasses.replace(small.CONFIG, first_layer=form)
    args = ()
    if name in config_lib.BACKBONES:
      network = functional.make_actor(SPEC, name, config)
    else:
      critic = config_lib.CriticConfig(form=name)
      network = functional.make_critic(SPEC, config, critic)
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


def test_all_tiers_were_tried():
  numbers = {
    int(distinct.distinct(batch(v).categorical[..., 1]).number)
    for v in VARIETIES
  }
  assert min(numbers) == 1
  assert any(1 < n <= 8 for n in numbers)
  assert any(8 < n <= 16 for n in numbers)
  assert any(n > 16 for n in numbers)


def test_small_vocabularies_are_projected_whole():
  inputs = batch(4)
  products = distinct.products(
    jnp.ones((453, 2)),
    np.array([0, 3, 203, 303, 453]),
    jnp.ones((4, 2, 5)),
    inputs.categorical,
  )
  assert [t.shape for t in products.tables] == [(3, 5)] + [(32, 5)] * 3
  np.testing.assert_array_equal(
    products.index[..., 0], inputs.categorical[..., 0]
  )


def test_auto_is_distinct_for_wide_embeddings_on_one_cpu_device(monkeypatch):
  monkeypatch.setattr(jax, 'default_backend', lambda: 'cpu')
  monkeypatch.setattr(jax, 'device_count', lambda: 1)
  assert distinct.pays('auto', 128)
  assert not distinct.pays('auto', 64)
  assert not distinct.pays('plain', 128)
  monkeypatch.setattr(jax, 'device_count', lambda: 2)
  assert not distinct.pays('auto', 128)
  assert distinct.pays('distinct', 8)
  monkeypatch.setattr(jax, 'device_count', lambda: 1)
  monkeypatch.setattr(jax, 'default_backend', lambda: 'gpu')
  assert not distinct.pays('auto', 128)
