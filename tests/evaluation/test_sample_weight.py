"""Metrics of weighted rows: as rows that repeat or are not there."""

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from rmtl_jax.evaluation import (
  baseline,
  calibration,
  evaluator,
  labelled,
  metric_registry,
  metrics,
  validation_monitor,
)

# Label, probability, session, weight of the task.
ROWS = st.lists(
  st.tuples(
    st.integers(0, 1),
    st.sampled_from([0.1, 0.2, 0.5, 0.7, 0.9]),
    st.integers(0, 3),
    st.integers(0, 3),
  ),
  min_size=1,
  max_size=25,
)


def arrays(rows):
  y, p, session, weight = map(np.array, zip(*rows, strict=True))
  order = np.argsort(session, kind='stable')
  return y[order], p[order], session[order], weight[order]


@hypothesis.settings(max_examples=25, deadline=None)
@hypothesis.given(ROWS)
def test_a_row_of_weight_2_is_the_row_twice_and_of_0_none(rows):
  y, p, session, weight = arrays(rows)
  twice = np.repeat(np.arange(len(y)), weight)

  def every(y, p, session, weights=None):
    rows = labelled.Labelled(y[:, None], session, ('a',), weights=weights)
    lists = labelled.Lists(np.arange(len(y)), session, p[:, None])
    predicted = labelled.Predicted(p[:, None], lists)
    return evaluator.evaluate(predicted, rows, {})['a']

  found = every(y, p, session, weight[:, None].astype(np.float32))
  expected = every(y[twice], p[twice], session[twice])
  assert found['rows'] == np.count_nonzero(weight)
  assert found['positives'] == np.count_nonzero(y[weight > 0])
  # NDCG ranks rows, which count alike.
  ranked = {'ndcg'}
  for name in {one.name for one in metric_registry.of_kind('binary')} - ranked:
    values = [
      np.nan if one[name] is None else one[name] for one in (found, expected)
    ]
    np.testing.assert_allclose(*values, rtol=1e-12, atol=1e-15, err_msg=name)
  for name in ('sessions', 'rarer_sessions'):
    assert found[name] == expected[name]
  if len(twice):
    assert found['rate'] == pytest.approx(np.mean(y[twice]))
    np.testing.assert_allclose(
      validation_monitor.rates_logloss(y[:, None], weight[:, None]),
      validation_monitor.rates_logloss(y[twice, None]),
    )


@hypothesis.settings(max_examples=10, deadline=None)
@hypothesis.given(ROWS)
def test_what_is_fitted_on_repeated_rows_is_fitted_on_weighted_ones(rows):
  y, p, session, weight = arrays(rows)
  twice = np.repeat(np.arange(len(y)), weight)
  np.testing.assert_allclose(
    calibration.fit_platt(y, p, weight.astype(float)).apply(p),
    calibration.fit_platt(y[twice], p[twice]).apply(p),
    rtol=1e-6,
  )
  found = metrics.reliability(y, p, 3, weights=weight.astype(float))
  expected = metrics.reliability(y[twice], p[twice], 3)
  for name in ('rows', 'predicted', 'actual'):
    np.testing.assert_allclose(
      [point[name] for point in found], [point[name] for point in expected]
    )
  if len(twice):
    # Users are the sessions here.
    rates = baseline.rates(session, y[:, None], 4, weight[:, None])
    plain = baseline.rates(session[twice], y[twice, None], 4)
    np.testing.assert_allclose(rates, plain)


def test_weighted_figures_by_hand():
  y, p = np.array([1, 0, 1, 0]), np.array([0.8, 0.6, 0.4, 0.2])
  w = np.array([1.0, 3.0, 2.0, 0.0])
  # Pairs: the first positive is above the weight 3, the second is not.
  assert metrics.auc(y, p, w) == pytest.approx(1 * 3 / (3 * 3))
  assert metrics.logloss(y, p, w) == pytest.approx(
    -(np.log(0.8) + 3 * np.log(0.4) + 2 * np.log(0.4)) / 6
  )
  assert metrics.pr_auc(y, p, w) == pytest.approx((1 * 1 + 2 * 3 / 6) / 3)
  assert metrics.predicted_over_actual(y, p, w) == pytest.approx(
    (0.8 + 1.8 + 0.8) / 3
  )
