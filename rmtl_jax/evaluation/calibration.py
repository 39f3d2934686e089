"""Calibration maps, and the points of a reliability diagram.

A task's map is fitted on validation rows and saved as JSON in a run's metrics:
`from_json(record).apply(predictions)`. In all fits labels and predictions are
[R], weights [R] >= 0 or None; a row of weight 2 counts twice.
"""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from scipy import special

from rmtl_jax import types
from rmtl_jax.evaluation import metrics

# How strongly maps are shrunk to the identity: rows per deviation, and the
# distance from which on the pull hardly grows. Measured on small logs.
STRENGTH, REACH = 200.0, 0.03
# Logits and logarithms that are closer together than this are equal.
_LEAST_DEVIATION = 1e-9
# The least exponent of a power: one of 0 would lose the order of the rows.
_LEAST_EXPONENT = 0.01
# Predictions below this share of their mean count as that.
_LEAST_SHARE = 1e-12
# Logarithms above this overflow.
_LARGEST = 500.0


@dataclasses.dataclass(frozen=True)
class Platt:
  """Platt scaling (Platt 1999): sigmoid(slope * logit + intercept).

  A slope above 0 keeps the order of rows and so AUC. With intercept 0 it is
  temperature scaling (Guo et al., ICML 2017) with temperature 1 / slope.
  """

  slope: float = 1.0
  intercept: float = 0.0

  def apply(self, probabilities: np.ndarray) -> np.ndarray:
    """Calibrated probabilities, f64[...], of any shape of probabilities."""
    if self == Platt():
      return np.asarray(probabilities, np.float64)
    return special.expit(self.slope * logits(probabilities) + self.intercept)

  def to_json(self) -> dict[str, Any]:
    """The input of `from_json`."""
    return {'kind': 'platt', **dataclasses.asdict(self)}


@dataclasses.dataclass(frozen=True)
class Power:
  """factor p^exponent: Platt scaling on the logarithm, of numbers from 0 on.

  Attributes:
    exponent: above 0, which keeps the order of rows and so XAUC.
    factor: above 0.
  """

  exponent: float = 1.0
  factor: float = 1.0

  @property
  def is_rising(self) -> bool:
    """Whether it is a map."""
    both = np.array([self.exponent, self.factor])
    return bool(np.all(np.isfinite(both) & (both > 0.0)))

  def apply(self, predictions: np.ndarray) -> np.ndarray:
    """Calibrated predictions, f64[...], of any shape of predictions."""
    p = np.asarray(predictions, np.float64)
    return p if self == Power() else self.factor * p**self.exponent

  def to_json(self) -> dict[str, Any]:
    """The input of `from_json`."""
    return {'kind': 'power', **dataclasses.asdict(self)}


@dataclasses.dataclass(frozen=True)
class Unchanged:
  """No map, because one that was fitted on earlier rows did not last."""

  def apply(self, probabilities: np.ndarray) -> np.ndarray:
    """The same, f64[...]."""
    return np.asarray(probabilities, np.float64)

  def to_json(self) -> dict[str, Any]:
    """The input of `from_json`."""
    return {'kind': 'none'}


Calibration = Platt | Power | Unchanged


def from_json(record: Any, path: str = 'calibration') -> Calibration:
  """Reads the result of `to_json`.

  Raises:
    types.InputError: not a calibration.
  """
  if not isinstance(record, Mapping):
    raise types.InputError(
      f'{path}: {record!r:.80} is not an object with "kind"'
    )
  try:
    if record.get('kind') == 'none':
      return Unchanged()
    if record.get('kind') == 'platt':
      platt = Platt(float(record['slope']), float(record['intercept']))
      if np.isfinite([platt.slope, platt.intercept]).all():
        return platt
    elif record.get('kind') == 'power':
      power = Power(float(record['exponent']), float(record['factor']))
      if power.is_rising:
        return power
  except (KeyError, TypeError, ValueError, OverflowError):
    pass
  raise types.InputError(
    f'{path}: {dict(record)!r:.80} is no calibration, expected kind "none",'
    ' "platt" with finite slope and intercept, or "power" with a finite'
    ' exponent and factor above 0'
  )


