import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from rmtl_jax.evaluation import significance


def _pairs(pairs, seed):
  generator = np.random.default_rng(seed)
  second = generator.normal(0.7, 0.01, pairs)
  return second + generator.normal(0.002, 0.004, pairs), second


@pytest.mark.parametrize('pairs', [2, 3, 5, 16, 60])
@pytest.mark.parametrize('seed', range(4))
def test_t_test_agrees_with_scipy(pairs, seed):
  first, second = _pairs(pairs, seed)
  found = significance.paired_t_test(first, second, confidence=0.9)
  expected = stats.ttest_rel(first, second)
  interval = expected.confidence_interval(0.9)
  assert found.pairs == pairs
  assert found.mean == pytest.approx(np.mean(first - second), abs=1e-15)
  assert found.standard_error == pytest.approx(
    stats.sem(first - second), rel=1e-12
  )
  assert found.statistic == pytest.approx(expected.statistic, rel=1e-10)
  assert found.p_value == pytest.approx(expected.pvalue, abs=1e-10)
  assert found.low == pytest.approx(interval.low, abs=1e-10)
  assert found.high == pytest.approx(interval.high, abs=1e-10)


def test_t_test_by_hand():
  # Differences 1, 2, 3: mean 2, error 1 / sqrt(3), t = 2 sqrt(3) with 2
  # degrees, whose tails are 1 - t / sqrt(2 + t^2).
  found = significance.paired_t_test([2.0, 4.0, 6.0], [1.0, 2.0, 3.0])
  t = 2.0 * math.sqrt(3.0)
  assert found.mean == 2.0
  assert found.standard_error == pytest.approx(1.0 / math.sqrt(3.0))
  assert found.statistic == pytest.approx(t)
  assert found.p_value == pytest.approx(1.0 - t / math.sqrt(2.0 + t * t))


def test_one_pair_tells_nothing():
  found = significance.paired_t_test([0.8], [0.7])
  assert found.mean == pytest.approx(0.1)
  assert all(math.isnan(v) for v in found[2:])


def test_equal_differences():
  same = significance.paired_t_test([0.1, 0.2], [0.1, 0.2])
  assert (same.statistic, same.p_value) == (0.0, 1.0)
  assert (same.low, same.high) == (0.0, 0.0)
  lower = significance.paired_t_test([1.0, 2.0, 3.0], [2.0, 3.0, 4.0])
  assert (lower.statistic, lower.p_value) == (-math.inf, 0.0)
  assert (lower.low, lower.high) == (-1.0, -1.0)


@pytest.mark.parametrize('degrees', [1, 2, 3, 7, 15, 31, 100, 1000, 10_000])
def test_t_distribution_agrees_with_scipy(degrees):
  for t in (0.0, 1e-3, 0.1, 0.5, 1.0, 2.0, 3.5, 8.0, 30.0, 1e4):
    assert significance.t_tails(t, degrees) == pytest.approx(
      2.0 * stats.t.sf(t, degrees), rel=1e-9, abs=1e-12
    )
    assert significance.t_tails(-t, degrees) == significance.t_tails(t, degrees)


@pytest.mark.parametrize('t', [1e-9, 1e-5, 0.3, 4.0, 1e6])
def test_t_with_one_degree_is_cauchy(t):
  # Closed form; SciPy rounds where p is within 1e-8 of 1.
  expected = 1.0 - 2.0 / math.pi * math.atan(t)
  assert significance.t_tails(t, 1) == pytest.approx(
    expected, rel=1e-7, abs=1e-8
  )


def test_t_of_infinity():
  assert significance.t_tails(-math.inf, 3) == 0.0


@pytest.mark.parametrize('degrees', [1, 2, 4, 15, 100])
@pytest.mark.parametrize('confidence', [0.5, 0.9, 0.95, 0.99, 0.9999])
def test_t_quantile_agrees_with_scipy(degrees, confidence):
  expected = stats.t.ppf(0.5 + confidence / 2.0, degrees)
  found = significance.t_quantile(confidence, degrees)
  assert found == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize('pairs', [1, 2, 5, 16, 25, 50])
