"""XAUC of weighted rows, and its resamples, against every pair."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rmtl_jax import config as config_lib
from rmtl_jax import types
from rmtl_jax.evaluation import (
  bootstrap,
  evaluator,
  labelled,
  metrics,
  pairs,
  regression,
)

# Label, prediction, and the row's weight in two weightings.
ROWS = st.lists(
  st.tuples(*(st.integers(-9, 9),) * 2, *(st.integers(0, 3),) * 2),
  min_size=1,
  max_size=24,
)


def every_pair(labels, predictions, weights):
  right, total = 0.0, 0.0
  for (y, p, v), (z, q, w) in itertools.combinations(
    zip(labels, predictions, weights, strict=True), 2
  ):
    if y != z:
      total += v * w
      right += v * w * (0.5 if p == q else float((p > q) == (y > z)))
  return right / total if total else np.nan


@settings(deadline=None, max_examples=200)
@given(ROWS)
@pytest.mark.parametrize('dtype', [np.int64, np.float64])
def test_each_pair_counts_the_product_of_its_weights(dtype, rows):
  labels, predictions, *weights = np.array(rows).T
  found = pairs.pair(labels.astype(float), predictions.astype(float))
  expected = [every_pair(labels, predictions, w) for w in weights]
  values = found.xauc(np.stack(weights).astype(dtype))
  np.testing.assert_allclose(values, expected, rtol=1e-14)
  twice = np.repeat(np.arange(len(labels)), weights[0])
  own = regression.xauc(labels, predictions, weights[0])
  np.testing.assert_allclose(own, values[0], rtol=1e-14)
  np.testing.assert_allclose(
    regression.xauc(labels[twice], predictions[twice]), values[0], rtol=1e-14
  )


def test_of_two_labels_it_is_the_weighted_auc():
  rng = np.random.default_rng(0)
  labels = (rng.random(300) < 0.3).astype(float)
  scores, weights = rng.integers(0, 20, 300), rng.integers(0, 4, 300)
  found = pairs.pair(labels, scores).xauc(weights[None])[0]
  assert found == metrics.auc(labels, scores, weights)


def test_small_weights_and_none():
  found = pairs.pair(np.array([0.0, 1.0, 2.0]), np.array([0.0, 2.0, 1.0]))
  tiny = 1e-3 * np.array([[1.0, 1.0, 1.0], [0.1, 0.2, 0.3]])
  np.testing.assert_allclose(
    found.xauc(tiny), [2 / 3, (0.02 + 0.03) / 0.11], rtol=1e-12
  )
  assert np.isnan(found.xauc(np.array([[0, 0, 5], [0, 0, 0]]))).all()
  nothing = pairs.pair(np.zeros(0), np.zeros(0))
  assert np.isnan(nothing.xauc(np.zeros((2, 0)))).all()


def data(rows=120, sessions=30):
  rng = np.random.default_rng(3)
  labels = rng.integers(0, 7, (rows, 2)).astype(np.float32)
  predictions = labels + rng.normal(scale=4, size=(rows, 2)).round()
  return predictions, labels, rng.integers(0, sessions, rows)


@pytest.mark.parametrize('weighted', [False, True])
def test_a_resample_is_the_xauc_of_the_drawn_rows(weighted):
  predictions, labels, session = data()
  weights = None
  if weighted:
    weights = np.random.default_rng(4).choice([0.0, 0.5, 2.0], labels.shape)
  found = bootstrap.error_replicates(
    [predictions, -predictions], labels, session, 11, 5, weights
  )['xauc']
  generator, codes = np.random.default_rng(5), np.unique(session)
  for b in range(11):
    drawn = codes[generator.integers(len(codes), size=len(codes))]
    rows = np.concatenate([np.flatnonzero(session == s) for s in drawn])
    for k in range(2):
      own = None if weights is None else weights[rows, k]
      y, p = labels[rows, k], predictions[rows, k]
      for m, sign in enumerate((1, -1)):
        expected = regression.xauc(y, sign * p, own)
        assert found[b, m, k] == pytest.approx(expected, rel=1e-12)


def test_calibration_leaves_resamples_and_they_are_not_drawn_again(monkeypatch):
  predictions, labels, session = data()
  rest = labels, session, 9, 1
  first = bootstrap.error_replicates([predictions], *rest)['xauc']
  monkeypatch.setattr(pairs, 'pair', None)  # would fail
  again = bootstrap.error_replicates([np.exp(predictions / 9)], *rest)['xauc']
  np.testing.assert_array_equal(first, again)
  assert 'xauc' not in bootstrap.error_replicates(
    [predictions + session[:, None]], *rest, paired=False
  )


def test_intervals_stand_beside_and_above_many_rows_there_are_none(monkeypatch):
  predictions, labels, session = data()
  config = config_lib.EvaluationConfig(bootstrap=99)
  losses = (types.TaskLoss('squared', 'regression'),) * 2
  rows = labelled.Labelled(labels, session, ('a', 'b'), losses=losses)

  def evaluate(scores):
    return evaluator.evaluate(scores, rows, config, 0)['a']

  found = evaluate(predictions)
  low, high = found['xauc_interval']
  assert low < found['xauc'] < high < low + 0.3
  difference = evaluator.evaluate_difference(
    predictions, -predictions, rows, config, 0
  )['a']
  low, high = difference['xauc_interval']
  assert 0 < low < difference['xauc'] < high
  monkeypatch.setattr(bootstrap, 'MOST_PAIRED', len(labels) - 1)
  found = evaluate(-predictions)
  assert 'xauc_interval' not in found and found['mae_interval'] is not None
