import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sklearn_metrics

from rmtl_jax.evaluation import groups as groups_lib
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


def test_auc_ignores_the_order_of_ties():
  labels = np.array([1, 1, 0, 0])
  assert metrics.auc(labels, np.full(4, 0.3)) == 0.5
  assert metrics.auc(labels[::-1], np.full(4, 0.3)) == 0.5


@pytest.mark.parametrize('dtype', [np.float32, np.float64])
def test_auc_and_pr_auc_agree_with_sklearn(dtype):
  labels, scores = _log_of(5000, dtype)
  assert metrics.auc(labels, scores) == pytest.approx(
    sklearn_metrics.roc_auc_score(labels, scores), abs=1e-12
  )
  assert metrics.pr_auc(labels, scores) == pytest.approx(
    sklearn_metrics.average_precision_score(labels, scores), abs=1e-12
  )


def test_weighted_auc_agrees_with_sklearn():
  labels, scores = _log_of(3000, np.float64)
  weights = np.random.default_rng(5).random(3000)
  expected = sklearn_metrics.roc_auc_score(
    labels, scores, sample_weight=weights
  )
  assert metrics.auc(labels, scores, weights) == pytest.approx(
    expected, abs=1e-12
  )


def test_auc_tells_neighbouring_floats_apart():
  low = np.float32(0.1)
  scores = np.array([low, np.nextafter(low, np.float32(1))])
  assert metrics.auc(np.array([0, 1]), scores) == 1.0


@settings(deadline=None)
@given(ROWS)
def test_auc_properties(rows):
  labels, scores, _ = _columns(rows)
  value = metrics.auc(labels, scores)
  if len(set(labels.tolist())) < 2:
    assert math.isnan(value)
    return
  assert metrics.auc(labels, scores**3 + 2.0 * scores) == value
  assert metrics.auc(labels, np.exp(scores / 2.0)) == value
  assert value + metrics.auc(labels, -scores) == pytest.approx(1, abs=1e-15)
  assert metrics.auc(1 - labels, -scores) == pytest.approx(value, abs=1e-15)
  ones = np.ones(len(labels), np.int64)
  assert metrics.auc(labels, scores, ones) == pytest.approx(value, abs=1e-15)
  assert metrics.auc(labels[::-1], scores[::-1]) == value


@settings(deadline=None)
@given(ROWS)
def test_pr_auc_properties(rows):
  labels, scores, _ = _columns(rows)
  value = metrics.pr_auc(labels, scores)
  if not labels.any():
    assert math.isnan(value)
    return
  expected = sklearn_metrics.average_precision_score(labels, scores)
  assert value == pytest.approx(expected, abs=1e-12)


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


def test_logloss_agrees_with_sklearn():
  labels, p = _log_of(2000, np.float64)
  p = np.clip(p, 0.001, 0.999)
  assert metrics.logloss(labels, p) == pytest.approx(
    sklearn_metrics.log_loss(labels, p), rel=1e-12
  )


@pytest.mark.parametrize('dtype', [np.float32, np.float64])
def test_a_confident_mistake_costs_the_margin(dtype):
  wrong = metrics.row_logloss(np.array([0.0, 1.0]), np.array([1, 0], dtype))
  np.testing.assert_allclose(wrong, -math.log(1e-7), rtol=1e-9)


def test_session_logloss_by_hand():
  labels = np.array([1.0, 1.0, 0.0])
  p = np.array([0.5, 0.25, 0.5])
  # Session 7: mean of log 2 and log 2; session 2: log 4.
  value = metrics.session_logloss(labels, p, np.array([7, 2, 7]))
  assert value == pytest.approx((math.log(2) + math.log(4)) / 2, rel=1e-14)


@settings(deadline=None)
@given(ROWS)
def test_session_logloss_of_sessions_of_one_row_is_logloss(rows):
  labels, scores, _ = _columns(rows)
  p = 1.0 / (1.0 + np.exp(-scores))
  each = np.arange(len(labels))[::-1]
  assert metrics.session_logloss(labels, p, each) == pytest.approx(
    metrics.logloss(labels, p), rel=1e-12
  )


@pytest.mark.parametrize(
  ('ids', 'codes', 'groups'),
  [
    ([], [], 0),
    ([4, 4, 9], [0, 0, 1], 2),
    ([9, 4, 4, 9, -1], [2, 1, 1, 2, 0], 3),
  ],
)
def test_group_codes(ids, codes, groups):
  found, count = groups_lib.group_codes(np.array(ids, np.int64))
  np.testing.assert_array_equal(found, codes)
  assert count == groups


