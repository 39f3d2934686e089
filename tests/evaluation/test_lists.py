import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sklearn_metrics

from rmtl_jax.evaluation import metrics

ROWS = st.lists(
  st.tuples(st.integers(0, 1), st.integers(0, 2)), min_size=2, max_size=6
)


@given(st.lists(ROWS, min_size=1, max_size=3), st.integers(1, 4))
def test_ndcg_is_scikit_learns(groups, top):
  flat = [(y, s, g) for g, rows in enumerate(groups) for y, s in rows]
  labels, scores, codes = (np.array(c) for c in zip(*flat, strict=True))
  counted = [rows for rows in groups if any(y for y, _ in rows)]
  found = metrics.ndcg(labels, scores, codes, len(groups), top)
  if not counted:
    assert np.isnan(found)
    return
  of_groups = [list(zip(*rows, strict=True)) for rows in counted]
  expected = np.mean(
    [sklearn_metrics.ndcg_score([y], [s], k=top) for y, s in of_groups]
  )
  np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_by_hand():
  labels = np.array([1, 0, 0, 1, 0, 0])
  scores = np.array([0.1, 0.9, 0.5, 0.7, 0.6, 0.2])
  codes = np.array([4, 4, 4, 2, 2, 0])  # in any order, and one without positive
  ndcg = metrics.ndcg(labels, scores, codes, 5, 10)
  np.testing.assert_allclose(ndcg, (0.5 + 1.0) / 2)  # rank 3: 1 / log2(4)
  assert metrics.ndcg(labels, scores, codes, 5, 2) == 0.5


def test_graded_gains():
  labels, scores = np.array([1, 3]), np.array([0.9, 0.1])
  found = metrics.ndcg(labels, scores, np.zeros(2, int), 1, 5)
  discount = 1 / np.log2(3)
  np.testing.assert_allclose(found, (1 + 7 * discount) / (7 + discount))


def test_gains_of_levels_below_0_and_of_large_ones():
  one, scores = np.zeros(3, int), np.array([0.9, 0.5, 0.1])
  below = metrics.ndcg(np.array([-2, 1, -1]), scores, one, 1, 5)
  np.testing.assert_allclose(below, 1 / np.log2(3))
  # No power of 2 has so many bits; what is 1,000 less counts for nothing.
  large = metrics.ndcg(np.array([1000, 2000, 0]), scores, one, 1, 5)
  np.testing.assert_allclose(large, 1 / np.log2(3))
  assert np.isnan(metrics.ndcg(np.array([-2, 0, -1]), scores, one, 1, 5))


@pytest.mark.parametrize('scores', [np.array([0.1, np.nan]), np.zeros(0)])
def test_undefined_is_nan(scores):
  labels = np.ones(len(scores), int)
  codes = np.zeros(len(scores), int)
  assert np.isnan(metrics.ndcg(labels, scores, codes, 1, 5))
