import numpy as np
import pytest

from rmtl_jax.evaluation import metrics, propensities


def test_logloss_by_hand():
  labels = np.array([[1, 1], [1, 0], [0, 0]])
  predictions = np.array([[0.5, 0.25], [0.2, 0.1], [0.5, 0.1]])
  found = propensities.clicked(labels, predictions)
  assert found.logloss() == pytest.approx(np.log(2))
  logged = propensities.clicked(labels, predictions, np.array([0.1, 1.0, 1.0]))
  np.testing.assert_allclose(logged.weights, [10.0, 1.0])
  clipped = propensities.clicked(labels, predictions, least=0.4)
  np.testing.assert_allclose(clipped.weights, [2.0, 2.5])
  none = propensities.clicked(labels[2:], predictions[2:])
  assert np.isnan(none.logloss()) and np.isnan(none.auc())


def test_a_rate_above_its_click_is_one():
  found = propensities.clicked(np.array([[1, 1]]), np.array([[0.2, 0.5]]))
  assert found.rates.tolist() == [1.0] and found.logloss() < 1e-12


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
  predictions = np.stack([click, click * guess], 1)
  found = propensities.clicked(labels, predictions, least=1e-3)
  naive = found._replace(weights=np.ones_like(found.weights))
  ideal = metrics.logloss(converts, guess), metrics.auc(converts, guess)
  assert abs(naive.logloss() - ideal[0]) > 0.05
  assert found.logloss() == pytest.approx(ideal[0], abs=0.015)
  assert abs(found.auc() - ideal[1]) < 0.015
