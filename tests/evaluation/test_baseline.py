import numpy as np

from rmtl_jax.evaluation import baseline

USER = np.array([1, 1, 2, 2])
ITEM = np.array([1, 2, 1, 1])
LABELS = np.array([[1.0, 1.0], [1.0, 0.0], [0.0, 0.0], [0.0, 0.0]])


# (c + 2 g) / (n + 2), g 1/2 and 1/4; unseen rows (0 and 3) have that.
USERS = [[0.5, 0.25], [0.75, 0.375], [0.25, 0.125], [0.5, 0.25]]
ITEMS = [[0.5, 0.25], [0.4, 0.3], [2 / 3, 1 / 6]]
BINARY = [True, True]


def test_rates_by_hand():
  for ids, expected in ((USER, USERS), (ITEM, ITEMS)):
    found = baseline.rates(ids, LABELS, len(expected), prior=2.0)
    np.testing.assert_allclose(found, expected)


def test_predictions_by_hand():
  both = np.array(USERS), np.array(ITEMS)
  found = baseline.predict(
    both, [np.array([1, 0, 2]), np.array([1, 0, 0])], BINARY
  )
  np.testing.assert_allclose(
    found, [[0.75 * 0.4 / 0.5, 0.375 * 0.3 / 0.25], [0.5, 0.25], [0.25, 0.125]]
  )
  alone = baseline.predict(both[1:], [np.array([2])], BINARY)
  np.testing.assert_allclose(alone, [[2 / 3, 1 / 6]])
  numbers = baseline.predict(
    both, [np.array([1]), np.array([1])], [True, False]
  )
  np.testing.assert_allclose(numbers, [[0.6, 0.375 + 0.3 - 0.25]])


def test_row_0_of_train_counts_for_the_global_rate_only():
  found = baseline.rates(np.array([0, 0, 1, 1]), LABELS[:, :1], 2, prior=2.0)
  np.testing.assert_allclose(found, [[0.5], [0.25]])
