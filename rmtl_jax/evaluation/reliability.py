"""The points of a reliability diagram."""

from __future__ import annotations

import statistics
from typing import NamedTuple

import numpy as np

from rmtl_jax.evaluation import groups, metrics


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
  if np.isnan(probabilities).any():
    raise ValueError('probabilities: not every one is a number')
  y, p, weights = metrics.counted(labels, probabilities, weights)
  if not len(y):
    return []
  order = np.argsort(p, kind='stable')
  y, p = y[order] > 0.5, p[order].astype(np.float64)
  w = np.ones(len(y)) if weights is None else weights[order]
  row_bin = groups.equal_mass_bins(p, bins, w)
  sums = (np.bincount(row_bin, of).tolist() for of in (w, w * p, w * y, w * w))
  points = []
  for n, predicted, hits, squares in zip(*sums, strict=True):
    if n:
      scale = n / squares
      interval = wilson(hits * scale, n * scale, confidence)
      points.append(Point(n, predicted / n, hits / n, *interval))
  return points


def wilson(hits: float, rows: float, confidence: float) -> tuple[float, float]:
  """Wilson's score interval of a share: (low, high), in [0, 1].

  E. B. Wilson, "Probable inference, the law of succession, and statistical
  inference", JASA 22 (1927).

  Args:
    hits: number of positives, <= rows.
    rows: number of rows, >= 1.
    confidence: coverage, in (0, 1).
  """
  z = statistics.NormalDist().inv_cdf(0.5 + confidence / 2)
  share, z2 = hits / rows, z * z / rows
  center = (share + z2 / 2) / (1 + z2)
  half = z / (1 + z2) * (share * (1 - share) / rows + z2 / (4 * rows)) ** 0.5
  # Rounding may leave a share of 0 or 1 just outside.
  low, high = min(center - half, share), max(center + half, share)
  return max(low, 0.0), min(high, 1.0)
