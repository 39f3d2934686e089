"""Resampled sessions against metrics of the rows that are drawn."""

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from rmtl_jax.evaluation import bootstrap, metrics
from tests.evaluation import test_intervals


def test_replicates_equal_metrics_of_the_rows_drawn():
  p, labels, session = test_intervals.sessions_of(40, seed=1)
  # Coarse predictions tie; shuffled rows must not matter.
  p = np.round(p, 1)
  order = np.random.default_rng(2).permutation(len(p))
  p, labels, session = p[order], labels[order], session[order]
  values = bootstrap.replicates([p, p**2], labels, session, 5, seed=11)
  generator = np.random.default_rng(11)
  for b in range(5):
    draws = generator.integers(40, size=40)
    rows = [np.flatnonzero(session == s) for s in draws]
    copies = np.repeat(np.arange(40), [len(r) for r in rows])
    drawn = np.concatenate(rows)
    for m, power in enumerate((1, 2)):
      for k in range(2):
        y, q = labels[drawn, k], p[drawn, k] ** power
        assert values['auc'][b, m, k] == pytest.approx(
          sklearn_metrics.roc_auc_score(y, q), abs=1e-12
        )
        assert values['logloss'][b, m, k] == pytest.approx(
          metrics.logloss(y, q), rel=1e-12
        )
        assert values['session_logloss'][b, m, k] == pytest.approx(
          metrics.session_logloss(y, q, copies), rel=1e-12
        )


def test_draws_do_not_depend_on_how_many_there_are():
  p, labels, session = test_intervals.sessions_of(60, seed=3)
  few, many = (
    bootstrap.replicates([p], labels, session, count, seed=4)
    for count in (5, 41)
  )
  for name in bootstrap.METRICS:
    np.testing.assert_array_equal(few[name], many[name][:5])


def test_a_long_session_that_is_drawn_often_still_counts_exactly():
  # Draws of 3 times as many rows as there are fit in no common word.
  session = np.repeat([0, 1, 2], [400, 1, 1])
  generator = np.random.default_rng(0)
  p = generator.random((402, 1))
  labels = (generator.random((402, 1)) < p).astype(np.float64)
  values = bootstrap.replicates([p], labels, session, 200, seed=7)
  draw, most = np.random.default_rng(7), 0
  for b in range(200):
    times = np.bincount(draw.integers(3, size=3), minlength=3)[session]
    most = max(most, times.sum())
    expected = metrics.auc(labels[:, 0], p[:, 0], times)
    assert values['auc'][b, 0, 0] == expected or times[0] == 0
  assert most == 1200
