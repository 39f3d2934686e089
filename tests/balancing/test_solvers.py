"""Small solvers by hand, by what an optimum is, and in single precision."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from rmtl_jax.balancing import solvers
from tests import tiers

QUADRATIC = jax.jit(solvers.nonnegative_quadratic)
SIMPLEX = jax.jit(solvers.project_on_simplex)
RADIUS = jax.jit(solvers.widest_of_radius)
EIGEN = jax.jit(solvers.eigen)
FAIR = jax.jit(solvers.fair_point, static_argnums=2)


def _cosines(seed, tasks, extra=1):
  units = np.random.default_rng(seed).normal(size=(tasks, tasks + extra))
  units /= np.linalg.norm(units, axis=1, keepdims=True)
  return units @ units.T


@functools.cache
def _problem(seed, tasks):
  cosines = jnp.asarray(_cosines(seed, tasks), jnp.float32)
  linear = np.random.default_rng([seed, 1]).normal(size=tasks)
  return solvers.ridged(cosines), jnp.asarray(linear, jnp.float32)


def test_geometry_by_hand():
  gram = jnp.array([[4.0, -3.0, 0.0], [-3.0, 9.0, 0.0], [0.0, 0.0, 0.0]])
  norms, cosines, present = solvers.geometry(gram)
  np.testing.assert_allclose(norms, [2 / 3, 1, 1], rtol=1e-6)
  np.testing.assert_allclose(cosines[0], [1, -0.5, 0], rtol=1e-6)
  np.testing.assert_array_equal(jnp.diagonal(cosines), 1.0)
  assert present.tolist() == [True, True, False]


@settings(deadline=None, max_examples=50)
@given(hnp.arrays(np.float32, 4, elements=st.floats(-100, 100, width=32)))
def test_the_projection_on_the_simplex_is_the_nearest_point(point):
  found = np.asarray(SIMPLEX(jnp.asarray(point)))
  assert np.all(found >= 0)
  np.testing.assert_allclose(found.sum(), 1, rtol=1e-5)
  # No corner lies on the point's side of the plane through it.
  away = point - found
  assert np.all(away - away @ found <= 1e-3 * (1 + np.abs(point).max()))


def test_a_point_of_the_simplex_stays():
  np.testing.assert_allclose(
    SIMPLEX(jnp.array([0.25, 0.0, 0.75])), [0.25, 0.0, 0.75], rtol=1e-6
  )


@pytest.mark.parametrize('tasks', [1, 2, 3, 8])
@pytest.mark.parametrize('seed', range(5))
def test_the_quadratic_has_the_signs_of_an_optimum(tasks, seed):
  matrix, linear = _problem(seed, tasks)
  x, converged = QUADRATIC(matrix, linear)
  slope = matrix @ x - linear
  limit = 1e-5 * (1 + float(jnp.max(jnp.abs(x))))
  assert bool(converged)
  assert np.all(x >= 0) and np.all(slope >= -limit)
  assert np.all(np.abs(x * slope) <= limit * (1 + np.abs(x)))


def test_the_quadratic_has_one_optimum_wherever_it_starts():
  matrix, linear = _problem(0, 3)
  found = [
    QUADRATIC(matrix, linear, jnp.array(start)).weights
    for start in ([True] * 3, [False] * 3, [False, True, False])
  ]
  np.testing.assert_allclose(found[0], found[1], rtol=1e-5, atol=1e-6)
  np.testing.assert_allclose(found[0], found[2], rtol=1e-5, atol=1e-6)


def test_a_solver_out_of_steps_says_so_and_stays_feasible(monkeypatch):
  monkeypatch.setattr(solvers, '_PIVOTS', 0)
  matrix = jnp.array([[1.0, -0.5], [-0.5, 1.0]])
  # The optimum has the second entry free, since the first one is large.
  x, converged = solvers.nonnegative_quadratic(matrix, jnp.array([1.0, -0.1]))
  assert not bool(converged)
  np.testing.assert_allclose(x, [1.0, 0.0], rtol=1e-6)
  monkeypatch.undo()
  x, converged = solvers.nonnegative_quadratic(matrix, jnp.array([1.0, -0.1]))
  assert bool(converged)
  np.testing.assert_allclose(x, [19 / 15, 8 / 15], rtol=1e-5)


@pytest.mark.parametrize('limit', ['_NEWTON_STEPS', '_RADIUS_STEPS'])
def test_other_solvers_out_of_steps_say_so(monkeypatch, limit):
  monkeypatch.setattr(solvers, limit, 0)
  matrix = jnp.array([[1.0, -0.9], [-0.9, 1.0]])
  ones, shares = jnp.ones(2), jnp.array([1.0, 1e-3])
  if limit == '_NEWTON_STEPS':
    found = solvers.fair_point(matrix, shares, 2.0)
  else:
    found = solvers.widest_of_radius(matrix, ones, shares, jnp.array(0.5))
  assert not bool(found.converged)
  assert np.all(np.isfinite(found.weights)) and np.all(found.weights >= 0)


@pytest.mark.parametrize('tasks', [2, 3, 8])
@pytest.mark.parametrize('seed', range(5))
def test_the_widest_point_has_its_radius_and_one_level(tasks, seed):
  matrix, _ = _problem(seed, tasks)
  rng = np.random.default_rng([seed, 2])
  slopes = jnp.asarray(rng.uniform(0.1, 1, tasks), jnp.float32)
  offsets = jnp.asarray(rng.normal(size=tasks), jnp.float32)
  x, converged = RADIUS(matrix, slopes, offsets, jnp.array(0.7))
  assert bool(converged)
  np.testing.assert_allclose(x @ matrix @ x, 0.49, rtol=1e-4)
  levels = np.asarray((matrix @ x + offsets) / slopes)
  np.testing.assert_allclose(levels[x > 1e-6], levels.min(), atol=2e-4)


def test_of_radius_zero_the_widest_point_is_zero():
  matrix, linear = _problem(0, 3)
  x, converged = RADIUS(matrix, jnp.ones(3), linear, jnp.array(0.0))
  assert bool(converged)
  np.testing.assert_array_equal(x, 0.0)


@pytest.mark.parametrize(
  'alpha', tiers.some((0.1, 0.5, 1.0, 2.0, 50.0), (0.5, 50.0))
)
@pytest.mark.parametrize('tasks', [2, 3, 8])
def test_the_fair_point_solves_its_equation(tasks, alpha):
  matrix, linear = _problem(7, tasks)
  shares = jnp.exp(linear)
  x, converged = FAIR(matrix, shares, alpha)
  assert bool(converged)
  # Entries at the floor may be held there.
  free = np.asarray(x > 1.1e-10)
  assert np.all((matrix @ x)[~free] > 0) and np.any(free)
  np.testing.assert_allclose(
    (matrix @ x)[free], (shares * x ** (-1 / alpha))[free], rtol=1e-3
  )


def test_the_fair_point_of_opposite_gradients_is_large_and_finite():
  matrix = solvers.ridged(jnp.array([[1.0, -1.0], [-1.0, 1.0]]))
  x, converged = FAIR(matrix, jnp.ones(2), 1.0)
  assert bool(converged)
  np.testing.assert_allclose(x[0], x[1], rtol=1e-3)
  assert 100 < x[0] < 1e4


def _graded(seed, tasks, ratio):
  rng = np.random.default_rng(seed)
  gradients = rng.normal(size=(tasks, tasks + 2))
  gradients *= np.geomspace(ratio, 1, tasks)[:, None]
  return gradients


@pytest.mark.parametrize('tasks', [1, 2, 3, 5, 8])
@pytest.mark.parametrize('ratio', [1.0, 1e6])
def test_every_eigenvalue_has_its_own_precision(tasks, ratio):
  gradients = _graded(tasks, tasks, ratio)
  gram = jnp.asarray(gradients @ gradients.T, jnp.float32)
  values, vectors, converged = EIGEN(gram)
  expected = np.linalg.svd(gradients, compute_uv=False) ** 2
  assert bool(converged)
  np.testing.assert_allclose(np.sort(values)[::-1], expected, rtol=2e-4)
  np.testing.assert_allclose(vectors.T @ vectors, np.eye(tasks), atol=1e-5)
  rebuilt = np.asarray(vectors * values[None, :]) @ np.asarray(vectors).T
  np.testing.assert_allclose(
    rebuilt, gram, atol=1e-5 * float(jnp.max(jnp.abs(gram)))
  )


def test_eigenvalues_that_are_rounding_are_zero():
  gradients = np.random.default_rng(0).normal(size=(4, 2))
  values, _, converged = EIGEN(
    jnp.asarray(gradients @ gradients.T, jnp.float32)
  )
  assert bool(converged)
  assert np.sum(np.asarray(values) == 0.0) == 2


@pytest.mark.parametrize('size', [2, 3, 4, 7, 8])
def test_rounds_hold_every_pair_once(size):
  rounds = solvers._rounds(size)
  pairs = [tuple(pair) for one in rounds.tolist() for pair in one]
  assert sorted(pairs) == [
    (p, q) for p in range(size) for q in range(p + 1, size)
  ]
  for one in rounds.tolist():
    assert len(set(np.ravel(one))) == np.size(one)