@pytest.mark.parametrize('seed', range(4))
def test_signed_rank_exact_agrees_with_scipy(pairs, seed):
  first, second = _pairs(pairs, seed)
  found = significance.signed_rank(first, second)
  expected = stats.wilcoxon(first, second, method='exact')
  assert found.exact
  assert found.statistic == expected.statistic
  assert found.p_value == pytest.approx(expected.pvalue, abs=1e-10)


def test_signed_rank_by_hand():
  # Ranks 1, 2, 3 positive and 4 negative: W = 4. Of the 16 sign patterns, 7
  # have a sum of at most 4 (0, 1, 2, 3, 1+2, 4, 1+3).
  found = significance.signed_rank([1.0, 2.0, 3.0, 0.0], [0.0, 0.0, 0.0, 4.0])
  assert found == (4, 4.0, 14 / 16, True)
  # All five gains: the smallest p that five seeds can give.
  found = significance.signed_rank([1.0, 2.0, 3.0, 4.0, 5.0], [0.0] * 5)
  assert found == (5, 0.0, 2 / 32, True)


def _by_all_signs(gains):
  """Two-sided p of the signed ranks by trying every pattern of signs."""
  sizes = stats.rankdata([abs(g) for g in gains if g])
  negative = np.array([g < 0 for g in gains if g])
  total = sizes.sum()
  found = min(sizes[negative].sum(), total - sizes[negative].sum())
  sums = [
    sizes @ signs for signs in itertools.product((0, 1), repeat=len(sizes))
  ]
  return np.mean([min(s, total - s) <= found for s in sums])


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(-3, 3), min_size=1, max_size=9))
def test_signed_rank_with_zeros_and_ties_is_exact(gains):
  first = np.array(gains, np.float64)
  found = significance.signed_rank(first, np.zeros(len(gains)))
  if not np.any(first):
    assert found == (0, 0.0, 1.0, False)
    return
  assert found.exact and found.pairs == np.count_nonzero(first)
  assert found.p_value == pytest.approx(_by_all_signs(gains), abs=1e-12)


def test_a_zero_leaves_the_other_pairs_exact():
  # 16 gains and a zero: 2 / 2^16, where the normal says 4e-4.
  gains = np.append(np.arange(1.0, 17.0), 0.0)
  found = significance.signed_rank(gains, np.zeros(17))
  assert found == (16, 0.0, 2.0**-15, True)


@settings(deadline=None)
@given(st.lists(st.integers(-9, 9), min_size=80, max_size=90))
def test_signed_rank_of_many_ties_agrees_with_scipy(gains):
  first, second = np.array(gains, np.float64), np.zeros(len(gains))
  if np.count_nonzero(first) <= 50:
    return
  found = significance.signed_rank(first, second)
  expected = stats.wilcoxon(first, second, method='asymptotic')
  assert not found.exact
  assert found.statistic == expected.statistic
  assert found.p_value == pytest.approx(expected.pvalue, abs=1e-10)


def test_signed_rank_of_many_pairs_is_approximated():
  first, second = _pairs(60, 9)
  found = significance.signed_rank(first, second)
  expected = stats.wilcoxon(first, second, method='asymptotic')
  assert not found.exact
  assert found.p_value == pytest.approx(expected.pvalue, abs=1e-10)


@pytest.mark.parametrize(
  'test', [significance.paired_t_test, significance.signed_rank]
)
@pytest.mark.parametrize(
  ('first', 'second', 'message'),
  [
    ([], [], 'one length'),
    ([1.0, 2.0], [1.0], 'one length'),
    ([1.0, math.nan], [1.0, 2.0], 'finite'),
  ],
)
def test_bad_pairs_are_refused(test, first, second, message):
  with pytest.raises(ValueError, match=message):
    test(first, second)


