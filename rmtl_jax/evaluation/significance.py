"""Paired tests of the difference of two models over seeds.

Both models ran with the same seeds on the same data, so only the differences
count. The distributions are `scipy.special`'s: importing `scipy.stats` takes a
second.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import special

# Up to this many pairs the signed-rank distribution is enumerated: its
# probabilities, multiples of 2^-50, are exact in double precision.
EXACT_PAIRS = 50
_CONFIDENCE = 0.95


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


class CrossedMean(NamedTuple):
  """The mean over two crossed factors, as days and seeds, and its interval.

  Attributes:
    mean: over all cells.
    low: lower end of the mean's confidence interval; NaN for one cell.
    high: upper end.
    degrees: of freedom of its t distribution, not whole in general.
  """

  mean: float
  low: float
  high: float
  degrees: float


class SignedRank(NamedTuple):
  """Wilcoxon's two-sided signed-rank test of `first - second`.

  Attributes:
    pairs: number of non-zero differences.
    statistic: the smaller of the rank sums of positive and of negative
      differences.
    p_value: two-sided.
    exact: whether the distribution was enumerated, not approximated.
  """

  pairs: int
  statistic: float
  p_value: float
  exact: bool


def paired_t_test(
  first: Sequence[float] | np.ndarray,
  second: Sequence[float] | np.ndarray,
  confidence: float = _CONFIDENCE,
) -> PairedTTest:
  """Tests whether the mean of `first - second` over seeds is zero.

  Args:
    first: [n], one figure per seed.
    second: [n], the other model's, in the same order of seeds.
    confidence: coverage of the interval of the mean difference.

  Returns:
    The test. If all differences are equal, the deviation is 0 and p is 1 for
    differences of 0, else 0.

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


def crossed_mean(values: np.ndarray) -> CrossedMean:
  """The mean over days and seeds, both drawn from many others.

  A cell is mu + day + seed + rest, each of a variance of its own, so that the
  mean over D days and S seeds has the variance (MS_day + MS_seed - MS_rest) /
  (D S), MS the mean squares of the analysis of variance without replication; a
  factor with a negative variance is left out. Degrees of freedom are
  Satterthwaite's (Biometrics Bulletin 2, 1946). Of one day or one seed it is
  Student's interval over the other.

  Args:
    values: [D, S], finite.

  Raises:
    ValueError: no cell, or one that is not finite.
  """
  values = np.asarray(values, np.float64)
  if values.ndim != 2 or not values.size or not np.isfinite(values).all():
    raise ValueError(f'expected a table of finite cells, found {values}')
  rows, columns = values.shape
  if 1 in values.shape:
    flat = values.ravel()
    test = paired_t_test(flat, np.zeros_like(flat))
    return CrossedMean(test.mean, test.low, test.high, float(test.pairs - 1))
  mean = float(values.mean())
  by_row, by_column = values.mean(axis=1), values.mean(axis=0)
  rest = values - by_row[:, None] - by_column + mean
  rest_degrees = (rows - 1) * (columns - 1)
  rest_square = float(np.sum(rest**2)) / rest_degrees
  # (mean square, its sign in the variance, degrees of freedom)
  parts = [
    (square, 1.0, degrees)
    for square, degrees in (
      (columns * float(by_row.var(ddof=1)), rows - 1),
      (rows * float(by_column.var(ddof=1)), columns - 1),
    )
    if square > rest_square
  ]
  if len(parts) != 1:
    parts.append((rest_square, 1.0 - len(parts), rest_degrees))
  variance = sum(sign * square for square, sign, _ in parts)
  spread = sum(square**2 / degrees for square, _, degrees in parts)
  degrees = variance**2 / spread if spread else float(rest_degrees)
  error = math.sqrt(variance / values.size)
  half = t_quantile(_CONFIDENCE, degrees) * error
  return CrossedMean(mean, mean - half, mean + half, degrees)


def t_tails(t: float, degrees: float) -> float:
  """P(|T| >= |t|) of Student's distribution, the two-sided p-value.

  Args:
    t: may be infinite.
    degrees: > 0.
  """
  return float(2.0 * special.stdtr(degrees, -abs(t)))


def t_quantile(confidence: float, degrees: float) -> float:
  """The t > 0 with P(|T| <= t) = confidence.

  Args:
    confidence: in (0, 1).
    degrees: > 0.
  """
  return float(-special.stdtrit(degrees, (1.0 - confidence) / 2.0))


def signed_rank(
  first: Sequence[float] | np.ndarray, second: Sequence[float] | np.ndarray
) -> SignedRank:
  """Tests whether `first - second` is symmetric about zero.

  Zero differences are dropped, as Wilcoxon did. Up to EXACT_PAIRS pairs the
  distribution over all signs is exact, ties included; beyond, it is the normal
  approximation with a variance corrected for ties, without a continuity
  correction.

  Args:
    first: [n], one figure per seed.
    second: [n], the other model's, in the same order of seeds.

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
  # Twice the mid-ranks: integers, because mid-ranks of ties may be halves.
  ranks = (2 * np.cumsum(counts) - (counts - 1))[position]
  positive = int(ranks[differences > 0.0].sum())
  smaller = min(positive, pairs * (pairs + 1) - positive)
  exact = pairs <= EXACT_PAIRS
  if exact:
    p_value = _exact_signed_rank(smaller, ranks)
  else:
    p_value = _normal_signed_rank(smaller / 2.0, pairs, counts)
  return SignedRank(pairs, smaller / 2.0, p_value, exact)


def _exact_signed_rank(smaller: int, ranks: np.ndarray) -> float:
  """2 P(W <= smaller), where each rank counts with probability 1/2."""
  chances = np.zeros(int(ranks.sum()) + 1)
  chances[0] = 1.0
  # chances[w] is the probability of rank sum w over the ranks so far; each rank
  # is added or not, so the new distribution averages the old one and its shift.
  for rank in ranks:
    chances[rank:] += chances[:-rank].copy()
    chances /= 2.0
  return min(1.0, 2.0 * float(chances[: smaller + 1].sum()))


def _normal_signed_rank(
  statistic: float, pairs: int, counts: np.ndarray
) -> float:
  """The normal approximation; `counts` are the sizes of the tied groups."""
  mean = pairs * (pairs + 1) / 4.0
  variance = pairs * (pairs + 1) * (2 * pairs + 1) / 24.0
  variance -= float(np.sum(counts.astype(np.float64) ** 3 - counts)) / 48.0
  return math.erfc(abs(statistic - mean) / math.sqrt(2.0 * variance))


def holm(p_values: Sequence[float] | np.ndarray) -> np.ndarray:
  """Adjusts p-values by Holm's step-down method (Holm, 1979).

  The i-th smallest (from 0) is multiplied by m - i, and adjusted values never
  fall. Rejecting where they are at most a level keeps the probability of any
  false rejection at most that level.

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
