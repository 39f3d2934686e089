"""Is a difference between two models larger than the seeds' noise?

Paired over seeds: both models ran with the same seeds on the same data, so
only the differences matter. Student's distribution is computed here, in
double precision, to keep SciPy out of the runtime dependencies.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

# Up to this many pairs the signed-rank distribution is enumerated.
EXACT_PAIRS = 25
_MAX_ITERATIONS = 100_000


class PairedTTest(NamedTuple):
  """Student's paired two-sided t-test of `first - second`.

  Attributes:
    pairs: n.
    mean: mean difference.
    standard_error: standard deviation (n - 1) over sqrt(n); NaN for n = 1.
    low: lower end of the mean difference's confidence interval.
    high: upper end.
    statistic: t, with n - 1 degrees of freedom.
    p_value: two-sided; NaN for n = 1.
  """

  pairs: int
  mean: float
  standard_error: float
  low: float
  high: float
  statistic: float
  p_value: float


class SignedRank(NamedTuple):
  """Wilcoxon's two-sided signed-rank test of `first - second`.

  Attributes:
    pairs: differences that are not zero.
    statistic: the smaller of the rank sums of positive and of negative
      differences.
    p_value: two-sided.
    exact: from the enumerated distribution, not the normal approximation.
  """

  pairs: int
  statistic: float
  p_value: float
  exact: bool


def paired_t_test(
  first: Sequence[float] | np.ndarray,
  second: Sequence[float] | np.ndarray,
  confidence: float = 0.95,
) -> PairedTTest:
  """Tests whether the mean of `first - second` over seeds is zero.

  Args:
    first: [n], one figure per seed.
    second: [n], the other model's figures, seed by seed.
    confidence: coverage of the interval of the mean difference.

  Returns:
    The test. Where all differences are equal, the deviation is zero: p is 1
    if they are zero, else 0.

  Raises:
    ValueError: not n >= 1 finite pairs, or a confidence outside (0, 1).
  """
  if not 0.0 < confidence < 1.0:
    raise ValueError(f'confidence: {confidence} is not between 0 and 1')
  differences = _differences(first, second)
  pairs, mean = len(differences), float(differences.mean())
  nan = float('nan')
  if pairs == 1:
    return PairedTTest(1, mean, nan, nan, nan, nan, nan)
  if np.all(differences == differences[0]):
    mean = float(differences[0])  # the rounded mean can miss it by an ulp
    error, t = 0.0, math.copysign(math.inf, mean) if mean else 0.0
  else:
    error = float(differences.std(ddof=1)) / math.sqrt(pairs)
    t = mean / error
  half = t_quantile(confidence, pairs - 1) * error
  p_value = t_tails(t, pairs - 1)
  return PairedTTest(pairs, mean, error, mean - half, mean + half, t, p_value)


def t_tails(t: float, degrees: float) -> float:
  """P(|T| >= |t|) of Student's distribution: I_x(d / 2, 1 / 2).

  x = d / (d + t^2); Abramowitz and Stegun, 26.7.1 and 26.5.27.

  Args:
    t: may be infinite.
    degrees: d > 0.

  Returns:
    The two-sided p-value.
  """
  if math.isinf(t):
    return 0.0
  total = degrees + t * t
  return _incomplete_beta(degrees / 2.0, 0.5, degrees / total, t * t / total)


def t_cdf(t: float, degrees: float) -> float:
  """P(T <= t) of Student's distribution with `degrees` > 0."""
  tail = 0.5 * t_tails(t, degrees)
  return 1.0 - tail if t > 0 else tail


def t_quantile(confidence: float, degrees: float) -> float:
  """The t > 0 with P(|T| <= t) = confidence, by bisection.

  Args:
    confidence: in (0, 1).
    degrees: > 0.

  Returns:
    t, to the last bits of a double.
  """
  tails = 1.0 - confidence
  low, high = 0.0, 1.0
  while t_tails(high, degrees) > tails:
    low, high = high, 2.0 * high
  while True:
    middle = 0.5 * (low + high)
    if middle in (low, high):
      return middle
    if t_tails(middle, degrees) > tails:
      low = middle
    else:
      high = middle


def incomplete_beta(a: float, b: float, x: float) -> float:
  """I_x(a, b), the regularised incomplete beta function.

  Args:
    a: > 0.
    b: > 0.
    x: in [0, 1].

  Returns:
    I_x(a, b) in [0, 1].

  Raises:
    ValueError: an argument out of range.
  """
  if not (a > 0.0 and b > 0.0 and 0.0 <= x <= 1.0):
    raise ValueError(f'no incomplete beta of a={a}, b={b}, x={x}')
  return _incomplete_beta(a, b, x, 1.0 - x)


