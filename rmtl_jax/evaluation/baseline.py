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

  Raises:
    ValueError: no rows, a prior that is not > 0, or an id out of range.
  """
  types.check_ranks((2,), labels)
  if not len(labels) or not prior > 0.0:
    raise ValueError(f'no rates from {len(labels)} rows with prior {prior}')
  global_rate = metrics.mean_labels(labels, weights)
  return RateBaseline(
    _rates(user, labels, user_size, prior, global_rate, weights),
    _rates(item, labels, item_size, prior, global_rate, weights),
    global_rate,
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
    item: int[R], rows of the item vocabulary; None if `fit` had none.
    is_binary: of each task; () if all are.

  Returns:
    f64[R, K], of binary tasks clipped to [1e-7, 1 - 1e-7]; with users or items
    alone, their rate.

  Raises:
    ValueError: ids given or missing unlike in `fit`, or out of range; neither
      users nor items.
  """
  # A task without train positives has rate 0 everywhere: 0 / 1 is 0.
  scale = np.where(baseline.global_rate > 0.0, baseline.global_rate, 1.0)
  factors = [
    _look_up(baseline.user_rate, user),
    _look_up(baseline.item_rate, item),
  ]
  known = [f for f in factors if f is not None]
  if not known:
    raise ValueError('the baseline has neither users nor items')
  product = known[0] * known[1] / scale if len(known) == 2 else known[0]
  margin = metrics.PROBABILITY_MARGIN
  probabilities = np.clip(product, margin, 1.0 - margin)
  if all(is_binary):
    return probabilities
  means = sum(known) - (len(known) - 1) * baseline.global_rate
  return np.where(np.array(is_binary, bool), probabilities, means)


def _rates(
  ids: np.ndarray | None,
  labels: np.ndarray,
  size: int,
  prior: float,
  global_rate: np.ndarray,
  weights: np.ndarray | None,
) -> np.ndarray | None:
  """Smoothed rates f64[size, K], or None without ids."""
  if ids is None:
    return None
  types.check_ranks((1,), ids)
  _check_range(ids, size)

  def sums(columns):
    return np.stack(
      [np.bincount(ids, column, minlength=size) for column in columns.T], axis=1
    )

  rows = np.bincount(ids, minlength=size)[:, None]
  if weights is not None:
    rows, labels = sums(weights), labels * weights
  rates = (sums(labels) + prior * global_rate) / (rows + prior)
  # Row 0 pools everything unseen: its own rate would be that of rare ids.
  rates[0] = global_rate
  return rates


def _look_up(
  rates: np.ndarray | None, ids: np.ndarray | None
) -> np.ndarray | None:
  if (rates is None) != (ids is None):
    raise ValueError('users and items must be given as they were in fit')
  if rates is None or ids is None:
    return None
  _check_range(ids, len(rates))
  return rates[ids]


def _check_range(ids: np.ndarray, size: int) -> None:
  """Refuses ids out of range: negative ones would read the table's end."""
  if len(ids) and not 0 <= int(ids.min()) <= int(ids.max()) < size:
    raise ValueError(
      f'ids from {ids.min()} to {ids.max()}, the vocabulary has rows 0 to'
      f' {size - 1}'
    )