def test_gauc_by_hand():
  labels = np.array([1, 0, 0, 1, 0, 0, 1])
  scores = np.array([0.9, 0.1, 0.9, 0.2, 0.6, 0.3, 0.8])
  group = np.array([5, 5, 5, 1, 1, 3, 8])
  # Group 5: (1 + 1/2) / 2 of 3 rows; group 1: 0 of 2 rows; 3 and 8: one class.
  assert metrics.gauc(labels, scores, group) == pytest.approx(0.75 * 3 / 5)


def test_gauc_does_not_tie_rows_of_neighbouring_groups():
  # Sorted by group and score, group 0 ends with the score that 1 starts with.
  labels, scores = np.array([1, 0, 1, 0]), np.array([0.1, 0.5, 0.5, 0.9])
  assert metrics.gauc(labels, scores, np.array([0, 0, 1, 1])) == 0.0
  labels = 1 - labels
  assert metrics.gauc(labels, scores, np.array([0, 0, 1, 1])) == 1.0


@settings(deadline=None)
@given(ROWS)
def test_gauc_with_one_group_is_auc(rows):
  labels, scores, _ = _columns(rows)
  np.testing.assert_allclose(
    metrics.gauc(labels, scores, np.full(len(labels), 3)),
    metrics.auc(labels, scores),
    atol=1e-15,
  )


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


def test_ties_go_where_most_of_them_belong():
  # Of ranks 1 to 3, two lie in the upper of two bins, so all three go there.
  p = np.array([0.1, 0.5, 0.5, 0.5])
  labels = np.array([1.0, 0.0, 0.0, 1.0])
  expected = (abs(0.1 - 1) + abs(1.5 - 1)) / 4
  assert metrics.calibration_error(labels, p, 2) == pytest.approx(expected)


@settings(deadline=None)
@given(ROWS, st.integers(1, 100), st.randoms(use_true_random=False))
def test_calibration_error_properties(rows, bins, random):
  labels, scores, _ = _columns(rows)
  p = (scores + 6.0) / 12.0
  value = metrics.calibration_error(labels, p, bins)
  order = np.array(random.sample(range(len(rows)), len(rows)))
  assert metrics.calibration_error(
    labels[order], p[order], bins
  ) == pytest.approx(value, abs=1e-12)
  # Coarser bins can only let errors cancel.
  overall = abs(p.mean() - labels.mean())
  assert overall - 1e-12 <= value <= 1.0
  assert metrics.calibration_error(labels, p, 1) == pytest.approx(
    overall, abs=1e-12
  )


def test_equal_mass_bins_without_ties():
  p = np.linspace(0.01, 0.99, 12)
  labels = np.zeros(12)
  labels[[2, 7, 11]] = 1.0
  gaps = np.abs((p - labels).reshape(4, 3).sum(1))
  shuffled = np.random.default_rng(0).permutation(12)
  assert metrics.calibration_error(
    labels[shuffled], p[shuffled], 4
  ) == pytest.approx(gaps.sum() / 12)


def test_predicted_over_actual_by_hand():
  labels = np.array([1.0, 0.0, 1.0])
  p = np.array([0.5, 0.1, 0.9])
  assert metrics.predicted_over_actual(labels, p) == pytest.approx(0.75)


def test_sums_of_many_float32_rows_do_not_drift():
  rows = 2**20
  labels = np.zeros(rows, np.float32)
  labels[::16] = 1.0
  p = np.full(rows, 0.0625, np.float32)
  assert metrics.predicted_over_actual(labels, p) == 1.0
  assert metrics.calibration_error(labels, p) == 0.0


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


def test_no_rows():
  none, ids = np.zeros(0), np.zeros(0, np.int64)
  for metric in (
    metrics.auc,
    metrics.pr_auc,
    metrics.logloss,
    metrics.calibration_error,
    metrics.predicted_over_actual,
  ):
    assert math.isnan(metric(none, none))
  assert math.isnan(metrics.gauc(none, none, ids))
  assert math.isnan(metrics.session_logloss(none, none, ids))


def test_nan_scores_are_not_ranked():
  labels, scores = np.array([0, 1, 1]), np.array([0.1, np.nan, 0.2])
  assert math.isnan(metrics.auc(labels, scores))
  assert math.isnan(metrics.pr_auc(labels, scores))
  assert math.isnan(metrics.gauc(labels, scores, np.zeros(3, np.int64)))
  assert math.isnan(metrics.calibration_error(labels, scores))
  assert math.isnan(metrics.logloss(labels, scores))


def test_shapes_must_agree():
  with pytest.raises(ValueError, match='one shape'):
    metrics.auc(np.zeros(3), np.zeros(2))
  with pytest.raises(ValueError, match='ranks'):
    metrics.logloss(np.zeros((3, 1)), np.zeros((3, 1)))
  with pytest.raises(ValueError, match='one shape'):
    metrics.gauc(np.zeros(3), np.zeros(3), np.zeros(2, np.int64))
