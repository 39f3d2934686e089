"""The points of a reliability diagram."""

from __future__ import annotations

import statistics
from typing import NamedTuple

import numpy as np

from rmtl_jax import types
from rmtl_jax.evaluation import groups


class Point(NamedTuple):
  """A bin of rows of similar probability.

  Attributes:
    rows: their number, or the sum of their weights.
    predicted: their mean probability.
    actual: their share of positives.
    low: lower end of the interval of `actual`.
    high: its upper end.
  """

  rows: float
  predicted: float
  actual: float
  low: float
  high: float


def reliability(
  labels: np.ndarray,
  probabilities: np.ndarray,
  bins: int = 20,
  confidence: float = 0.95,
  weights: np.ndarray | None = None,
) -> list[Point]:
  """Computes one point per bin of nearly equal numbers of rows, ascending.

  `metrics.calibration_error` has the same bins: it is the mean of
  |predicted - actual| over these points, weighted by rows. Ties may leave bins
  empty, which have no point.

  Args:
    labels: [R], 0 or 1.
    probabilities: [R].
    bins: number of bins, >= 1.
    confidence: coverage of the intervals, which take rows as independent.
    weights: [R] >= 0, or None. A bin's interval is that of as many equal rows
      as tell as much (Kish's effective number, (sum w)^2 / sum w^2).

  Returns:
    The points; none without rows.

  Raises:
    ValueError: a probability that is NaN.
  """
  types.check_ranks((1, 1), labels, probabilities)
  types.check_same_shape(labels, probabilities)
  if np.isnan(probabilities).any():
    raise ValueError('probabilities: not every one is a number')
  if weights is not None:
    seen = weights > 0
    labels, probabilities = labels[seen], probabilities[seen]
    weights = np.asarray(weights[seen], np.float64)
  if not len(labels):
    return []
  order = np.argsort(probabilities, kind='stable')
  p = probabilities[order].astype(np.float64)
  if weights is not None:
    return _weighted(p, labels[order], weights[order], bins, confidence)
  row_bin = groups.equal_mass_bins(p, bins)
  rows = np.bincount(row_bin)
  predicted = np.bincount(row_bin, p)
  positives = np.bincount(row_bin, labels[order] > 0.5)
  points = []
  for n, total, hits in zip(rows, predicted, positives, strict=True):
    if n:
      low, high = wilson(int(hits), int(n), confidence)
      points.append(Point(int(n), float(total / n), float(hits / n), low, high))
  return points


def _weighted(
  p: np.ndarray,
  labels: np.ndarray,
  weights: np.ndarray,
  bins: int,
  confidence: float,
) -> list[Point]:
  """`reliability` of rows with weights, by ascending probability."""
  row_bin = groups.equal_mass_bins(p, bins, weights)
  points = []
  for number in np.unique(row_bin):
    own = row_bin == number
    w, y = weights[own], labels[own] > 0.5
    total = float(w.sum())
    predicted = float(np.average(p[own], weights=w))
    actual = float(np.average(y, weights=w))
    tells = total**2 / float(np.sum(w * w))
    interval = wilson(actual * tells, tells, confidence)
    points.append(Point(total, predicted, actual, *interval))
  return points


def wilson(hits: float, rows: float, confidence: float) -> tuple[float, float]:
  """Wilson's score interval of a share.

  E. B. Wilson, "Probable inference, the law of succession, and statistical
  inference", JASA 22 (1927).

  Args:
    hits: number of positives, <= rows.
    rows: number of rows, >= 1.
    confidence: coverage, in (0, 1).

  Returns:
    (low, high), in [0, 1], around the share.
  """
  z = statistics.NormalDist().inv_cdf(0.5 + confidence / 2)
  share, z2 = hits / rows, z * z / rows
  center = (share + z2 / 2) / (1 + z2)
  half = z / (1 + z2) * (share * (1 - share) / rows + z2 / (4 * rows)) ** 0.5
  # Rounding may leave a share of 0 or 1 just outside.
  low, high = min(center - half, share), max(center + half, share)
  return max(low, 0.0), min(high, 1.0)
