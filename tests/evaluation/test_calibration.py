import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize

from rmtl_jax.evaluation import calibration, metrics


def sigmoid(z):
  return 1 / (1 + np.exp(-np.float64(z)))


def rows_of(seed, rows=3000, slope=0.6, intercept=-1.2):
  """A model that is too sure and too high: (labels, probabilities)."""
  rng = np.random.default_rng(seed)
  z = rng.normal(0.0, 1.5, rows)
  y = rng.random(rows) < sigmoid(slope * z + intercept)
  return y.astype(np.float32), sigmoid(z).astype(np.float32)


def loss(labels, probabilities):
  return metrics.logloss(np.asarray(labels), np.asarray(probabilities))


def test_the_pull_is_that_of_six_rows_where_a_model_is_far_off():
  """Logits of +-16, and half of the 200 labels wrong: the slope falls to a.

  100 wrong rows push it down by sigmoid(16 a) each, 100 right ones up by
  sigmoid(-16 a): 100 tanh(8 a) = STRENGTH REACH = 6, so that the rows get
  (1 +- 0.06) / 2.
  """
  labels = np.tile([0, 1, 0, 1], 50)
  p = np.tile(np.float32([0.0, 1.0, 1.0, 0.0]), 50)
  fitted = calibration.fit_platt(labels, p)
  assert abs(fitted.intercept) < 1e-9
  after = fitted.apply(np.array([0.0, 1.0]))
  np.testing.assert_allclose(after, [0.47, 0.53], atol=1e-5)


def test_platt_by_hand_near_the_identity():
  """Ten rows at 1/2, six positive: v of 10 (6/10 - s(v)) = 200 v, about.

  s(v) = 1/2 + v / 4, so 1 - 10 v / 4 = 200 v and v = 1 / 202.5; the terms left
  out are of v^3.
  """
  labels = np.array([1] * 6 + [0] * 4)
  fitted = calibration.fit_platt(labels, np.full(10, 0.5))
  assert fitted.slope == 1.0
  np.testing.assert_allclose(fitted.intercept, 1 / 202.5, rtol=2e-2)
  # Without the prior it would be log 1.5 = 0.41.


@pytest.mark.parametrize(('seed', 'rows'), [(0, 3000), (1, 300), (2, 60)])
def test_platt_is_the_minimum(seed, rows):
  labels, p = rows_of(seed, rows)
  z = calibration.logits(p)
  away = (z - z.mean()) / z.std()

  def held(w):
    return 200 * 0.03**2 * (np.sqrt(1 + (w / 0.03) ** 2) - 1)

  def value(w):
    moved = z + w[0] * away + w[1]
    rows = np.sum(np.logaddexp(0.0, moved) - labels * moved)
    return rows + held(w[0]) + held(w[1])

  found = optimize.minimize(
    value,
    [0.0, 0.0],
    method='Nelder-Mead',
    options={'xatol': 1e-9, 'fatol': 1e-12},
  ).x
  fitted = calibration.fit_platt(labels, p)
  slope = 1 + found[0] / z.std()
  np.testing.assert_allclose(fitted.slope, slope, rtol=1e-6)
  intercept = found[1] + (1 - slope) * z.mean()
  np.testing.assert_allclose(fitted.intercept, intercept, rtol=1e-6)


def test_a_calibrated_model_stays_as_it_is_to_the_bit():
  p = np.float32([1e-30, 0.1, 0.7, 1.0])
  after = calibration.Platt().apply(p)
  np.testing.assert_array_equal(after, np.float64(p))
  assert after.dtype == np.float64


@pytest.mark.parametrize(
  'labels', [[0, 0, 0], [1, 1, 1], []], ids=['negative', 'positive', 'none']
)
def test_platt_learns_nothing_from_one_class(labels):
  p = np.linspace(0.2, 0.8, len(labels))
  assert calibration.fit_platt(np.array(labels), p) == calibration.Platt()


ROWS = st.lists(
  st.tuples(
    st.integers(0, 1),
    st.floats(0.0, 1.0, width=32) | st.sampled_from([0.25, 0.5, 0.75]),
  ),
  min_size=1,
  max_size=40,
)


@settings(deadline=None, max_examples=50)
@given(ROWS)
def test_platt_is_never_worse_where_it_was_fitted(rows):
  labels = np.array([y for y, _ in rows])
  p = np.float32([p for _, p in rows])
  fitted = calibration.fit_platt(labels, p)
  after = fitted.apply(p)
  assert np.all((after >= 0) & (after <= 1))
  assert loss(labels, after) <= loss(labels, p) + 1e-9
