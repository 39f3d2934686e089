"""Paired tests of the difference of two models over seeds.

Both models ran with the same seeds on the same data, so only the differences
count.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import special

_CONFIDENCE = 0.95


class PairedTTest(NamedTuple):
  """Student's paired two-sided t-test of `first - second`.

  Attributes:
    mean: mean difference.
    standard_error: standard deviation (n - 1) over sqrt(n); NaN for n = 1.
    low: lower end of the mean difference's confidence interval.
    high: upper end.
    p_value: two-sided; NaN for n = 1.
  """

  mean: float
  standard_error: float
  low: float
  high: float
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
    ValueError: not n >= 1 finite pairs.
  """
  # It takes a second to import, which most commands don't need.
  from scipy import stats

  differences = _differences(first, second)
  nan = float('nan')
  if len(differences) == 1:
    return PairedTTest(float(differences[0]), nan, nan, nan, nan)
  if np.all(differences == differences[0]):
    mean = float(differences[0])  # the rounded mean can miss it by an ulp
    return PairedTTest(mean, 0.0, mean, mean, 0.0 if mean else 1.0)
  test: Any = stats.ttest_1samp(differences, 0.0)
  error = float(stats.sem(differences))
  bounds = test.confidence_interval(confidence)
  mean, low, high = map(float, (differences.mean(), *bounds))
  return PairedTTest(mean, error, low, high, float(test.pvalue))


def signed_rank(
  first: Sequence[float] | np.ndarray, second: Sequence[float] | np.ndarray
) -> float:
  """The two-sided p-value of Wilcoxon's signed-rank test of `first - second`.

  Zero differences are dropped, as Wilcoxon did. Up to 50 pairs without ties
  are exact, others approximate.

  Args:
    first: [n], one figure per seed.
    second: [n], the other model's, in the same order of seeds.

  Returns:
    1 where every difference is zero.

  Raises:
    ValueError: not n >= 1 finite pairs.
  """
  from scipy import stats

  differences = _differences(first, second)
  differences = differences[differences != 0.0]
  if not len(differences):
    return 1.0
  with warnings.catch_warnings():
    # Of few pairs with ties.
    warnings.filterwarnings('ignore', 'Sample size too small')
    test: Any = stats.wilcoxon(differences)
    return float(test.pvalue)


def crossed_mean(values: np.ndarray) -> CrossedMean:
  """The mean over days and seeds, both drawn from many others.

  A cell is mu + day + seed + rest, each with its own variance, so that the
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
    return CrossedMean(test.mean, test.low, test.high, float(len(flat) - 1))
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
  half = special.stdtrit(degrees, (1.0 + _CONFIDENCE) / 2.0) * error
  return CrossedMean(mean, float(mean - half), float(mean + half), degrees)


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
