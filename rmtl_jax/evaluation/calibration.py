"""Calibration of probabilities.

A task's map is fitted on validation rows and saved as JSON in a run's metrics:
`from_json(record).apply(probabilities)`. Labels and predictions are [R],
weights [R] >= 0 or None; a row of weight 2 counts twice.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
from scipy import special

from rmtl_jax import json_files
from rmtl_jax.evaluation import metrics

# How strongly maps are shrunk to the identity: rows per deviation, and the
# distance from which on the pull hardly grows. Measured on small logs.
STRENGTH, REACH = 200.0, 0.03
# Logits that are closer together than this are equal.
_LEAST_DEVIATION = 1e-9


@dataclasses.dataclass(frozen=True)
class Platt:
  """Platt scaling (Platt 1999): sigmoid(slope * logit + intercept).

  The default is no calibration.

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
    if self == Platt():
      return {'kind': 'none'}
    return {'kind': 'platt', **dataclasses.asdict(self)}


def from_json(record: Any, path: str = 'calibration') -> Platt:
  """Reads the result of `to_json`.

  Raises:
    types.InputError: not a calibration.
  """
  if record == {'kind': 'none'}:
    return Platt()
  with json_files.parsing(path):
    found = Platt(float(record['slope']), float(record['intercept']))
    if (
      record['kind'] == 'platt'
      and np.isfinite([found.slope, found.intercept]).all()
    ):
      return found
    raise ValueError('expected kind "platt", finite slope and intercept')


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


def logits(probabilities: np.ndarray) -> np.ndarray:
  """log p - log(1 - p), f64[...], with p clipped as in logloss."""
  margin = metrics.PROBABILITY_MARGIN
  p = np.clip(np.asarray(probabilities, np.float64), margin, 1.0 - margin)
  return np.log(p) - np.log1p(-p)
