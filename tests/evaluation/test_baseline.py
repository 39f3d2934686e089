import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rmtl_jax.evaluation import baseline, metrics

USER = np.array([1, 1, 2, 2])
ITEM = np.array([1, 2, 1, 1])
LABELS = np.array([[1.0, 1.0], [1.0, 0.0], [0.0, 0.0], [0.0, 0.0]])


def test_rates_by_hand():
  found = baseline.fit(USER, ITEM, LABELS, 4, 3, prior=2.0)
  np.testing.assert_allclose(found.global_rate, [0.5, 0.25])
  # (c + 2 g) / (n + 2); unseen rows (0 and 3) have the global rate.
  np.testing.assert_allclose(
    found.user_rate, [[0.5, 0.25], [0.75, 0.375], [0.25, 0.125], [0.5, 0.25]]
  )
  np.testing.assert_allclose(
    found.item_rate, [[0.5, 0.25], [0.4, 0.3], [2 / 3, 1 / 6]]
  )


def test_predictions_by_hand():
  fitted = baseline.fit(USER, ITEM, LABELS, 4, 3, prior=2.0)
  found = baseline.predict(fitted, np.array([1, 0, 2]), np.array([1, 0, 0]))
  np.testing.assert_allclose(
    found, [[0.75 * 0.4 / 0.5, 0.375 * 0.3 / 0.25], [0.5, 0.25], [0.25, 0.125]]
  )


def test_users_or_items_alone():
  users = baseline.fit(USER, None, LABELS, 4, 0, prior=2.0)
  np.testing.assert_allclose(
    baseline.predict(users, np.array([1]), None), [[0.75, 0.375]]
  )
  items = baseline.fit(None, ITEM, LABELS, 0, 3, prior=2.0)
  np.testing.assert_allclose(
    baseline.predict(items, None, np.array([2])), [[2 / 3, 1 / 6]]
  )


def test_row_0_of_train_counts_for_the_global_rate_only():
  fitted = baseline.fit(
    np.array([0, 0, 1, 1]), None, LABELS[:, :1], 2, 0, prior=2.0
  )
  np.testing.assert_allclose(fitted.user_rate, [[0.5], [0.25]])


def test_predictions_stay_probabilities():
  user = np.repeat([1, 2], 100)
  labels = (user == 1).astype(np.float32)[:, None]
  fitted = baseline.fit(user, user, labels, 3, 3, prior=1.0)
  found = baseline.predict(fitted, np.array([1, 2]), np.array([1, 2]))
  # (100.5 / 101)^2 / 0.5 is above 1.
  assert found[0, 0] == 1.0 - 1e-7
  assert 0.0 < found[1, 0] < 1e-3


def test_a_task_without_positives():
  fitted = baseline.fit(USER, ITEM, np.zeros((4, 1), np.float32), 4, 3)
  found = baseline.predict(fitted, USER, ITEM)
  np.testing.assert_array_equal(found, 1e-7)


@settings(deadline=None)
@given(
  st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 1)), min_size=1, max_size=30
  ),
  st.floats(0.1, 100.0),
)
def test_rates_lie_between_the_global_and_the_own_rate(rows, prior):
  user, labels = (np.array(column) for column in zip(*rows, strict=True))
  fitted = baseline.fit(user, None, labels[:, None], 4, 0, prior)
  for u in range(1, 4):
    own = labels[user == u]
    ends = [fitted.global_rate[0], own.mean() if len(own) else labels.mean()]
    rate = fitted.user_rate[u, 0]
    assert min(ends) - 1e-12 <= rate <= max(ends) + 1e-12


def test_rates_rank_rows_of_simulated_tastes():
  generator = np.random.default_rng(0)
  user, item = generator.integers(1, 40, (2, 4000))
  taste, appeal = generator.uniform(0.05, 0.7, (2, 40))
  labels = (generator.random(4000) < taste[user] * appeal[item])[:, None]
  train, test = slice(0, 3000), slice(3000, None)
  fitted = baseline.fit(user[train], item[train], labels[train], 40, 40)
  found = baseline.predict(fitted, user[test], item[test])[:, 0]
  truth = (taste[user] * appeal[item])[test]
  value = metrics.auc(labels[test, 0], found)
  assert 0.7 < value < metrics.auc(labels[test, 0], truth) + 0.02


@pytest.mark.parametrize(
  ('user', 'prior', 'message'),
  [
    ([1, 1, 2, 4], 2.0, 'ids from 1 to 4'),
    ([-1, 1, 2, 2], 2.0, 'ids from -1 to 2'),
    ([1, 1, 2, 2], 0.0, 'prior 0.0'),
  ],
)
def test_bad_arguments_of_fit(user, prior, message):
  with pytest.raises(ValueError, match=message):
    baseline.fit(np.array(user), None, LABELS, 4, 0, prior)


def test_bad_arguments_of_predict():
  fitted = baseline.fit(USER, None, LABELS, 4, 0)
  with pytest.raises(ValueError, match='as they were in fit'):
    baseline.predict(fitted, USER, ITEM)
  with pytest.raises(ValueError, match='ids from 9 to 9'):
    baseline.predict(fitted, np.array([9]), None)
  neither = baseline.fit(None, None, LABELS, 0, 0)
  with pytest.raises(ValueError, match='neither'):
    baseline.predict(neither, None, None)
  with pytest.raises(ValueError, match='0 rows'):
    baseline.fit(None, None, LABELS[:0], 0, 0)
