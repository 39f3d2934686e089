"""What decides on validation, by hand."""

import math

import numpy as np
import pytest

from rmtl_jax import types
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


@pytest.mark.parametrize(
  ('text', 'what'),
  [
    ('acu', "'acu' is neither auc nor logloss nor TASK.METRIC=WEIGHT"),
    ('click.auc', "'click.auc' is neither"),
    ('click.auc=0', "'click.auc=0' is neither"),
    ('click.auc=nan', 'is neither'),
    ('click.auc=1,click.auc=2', 'click.auc stands twice'),
    ('clik.auc=1', "'clik' is not a task of these data (click, buy)"),
    ('click.acu=1', "'acu' is not one of auc"),
    ('click.logloss=1', 'better is lower, expected the other sign'),
    ('click.gauc=1', "'gauc' is not one of auc"),
    ('click.predicted_over_actual=1', 'neither more nor less of it is better'),
  ],
)
def test_sums_that_mean_nothing_are_refused(text, what):
  with pytest.raises(types.InputError) as error:
    monitor.check(text, TASKS)
  assert what in str(error.value)
