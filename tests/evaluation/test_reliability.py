"""Points of a reliability diagram."""

import numpy as np

from rmtl_jax.evaluation import metrics


def test_two_bins_by_hand():
  labels = np.array([0.0, 1.0, 1.0, 1.0])
  points = metrics.reliability(labels, np.array([0.1, 0.3, 0.6, 0.8]), 2)
  assert [point['rows'] for point in points] == [2, 2]
  np.testing.assert_allclose([p['predicted'] for p in points], [0.2, 0.7])
  assert [p['actual'] for p in points] == [0.5, 1.0]
  # (2 |0.2 - 0.5| + 2 |0.7 - 1|) / 4
  error = metrics.calibration_error(labels, np.array([0.1, 0.3, 0.6, 0.8]), 2)
  np.testing.assert_allclose(error, 0.3)
