"""What decides on validation, by hand."""

import math

import numpy as np
import pytest

from rmtl_jax.evaluation import monitor


def test_a_gain_is_what_is_better():
  assert monitor.AUC.gain(0.7, 0.6) == pytest.approx(0.1)
  assert monitor.LOGLOSS.gain(0.7, 0.6) == pytest.approx(-0.1)
  assert monitor.AUC.best(iter([0.6, 0.7])) == 0.7
  assert monitor.LOGLOSS.best(iter([0.6, 0.7])) == 0.6


def test_the_unit_is_the_logloss_of_the_rate():
  labels = np.array([[1, 0], [0, 0], [0, 0], [0, 0]])
  found = monitor.rates_logloss(labels)
  expected = -(0.25 * math.log(0.25) + 0.75 * math.log(0.75))
  np.testing.assert_allclose(found, [expected, np.nan], rtol=1e-12)


def test_records_say_what_is_monitored():
  assert monitor.of_record({}) is monitor.AUC
  assert monitor.of_record({'config': {}}) is monitor.AUC
  config = {'evaluation': {'monitor': 'logloss'}}
  assert monitor.of_record({'config': config}) is monitor.LOGLOSS
  # Every history has each task's logloss.
  assert monitor.of_history([{'validation_logloss_a': 0.2}]) is monitor.AUC
  history = [{'stage': 'critic'}, {'validation_logloss': 0.9}]
  assert monitor.of_history(history) is monitor.LOGLOSS


def test_a_mean_leaves_out_what_is_not_defined():
  assert monitor.mean([None, 0.5, math.nan, 1.0]) == 0.75
  assert monitor.mean([None]) is None and monitor.mean([]) is None
