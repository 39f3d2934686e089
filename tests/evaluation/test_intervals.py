import numpy as np
import pytest
from scipy import stats

from rmtl_jax import types
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


# Two tasks of numbers.
NUMBERS = [types.TaskLoss('squared', 'regression')] * 2


def rows_of(labels, session, weights=None, losses=()):
  tasks = [f'task_{k}' for k in range(labels.shape[1])]
  return labelled.Labelled(
    labels, session, tasks, losses=losses, weights=weights
  )


def _found(predictions, labels, session, *arguments, weights=None, **seed):
  return intervals.session_intervals(
    list(map(labelled.Predicted, predictions)),
    rows_of(labels, session, weights),
    *arguments,
    **seed,
  )


def _own(predictions, *arguments, **settings):
  return _found([predictions], *arguments, **settings).bounds


def _paired(first, second, *arguments, **settings):
  return _found([first, second], *arguments, **settings).bounds


def _errors(predictions, labels, session, *arguments, weights):
  return intervals.session_intervals(
    [labelled.Predicted(predictions)],
    rows_of(labels, session, weights, NUMBERS),
    *arguments,
  ).bounds


def test_percentiles_by_hand():
  # The 5th and the 95th of 99 values leave out a twentieth each.
  values = np.arange(1.0, 100.0).reshape(99, 1)
  found = intervals.percentile_interval(values[::-1], 0.9)
  np.testing.assert_allclose(found, [[5.0, 95.0]], rtol=1e-12)


@pytest.mark.parametrize('sessions', [2, 5, 20, 1000])
def test_few_sessions_with_positives_widen_the_interval_as_t_does(sessions):
  values = np.arange(1.0, 10_000.0)
  low, high = intervals.percentile_interval(values, 0.95, sessions)
  t = stats.t.ppf(0.975, sessions - 1) * np.sqrt(sessions / (sessions - 1))
  expected = max(1.0, 10_000.0 * stats.norm.cdf(-t))
  assert low == pytest.approx(expected, rel=1e-6)
  assert low + high == pytest.approx(10_000.0)
  plain = intervals.percentile_interval(values, 0.95)
  assert low < plain[0] and high > plain[1]


def test_one_session_with_positives_is_no_auc_interval():
  p, labels, session = sessions_of(50, seed=6)
  labels[:] = session[:, None] == 3
  rarer = intervals.rarer_sessions(rows_of(labels, session))
  np.testing.assert_array_equal(rarer, 1)
  found = _found([p], labels, session, 99, 0.95, seed=0)
  assert np.isnan(found.bounds['auc']).all()
  assert np.isfinite(found.bounds['logloss']).all()
  # A session is missing from a draw with chance (1 - 1 / S)^S, about 1 / e.
  assert (np.abs(found.undefined_draws - 99 / np.e) < 20).all()


def _first_sessions(count):
  """Rows of 50 sessions that count in the first `count` alone."""
  p, labels, session = sessions_of(50, seed=6)
  weights = np.repeat(session[:, None] < count, labels.shape[1], axis=1)
  return p, labels, session, weights.astype(float)


def test_one_observed_session_is_no_interval():
  p, labels, session, weights = _first_sessions(1)
  drawn = session, 99, 0.95, 0
  found = _own(p, labels, *drawn, weights=weights)
  found |= _errors(p, labels, *drawn, weights=weights)
  for name, bounds in found.items():
    assert np.isnan(bounds).all(), name


def test_sessions_that_are_not_observed_do_not_narrow_an_interval():
  p, labels, session, weights = _first_sessions(5)
  rows = rows_of(labels, session, weights, NUMBERS)
  drawn = bootstrap.replicates([labelled.Predicted(p)], rows, 400, 0)
  found = _errors(p, labels, session, 400, 0.9, 0, weights=weights)
  for name, values in drawn.items():
    np.testing.assert_array_equal(
      found[name], intervals.percentile_interval(values[:, 0], 0.9, 5)
    )


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


def test_percentiles_leave_out_a_few_undefined_replicates():
  values = np.array([[1.0, 1.0], [np.nan, 3.0], [2.0, np.nan], [3.0, np.nan]])
  values[1, 1] = np.nan
  found = intervals.percentile_interval(values, 0.5)
  np.testing.assert_allclose(found[0], [1.0, 3.0])
  assert np.isnan(found[1]).all()


