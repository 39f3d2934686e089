import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, special

from rmtl_jax.evaluation import calibration


def rows_of(seed, rows=4000):
  """A model that is too sure of large labels: (labels, predictions)."""
  rng = np.random.default_rng(seed)
  p = np.exp(rng.normal(3.0, 0.7, rows))
  mean = 2.0 * p**0.7
  y = mean * rng.gamma(2.0, 0.5, rows) * (rng.random(rows) < 0.8) / 0.8
  return y, p


def deviance(y, p):
  """Half of Poisson's, summed."""
  return np.sum(special.xlogy(y, y / p) - y + p)


def test_the_minimum_by_another_search():
  y, p = rows_of(2, 60)
  found = calibration.fit_power(y, p)
  z = np.log(p)
  scale, unit = z.std(), 2 * deviance(y, p) / len(y)

  def value(map_):
    a, log_factor = map_
    away = np.array([(a - 1) * scale, log_factor + (a - 1) * z.mean()])
    root = np.sqrt(1 + (away / calibration.REACH) ** 2) - 1
    held = calibration.STRENGTH * calibration.REACH**2 * root.sum()
    return deviance(y, np.exp(a * z + log_factor)) / unit + held

  best = optimize.minimize(
    value, [1.0, 0.0], method='Nelder-Mead', options={'fatol': 1e-10}
  )
  at = [found.exponent, np.log(found.factor)]
  assert value(at) == pytest.approx(best.fun, rel=1e-6)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.sampled_from([1, 2, 7, 300]))
def test_never_worse_than_the_model_and_blind_to_the_unit(seed, rows):
  y, p = rows_of(seed, rows)
  found = calibration.fit_power(y, p)
  assert found.is_rising
  assert deviance(y, found.apply(p)) <= deviance(y, p) * (1 + 1e-12)
  other = calibration.fit_power(60.0 * y, 60.0 * p).apply(60.0 * p)
  np.testing.assert_allclose(other, 60.0 * found.apply(p), rtol=1e-4)


def test_weights_are_rows_and_rows_of_none_are_not_there():
  y, p = rows_of(3, 50)
  weights = np.tile([2.0, 1.0, 0.0, 1.0, 3.0], 10)
  twice = np.repeat(np.arange(50), weights.astype(int))
  found = calibration.fit_power(y, p, weights)
  again = calibration.fit_power(y[twice], p[twice])
  assert found.exponent == pytest.approx(again.exponent, rel=1e-4)
  assert found.factor == pytest.approx(again.factor, rel=1e-4)


def test_rows_that_tell_nothing_leave_the_model():
  y, p = rows_of(4, 10)
  assert calibration.fit_power(y[:0], p[:0]) == calibration.Power()
  assert calibration.fit_power(0.0 * y, p) == calibration.Power()
  assert calibration.fit_power(p, p) == calibration.Power()
  assert calibration.fit_power(y, p, np.zeros(10)) == calibration.Power()
  # Equal predictions tell of a factor alone.
  found = calibration.fit_power(y, np.full(10, 3.0))
  assert found.exponent == 1.0 and found.factor > 1.0
