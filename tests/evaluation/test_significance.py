import math

import numpy as np
import pytest
from scipy import stats

from rmtl_jax.evaluation import comparison


def _pairs(pairs, seed):
  generator = np.random.default_rng(seed)
  second = generator.normal(0.7, 0.01, pairs)
  return second + generator.normal(0.002, 0.004, pairs), second


def test_t_test_by_hand():
  # Differences 1, 2, 3: mean 2, error 1 / sqrt(3), t = 2 sqrt(3) with 2
  # degrees, whose tails are 1 - t / sqrt(2 + t^2).
  found = comparison.paired_t_test([2.0, 4.0, 6.0], [1.0, 2.0, 3.0])
  t = 2.0 * math.sqrt(3.0)
  assert found.mean == 2.0
  assert found.standard_error == pytest.approx(1.0 / math.sqrt(3.0))
  assert found.p_value == pytest.approx(1.0 - t / math.sqrt(2.0 + t * t))
  half = stats.t.ppf(0.975, 2) / math.sqrt(3.0)
  assert (found.low, found.high) == pytest.approx((2.0 - half, 2.0 + half))


def test_holm_by_hand():
  # Sorted 0.01 * 4, 0.02 * 3, 0.03 * 2 (raised to 0.06), 0.9 * 1.
  found = comparison.holm([0.03, 0.01, 0.9, 0.02])
  np.testing.assert_allclose(found, [0.06, 0.04, 0.9, 0.06])


def test_a_mean_over_days_and_seeds_by_hand():
  # Rows 0 and 4, columns +-1, rest +-0.5: mean squares 16, 4 and 1, each with
  # one degree, so that the variance of the mean of 4 cells is 19 / 4.
  cells = np.array([[-0.5, 0.5], [2.5, 5.5]])
  found = comparison.crossed_mean(cells)
  assert found.mean == 2.0
  assert found.degrees == pytest.approx(19**2 / (16**2 + 4**2 + 1))
  half = stats.t.ppf(0.975, found.degrees) * math.sqrt(19 / 4)
  assert found.low == pytest.approx(2.0 - half, rel=1e-9)
  assert found.high == pytest.approx(2.0 + half, rel=1e-9)


def test_a_factor_that_does_nothing_is_left_out():
  # Columns are equal in the mean: mean squares 16, 0 and 1.
  found = comparison.crossed_mean(np.array([[-0.5, 0.5], [4.5, 3.5]]))
  assert found.degrees == 1.0
  half = stats.t.ppf(0.975, 1) * math.sqrt(16 / 4)
  assert found.high - found.mean == pytest.approx(half, rel=1e-9)


@pytest.mark.parametrize('shape', [(5, 1), (1, 5)])
def test_of_one_seed_or_one_day_it_is_students_interval(shape):
  first, second = _pairs(5, 0)
  found = comparison.crossed_mean((first - second).reshape(shape))
  test = comparison.paired_t_test(first, second)
  assert found == pytest.approx((test.mean, test.low, test.high, 4.0))


def test_equal_cells_have_no_width_and_one_cell_no_interval():
  assert comparison.crossed_mean(np.full((3, 2), 0.5))[:3] == (0.5, 0.5, 0.5)
  found = comparison.crossed_mean(np.array([[0.5]]))
  assert found.mean == 0.5 and math.isnan(found.low)
  with pytest.raises(ValueError, match='finite cells'):
    comparison.crossed_mean(np.array([[0.5, np.nan]]))


@pytest.mark.parametrize('sizes', [(1, 0, 1), (0, 1, 1), (1, 1, 1), (0, 0, 1)])
def test_intervals_over_days_and_seeds_cover(sizes):
  rng = np.random.default_rng(0)
  day, seed, rest = sizes
  held = 0
  for _ in range(1000):
    cells = day * rng.normal(size=(6, 1)) + seed * rng.normal(size=(1, 3))
    cells = cells + rest * rng.normal(size=(6, 3))
    found = comparison.crossed_mean(cells)
    held += found.low <= 0.0 <= found.high
  assert held >= 930
