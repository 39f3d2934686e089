"""Metrics with inverse propensities: by hand, and on simulated exposure."""

import numpy as np
import pytest

from rmtl_jax import config as config_lib
from rmtl_jax import types
from rmtl_jax.evaluation import evaluator, labelled, metrics, propensities
from rmtl_jax.evaluation import registry as metric_registry

CONFIG = config_lib.EvaluationConfig(bootstrap=0)
TASKS = ('click', 'buy')
LABELS = np.array([[1, 1], [1, 0], [0, 0]])
PREDICTIONS = np.array([[0.5, 0.25], [0.2, 0.1], [0.5, 0.1]])


def evaluate(predictions, labels, seen, weights=None, losses=()):
  session = np.arange(len(labels)) // 4
  tasks = TASKS[: labels.shape[1]]
  rows = labelled.Labelled(labels, session, tasks, None, losses, weights, seen)
  return evaluator.evaluate(predictions, rows, CONFIG, 0)


def logged(column, parents=(None, 0)):
  zeros = np.zeros(len(column))
  return propensities.Seen(np.stack([zeros, column], 1), parents)


def test_by_hand():
  found = evaluate(PREDICTIONS, LABELS, logged([0.1, 1.0, 0.3]))
  assert not [name for name in found['click'] if name.startswith('ips')]
  # Rates are 1/2 both; 10 and 1 are the weights of the clicked rows.
  assert found['buy']['ips_logloss'] == pytest.approx(np.log(2))
  assert found['buy']['ips_auc'] == 0.5
  assert found['buy']['ips_rows'] == pytest.approx(11**2 / 101)
  assert found['buy']['rows'] == 3  # of the metrics over all rows
  predicted = propensities.Seen(None, (None, 0), predicted=True)
  found = propensities.weighted(PREDICTIONS, LABELS, (True, True), predicted)
  assert found.weights.tolist() == [[2.0], [5.0], [0.0]]
  least = np.array([[0.01, 0.005]])
  found = propensities.weighted(least, LABELS[:1], (True, True), predicted)
  assert found.weights.tolist() == [[20.0]]


def test_rows_without_a_label_and_weights_of_rows():
  """Of a task without a parent the label's own propensity counts."""
  seen = logged([0.5, 0.25, 0.1], (None, None))
  weights = np.array([[1, 2.0], [1, 0.0], [1, 1.0]], np.float32)
  predictions = PREDICTIONS.copy()
  predictions[1, 1] = 0.9  # not observed: whatever is predicted
  found = evaluate(predictions, LABELS, seen, weights)['buy']
  expected = (4 * np.log(4) - 10 * np.log(0.9)) / 14
  assert found['ips_logloss'] == pytest.approx(expected)


def test_a_rate_above_its_click_is_one_and_numbers_are_not_bounded():
  seen = logged([0.5])
  one, above = np.array([[1, 1]]), np.array([[0.2, 0.5]])
  found = propensities.weighted(above, one, (True, True), seen)
  assert found.rates.tolist() == [[1.0]]
  found = propensities.weighted(above, one, (True, False), seen)
  assert found.rates.tolist() == [[2.5]]


def test_numbers_have_errors_with_weights():
  losses = (types.TaskLoss(), types.TaskLoss('squared', 'regression'))
  labels = np.array([[1, 4.0], [1, 1.0], [0, 0.0]])
  predictions = np.array([[0.5, 1.0], [0.5, 1.0], [0.5, 1.0]])
  seen = logged([0.25, 1.0, 0.5])
  found = evaluate(predictions, labels, seen, losses=losses)['buy']
  # Means given a click are 2; weights 4 and 1.
  assert found['ips_mae'] == pytest.approx((4 * 2 + 1) / 5)
  assert found['ips_rmse'] == pytest.approx(np.sqrt((4 * 4 + 1) / 5))
  assert found['ips_xauc'] == 0.5


def test_nothing_known_adds_nothing():
  plain = evaluate(PREDICTIONS, LABELS, None)
  seen = propensities.Seen(None, (None, 0))
  assert evaluate(PREDICTIONS, LABELS, seen) == plain


def test_simulated_exposure_biases_the_unweighted_metrics_alone():
  """The taste that makes clicks decides how well a rate ranks."""
  rng = np.random.default_rng(1)
  size = 40_000
  taste, other = rng.normal(size=(2, size))
  click = 1 / (1 + np.exp(1 - 1.5 * taste))
  rate = 1 / (1 + np.exp(1 - taste - other))
  clicks = (rng.random(size) < click).astype(float)
  converts = (rng.random(size) < rate).astype(float)
  guess = 1 / (1 + np.exp(1 - other))  # knows nothing of taste
  labels = np.stack([clicks, clicks * converts], 1)
  # The model's own clicks are wrong; the log's propensities are not.
  own = np.full(size, 0.9)
  found = evaluate(np.stack([own, own * guess], 1), labels, logged(click))
  naive = metrics.logloss(converts[clicks == 1], guess[clicks == 1])
  ideal = metrics.logloss(converts, guess), metrics.auc(converts, guess)
  assert abs(naive - ideal[0]) > 0.05
  assert found['buy']['ips_logloss'] == pytest.approx(ideal[0], abs=0.02)
  assert found['buy']['ips_auc'] == pytest.approx(ideal[1], abs=0.02)
  seen = propensities.Seen(None, (None, 0), predicted=True)
  right = np.stack([click, click * guess], 1)
  found = evaluate(right, labels, seen)
  assert found['buy']['ips_logloss'] == pytest.approx(ideal[0], abs=0.02)


def test_short_tables_show_them_beside():
  found = evaluate(PREDICTIONS, LABELS, logged([0.1, 1.0, 0.3]))
  names = [one.name for one in metric_registry.short(found['buy'])]
  assert names == ['auc', 'logloss', 'ips_auc', 'ips_logloss']
  assert [one.label for one in metric_registry.short(found['click'])] == [
    'AUC',
    'logloss',
  ]
  known = metric_registry.known(found['buy'], compared=True)
  assert known[-2:] == metric_registry.short(found['buy'])[2:]
