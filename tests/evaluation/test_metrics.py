import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sklearn_metrics

from rmtl_jax.evaluation import metrics

# Labels and coarse scores, so that ties are common.
ROWS = st.lists(
  st.tuples(st.integers(0, 1), st.integers(-6, 6), st.integers(0, 4)),
  min_size=1,
  max_size=60,
)


def _columns(rows):
  return tuple(np.array(column) for column in zip(*rows, strict=True))


def _log_of(rows, dtype):
  """A log-like sample: rare positives, informative scores, many ties."""
  generator = np.random.default_rng(3)
  scores = generator.beta(1.0, 9.0, rows)
  labels = (generator.random(rows) < scores).astype(np.float32)
  return labels, np.round(scores, 3).astype(dtype)


def test_auc_by_hand():
  labels = np.array([1, 0, 1, 0, 0])
  scores = np.array([0.8, 0.8, 0.3, 0.2, 0.5])
  # 0.8: above 0.2 and 0.5, level with 0.8; 0.3: above 0.2.
  assert metrics.auc(labels, scores) == (2.5 + 1.0) / 6


@pytest.mark.parametrize('dtype', [np.float32, np.float64])
def test_auc_and_pr_auc_agree_with_sklearn(dtype):
  labels, scores = _log_of(5000, dtype)
  assert metrics.auc(labels, scores) == pytest.approx(
    sklearn_metrics.roc_auc_score(labels, scores), abs=1e-12
  )
  assert metrics.pr_auc(labels, scores) == pytest.approx(
    sklearn_metrics.average_precision_score(labels, scores), abs=1e-12
  )


def test_pr_auc_by_hand():
  labels = np.array([1, 0, 1, 0])
  # Precision at 0.9 is 1/1, at 0.5 (two rows at once) 2/3.
  scores = np.array([0.9, 0.5, 0.5, 0.1])
  assert metrics.pr_auc(labels, scores) == pytest.approx((1 + 2 / 3) / 2)


def test_logloss_by_hand():
  labels = np.array([1.0, 0.0, 0.0])
  p = np.array([0.5, 0.25, 0.0])
  expected = (math.log(2) + math.log(4 / 3) - math.log1p(-1e-7)) / 3
  assert metrics.logloss(labels, p) == pytest.approx(expected, rel=1e-14)


def test_session_logloss_by_hand():
  labels = np.array([1.0, 1.0, 0.0])
  p = np.array([0.5, 0.25, 0.5])
  # Session 7: mean of log 2 and log 2; session 2: log 4.
  value = metrics.session_logloss(labels, p, np.array([7, 2, 7]))
  assert value == pytest.approx((math.log(2) + math.log(4)) / 2, rel=1e-14)


def test_gauc_by_hand():
  labels = np.array([1, 0, 0, 1, 0, 0, 1])
  scores = np.array([0.9, 0.1, 0.9, 0.2, 0.6, 0.3, 0.8])
  group = np.array([5, 5, 5, 1, 1, 3, 8])
  # Group 5: (1 + 1/2) / 2 of 3 rows; group 1: 0 of 2 rows; 3 and 8: one class.
  assert metrics.gauc(labels, scores, group) == pytest.approx(0.75 * 3 / 5)


@settings(deadline=None)
@given(ROWS)
def test_gauc_is_the_weighted_mean_of_the_groups_auc(rows):
  labels, scores, group = _columns(rows)
  total = weight = 0.0
  for g in set(group.tolist()):
    own = group == g
    value = metrics.auc(labels[own], scores[own])
    if not math.isnan(value):
      total, weight = total + value * own.sum(), weight + own.sum()
  expected = total / weight if weight else float('nan')
  np.testing.assert_allclose(
    metrics.gauc(labels, scores, group), expected, atol=1e-12
  )


def test_calibration_error_by_hand():
  p = np.array([0.9, 0.1, 0.3, 0.7])
  labels = np.array([1.0, 0.0, 1.0, 0.0])
  # {0.1, 0.3}: |0.2 - 0.5|; {0.7, 0.9}: |0.8 - 0.5|.
  assert metrics.calibration_error(labels, p, 2) == pytest.approx(0.3)
  assert metrics.calibration_error(labels, p, 1) == pytest.approx(0.0)


def test_calibration_error_keeps_ties_in_one_bin():
  # Two bins of two rows would cut through the three rows at 0.5, and the
  # figure would depend on which of them came first.
  p = np.array([0.5, 0.5, 0.5, 0.6])
  labels = np.array([0.0, 0.0, 1.0, 1.0])
  expected = (abs(1.5 - 1) + abs(0.6 - 1)) / 4
  for shift in range(4):
    found = metrics.calibration_error(
      np.roll(labels, shift), np.roll(p, shift), 2
    )
    assert found == pytest.approx(expected)


def test_predicted_over_actual_by_hand():
  labels = np.array([1.0, 0.0, 1.0])
  p = np.array([0.5, 0.1, 0.9])
  assert metrics.predicted_over_actual(labels, p) == pytest.approx(0.75)


@pytest.mark.parametrize('label', [0.0, 1.0])
def test_one_class_only(label):
  labels, p = np.full(4, label), np.array([0.1, 0.2, 0.3, 0.4])
  session = np.array([0, 0, 1, 1])
  assert math.isnan(metrics.auc(labels, p))
  assert math.isnan(metrics.gauc(labels, p, session))
  assert math.isfinite(metrics.logloss(labels, p))
  assert math.isfinite(metrics.calibration_error(labels, p))
  for metric in (metrics.pr_auc, metrics.predicted_over_actual):
    assert math.isnan(metric(labels, p)) == (label == 0.0)
