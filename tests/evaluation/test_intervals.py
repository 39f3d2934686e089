import numpy as np
import pytest
from scipy import stats

from rmtl_jax.evaluation import bootstrap, intervals, labelled, metrics


def sessions_of(sessions, seed, tasks=2):
  """Sessions with an effect of their own, and true probabilities."""
  generator = np.random.default_rng(seed)
  session = np.repeat(np.arange(sessions), generator.integers(1, 6, sessions))
  rows = len(session)
  effect = generator.normal(size=(sessions, 1))[session]
  logits = effect + generator.normal(size=(rows, tasks)) - 1.0
  p = 1.0 / (1.0 + np.exp(-logits))
  labels = (generator.random((rows, tasks)) < p).astype(np.float32)
  return p.astype(np.float32), labels, session


def rows_of(labels, session, weights=None, losses=()):
  tasks = [f'task_{k}' for k in range(labels.shape[1])]
  return labelled.Labelled(
    labels, session, tasks, losses=losses, weights=weights
  )


def _own(predictions, labels, session, count, seed):
  rows = rows_of(labels, session)
  drawn = bootstrap.replicates(
    labelled.Predicted(predictions), rows, count, seed
  )
  return intervals.session_intervals(drawn, rows)


def _paired(first, second, labels, session, count, seed):
  rows = rows_of(labels, session)
  a, b = (
    bootstrap.replicates(labelled.Predicted(p), rows, count, seed)
    for p in (first, second)
  )
  return intervals.session_intervals({n: a[n] - b[n] for n in a}, rows)


def test_percentiles_by_hand():
  # The 5th and the 195th of 199 values leave out a fortieth each.
  values = np.arange(199.0, 0.0, -1.0)
  found = intervals.percentile_interval(values)
  np.testing.assert_allclose(found, [5.0, 195.0], rtol=1e-12)


@pytest.mark.parametrize('sessions', [2, 5, 20, 1000])
def test_few_sessions_with_positives_widen_the_interval_as_t_does(sessions):
  values = np.arange(1.0, 10_000.0)
  low, high = intervals.percentile_interval(values, sessions)
  t = stats.t.ppf(0.975, sessions - 1) * np.sqrt(sessions / (sessions - 1))
  expected = max(1.0, 10_000.0 * stats.norm.cdf(-t))
  assert low == pytest.approx(expected, rel=1e-6)
  assert low + high == pytest.approx(10_000.0)
  plain = intervals.percentile_interval(values)
  assert low < plain[0] and high > plain[1]


def test_one_session_with_positives_is_no_auc_interval():
  p, labels, session = sessions_of(50, seed=6)
  labels[:] = session[:, None] == 3
  rarer = intervals.rarer_sessions(rows_of(labels, session))
  np.testing.assert_array_equal(rarer, 1)
  found = _own(p, labels, session, 99, seed=0)
  assert np.isnan(found['auc']).all()
  assert np.isfinite(found['logloss']).all()


def test_rarer_sessions_by_hand():
  session = np.array([5, 5, 2, 9, 2])
  labels = np.array([[1, 1], [0, 1], [0, 1], [0, 1], [0, 0]])
  # Positives in 5 alone, negatives everywhere; positives everywhere, a
  # negative in 2.
  rows = rows_of(labels, session)
  found = intervals.rarer_sessions(rows)
  np.testing.assert_array_equal(found, [1, 1])
  labels[3, 0] = 1
  np.testing.assert_array_equal(intervals.rarer_sessions(rows), [2, 1])
  seen = np.array([[1, 0], [1, 0], [0, 0], [0, 3], [0, 0]])
  found = intervals.observed_sessions(rows._replace(weights=seen))
  np.testing.assert_array_equal(found, [1, 1])
  np.testing.assert_array_equal(intervals.observed_sessions(rows), [3, 3])


def test_intervals_cover_the_truth():
  # The population's logloss, from one large draw; 80 draws of 80 sessions.
  p, labels, _ = sessions_of(200_000, seed=0, tasks=1)
  truth = metrics.logloss(labels[:, 0], p[:, 0])
  covered = 0
  for seed in range(1, 81):
    p, labels, session = sessions_of(80, seed, tasks=1)
    found = _own(p, labels, session, 200, seed)
    low, high = found['logloss'][0]
    covered += low <= truth <= high
  # Binomial(80, 0.95): 76 +- 1.9; under 69 has a chance below 1e-3.
  assert covered >= 69


def test_sessions_not_rows_are_resampled():
  # Rows of a session repeat each other, so R rows tell no more than S.
  generator = np.random.default_rng(8)
  base = generator.uniform(0.1, 0.9, (200, 1))
  base_labels = (generator.random((200, 1)) < base).astype(np.float64)
  p, labels = np.repeat(base, 10, 0), np.repeat(base_labels, 10, 0)
  by_session = _own(p, labels, np.repeat(np.arange(200), 10), 200, seed=0)
  alone = _own(base, base_labels, np.arange(200), 200, seed=0)
  for name in by_session:
    np.testing.assert_allclose(by_session[name], alone[name], rtol=1e-9)


def test_paired_differences():
  p, labels, session = sessions_of(300, seed=6)
  worse = np.clip(p * 1.3, 0.0, 0.99)
  found = _paired(worse, p, labels, session, 200, seed=0)
  # Too high by 30 %: certain, although the models' own intervals overlap.
  assert (found['logloss'][:, 0] > 0.0).all()
  own, other = (_own(q, labels, session, 200, seed=0) for q in (p, worse))
  assert (other['logloss'][:, 0] < own['logloss'][:, 1]).all()
  swapped = _paired(p, worse, labels, session, 200, seed=0)
  np.testing.assert_allclose(
    swapped['logloss'], -found['logloss'][:, ::-1], rtol=1e-9
  )