def _incomplete_beta(a: float, b: float, x: float, y: float) -> float:
  """I_x(a, b) with y = 1 - x given, since rounding loses a small y."""
  if not x or not y:
    return 1.0 if x else 0.0
  if x > (a + 1.0) / (a + b + 2.0):  # there the fraction converges slowly
    return 1.0 - _incomplete_beta(b, a, y, x)
  log_x = math.log(x) if x < 0.5 else math.log1p(-y)
  log_y = math.log(y) if y < 0.5 else math.log1p(-x)
  log_beta = math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
  return math.exp(a * log_x + b * log_y - log_beta) / (a * _fraction(a, b, x))


def _fraction(a: float, b: float, x: float) -> float:
  """1 + d_1 / (1 + d_2 / (1 + ...)), Abramowitz and Stegun 26.5.8.

  Evaluated front to back by the modified Lentz method (Thompson and Barnett,
  1986): the value is the product of ratios of successive convergents.
  """
  tiny = 1e-300
  value, c, d = 1.0, 1.0, 0.0
  for step in range(1, _MAX_ITERATIONS):
    m = step // 2
    if step % 2:
      term = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
    else:
      term = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
    c = (1.0 + term / c) or tiny
    d = 1.0 / ((1.0 + term * d) or tiny)
    value *= c * d
    if abs(c * d - 1.0) < 4e-16:
      return value
  raise ArithmeticError(f'incomplete beta of a={a}, b={b}, x={x}: no limit')


def signed_rank(
  first: Sequence[float] | np.ndarray, second: Sequence[float] | np.ndarray
) -> SignedRank:
  """Tests whether `first - second` is symmetric about zero.

  Zero differences are dropped (Wilcoxon's way). Up to 25 differences without
  zeros and ties have the exact distribution; otherwise the normal
  approximation, its variance corrected for ties, without a continuity
  correction.

  Args:
    first: [n], one figure per seed.
    second: [n], the other model's figures, seed by seed.

  Returns:
    The test; p is 1 where every difference is zero.

  Raises:
    ValueError: not n >= 1 finite pairs.
  """
  everything = _differences(first, second)
  differences = everything[everything != 0.0]
  pairs = len(differences)
  if not pairs:
    return SignedRank(0, 0.0, 1.0, False)
  _, position, counts = np.unique(
    np.abs(differences), return_inverse=True, return_counts=True
  )
  ranks = (np.cumsum(counts) - (counts - 1) / 2.0)[position]
  positive = float(ranks[differences > 0.0].sum())
  statistic = min(positive, pairs * (pairs + 1) / 2.0 - positive)
  exact = pairs == len(everything) <= EXACT_PAIRS and len(counts) == pairs
  if exact:
    p_value = _exact_signed_rank(int(statistic), pairs)
  else:
    p_value = _normal_signed_rank(statistic, pairs, counts)
  return SignedRank(pairs, statistic, p_value, exact)


def _exact_signed_rank(statistic: int, pairs: int) -> float:
  """2 P(W <= statistic) by counting the subsets of {1 .. n} of every sum."""
  ways = np.zeros(pairs * (pairs + 1) // 2 + 1, np.int64)
  ways[0] = 1
  for r in range(1, pairs + 1):
    ways[r:] = ways[r:] + ways[:-r]
  return min(1.0, 2.0 * int(ways[: statistic + 1].sum()) / 2.0**pairs)


def _normal_signed_rank(
  statistic: float, pairs: int, counts: np.ndarray
) -> float:
  """The normal approximation; `counts` are the sizes of the tied groups."""
  mean = pairs * (pairs + 1) / 4.0
  variance = pairs * (pairs + 1) * (2 * pairs + 1) / 24.0
  variance -= float(np.sum(counts.astype(np.float64) ** 3 - counts)) / 48.0
  return math.erfc(abs(statistic - mean) / math.sqrt(2.0 * variance))


def holm(p_values: Sequence[float] | np.ndarray) -> np.ndarray:
  """Holm's step-down adjustment of m p-values (Holm, 1979).

  The i-th smallest (from 0) is multiplied by m - i, and no adjusted value may
  be smaller than one before it: reject where the adjusted value is at most
  the level, and the chance of any false rejection is at most the level.

  Args:
    p_values: [m], of all the tests that were run.

  Returns:
    f64[m], adjusted p-values in the order of the input.

  Raises:
    ValueError: a p-value outside [0, 1] or NaN.
  """
  p = np.asarray(p_values, np.float64)
  if p.ndim != 1 or not np.all((p >= 0.0) & (p <= 1.0)):
    raise ValueError(f'expected a list of p-values in [0, 1], found {p}')
  order = np.argsort(p, kind='stable')
  steps = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
  adjusted = np.empty(len(p))
  adjusted[order] = np.minimum(steps, 1.0)
  return adjusted


def _differences(
  first: Sequence[float] | np.ndarray, second: Sequence[float] | np.ndarray
) -> np.ndarray:
  a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
  if a.ndim != 1 or a.shape != b.shape or not len(a):
    raise ValueError(
      f'expected two lists of one length >= 1, found {a.shape} and {b.shape}'
    )
  differences = a - b
  if not np.isfinite(differences).all():
    raise ValueError(f'expected finite pairs, found differences {differences}')
  return differences
