"""Maps that a run fits on its validation rows."""

import types

import numpy as np
import pytest

from rmtl_jax.evaluation import calibration
from rmtl_jax.results import calibrations


def test_maps_do_not_react_to_the_scale_of_weights():
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
    maps = calibrations.fit({'pretrain': too_low}, rows, ('click',), 'platt')
    return maps['pretrain']['click'].apply(too_low[:, 0])

  found = calibrated(1.0)
  rate = np.average(labels, weights=weight)
  np.testing.assert_allclose(
    np.average(found, weights=weight[:, 0]), rate, rtol=0.1
  )
  for scale in (1e-4, 1e4):
    np.testing.assert_allclose(calibrated(scale), found, rtol=1e-3)


@pytest.mark.parametrize('later', [1.0, 0.5])
def test_a_map_is_kept_where_it_lasts(later):
  """Rates fall by half within validation, or they do not."""
  draw = np.random.default_rng(1)
  chance = 0.05 + 0.4 * draw.random(20_000)
  rate = np.where(np.arange(20_000) < 10_000, chance, later * chance)
  labels = (draw.random(20_000) < rate).astype(np.float32)[:, None]
  rows = types.SimpleNamespace(
    labels=labels, losses=(), sampling=None, sample_weight=None
  )
  # Too low for the first half, and right for the last one where rates fall.
  said = (chance / 2).astype(np.float32)[:, None]
  maps = calibrations.fit({'a': said}, rows, ('y',), 'platt')
  found = maps['a']['y']
  assert calibration.from_json(found.to_json()) == found
  if later < 1.0:
    assert found.to_json() == {'kind': 'none'}
    np.testing.assert_array_equal(found.apply(said), said)
  else:
    assert found.to_json()['kind'] == 'platt'
    np.testing.assert_allclose(
      found.apply(said).mean(), labels.mean(), rtol=0.01
    )
