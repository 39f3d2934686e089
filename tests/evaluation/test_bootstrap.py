"""Resampled sessions against metrics of the rows that are drawn."""

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from rmtl_jax.evaluation import bootstrap, labelled, metrics
from tests.evaluation import test_intervals


def drawn(p, labels, session, count, seed, lists=None):
  rows = test_intervals.rows_of(labels, session)
  return bootstrap.replicates(labelled.Predicted(p, lists), rows, count, seed)


def test_replicates_equal_metrics_of_the_rows_drawn():
  p, labels, session = test_intervals.sessions_of(40, seed=1)
  # Coarse predictions tie; shuffled rows must not matter.
  p = np.round(p, 1)
  order = np.random.default_rng(2).permutation(len(p))
  p, labels, session = p[order], labels[order], session[order]
  models = [drawn(p**n, labels, session, 5, seed=11) for n in (1, 2)]
  generator = np.random.default_rng(11)
  for b in range(5):
    draws = generator.integers(40, size=40)
    rows = [np.flatnonzero(session == s) for s in draws]
    copies = np.repeat(np.arange(40), [len(r) for r in rows])
    places = np.concatenate(rows)
    for power, values in enumerate(models, 1):
      for k in range(2):
        y, q = labels[places, k], p[places, k] ** power
        assert values['auc'][b, k] == pytest.approx(
          sklearn_metrics.roc_auc_score(y, q), abs=1e-12
        )
        assert values['logloss'][b, k] == pytest.approx(
          metrics.logloss(y, q), rel=1e-12
        )
        assert values['session_logloss'][b, k] == pytest.approx(
          metrics.session_logloss(y, q, copies), rel=1e-12
        )


def test_gauc_is_of_the_lists_of_the_sessions_drawn():
  p, labels, session = test_intervals.sessions_of(40, seed=1)
  at_start = np.round(p, 1)
  rows = np.arange(3, len(p))
  # Two lists in a session.
  number = session[rows] * 2 + rows % 2
  lists = labelled.Lists(rows, number, at_start[rows])
  values = drawn(p, labels, session, 5, 11, lists)['gauc']
  generator = np.random.default_rng(11)
  for b in range(5):
    draws = generator.integers(40, size=40)
    places = [np.flatnonzero(session[rows] == s) for s in draws]
    copies = np.repeat(np.arange(40), [len(r) for r in places])
    at = np.concatenate(places)
    for k in range(2):
      expected = metrics.gauc(
        labels[rows[at], k], at_start[rows[at], k], copies * 1000 + number[at]
      )
      assert values[b, k] == pytest.approx(expected, rel=1e-12)
