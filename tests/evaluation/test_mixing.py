import hypothesis
import numpy as np
from hypothesis import strategies
from scipy import special

from rmtl_jax.evaluation import mixing


def drawn(seed, rows=400):
  """Labels, two views of their logits, and these, f64[1, R, 1]."""
  rng = np.random.default_rng(seed)
  z = rng.normal(size=(rows, 1))
  labels = (rng.random((rows, 1)) < special.expit(2 * z)).astype(np.float32)
  views = np.stack([2 * z + rng.normal(size=z.shape) for _ in range(2)])
  return labels, views, 2 * z[None]


def objective(labels, views, weights):
  z = np.sum(weights[:, None, None] * views, axis=0)
  away = weights - 1 / len(weights)
  logloss = np.sum(np.logaddexp(0.0, z) - labels * z)
  prior = mixing.prior_cost(len(labels))
  return (logloss + prior * np.sum(away**2)) / len(labels)


@hypothesis.settings(max_examples=20, deadline=None)
@hypothesis.given(strategies.integers(0, 2**31))
def test_no_mixture_has_a_lower_logloss(seed):
  labels, views, _ = drawn(seed)
  found = mixing.fit_weights(special.expit(views), labels)
  assert found.shape == (2, 1) and found.dtype == np.float32
  np.testing.assert_allclose(found.sum(0), 1.0, rtol=1e-6)
  best = objective(labels, views, found[:, 0])
  for share in np.linspace(0, 1, 51):
    other = objective(labels, views, np.array([share, 1 - share]))
    assert best <= other + 1e-6


def test_the_prior_costs_more_for_more_rows():
  assert mixing.prior_cost(0) == 1 and mixing.prior_cost(9000) == 10


def test_the_design_effect_by_hand():
  """Sessions (1, 2), (-3): (1 + 2)^2 + (-3)^2 by 1 + 4 + 9; members add up."""
  values = np.array([[1.0], [2.0], [-3.0]])
  session = np.array([0, 0, 1])
  assert mixing.design_effect(values, session) == 18 / 14
  both = np.hstack([values, [[2.0], [2.0], [-4.0]]])
  assert mixing.design_effect(both, session) == (18 + 32) / (14 + 24)
  assert mixing.design_effect(values, np.arange(3)) == 1
  assert mixing.design_effect(np.zeros((3, 2)), session) == 1


def test_one_class_tells_nothing_and_sure_members_stay_finite():
  labels = np.array([[0, 1], [0, 0]], np.float32)
  certain = np.array([[[0, 1], [0, 0]]] * 2, np.float32)
  found = mixing.fit_weights(certain, labels)
  np.testing.assert_allclose(found, 0.5)
