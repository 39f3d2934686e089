from __future__ import annotations

import jax
import numpy as np
import pytest

from rmtl_jax.networks import backbone_registry, functional
from tests import tiers
from tests.networks import small

NAMES = (*backbone_registry.trained(), 'shared', 'separate')
BATCHED = ('ple', 'shared')


@pytest.mark.parametrize('name', tiers.some(NAMES, BATCHED))
def test_batched_equals_separate_even_with_dropout(name, monkeypatch):
  inputs = small.inputs(small.spec())
  results = []
  for form in ('separate', 'batched'):
    small.run_stacks(monkeypatch, form)
    network, args = small.named(name, dropout=0.4)
    params = small.params(network)
    key = jax.random.key(3)
    results.append(
      [
        small.run(network, params, inputs, *args),
        small.run(network, params, inputs, *args, dropout_key=key),
      ]
    )
  separate, batched = results
  np.testing.assert_allclose(separate, batched, rtol=1e-5, atol=1e-5)
  # A linear model has no hidden units to drop.
  assert np.abs(separate[0] - separate[1]).max() > 1e-3


# Gates, and separate critics.
QUICK = ('mmoe', 'separate')


@pytest.mark.parametrize('name', tiers.some(NAMES, QUICK))
def test_gradients_equal_finite_differences(name):
  network, args = small.named(name, dropout=0.3)
  inputs = small.inputs(small.spec())
  rng = np.random.default_rng(1)
  weights = rng.normal(size=(small.LANES, small.SLOTS, 2))

  params = jax.tree.map(
    lambda p: np.asarray(p, np.float64), small.params(network)
  )

  # In float64 a step can be so small that no unit changes its mind on it.
  with jax.enable_x64(True):
    key = jax.random.key(5)
    direction = jax.tree.map(lambda p: rng.normal(size=p.shape), params)

    @small.jit
    def slopes(params, direction):
      def loss(params):
        out = functional.apply(network, params, inputs, *args, dropout_key=key)
        return (out * weights).sum()

      def along(size):
        return loss(jax.tree.map(lambda p, d: p + size * d, params, direction))

      gradient = jax.grad(loss)(params)
      products = jax.tree.map(lambda g, d: (g * d).sum(), gradient, direction)
      difference = (along(1e-6) - along(-1e-6)) / 2e-6
      return sum(jax.tree.leaves(products)), difference

    exact, difference = map(np.asarray, slopes(params, direction))
  assert exact.dtype == np.float64
  assert abs(exact) > 1e-2
  np.testing.assert_allclose(exact, difference, rtol=1e-5)
