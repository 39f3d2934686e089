"""What decides on validation, by hand."""

import math

import numpy as np
import pytest

from rmtl_jax.evaluation import validation_monitor


def test_a_gain_is_what_is_better():
  assert validation_monitor.AUC.gain(0.7, 0.6) == pytest.approx(0.1)
  assert validation_monitor.LOGLOSS.gain(0.7, 0.6) == pytest.approx(-0.1)


def test_the_unit_is_the_logloss_of_the_rate():
  labels = np.array([[1, 0], [0, 0], [0, 0], [0, 0]])
  found = validation_monitor.rates_logloss(labels)
  expected = -(0.25 * math.log(0.25) + 0.75 * math.log(0.75))
  np.testing.assert_allclose(found, [expected, np.nan], rtol=1e-12)


def test_a_mean_leaves_out_what_is_not_defined():
  assert validation_monitor.mean([None, 0.5, math.nan, 1.0]) == 0.75
  assert (
    validation_monitor.mean([None]) is None
    and validation_monitor.mean([]) is None
  )
