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
from typing import NamedTuple

import numpy as np

from rmtl_jax import types
from rmtl_jax.evaluation import metrics


class RateBaseline(NamedTuple):
  """Smoothed rates of the train rows.

  Attributes:
    user_rate: f64[U, K] by row of the user vocabulary, or None.
    item_rate: f64[I, K] by row of the item vocabulary, or None.
    global_rate: f64[K].
  """

  user_rate: np.ndarray | None
  item_rate: np.ndarray | None
  global_rate: np.ndarray


def fit(
  user: np.ndarray | None,
  item: np.ndarray | None,
  labels: np.ndarray,
  user_size: int,
  item_size: int,
  prior: float = 20.0,
  weights: np.ndarray | None = None,
) -> RateBaseline:
  """Fits the rates to the train rows.

  Args:
    user: int[R], rows of the user vocabulary; row 0 (missing, unseen or rare)
      has the global rate. None where the data has no such field.
    item: int[R], rows of the item vocabulary, or None; as `user`.
    labels: [R, K], 0 or 1.
    user_size: U, rows of the user vocabulary; ignored without users.
    item_size: I, rows of the item vocabulary; ignored without items.
    prior: pseudo-rows at the global rate for every user and item, > 0.
    weights: [R, K] >= 0, or None.
  """
  types.check_ranks((2,), labels)
  global_rate = metrics.mean_labels(labels, weights)
  w = np.ones(labels.shape) if weights is None else weights

  def rates(ids: np.ndarray | None, size: int) -> np.ndarray | None:
    if ids is None:
      return None
    rows, positives = (
      np.stack([np.bincount(ids, c, minlength=size) for c in of.T], axis=1)
      for of in (w, labels * w)
    )
    found = (positives + prior * global_rate) / (rows + prior)
    # Row 0 pools everything unseen: its own rate would be that of rare ids.
    found[0] = global_rate
    return found

  return RateBaseline(
    rates(user, user_size), rates(item, item_size), global_rate
  )


def predict(
  baseline: RateBaseline,
  user: np.ndarray | None,
  item: np.ndarray | None,
  is_binary: Sequence[bool] = (),
) -> np.ndarray:
  """Predicts user_rate * item_rate / global_rate.

  Args:
    user: int[R], rows of the user vocabulary; None if `fit` had none.
    item: int[R], rows of the item vocabulary; None if `fit` had none. One of
      the two is there.
    is_binary: of each task; () if all are.

  Returns:
    f64[R, K], of binary tasks clipped to [1e-7, 1 - 1e-7]; with users or items
    alone, their rate.
  """
  known = [
    rates[ids]
    for rates, ids in ((baseline.user_rate, user), (baseline.item_rate, item))
    if rates is not None and ids is not None
  ]
  # A task without train positives has rate 0 everywhere: 0 / 1 is 0.
  scale = np.where(baseline.global_rate > 0.0, baseline.global_rate, 1.0)
  product = known[0] * known[1] / scale if len(known) == 2 else known[0]
  margin = metrics.PROBABILITY_MARGIN
  probabilities = np.clip(product, margin, 1.0 - margin)
  if all(is_binary):
    return probabilities
  means = sum(known) - (len(known) - 1) * baseline.global_rate
  return np.where(np.array(is_binary, bool), probabilities, means)
