"""Small solvers by hand, and by what an optimum is."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rmtl_jax.balancing import solvers

QUADRATIC = jax.jit(solvers.nonnegative_quadratic)
RADIUS = jax.jit(solvers.widest_of_radius)


def _problem(seed, tasks):
  rng = np.random.default_rng(seed)
  units = rng.normal(size=(tasks, tasks + 1))
  units /= np.linalg.norm(units, axis=1, keepdims=True)
  cosines = jnp.asarray(units @ units.T, jnp.float32)
  return solvers.ridged(cosines), jnp.asarray(rng.normal(size=tasks), 'f4')


def test_geometry_by_hand():
  gram = jnp.array([[4.0, -3.0, 0.0], [-3.0, 9.0, 0.0], [0.0, 0.0, 0.0]])
  norms, cosines, present = solvers.geometry(gram)
  np.testing.assert_allclose(norms, [2 / 3, 1, 1], rtol=1e-6)
  np.testing.assert_allclose(cosines[0], [1, -0.5, 0], rtol=1e-6)
  np.testing.assert_array_equal(jnp.diagonal(cosines), 1.0)
  assert present.tolist() == [True, True, False]


@pytest.mark.parametrize('tasks', [1, 2, 3, 8, 20])
def test_the_quadratic_has_the_signs_of_an_optimum(tasks):
  for seed in range(20):
    matrix, linear = _problem(seed, tasks)
    x = QUADRATIC(matrix, linear)
    slope = matrix @ x - linear
    limit = 1e-5 * (1 + float(jnp.max(jnp.abs(x))))
    assert np.all(x >= 0) and np.all(slope >= -limit)
    assert np.all(np.abs(x * slope) <= limit * (1 + np.abs(x)))


@pytest.mark.parametrize('tasks', [2, 3, 8])
def test_the_widest_point_has_its_radius_and_one_level(tasks):
  for seed in range(5):
    matrix, offsets = _problem(seed, tasks)
    rng = np.random.default_rng([seed, 2])
    slopes = jnp.asarray(rng.uniform(0.1, 1, tasks), jnp.float32)
    x = RADIUS(matrix, slopes, offsets, jnp.array(0.7))
    np.testing.assert_allclose(x @ matrix @ x, 0.49, rtol=1e-4)
    levels = np.asarray((matrix @ x + offsets) / slopes)
    np.testing.assert_allclose(levels[x > 1e-6], levels.min(), atol=2e-4)
    x = RADIUS(matrix, slopes, offsets, jnp.array(0.0))
    np.testing.assert_array_equal(x, 0.0)