def pull(w: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
  """STRENGTH REACH^2 (sqrt(1 + (w / REACH)^2) - 1), summed; slopes, curvatures.

  The pseudo-Huber loss (Charbonnier et al., 1994): quadratic near 0, so that
  few rows hardly change a good model; linear beyond, so that a model that is
  far off is corrected. A slope is at most STRENGTH REACH, that of so many rows.

  Args:
    w: how far a map is from the identity, f64[n].
  """
  root = np.sqrt(1.0 + (w / REACH) ** 2)
  cost = STRENGTH * REACH**2 * float(np.sum(root - 1.0))
  return cost, STRENGTH * w / root, STRENGTH / root**3


def fit_platt(
  labels: np.ndarray,
  probabilities: np.ndarray,
  weights: np.ndarray | None = None,
) -> Platt:
  """Fits slope and intercept, shrunk towards the identity.

  They minimise the rows' summed logloss plus h(u) + h(v). In standard
  deviations of the logits z, u is how far the slope is from 1; v is the shift
  at their mean: z' = z + u (z - mean) / deviation + v; h is `pull`.

  Returns:
    A map whose logloss on these rows is never above the model's own; the
    identity where there is one class, or no row.
  """
  labels, probabilities, weights = metrics.counted(
    labels, probabilities, weights
  )
  y, z = labels > 0.5, logits(probabilities)
  if y.all() or not y.any():
    return Platt()
  w = np.ones(len(y)) if weights is None else weights
  # The search is over standardised logits: rare positives put all logits near
  # -6, where slope and intercept are almost collinear.
  center = float(np.average(z, weights=w))
  deviation = math.sqrt(np.average((z - center) ** 2, weights=w))
  scale = max(deviation, _LEAST_DEVIATION)
  columns = np.stack([(z - center) / scale, np.ones_like(z)], axis=1)

  def loss(at: np.ndarray) -> tuple[float, np.ndarray]:
    moved = z + columns @ at
    penalty, slopes, _ = pull(at)
    value = w @ (np.logaddexp(0.0, moved) - y * moved) + penalty
    gradient = columns.T @ (w * (special.expit(moved) - y)) + slopes
    return value / w.sum(), gradient / w.sum()

  def curvature(at: np.ndarray) -> np.ndarray:
    p = special.expit(z + columns @ at)
    bends = (columns.T * (w * p * (1.0 - p))) @ columns
    return (bends + np.diag(pull(at)[2])) / w.sum()

  from scipy import optimize

  at = optimize.minimize(
    loss, np.zeros(2), jac=True, hess=curvature, method='trust-exact'
  ).x
  # Where the loss is flat to rounding its gradient is not: two Newton steps.
  for _ in range(2):
    at = at - np.linalg.solve(curvature(at), loss(at)[1])
  slope = float(1.0 + at[0] / scale)
  result = Platt(slope, float(at[1] + (1.0 - slope) * center))
  if not np.isfinite([result.slope, result.intercept]).all():
    return Platt()
  # The search may end early on extreme logits: never a map that is worse than
  # none.
  moved = result.slope * z + result.intercept
  before, after = (w @ (np.logaddexp(0.0, of) - y * of) for of in (z, moved))
  return result if after <= before else Platt()


def fit_power(
  labels: np.ndarray,
  predictions: np.ndarray,
  weights: np.ndarray | None = None,
) -> Power:
  """Fits exponent and factor by Poisson's deviance, shrunk to the identity.

  Poisson's deviance is least at the labels' mean, whatever their distribution,
  and is not dominated by large labels. The rows' sum is divided by their mean
  deviance, as of quasi-likelihoods (Wedderburn, Biometrika 1974), so that the
  label's unit does not count. The pull is that of `fit_platt`, with logarithms
  in place of logits.

  Args:
    labels: [R] >= 0.
    predictions: [R] > 0, the model's.

  Returns:
    A map whose deviance on these rows is never above the model's own; the
    identity where there is no row, or no label above 0.
  """
  labels, p, weights = metrics.counted(labels, predictions, weights)
  y = labels.astype(np.float64)
  w = np.ones(len(y)) if weights is None else weights
  if not y.any():
    return Power()
  p = np.maximum(p.astype(np.float64), _LEAST_SHARE * float(np.mean(p)))
  z = np.log(p)
  center = float(np.average(z, weights=w))
  scale = float(np.average((z - center) ** 2, weights=w)) ** 0.5
  if scale < _LEAST_DEVIATION:
    scale = np.inf  # a factor alone
  away = (z - center) / scale

  def deviance(at: np.ndarray) -> tuple[float, np.ndarray]:
    """Half of Poisson's deviance of z + u away + v at (u, v); its slopes."""
    new = z + at[0] * away + at[1]
    r = np.exp(np.minimum(new, _LARGEST))
    losses = special.xlogy(y, y) - y + r - y * new
    return float(np.sum(w * losses)), w * (r - y)

  before = deviance(np.zeros(2))[0]
  unit = 2.0 * before / float(w.sum())
  if not unit > 0.0:
    return Power()

  def value(at: np.ndarray) -> tuple[float, np.ndarray]:
    total, slopes = deviance(at)
    penalty, penalty_slopes, _ = pull(at)
    gradient = np.array([slopes @ away, slopes.sum()]) / unit
    return total / unit + penalty, gradient + penalty_slopes

  # Only such tasks need it: 20 MiB.
  from scipy import optimize

  at = optimize.minimize(
    value,
    np.zeros(2),
    jac=True,
    method='L-BFGS-B',
    bounds=[((_LEAST_EXPONENT - 1.0) * scale, None), (None, None)],
    options={'ftol': 1e-14, 'gtol': 1e-9},
  ).x
  exponent = float(1.0 + at[0] / scale)
  result = Power(exponent, float(np.exp(at[1] + (1.0 - exponent) * center)))
  # The search may end early: never a map that is worse than none.
  is_better = deviance(at)[0] <= before
  return result if result.is_rising and is_better else Power()


def logits(probabilities: np.ndarray) -> np.ndarray:
  """log p - log(1 - p), f64[...], with p clipped as in logloss."""
  margin = metrics.PROBABILITY_MARGIN
  p = np.clip(np.asarray(probabilities, np.float64), margin, 1.0 - margin)
  return np.log(p) - np.log1p(-p)


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
    probabilities: [R], no NaN.
    confidence: coverage of the intervals, which take rows as independent. With
      weights they are those of Kish's effective number, (sum w)^2 / sum w^2.
  """
  y, p, weights = metrics.counted(labels, probabilities, weights)
  if not len(y):
    return []
  order = np.argsort(p, kind='stable')
  y, p = y[order] > 0.5, p[order].astype(np.float64)
  w = np.ones(len(y)) if weights is None else weights[order]
  row_bin = metrics.equal_mass_bins(p, bins, w)
  sums = (np.bincount(row_bin, of).tolist() for of in (w, w * p, w * y, w * w))
  points = []
  for n, predicted, hits, squares in zip(*sums, strict=True):
    if n:
      effect = n / squares
      interval = wilson(hits * effect, n * effect, confidence)
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
