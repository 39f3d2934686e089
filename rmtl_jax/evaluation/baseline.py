"""The rate baseline: predictions from users' and items' average rates.

A network that does not beat it has learnt no more than who looks and at what.
With n rows and c positives of a user in train, and g the rate over all train
rows,

  user_rate = (c + prior * g) / (n + prior)

and alike for the item; the prediction is user_rate * item_rate / g, so that a
user twice as active as the average doubles every item's rate. Of a task that is
not binary rates are mean labels, and the prediction is user_rate + item_rate -
g, as labels may be negative.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rmtl_jax.evaluation import metrics


def rates(
  ids: np.ndarray,
  labels: np.ndarray,
  size: int,
  weights: np.ndarray | None = None,
  prior: float = 20.0,
) -> np.ndarray:
  """Smoothed rates of the values of a field, f64[size, K].

  Args:
    ids: int[R], rows of the field's vocabulary; row 0 (missing, unseen or rare)
      has the global rate.
    labels: [R, K].
    size: of the vocabulary.
    weights: [R, K] >= 0, or None.
    prior: pseudo-rows at the global rate for every value, > 0.
  """
  global_rate = metrics.mean_labels(labels, weights)
  w = np.ones(labels.shape) if weights is None else weights
  rows, sums = (
    np.stack([np.bincount(ids, c, minlength=size) for c in of.T], axis=1)
    for of in (w, labels * w)
  )
  found = (sums + prior * global_rate) / (rows + prior)
  # Row 0 pools everything unseen: its own rate would be that of rare ids.
  found[0] = global_rate
  return found


def predict(
  by_field: Sequence[np.ndarray],
  ids: Sequence[np.ndarray],
  is_binary: Sequence[bool],
) -> np.ndarray:
  """Predicts user_rate * item_rate / global_rate.

  Args:
    by_field: the `rates` of users, of items or of both.
    ids: of the rows to predict, int[R] each.
    is_binary: of each task.

  Returns:
    f64[R, K], of binary tasks clipped to [1e-7, 1 - 1e-7]; with users or items
    alone, their rate.
  """
  known = [of[rows] for of, rows in zip(by_field, ids, strict=True)]
  global_rate = by_field[0][0]
  # A task without train positives has rate 0 everywhere: 0 / 1 is 0.
  scale = np.where(global_rate > 0.0, global_rate, 1.0)
  product = known[0] * known[1] / scale if len(known) == 2 else known[0]
  margin = metrics.PROBABILITY_MARGIN
  means = sum(known) - (len(known) - 1) * global_rate
  return np.where(is_binary, np.clip(product, margin, 1.0 - margin), means)
