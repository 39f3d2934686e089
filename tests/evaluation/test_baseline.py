import numpy as np

from rmtl_jax.evaluation import baseline

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
