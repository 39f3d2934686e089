"""Exact metrics of tasks of numbers: regression and ordinal ones.

As in metrics.py, `R` is the number of rows, arrays are [R], weights are >= 0 or
None, and an undefined metric is NaN. Labels are any numbers.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy import special

from rmtl_jax import types
from rmtl_jax.config import kinds
from rmtl_jax.evaluation import metrics


def mae(
  labels: np.ndarray,
  predictions: np.ndarray,
  weights: np.ndarray | None = None,
) -> float:
  """Mean absolute error, in the label's units; NaN without rows.

  >>> mae(np.array([1.0, 2.0]), np.array([2.0, 4.0]))
  1.5
  """
  return _mean(np.abs(_errors(labels, predictions)), weights)


def rmse(
  labels: np.ndarray,
  predictions: np.ndarray,
  weights: np.ndarray | None = None,
) -> float:
  """Root of the mean squared error, in the label's units; NaN without rows.

  >>> rmse(np.array([1.0, 2.0]), np.array([2.0, 9.0]))
  5.0
  """
  return math.sqrt(_mean(_errors(labels, predictions) ** 2, weights))


def xauc(
  labels: np.ndarray,
  predictions: np.ndarray,
  weights: np.ndarray | None = None,
) -> float:
  """Share of pairs of rows that are predicted in the order of their labels.

  Zhan et al., "Deconfounding Duration Bias in Watch-time Prediction for Video
  Recommendation" (KDD 2022), exact: over all pairs with different labels, equal
  predictions counted as a half. Of labels of 0 and 1 it is the AUC. Pairs are
  counted by sorting (Knight, 1966), in O(R log R).

  Examples:
    >>> xauc(np.array([0.0, 1.5, 9.0]), np.array([0.1, 0.7, 0.3]))
    0.6666666666666666

  Args:
    weights: [R] >= 0, or None for rows that count alike; that of a pair is the
      product.

  Returns:
    In [0, 1]; NaN where all labels are equal, or a prediction is NaN.
  """
  labels, predictions, weights = metrics.counted(labels, predictions, weights)
  if np.isnan(predictions).any():
    return float('nan')
  if weights is not None and not np.all(weights == 1.0):
    return _weighted_xauc(labels, predictions, weights)
  rows = len(labels)
  pairs = rows * (rows - 1) // 2
  different = pairs - _tied_pairs(labels)
  if not different:
    return float('nan')
  apart = pairs - _tied_pairs(predictions)
  if not apart:
    return 0.5
  from scipy import stats

  # Kendall's tau-b is (ordered - reversed pairs) / sqrt(different apart).
  tau: Any = stats.kendalltau(predictions, labels)[0]
  surplus = round(float(tau) * math.sqrt(different) * math.sqrt(apart))
  return (different + surplus) / (2 * different)


def _weighted_xauc(
  labels: np.ndarray, predictions: np.ndarray, weights: np.ndarray
) -> float:
  """`xauc` of weighted rows, in one sort for each bit of the labels' ranks.

  The ranks of two labels first differ at one bit, where the smaller has a 0. So
  the pairs of each bit are those of positives and negatives within groups of
  rows, as of a GAUC.
  """
  found, rank = np.unique(labels, return_inverse=True)
  ordered = pairs = 0.0
  for bit in range(max(len(found) - 1, 0).bit_length()):
    group, is_larger = rank >> (bit + 1), (rank >> bit & 1) == 1
    order = np.lexsort((predictions, group))
    group, larger, w = group[order], is_larger[order], weights[order]
    smaller = np.where(larger, 0.0, w)
    below = metrics.ordered_pairs(predictions[order], group, smaller, larger)
    ordered += below @ w[larger]
    pairs += np.bincount(group, w - smaller) @ np.bincount(group, smaller)
  return float(ordered / pairs) if pairs else float('nan')


def relative_error(
  loss: str,
  labels: np.ndarray,
  predictions: np.ndarray,
  weights: np.ndarray | None = None,
) -> float:
  """Error of predictions in units of that of the labels' mean.

  It is squared error, of which 1 - R2 is this, or of the losses with labels of
  at least 0 Poisson's deviance p - y + y log(y / p), which the conditional
  mean minimises too and which large labels do not rule.

  Args:
    loss: its name (config/kinds.py).
    labels: [R], of a regression or ordinal task.

  Returns:
    >= 0; NaN where all labels are equal.
  """
  labels, predictions, weights = metrics.counted(labels, predictions, weights)
  y, p = labels.astype(np.float64), predictions.astype(np.float64)
  if not len(y) or np.all(y == y[0]):
    return float('nan')
  mean = _mean(y, weights)
  if kinds.LOSSES.find(loss).labels == 'any':
    return _mean((p - y) ** 2, weights) / _mean((mean - y) ** 2, weights)
  p = np.maximum(p, 1e-12 * mean)
  known = special.xlogy(y, y)
  error = _mean(p - y + known - y * np.log(p), weights)
  return error / _mean(known - y * np.log(mean), weights)


def _errors(labels: np.ndarray, predictions: np.ndarray) -> np.ndarray:
  types.check_ranks((1, 1), labels, predictions)
  types.check_same_shape(labels, predictions)
  return predictions.astype(np.float64) - labels


def _mean(values: np.ndarray, weights: np.ndarray | None) -> float:
  """The weighted mean; NaN where nothing has a weight."""
  if not len(values) or (weights is not None and not weights.any()):
    return float('nan')
  return float(np.average(values, weights=weights))


def _tied_pairs(values: np.ndarray) -> int:
  counts = np.unique(values, return_counts=True)[1].astype(object)
  return int(np.sum(counts * (counts - 1)) // 2)
