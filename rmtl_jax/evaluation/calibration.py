"""Calibration maps from a model's predictions to calibrated ones.

Each task has a map, which is fitted on validation rows and saved as JSON with
a run's metrics: `from_json(record).apply(predictions)`. That of numbers is in
power.py.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from scipy import special

from rmtl_jax import types
from rmtl_jax.evaluation import metrics, power

# Logits that are closer together than this are equal.
_LEAST_DEVIATION = 1e-9


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

  def levelled(
    self,
    labels: np.ndarray,
    probabilities: np.ndarray,
    weights: np.ndarray | None = None,
  ) -> Platt:
    """The map of this slope that matches the labels' rate on these rows.

    Args:
      labels: [R], 0 or 1.
      probabilities: [R], those of another model than the slope was fitted for.
      weights: [R] >= 0, or None.

    Returns:
      This map itself where there is one class, or no row.
    """
    w = np.ones(len(labels)) if weights is None else weights.astype(np.float64)
    y, z = labels[w > 0], self.slope * logits(probabilities[w > 0])
    w = w[w > 0]
    if not y.any() or y.all():
      return self
    rate = np.average(y > 0.5, weights=w)
    # With the largest logit at the rate's no row is above it. A steep slope has
    # logits of any size.
    of_rate = special.logit(rate)

    def excess(shift: float) -> float:
      return np.average(special.expit(z + shift), weights=w) - rate

    low, high = of_rate - float(z.max()), of_rate - float(z.min())
    if low == high:
      return Platt(self.slope, float(low))
    # Rounding may leave the mean on one side of the rate at both ends.
    if excess(low) >= 0.0 or excess(high) <= 0.0:
      return self
    from scipy import optimize

    shift: Any = optimize.brentq(excess, low, high, xtol=1e-13)
    return Platt(self.slope, float(shift))

  def to_json(self) -> dict[str, Any]:
    """The map for JSON; see `from_json`."""
    return {'kind': 'platt', **dataclasses.asdict(self)}


@dataclasses.dataclass(frozen=True)
class Isotonic:
  """Isotonic regression: flat over each pool of rows, linear between pools.

  Attributes:
    probabilities: the model's, rising: the least and the greatest of each
      pool, or one number where they are equal.
    values: calibrated probability at each; constant beyond the ends.
  """

  probabilities: tuple[float, ...]
  values: tuple[float, ...]

  def apply(self, probabilities: np.ndarray) -> np.ndarray:
    """Calibrated probabilities, f64[...], of any shape of probabilities."""
    p = np.asarray(probabilities, np.float64)
    return np.interp(p, self.probabilities, self.values)

  def levelled(
    self,
    labels: np.ndarray,
    probabilities: np.ndarray,
    weights: np.ndarray | None = None,
  ) -> Isotonic:
    """This map: it has no level apart from its form."""
    del labels, probabilities, weights
    return self

  def to_json(self) -> dict[str, Any]:
    """The map for JSON; see `from_json`."""
    return {
      'kind': 'isotonic',
      'probabilities': list(self.probabilities),
      'values': list(self.values),
    }


@dataclasses.dataclass(frozen=True)
class Unchanged:
  """No map: calibration on the fitted rows would not last."""

  def apply(self, probabilities: np.ndarray) -> np.ndarray:
    """The same, f64[...]."""
    return np.asarray(probabilities, np.float64)

  def levelled(
    self,
    labels: np.ndarray,
    probabilities: np.ndarray,
    weights: np.ndarray | None = None,
  ) -> Unchanged:
    """This: where no slope is to be believed, no level is."""
    del labels, probabilities, weights
    return self

  def to_json(self) -> dict[str, Any]:
    """The map for JSON; see `from_json`."""
    return {'kind': 'none'}


Calibration = Platt | Isotonic | power.Power | Unchanged


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
    if record.get('kind') == 'platt':
      result = Platt(float(record['slope']), float(record['intercept']))
      if np.isfinite([result.slope, result.intercept]).all():
        return result
    elif record.get('kind') == 'none':
      return Unchanged()
    elif record.get('kind') == 'isotonic':
      isotonic = Isotonic(
        tuple(float(p) for p in record['probabilities']),
        tuple(float(v) for v in record['values']),
      )
      if _is_rising(isotonic):
        return isotonic
    elif record.get('kind') == 'power':
      raised = power.Power(float(record['exponent']), float(record['factor']))
      if raised.is_rising:
        return raised
  except (KeyError, TypeError, ValueError, OverflowError):
    pass
  raise types.InputError(
    f'{path}: {dict(record)!r:.80} is no calibration, expected kind "none",'
    ' "platt"'
    ' with finite slope and intercept, "isotonic" with as many rising'
    ' probabilities as values in [0, 1], or "power" with a finite exponent and'
    ' factor above 0'
  )


def _is_rising(isotonic: Isotonic) -> bool:
  p, v = np.array(isotonic.probabilities), np.array(isotonic.values)
  inside = np.all((v >= 0.0) & (v <= 1.0)) and np.all((p >= 0.0) & (p <= 1.0))
  return bool(
    len(p) == len(v) > 0
    and inside
    and np.all(np.diff(p) > 0.0)
    and np.all(np.diff(v) >= 0.0)
  )


def fit_platt(
  labels: np.ndarray,
  probabilities: np.ndarray,
  weights: np.ndarray | None = None,
) -> Platt:
  """Fits slope and intercept, shrunk towards the identity.

  They minimise the rows' summed logloss plus h(u) + h(v). In standard
  deviations of the logits z, u is how far the slope is from 1; v is the shift
  at their mean: z' = z + u (z - mean) / deviation + v; h is `power.pull`.

  Args:
    labels: [R], 0 or 1.
    probabilities: [R], the model's.
    weights: [R] >= 0, or None; one of 2 is the row twice.

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
  # The search is over standardised logits: rare positives put all logits near
  # -6, where slope and intercept are almost collinear.
  center = float(np.average(z, weights=weights))
  deviation = math.sqrt(np.average((z - center) ** 2, weights=weights))
  scale = max(deviation, _LEAST_DEVIATION)
  columns = np.stack([(z - center) / scale, np.ones_like(z)], axis=1)
  u, v = _minimum(y, columns, z, weights)
  slope = float(1.0 + u / scale)
  result = Platt(slope, float(v + (1.0 - slope) * center))
  if not np.isfinite([result.slope, result.intercept]).all():
    return Platt()
  # The search may end early on extreme logits: never a map that is worse than
  # none.
  loss = _mean_loss(y, result.slope * z + result.intercept, weights)
  return result if loss <= _mean_loss(y, z, weights) else Platt()


