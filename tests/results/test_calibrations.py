"""Maps that a run fits on its validation rows."""

import types

import numpy as np
import pytest

from rmtl_jax.results import calibrations


@pytest.mark.parametrize('method', ['platt', 'isotonic'])
def test_maps_do_not_react_to_the_scale_of_weights(method):
  """Weights that sum to 1 are no single row, which tells nothing."""
  draw = np.random.default_rng(0)
  chance = draw.random((2000, 1)) ** 4
  labels = (draw.random(chance.shape) < chance).astype(np.float32)
  weight = draw.integers(0, 4, labels.shape)

  def calibrated(scale):
    rows = types.SimpleNamespace(
      labels=labels,
      losses=(),
      sampling=None,
      sample_weight=(scale * weight).astype(np.float32),
    )
    too_low = chance.astype(np.float32) / 2
    maps = calibrations.fit(
      ('pretrain',), lambda stage: too_low, rows, ('click',), method
    )
    return maps['pretrain']['click'].apply(too_low[:, 0])

  found = calibrated(1.0)
  rate = np.average(labels, weights=weight)
  np.testing.assert_allclose(
    np.average(found, weights=weight[:, 0]), rate, rtol=0.1
  )
  for scale in (1e-4, 1e4):
    np.testing.assert_allclose(calibrated(scale), found, rtol=1e-3)
