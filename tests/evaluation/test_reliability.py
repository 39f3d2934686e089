"""Points of a reliability diagram, by hand and against the metric."""

import hypothesis
import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from rmtl_jax.evaluation import calibration, metrics


def test_two_bins_by_hand():
  labels = np.array([0.0, 1.0, 1.0, 1.0])
  points = calibration.reliability(labels, np.array([0.1, 0.3, 0.6, 0.8]), 2)
  assert [point['rows'] for point in points] == [2, 2]
  np.testing.assert_allclose([p['predicted'] for p in points], [0.2, 0.7])
  assert [p['actual'] for p in points] == [0.5, 1.0]


@hypothesis.given(
  arrays.arrays(np.int64, st.integers(1, 60), elements=st.integers(0, 15)),
  st.integers(1, 25),
  st.randoms(use_true_random=False),
)
@hypothesis.settings(max_examples=60, deadline=None)
def test_the_distance_of_the_points_is_the_calibration_error(p, bins, random):
  probabilities = p / 15.0  # with many ties
  labels = np.array([float(random.random() < v) for v in probabilities])
  points = calibration.reliability(labels, probabilities, bins)
  assert sum(point['rows'] for point in points) == len(p)
  distance = sum(
    x['rows'] * abs(x['predicted'] - x['actual']) for x in points
  ) / len(p)
  expected = metrics.calibration_error(labels, probabilities, bins)
  np.testing.assert_allclose(distance, expected, atol=1e-12)
  predicted = [point['predicted'] for point in points]
  assert predicted == sorted(predicted)
