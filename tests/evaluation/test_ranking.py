import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sklearn_metrics

from rmtl_jax.evaluation import ranking


def test_rank_by_hand():
  order = ranking.rank(
    np.array([1, 0, 0, 1, 0]), np.array([0.5, 0.9, 0.5, 0.1, 0.2])
  )
  np.testing.assert_array_equal(order.positive, [3, 0])
  np.testing.assert_array_equal(order.negative, [4, 2, 1])
  np.testing.assert_array_equal(order.below, [0, 1])
  np.testing.assert_array_equal(order.not_above, [0, 2])


def test_weighted_auc_by_hand():
  # Positive 0.4 (weight 2); negatives 0.1 (weight 3), 0.4 (1), 0.6 (4):
  # (2 * 3 + 2 * 1 / 2) of 2 * 8 pairs.
  order = ranking.rank(np.array([1, 0, 0, 0]), np.array([0.4, 0.1, 0.4, 0.6]))
  value = ranking.weighted_auc(order, np.array([2]), np.array([3, 1, 4]))
  assert value == 7 / 16


@pytest.mark.parametrize('positive', [0, 1])
def test_a_class_without_weight_has_no_auc(positive):
  order = ranking.rank(np.array([0, 1]), np.array([0.1, 0.2]))
  value = ranking.weighted_auc(
    order, np.array([positive]), np.array([1 - positive])
  )
  assert np.isnan(value)


def test_whole_weights_stay_exact_beyond_float32():
  labels = np.array([0, 1, 1])
  order = ranking.rank(labels, np.array([0.5, 0.4, 0.6]))
  large = 2**24 + 1
  value = ranking.weighted_auc(order, np.array([1, large]), np.array([large]))
  assert value == large / (large + 1)


@settings(deadline=None)
@given(
  st.lists(
    st.tuples(st.integers(0, 1), st.integers(0, 5), st.integers(0, 4)),
    min_size=2,
    max_size=40,
  )
)
def test_weights_are_repetitions(rows):
  labels, scores, weights = (
    np.array(column) for column in zip(*rows, strict=True)
  )
  order = ranking.rank(labels, scores)
  value = ranking.weighted_auc(
    order, weights[order.positive], weights[order.negative]
  )
  repeated = np.repeat(labels, weights)
  if len(set(repeated.tolist())) < 2:
    assert np.isnan(value)
  else:
    expected = sklearn_metrics.roc_auc_score(
      repeated, np.repeat(scores, weights)
    )
    assert value == pytest.approx(expected, abs=1e-12)


def test_lengths_must_agree():
  with pytest.raises(ValueError, match='one shape'):
    ranking.rank(np.zeros(3), np.zeros(2))