def test_intervals_hold_the_figure_and_narrow_with_data():
  widths = []
  for sessions in (100, 1600):
    p, labels, session = sessions_of(sessions, seed=4)
    found = _own(p, labels, session, 200, 0.95, seed=0)
    for k in range(2):
      low, high = found['auc'][k]
      assert low < metrics.auc(labels[:, k], p[:, k]) < high
      low, high = found['session_logloss'][k]
      assert (
        low < metrics.session_logloss(labels[:, k], p[:, k], session) < high
      )
    widths.append(np.diff(found['logloss'])[0, 0])
  assert 3.0 < widths[0] / widths[1] < 5.0  # sqrt(16) = 4


def test_intervals_cover_the_truth():
  # The population's logloss, from one large draw; 80 draws of 80 sessions.
  p, labels, _ = sessions_of(200_000, seed=0, tasks=1)
  truth = metrics.logloss(labels[:, 0], p[:, 0])
  covered = 0
  for seed in range(1, 81):
    p, labels, session = sessions_of(80, seed, tasks=1)
    found = _own(p, labels, session, 200, 0.9, seed)
    low, high = found['logloss'][0]
    covered += low <= truth <= high
  # Binomial(80, 0.9): 72 +- 2.7; under 62 has a chance below 1e-3.
  assert 62 <= covered <= 79


def test_sessions_not_rows_are_resampled():
  # Rows of a session repeat each other, so R rows tell no more than S.
  generator = np.random.default_rng(8)
  base = generator.uniform(0.1, 0.9, (200, 1))
  base_labels = (generator.random((200, 1)) < base).astype(np.float64)
  p, labels = np.repeat(base, 10, 0), np.repeat(base_labels, 10, 0)
  by_session = _own(p, labels, np.repeat(np.arange(200), 10), 200, 0.95, seed=0)
  alone = _own(base, base_labels, np.arange(200), 200, 0.95, seed=0)
  for name in by_session:
    np.testing.assert_allclose(by_session[name], alone[name], rtol=1e-9)


def test_paired_differences():
  p, labels, session = sessions_of(300, seed=6)
  worse = np.clip(p * 1.3, 0.0, 0.99)
  found = _paired(worse, p, labels, session, 200, 0.95, seed=0)
  # Too high by 30 %: certain, although the models' own intervals overlap.
  assert (found['logloss'][:, 0] > 0.0).all()
  own, other = (_own(q, labels, session, 200, 0.95, seed=0) for q in (p, worse))
  assert (other['logloss'][:, 0] < own['logloss'][:, 1]).all()
  swapped = _paired(p, worse, labels, session, 200, 0.95, seed=0)
  np.testing.assert_allclose(
    swapped['logloss'], -found['logloss'][:, ::-1], rtol=1e-9
  )


def test_a_model_does_not_differ_from_itself():
  p, labels, session = sessions_of(50, seed=6)
  found = _paired(p, p.copy(), labels, session, 20, 0.95, seed=0)
  for bounds in found.values():
    np.testing.assert_array_equal(bounds, 0.0)


def test_the_seed_decides():
  p, labels, session = sessions_of(50, seed=6)
  first, again, other = (
    _own(p, labels, session, 20, 0.95, seed)['auc'] for seed in (1, 1, 2)
  )
  np.testing.assert_array_equal(first, again)
  assert not np.array_equal(first, other)


@pytest.mark.parametrize(
  ('rows', 'session'), [(0, []), (1, [4]), (3, [4, 4, 4])]
)
def test_too_few_sessions_have_no_interval(rows, session):
  p, labels = np.full((rows, 1), 0.5), np.zeros((rows, 1))
  found = _own(p, labels, np.array(session, np.int64), 10, 0.95, seed=0)
  for bounds in found.values():
    assert bounds.shape == (1, 2)
    assert np.isnan(bounds).all()


def test_one_class_has_no_auc_interval_but_a_logloss_interval():
  p = np.array([[0.1], [0.3], [0.2]])
  found = _own(p, np.zeros((3, 1)), np.arange(3), 50, 0.95, seed=0)
  assert np.isnan(found['auc']).all()
  low, high = found['logloss'][0]
  assert -np.log(0.9) <= low < high <= -np.log(0.7)
