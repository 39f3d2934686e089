"""Piecewise-linear encodings: the components, the blocks, every network."""

from __future__ import annotations

import dataclasses

import hypothesis
import hypothesis.strategies as st
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


EDGES = st.lists(
  st.floats(-100, 100, width=16), min_size=2, max_size=12, unique=True
).map(sorted)


@hypothesis.settings(deadline=None, max_examples=10)
@hypothesis.given(EDGES, st.integers(0, 2**16))
def test_a_line_through_the_components_interpolates(edges, seed):
  """Sum of steps times components: np.interp, continuous and monotone."""
  rng = np.random.default_rng(seed)
  steps = rng.exponential(size=len(edges) - 1)
  values = np.concatenate([[0.0], np.cumsum(steps)])
  first, last = np.diff(edges)[[0, -1]]
  # One bin's width further at both ends.
  knots = np.array([edges[0] - first, *edges, edges[-1] + last])
  heights = np.array([-steps[0], *values, values[-1] + steps[-1]])
  low, high = knots[0] - 1, knots[-1] + 1
  x = np.sort(np.r_[knots, rng.uniform(low, high, 50)]).astype(np.float32)
  bins = numeric.Bins.of((edges,))
  found = np.asarray(bins.encode(x[:, None]))[:, 0] @ steps
  expected = np.interp(x.astype(np.float64), knots, heights)
  np.testing.assert_allclose(found, expected, atol=1e-4 * (1 + values[-1]))
  place, component = (np.asarray(part)[:, 0] for part in bins.find(x[:, None]))
  found = values[place] + component * steps[place]
  np.testing.assert_allclose(found, expected, atol=1e-4 * (1 + values[-1]))
  assert (np.diff(found) >= -1e-5 * (1 + values[-1])).all()


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
