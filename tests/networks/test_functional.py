from __future__ import annotations

import jax
import numpy as np
import pytest

from rmtl_jax.networks import backbone_registry
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
