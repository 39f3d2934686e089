"""The calibration map of numbers from 0 on: a power, times a number."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import numpy as np
from scipy import special

from rmtl_jax.evaluation import metrics

# How strongly maps are shrunk towards the identity: rows per deviation, and the
# distance from which on the pull hardly grows. Measured on small logs.
STRENGTH, REACH = 200.0, 0.03
# Logarithms that are closer together than this are equal.
_LEAST_DEVIATION = 1e-9
# The least exponent: one of 0 would lose the order of the rows.
_LEAST_EXPONENT = 0.01
# Predictions below this share of their mean count as that.
_LEAST_SHARE = 1e-12
# Logarithms above this overflow.
_LARGEST = 500.0


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

  def levelled(
    self,
    labels: np.ndarray,
    predictions: np.ndarray,
    weights: np.ndarray | None = None,
  ) -> Power:
    """The map of this exponent that matches the labels' mean on these rows.

    Args:
      labels: [R] >= 0.
      predictions: [R] > 0, of another model than the exponent was fitted for.
      weights: [R] >= 0, or None.

    Returns:
      This map itself where there is no row, or no label above 0.
    """
    w = np.ones(len(labels)) if weights is None else weights.astype(np.float64)
    mean = np.sum(w * self.apply(predictions))
    ratio = np.sum(w * labels) / mean if mean > 0.0 else 0.0
    made = Power(self.exponent, float(self.factor * ratio))
    return made if made.is_rising else self

  def to_json(self) -> dict[str, Any]:
    """The map for JSON; see `calibration.from_json`."""
    return {'kind': 'power', **dataclasses.asdict(self)}


def pull(w: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
  """STRENGTH REACH^2 (sqrt(1 + (w / REACH)^2) - 1), summed; slopes, curvatures.

  The pseudo-Huber loss (Charbonnier et al., 1994): quadratic near 0, so that
  what few rows say of a good model is hardly believed; linear beyond, so that a
  model that is far off is put right. A slope is at most STRENGTH REACH, that of
  so many rows.

  Args:
    w: how far a map is from the identity, f64[n].
  """
  root = np.sqrt(1.0 + (w / REACH) ** 2)
  cost = STRENGTH * REACH**2 * float(np.sum(root - 1.0))
  return cost, STRENGTH * w / root, STRENGTH / root**3


class _Rows(NamedTuple):
  """Rows that count, f64[R] each.

  Attributes:
    y: labels.
    z: logarithms of predictions.
    away: their distance from their mean, in deviations; 0 if all are equal.
    w: weights above 0.
  """

  y: np.ndarray
  z: np.ndarray
  away: np.ndarray
  w: np.ndarray

  def deviance(self, at: np.ndarray) -> tuple[float, np.ndarray]:
    """Half of Poisson's deviance of z + u away + v at (u, v); its slopes."""
    new = self.z + at[0] * self.away + at[1]
    r = np.exp(np.minimum(new, _LARGEST))
    losses = special.xlogy(self.y, self.y) - self.y + r - self.y * new
    return float(np.sum(self.w * losses)), self.w * (r - self.y)


def fit(
  labels: np.ndarray,
  predictions: np.ndarray,
  weights: np.ndarray | None = None,
) -> Power:
  """Fits exponent and factor by Poisson's deviance, shrunk to the identity.

  Poisson's deviance is least at the labels' mean, whatever their distribution,
  and large labels do not rule it. The rows' sum is divided by their mean
  deviance, as of quasi-likelihoods (Wedderburn, Biometrika 1974), so that the
  label's unit does not count; to it comes the `pull` that
  `calibration.fit_platt` has, with logarithms in place of logits.

  Args:
    labels: [R] >= 0.
    predictions: [R] > 0, the model's.
    weights: [R] >= 0, or None; one of 2 is the row twice.

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
  rows = _Rows(y, z, (z - center) / scale, w)
  before = rows.deviance(np.zeros(2))[0]
  unit = 2.0 * before / float(w.sum())
  if not unit > 0.0:
    return Power()

  def value(at: np.ndarray) -> tuple[float, np.ndarray]:
    total, slopes = rows.deviance(at)
    penalty, penalty_slopes, _ = pull(at)
    gradient = np.array([slopes @ rows.away, slopes.sum()]) / unit
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
  is_better = rows.deviance(at)[0] <= before
  return result if result.is_rising and is_better else Power()