def test_bad_confidence_is_refused():
  with pytest.raises(ValueError, match='confidence'):
    significance.paired_t_test([1.0, 2.0], [0.0, 0.0], confidence=95)


def test_holm_by_hand():
  # Sorted 0.01 * 4, 0.02 * 3, 0.03 * 2 (raised to 0.06), 0.9 * 1.
  found = significance.holm([0.03, 0.01, 0.9, 0.02])
  np.testing.assert_allclose(found, [0.06, 0.04, 0.9, 0.06])


@settings(deadline=None)
@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=12))
def test_holm_properties(p_values):
  p = np.array(p_values)
  found = significance.holm(p)
  assert np.all(found >= p)
  assert np.all(found <= np.minimum(1.0, p * len(p)))  # never above Bonferroni
  assert found[np.argmin(p)] == min(1.0, p.min() * len(p))
  order = np.argsort(p, kind='stable')
  assert np.all(np.diff(found[order]) >= 0.0)


def test_holm_refuses():
  assert significance.holm([]).shape == (0,)
  for bad in ([0.5, math.nan], [1.2], [[0.1]]):
    with pytest.raises(ValueError, match='p-values'):
      significance.holm(bad)


def test_a_mean_over_days_and_seeds_by_hand():
  # Rows 0 and 4, columns +-1, rest +-0.5: mean squares 16, 4 and 1, each with
  # one degree, so that the variance of the mean of 4 cells is 19 / 4.
  cells = np.array([[-0.5, 0.5], [2.5, 5.5]])
  found = significance.crossed_mean(cells)
  assert found.mean == 2.0
  assert found.degrees == pytest.approx(19**2 / (16**2 + 4**2 + 1))
  half = stats.t.ppf(0.975, found.degrees) * math.sqrt(19 / 4)
  assert found.low == pytest.approx(2.0 - half, rel=1e-9)
  assert found.high == pytest.approx(2.0 + half, rel=1e-9)


def test_a_factor_that_does_nothing_is_left_out():
  # Columns are equal in the mean: mean squares 16, 0 and 1.
  found = significance.crossed_mean(np.array([[-0.5, 0.5], [4.5, 3.5]]))
  assert found.degrees == 1.0
  half = stats.t.ppf(0.975, 1) * math.sqrt(16 / 4)
  assert found.high - found.mean == pytest.approx(half, rel=1e-9)


@pytest.mark.parametrize('shape', [(5, 1), (1, 5)])
def test_of_one_seed_or_one_day_it_is_students_interval(shape):
  first, second = _pairs(5, 0)
  found = significance.crossed_mean((first - second).reshape(shape))
  test = significance.paired_t_test(first, second)
  assert found == pytest.approx((test.mean, test.low, test.high, 4.0))


def test_equal_cells_have_no_width_and_one_cell_no_interval():
  assert significance.crossed_mean(np.full((3, 2), 0.5))[:3] == (0.5, 0.5, 0.5)
  found = significance.crossed_mean(np.array([[0.5]]))
  assert found.mean == 0.5 and math.isnan(found.low)
  with pytest.raises(ValueError, match='finite cells'):
    significance.crossed_mean(np.array([[0.5, np.nan]]))


@pytest.mark.parametrize('sizes', [(1, 0, 1), (0, 1, 1), (1, 1, 1), (0, 0, 1)])
def test_intervals_over_days_and_seeds_cover(sizes):
  rng = np.random.default_rng(0)
  day, seed, rest = sizes
  held = 0
  for _ in range(1000):
    cells = day * rng.normal(size=(6, 1)) + seed * rng.normal(size=(1, 3))
    cells = cells + rest * rng.normal(size=(6, 3))
    found = significance.crossed_mean(cells)
    held += found.low <= 0.0 <= found.high
  assert held >= 930
