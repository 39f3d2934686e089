"""Piecewise-linear encodings: the components, the blocks, every network."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from rmtl_jax.networks import from_settings, numeric
from tests import tiers
from tests.networks import reference, small

QUANTILES = ((-1.0, 0.0, 0.5, 2.5), (), (0.0, 4.0))
CONFIG = dataclasses.replace(small.CONFIG, numeric_encoding='piecewise')


def small_spec(num_tasks=2):
  spec = small.spec(num_tasks)
  return dataclasses.replace(spec, quantiles=QUANTILES[: spec.numeric])


def test_components_by_hand():
  bins = numeric.Bins.of(QUANTILES)
  x = np.array(
    [[-1.0, 7.0, 0.0], [0.25, -7.0, 1.0], [-1.5, 0.0, 5.0], [3.5, 1e9, -3.0]],
    np.float32,
  )
  np.testing.assert_array_equal(
    bins.encode(x),
    [
      [[0.0, 0.0, 0.0], [7.0, 0.0, 0.0], [0.0, 0.0, 0.0]],
      [[1.0, 0.5, 0.0], [-7.0, 0.0, 0.0], [0.25, 0.0, 0.0]],
      [[-0.5, 0.0, 0.0], [0.0, 0.0, 0.0], [1.25, 0.0, 0.0]],
      [[1.0, 1.0, 1.5], [1e9, 0.0, 0.0], [-0.75, 0.0, 0.0]],
    ],
  )
  np.testing.assert_array_equal(bins.counts(), [3, 1, 1])


@pytest.mark.parametrize('backbone', tiers.some(small.FIRST_LAYERS, ('mmoe',)))
def test_every_backbone_equals_numpy(backbone):
  spec = small_spec()
  inputs = small.inputs(spec)
  network = from_settings.make_actor(spec, backbone, CONFIG)
  params = small.params(network)
  found = small.run(network, params, inputs)
  expected = reference.actor_logits(spec, backbone, CONFIG, params, inputs)
  np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
  # Every field counts.
  for n in range(spec.numeric):
    moved = np.array(inputs.numeric)
    moved[..., n] += 0.4
    other = small.run(network, params, inputs._replace(numeric=moved))
    assert np.ptp(other - found) > 1e-4
