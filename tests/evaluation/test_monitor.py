"""What decides on validation, by hand."""

import math

import numpy as np
import pytest

from rmtl_jax.evaluation import evaluator, labelled, monitor


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


def test_a_mean_leaves_out_what_is_not_defined():
  assert monitor.mean([None, 0.5, math.nan, 1.0]) == 0.75
  assert monitor.mean([None]) is None and monitor.mean([]) is None


TASKS = ('click', 'buy')


def test_a_sum_of_named_metrics():
  labels = np.array([[1, 0], [0, 1], [1, 1], [0, 0]])
  predictions = np.array([[0.9, 0.2], [0.4, 0.6], [0.3, 0.7], [0.1, 0.1]])
  session = np.array([0, 0, 1, 1])
  found = monitor.of('click.auc=2, buy.logloss=-0.5')
  assert found.figure == 'validation_score' and found.sign == 1.0
  expected = 2 * 0.75 - 0.5 * -np.mean(np.log([0.8, 0.6, 0.7, 0.9]))

  def value(weights=None):
    rows = labelled.Labelled(labels, session, TASKS, weights=weights)
    return evaluator.monitored_sum(found, predictions, rows)

  assert value() == pytest.approx(expected)
  # Of observed labels alone: of the first task rows 0 and 1.
  weights = np.array([[1, 1], [1, 1], [0, 1], [0, 1]])
  assert value(weights) == pytest.approx(expected + 2 * (1.0 - 0.75))
  # One class only: the AUC is undefined, and so is the sum.
  labels[:, 0] = 0
  assert math.isnan(value())
  history = [{'validation_auc_a': 0.7, 'validation_score': 0.2}]
  assert monitor.of_history(history) is monitor.SCORE