def _minimum(
  y: np.ndarray,
  columns: np.ndarray,
  offset: np.ndarray,
  weights: np.ndarray | None,
) -> np.ndarray:
  """Minimises the regularised logloss of offset + columns @ w over w, from 0.

  Args:
    y: bool[R].
    columns: f64[R, n].
    offset: f64[R].
    weights: f64[R] > 0, or None.
  """
  from scipy import optimize

  own = np.ones(len(y)) if weights is None else weights
  rows = own.sum()

  def loss(w: np.ndarray) -> tuple[float, np.ndarray]:
    z = offset + columns @ w
    penalty, slopes, _ = power.pull(w)
    value = own @ (np.logaddexp(0.0, z) - y * z) + penalty
    gradient = columns.T @ (own * (special.expit(z) - y)) + slopes
    return value / rows, gradient / rows

  def curvature(w: np.ndarray) -> np.ndarray:
    p = special.expit(offset + columns @ w)
    bends = (columns.T * (own * p * (1.0 - p))) @ columns
    return (bends + np.diag(power.pull(w)[2])) / rows

  near = optimize.minimize(
    loss,
    np.zeros(columns.shape[1]),
    jac=True,
    hess=curvature,
    method='trust-exact',
  ).x
  # Where the loss is flat to rounding its gradient is not: two Newton steps.
  for _ in range(2):
    near = near - np.linalg.solve(curvature(near), loss(near)[1])
  return near


def fit_isotonic(
  labels: np.ndarray,
  probabilities: np.ndarray,
  weights: np.ndarray | None = None,
) -> Isotonic:
  """Fits the rising function of least squares, by pool adjacent violators.

  Ayer et al. (1955); the same function has the least logloss. Rates of 0 and 1
  move 1 / (R + 2) inwards: R rows can't tell that an event is impossible, and
  every other rate is further inside. Rows of one class would make all
  predictions one number.

  Args:
    labels: [R], 0 or 1.
    probabilities: [R], the model's.
    weights: [R] >= 0, or None; R is their sum then.

  Returns:
    The map; the identity where there is one class, or no row.
  """
  labels, probabilities, weights = metrics.counted(
    labels, probabilities, weights
  )
  y = labels > 0.5
  if y.all() or not y.any():
    return Isotonic((0.0, 1.0), (0.0, 1.0))
  # Equal probabilities can't get different values, so they start as one pool.
  p, group = np.unique(
    np.asarray(probabilities, np.float64), return_inverse=True
  )
  rows = np.bincount(group, weights)
  rates = np.bincount(group, y if weights is None else weights * y) / rows
  from scipy import optimize

  found = optimize.isotonic_regression(rates, weights=rows)
  margin = 1.0 / (float(rows.sum()) + 2)
  values = np.clip(found.x, margin, 1.0 - margin)
  # Both ends of every pool; pools of one rate are one.
  changes = np.flatnonzero(np.diff(values) > 0.0)
  ends = np.unique(np.r_[0, changes, changes + 1, len(p) - 1])
  return Isotonic(tuple(p[ends].tolist()), tuple(values[ends].tolist()))


FITS: dict[str, Callable[..., Calibration]] = {
  'platt': fit_platt,
  'isotonic': fit_isotonic,
}


def logits(probabilities: np.ndarray) -> np.ndarray:
  """log p - log(1 - p), f64[...], with p clipped as in logloss."""
  margin = metrics.PROBABILITY_MARGIN
  p = np.clip(np.asarray(probabilities, np.float64), margin, 1.0 - margin)
  return np.log(p) - np.log1p(-p)


def _mean_loss(
  y: np.ndarray, z: np.ndarray, weights: np.ndarray | None
) -> float:
  """Mean logloss of logits z, f64[R], for y, bool[R]; stable for large |z|."""
  losses = np.logaddexp(0.0, z) - y * z
  return float(np.average(losses, weights=weights))
