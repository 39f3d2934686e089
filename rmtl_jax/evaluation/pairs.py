"""Pairs of rows in the order of their labels, for many weightings of the rows.

The ranks of the labels are written in binary. The labels of a pair first differ
at one bit: there the row with a 0 has the smaller one. So the pairs of each bit
are those between positives and negatives of groups of rows, as of an AUC, and a
weighting takes one pass for each bit.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from rmtl_jax import types


class _Level(NamedTuple):
  """The pairs of labels that first differ at one bit.

  Attributes:
    larger: rows with the larger label, by group and prediction, i64[P].
    smaller: rows with the smaller one, likewise, i64[N].
    below: of `smaller`, how many are of a group before the row's, or of its own
      and predicted below it, i64[P].
    not_above: the same with equal predictions; None where there are none.
  """

  larger: np.ndarray
  smaller: np.ndarray
  below: np.ndarray
  not_above: np.ndarray | None


class Pairs(NamedTuple):
  """The pairs of rows with different labels.

  Attributes:
    levels: one for each bit, the lowest first.
    by_label: rows by their label, i64[R].
    starts: of each label in `by_label`.
  """

  levels: list[_Level]
  by_label: np.ndarray
  starts: np.ndarray

  def xauc(self, weights: np.ndarray) -> np.ndarray:
    """The share of pairs that are predicted in the order of their labels.

    Args:
      weights: of B weightings, [B, R] >= 0; that of a pair is the product.
        Whole numbers are the fastest, and their sums are exact.

    Returns:
      f64[B] in [0, 1]; NaN where no two rows with different labels have a
      weight.
    """
    if not self.levels:
      return np.full(len(weights), np.nan)
    of_label = np.add.reduceat(weights[:, self.by_label], self.starts, axis=1)
    # Twice the weight of the pairs with different labels.
    pairs = of_label.sum(1) ** 2 - (of_label**2).sum(1)
    defined = (np.count_nonzero(of_label, axis=1) > 1) & (pairs > 0)
    ordered, groups = np.zeros(len(weights)), of_label
    for level in self.levels:
      if groups.shape[1] % 2:
        groups = np.pad(groups, [(0, 0), (0, 1)])
      smaller, larger = groups[:, ::2], groups[:, 1::2]
      # `below` counts the rows of groups before, too.
      before = np.cumsum(smaller, axis=1) - smaller
      ordered += _ordered(level, weights) - 2 * _dot(larger, before)
      groups = smaller + larger
    found = ordered / np.where(defined, pairs, np.nan)
    return np.clip(found, 0.0, 1.0)


def _ordered(level: _Level, weights: np.ndarray) -> np.ndarray:
  """Twice the weight of a level's pairs in order, those of other groups too."""
  shape = len(weights), len(level.smaller) + 1
  reached = np.zeros(shape, weights.dtype)
  reached[:, 1:] = np.take(weights, level.smaller, axis=1, mode='clip')
  np.cumsum(reached, axis=1, out=reached)
  found = np.take(reached, level.below, axis=1, mode='clip')
  if level.not_above is None:
    found *= 2
  else:
    found += np.take(reached, level.not_above, axis=1, mode='clip')
  larger = np.take(weights, level.larger, axis=1, mode='clip')
  return _dot(larger, found)


def _dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
  """Sums of products, row by row; einsum, as BLAS rounds by its threads."""
  return np.einsum('br,br->b', a, b)


def pair(labels: np.ndarray, predictions: np.ndarray) -> Pairs:
  """Finds the pairs, in O(R log R) for each bit of the labels' ranks.

  Examples:
    >>> y, p = np.array([0.0, 1.5, 9.0]), np.array([0.1, 0.7, 0.3])
    >>> pair(y, p).xauc(np.array([[1, 1, 1], [1, 0, 1]])).round(3).tolist()
    [0.667, 1.0]

  Args:
    labels: [R], any numbers.
    predictions: [R], no NaN.
  """
  types.check_ranks((1, 1), labels, predictions)
  types.check_same_shape(labels, predictions)
  found, label = np.unique(labels, return_inverse=True)
  values, place = np.unique(predictions, return_inverse=True)
  levels = []
  for bit in range(max(len(found) - 1, 0).bit_length()):
    # By group, then by prediction.
    key = (label >> (bit + 1)) * len(values) + place
    order = np.argsort(key, kind='stable')
    is_larger = (label[order] >> bit & 1) == 1
    larger, smaller = order[is_larger], order[~is_larger]
    below, not_above = (
      np.searchsorted(key[smaller], key[larger], side)
      for side in ('left', 'right')
    )
    ties = np.any(below != not_above)
    levels.append(_Level(larger, smaller, below, not_above if ties else None))
  by_label = np.argsort(label, kind='stable')
  starts = np.searchsorted(label[by_label], np.arange(len(found)))
  return Pairs(levels, by_label, starts)
