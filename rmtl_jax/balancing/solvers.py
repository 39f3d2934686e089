"""Solvers on the K x K matrix of products of task gradients, inside jit.

They work on the gradients' cosines, so that a task a million times larger than
another costs no digits in single precision, and add `RIDGE` times K times the
dtype's precision to their diagonal, so that equal, opposite and collinear
gradients have one answer.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

RIDGE = 4.0
# Of residuals, times K and the dtype's precision.
_TOLERANCE = 16.0
_PIVOTS = 60
_BISECTIONS = 40


class Geometry(NamedTuple):
  """A Gram matrix taken apart.

  Attributes:
    norms: of the gradients, [K], over the largest one; 1 where a gradient is
      zero.
    cosines: of all pairs, [K, K], exactly 1 on the diagonal; 0 off it where
      a gradient is zero.
    present: which gradients are not zero, bool[K].
  """

  norms: jax.Array
  cosines: jax.Array
  present: jax.Array


def geometry(gram: jax.Array) -> Geometry:
  """Norms and cosines of the gradients of a Gram matrix.

  Examples:
    >>> norms, cosines, present = geometry(
    ...   jnp.array([[4.0, -1.0], [-1.0, 1.0]]))
    >>> norms.tolist(), cosines[0, 1].tolist()
    ([1.0, 0.5], -0.5)

  Args:
    gram: [K, K].
  """
  squares = jnp.diagonal(gram)
  present = squares > 0.0
  roots = jnp.sqrt(jnp.where(present, squares, 1.0))
  largest = jnp.max(jnp.where(present, roots, 0.0))
  norms = jnp.where(present, roots / or_one(largest), 1.0)
  cosines = gram / roots[:, None] / roots[None, :]
  both = present[:, None] & present[None, :]
  cosines = jnp.clip(jnp.where(both, cosines, 0.0), -1.0, 1.0)
  eye = jnp.eye(len(gram), dtype=bool)
  return Geometry(norms, jnp.where(eye, 1.0, cosines), present)


def slack(matrix: jax.Array) -> float:
  """Rounding error in a [K, K] matrix of numbers up to 1."""
  return _TOLERANCE * len(matrix) * float(jnp.finfo(matrix.dtype).eps)


def ridged(cosines: jax.Array) -> jax.Array:
  """The cosines with RIDGE on their diagonal: positive definite."""
  size = RIDGE * len(cosines) * float(jnp.finfo(cosines.dtype).eps)
  return cosines + size * jnp.eye(len(cosines), dtype=cosines.dtype)


def nonnegative_quadratic(matrix: jax.Array, linear: jax.Array) -> jax.Array:
  """argmin of x M x / 2 - b x over x >= 0, by block principal pivoting.

  Every pass solves for the entries that are free and exchanges all that are
  infeasible; when passes stop helping, only the last of them, which ends for
  every positive definite M (Portugal, Judice and Vicente, 1994).

  Examples:
    >>> matrix = jnp.array([[1.0, -0.5], [-0.5, 1.0]])
    >>> nonnegative_quadratic(matrix, jnp.array([1.0, -2.0])).tolist()
    [1.0, 0.0]

  Args:
    matrix: M, positive definite with a diagonal of about 1, [K, K].
    linear: b, [K].
  """
  size = len(linear)
  eye = jnp.eye(size, dtype=matrix.dtype)

  def solve(free):
    both = free[:, None] & free[None, :]
    own = jnp.where(both, matrix, 0.0) + jnp.where(free[None, :], 0.0, eye)
    x = jnp.linalg.solve(own, jnp.where(free, linear, 0.0))
    z = matrix @ x - linear
    limit = slack(matrix) * jnp.maximum(
      jnp.max(jnp.abs(x)), jnp.max(jnp.abs(linear))
    )
    return x, jnp.where(free, x < -limit, z < -limit)

  def unfinished(carry):
    step, _, _, wrong, _, _ = carry
    return (step < _PIVOTS) & jnp.any(wrong)

  def pivot(carry):
    step, free, _, wrong, least, patience = carry
    count = jnp.sum(wrong)
    better = count < least
    last = size - 1 - jnp.argmax(wrong[::-1])
    only_last = jnp.arange(size) == last
    new_free = free ^ jnp.where(better | (patience > 0), wrong, only_last)
    new_patience = jnp.where(better, 3, jnp.maximum(patience - 1, 0))
    x, new_wrong = solve(new_free)
    least = jnp.minimum(least, count)
    return step + 1, new_free, x, new_wrong, least, new_patience

  start = linear > 0.0
  carry = (0, start, *solve(start), jnp.asarray(size + 1), jnp.asarray(3))
  x = jax.lax.while_loop(unfinished, pivot, carry)[2]
  return jnp.maximum(x, 0.0)


def widest_of_radius(
  matrix: jax.Array, slopes: jax.Array, offsets: jax.Array, radius: jax.Array
) -> jax.Array:
  """The x >= 0 with x M x = radius ** 2 and the largest m, M x + r >= m a.

  For a given m it is `nonnegative_quadratic` with b = m a - r, and x M x rises
  with m: m is found by bisection.

  Args:
    matrix: M, positive definite, [K, K].
    slopes: a > 0, [K].
    offsets: r, [K].
    radius: >= 0, [].
  """

  def solve(level):
    linear = level * slopes - offsets
    x = nonnegative_quadratic(matrix, linear)
    # x M x at the optimum, with less rounding where x nearly cancels.
    return x, x @ linear

  def halve(_, bracket):
    low, high = bracket
    middle = 0.5 * (low + high)
    is_far = solve(middle)[1] >= radius**2
    return jnp.where(is_far, low, middle), jnp.where(is_far, middle, high)

  # Below `low` x is 0; of unit norm y, M y and so m a are at most 1.
  low = jnp.min(offsets / slopes)
  high = jnp.min((jnp.sqrt(jnp.diagonal(matrix)) * radius + offsets) / slopes)
  _, high = jax.lax.fori_loop(0, _BISECTIONS, halve, (low, high))
  x, square = solve(high)
  return x * jnp.where(square > 0.0, radius / jnp.sqrt(or_one(square)), 0.0)


def or_one(value: jax.Array) -> jax.Array:
  """The value where it is above 0, else 1: a divisor."""
  return jnp.where(value > 0.0, value, 1.0)
