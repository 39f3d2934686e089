"""AUC of weighted rows, from one sort for all weightings."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from rmtl_jax import types


class Ranking(NamedTuple):
  """Every positive's place among the negatives.

  Attributes:
    positive: i64[P], rows with label 1, by ascending score.
    negative: i64[N], rows with label 0, by ascending score.
    below: i64[P], number of negatives with a lower score than each positive.
    not_above: i64[P], number with a lower or equal score.
  """

  positive: np.ndarray
  negative: np.ndarray
  below: np.ndarray
  not_above: np.ndarray


def rank(labels: np.ndarray, scores: np.ndarray) -> Ranking:
  """Ranks the rows of one task.

  Args:
    labels: [R], 0 or 1.
    scores: [R], no NaN.
  """
  types.check_ranks((1, 1), labels, scores)
  types.check_same_shape(labels, scores)
  positive = np.flatnonzero(labels > 0.5)
  negative = np.flatnonzero(labels <= 0.5)
  positive = positive[np.argsort(scores[positive])]
  negative = negative[np.argsort(scores[negative])]
  ordered, values = scores[negative], scores[positive]
  return Ranking(
    positive,
    negative,
    np.searchsorted(ordered, values, 'left'),
    np.searchsorted(ordered, values, 'right'),
  )


def weighted_auc(
  ranking: Ranking, positive_weights: np.ndarray, negative_weights: np.ndarray
) -> float:
  """AUC of weighted rows: the weight of the pairs in the right order.

  Args:
    positive_weights: [P] >= 0, in the order of `ranking.positive`; integers
      keep the sums exact.
    negative_weights: [N] >= 0, in the order of `ranking.negative`.

  Returns:
    AUC in [0, 1]; NaN where a class has no weight.
  """
  reached = np.zeros(len(negative_weights) + 1, negative_weights.dtype)
  np.cumsum(negative_weights, out=reached[1:])
  pairs = 2.0 * float(positive_weights.sum()) * float(reached[-1])
  if not pairs:
    return float('nan')
  # A tie is half a pair: both ends are counted, and `pairs` is doubled.
  ordered = reached[ranking.below] + reached[ranking.not_above]
  return float(positive_weights @ ordered) / pairs
