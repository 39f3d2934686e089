"""Small solvers on a K x K matrix of products of task gradients.

They are what balancing/gram_weights.py rests on. All of them work on the
gradients' cosines, so that a task a million times larger than another costs
no digits in single precision, and add RIDGE times K times the dtype's
precision to their diagonal: equal, opposite and collinear gradients then have
one answer, the one that lies nearest. Loops have a fixed bound, and every
solver says by a test of its own whether it converged. All are for `jax.jit`,
`jax.vmap` and `jax.lax.scan`, in the dtype of the matrix.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

# Of the cosines' diagonal, times K and the dtype's precision.
RIDGE = 4.0
# Of residuals, times K and the dtype's precision.
TOLERANCE = 16.0
_PIVOTS = 60
_NEWTON_STEPS = 100
# Entries of a fair point are not below this: larger alphas go on to 0.
_FLOOR = 1e-10
_RADIUS_STEPS = 60
_SWEEPS = 12


Function = TypeVar('Function', bound=Callable)


class Solution(NamedTuple):
  """What a solver or a method found.

  Attributes:
    weights: of the tasks, [K].
    converged: whether the solver's residual is small, bool[]; always true of
      a closed form.
  """

  weights: jax.Array
  converged: jax.Array


class Geometry(NamedTuple):
  """A Gram matrix taken apart.

  Attributes:
    norms: of the gradients, [K], over the largest one; 1 where a gradient is
      zero.
    cosines: of all pairs, [K, K], exactly 1 on the diagonal; 0 beside it where
      a gradient is zero.
    present: which gradients are not zero, bool[K].
  """

  norms: jax.Array
  cosines: jax.Array
  present: jax.Array


def in_full_precision(function: Function) -> Function:
  """The function with products of matrices in their own dtype.

  Accelerators round single precision to fewer digits otherwise.
  """

  @functools.wraps(function)
  def call(*args, **kwargs):
    with jax.default_matmul_precision('highest'):
      return function(*args, **kwargs)

  return call  # pyright: ignore


def precision(matrix: jax.Array) -> float:
  """K times the precision of the dtype of [K, K]."""
  return matrix.shape[-1] * float(jnp.finfo(matrix.dtype).eps)


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
  largest = jnp.max(squares)
  present = squares > 0.0
  safe = jnp.where(present, squares, 1.0)
  roots = jnp.sqrt(safe)
  norms = jnp.where(present, roots / jnp.sqrt(_or_one(largest)), 1.0)
  cosines = gram / roots[:, None] / roots[None, :]
  both = present[:, None] & present[None, :]
  cosines = jnp.clip(jnp.where(both, cosines, 0.0), -1.0, 1.0)
  eye = jnp.eye(len(gram), dtype=bool)
  return Geometry(norms, jnp.where(eye, 1.0, cosines), present)


def ridged(cosines: jax.Array) -> jax.Array:
  """The cosines with RIDGE on their diagonal: positive definite."""
  size = RIDGE * precision(cosines)
  return cosines + size * jnp.eye(len(cosines), dtype=cosines.dtype)


def project_on_simplex(point: jax.Array) -> jax.Array:
  """The nearest point whose entries are >= 0 and sum to 1.

  By sorting (Held, Wolfe and Crowder, 1974).

  Examples:
    >>> project_on_simplex(jnp.array([0.75, 0.75, -1.0])).tolist()
    [0.5, 0.5, 0.0]

  Args:
    point: [K].
  """
  # From the largest entry: 1 is not lost beside entries of any size.
  point = point - jnp.max(point)
  falling = -jnp.sort(-point)
  counts = jnp.arange(1, len(point) + 1, dtype=point.dtype)
  shifts = (jnp.cumsum(falling) - 1.0) / counts
  shift = shifts[jnp.sum(falling > shifts) - 1]
  positive = jnp.maximum(point - shift, 0.0)
  return positive / jnp.sum(positive)


def nonnegative_quadratic(
  matrix: jax.Array, linear: jax.Array, active: jax.Array | None = None
) -> Solution:
  """argmin of x M x / 2 - b x over x >= 0, by block principal pivoting.

  Every pass solves for the entries that are free, and exchanges all that are
  infeasible; when passes stop helping, the last of them alone, which ends for
  every positive definite M (Portugal, Judice and Vicente, 1994).

  Examples:
    >>> matrix = jnp.array([[1.0, -0.5], [-0.5, 1.0]])
    >>> nonnegative_quadratic(matrix, jnp.array([1.0, -2.0])).weights.tolist()
    [1.0, 0.0]

  Args:
    matrix: M, positive definite with a diagonal of about 1, [K, K].
    linear: b, [K].
    active: the entries that start free, bool[K]; None: where b > 0.

  Returns:
    x, and whether no entry of x or of M x - b is infeasible; else the best
    feasible x that a pass gave.
  """
  size = len(linear)
  slack = TOLERANCE * precision(matrix)

  def solve(free):
    both = free[:, None] & free[None, :]
    eye = jnp.eye(size, dtype=matrix.dtype)
    own = jnp.where(both, matrix, 0.0) + jnp.where(free[None, :], 0.0, eye)
    x = jnp.linalg.solve(own, jnp.where(free, linear, 0.0))
    z = matrix @ x - linear
    limit = slack * jnp.maximum(jnp.max(jnp.abs(x)), jnp.max(jnp.abs(linear)))
    wrong = jnp.where(free, x < -limit, z < -limit)
    feasible = jnp.where(free, jnp.maximum(x, 0.0), 0.0)
    value = feasible @ (0.5 * (matrix @ feasible) - linear)
    return feasible, value, wrong

  def unfinished(carry):
    step, _, _, _, wrong, _, _ = carry
    return (step < _PIVOTS) & jnp.any(wrong)

  def pivot(carry):
    step, free, best, best_value, wrong, least, patience = carry
    count = jnp.sum(wrong)
    better = count < least
    whole = better | (patience > 0)
    new_patience = jnp.where(better, 3, jnp.maximum(patience - 1, 0))
    last = size - 1 - jnp.argmax(wrong[::-1])
    swap = jnp.where(whole, wrong, jnp.arange(size) == last)
    new_free = free ^ swap
    x, value, new_wrong = solve(new_free)
    finished = ~jnp.any(new_wrong)
    take = finished | (value < best_value)
    new_best = jnp.where(take, x, best)
    new_value = jnp.where(take, value, best_value)
    new_least = jnp.minimum(least, count)
    return (
      *(step + 1, new_free, new_best, new_value),
      *(new_wrong, new_least, new_patience),
    )

  start = linear > 0.0 if active is None else active
  x, value, wrong = solve(start)
  carry = (0, start, x, value, wrong, jnp.asarray(size + 1), jnp.asarray(3))
  _, _, best, _, wrong, _, _ = jax.lax.while_loop(unfinished, pivot, carry)
  return Solution(best, ~jnp.any(wrong))


def widest_of_radius(
  matrix: jax.Array, slopes: jax.Array, offsets: jax.Array, radius: jax.Array
) -> Solution:
  """max of m over x >= 0 with M x + r >= m a and x M x = radius ** 2.

  It is `nonnegative_quadratic` with b = m a - r, whose x M x rises with m: m
  is found by Newton's steps, each the root of the quadratic that holds for
  the free entries, within a bracket that bisection keeps.

  Args:
    matrix: M, positive definite, [K, K].
    slopes: a > 0, [K].
    offsets: r, [K].
    radius: >= 0, [].

  Returns:
    x, scaled to the radius exactly, and whether it converged.
  """
  size = len(slopes)
  slack = TOLERANCE * precision(matrix)
  square = radius**2
  # Below `low` x is 0; of unit norm y, M y and so m a are at most 1.
  low = jnp.min(offsets / slopes)
  high = jnp.min((jnp.sqrt(jnp.diagonal(matrix)) * radius + offsets) / slopes)

  def solve(level, free):
    linear = level * slopes - offsets
    found = nonnegative_quadratic(matrix, linear, free)
    # x M x at the optimum, with less rounding where x nearly cancels.
    return found, found.weights @ linear

  def root(free):
    both = free[:, None] & free[None, :]
    eye = jnp.eye(size, dtype=matrix.dtype)
    own = jnp.where(both, matrix, 0.0) + jnp.where(free[None, :], 0.0, eye)
    sides = jnp.stack([slopes, offsets], 1)
    p, q = jnp.linalg.solve(own, jnp.where(free[:, None], sides, 0.0)).T
    a, b, c = p @ slopes, p @ offsets, q @ offsets - square
    return (b + jnp.sqrt(b**2 - a * c)) / a

  def unfinished(carry):
    step, _, _, _, _, done, _, _ = carry
    return (step < _RADIUS_STEPS) & ~done

  def narrow(carry):
    step, low, high, level, free, *_ = carry
    found, norm = solve(level, free)
    new_free = found.weights > 0.0
    near = jnp.abs(norm - square) <= slack * square
    new_low = jnp.where(norm < square, level, low)
    new_high = jnp.where(norm < square, high, level)
    guess = root(new_free)
    inside = (guess >= new_low) & (guess <= new_high)
    new_level = jnp.where(inside, guess, 0.5 * (new_low + new_high))
    # The bracket holds no other number: a root that rounding hides.
    still = new_level == level
    fine = near | (still & (jnp.abs(norm - square) <= 1e-2 * square))
    return (
      *(step + 1, new_low, new_high, new_level, new_free),
      *(near | still, Solution(found.weights, found.converged & fine), norm),
    )

  empty = Solution(jnp.zeros_like(slopes), jnp.asarray(False))
  everything = jnp.ones(size, bool)
  carry = (0, low, high, high, everything, radius <= 0.0, empty, square)
  *_, found, norm = jax.lax.while_loop(unfinished, narrow, carry)
  scale = jnp.where(norm > 0.0, radius / jnp.sqrt(_or_one(norm)), 0.0)
  return Solution(found.weights * scale, found.converged | (radius <= 0.0))


def fair_point(matrix: jax.Array, shares: jax.Array, alpha: float) -> Solution:
  """The x > 0 with M x = b x ** (-1 / alpha), by damped Newton steps.

  It is the minimum of a strictly convex function of which M x - b x ** (-1 /
  alpha) is the gradient. A step is halved until the slope along it is half
  of what it was or less, and never leaves x > 0. Entries that would fall
  below 1e-10, as of a large alpha, stay there.

  Examples:
    >>> fair_point(jnp.eye(2), jnp.array([1.0, 8.0]), 2.0).weights.round(3)
    Array([1., 4.], dtype=float32)

  Args:
    matrix: M, positive definite, [K, K].
    shares: b > 0, [K].
    alpha: > 0.

  Returns:
    x, and whether it converged; else the last x, which is positive.
  """
  slack = TOLERANCE * precision(matrix)
  halves = jnp.asarray(0.5 ** np.arange(12), matrix.dtype)

  def gradient(x):  # of [..., K]
    return x @ matrix - shares.reshape((1,) * (x.ndim - 1) + (-1,)) * x ** (
      -1.0 / alpha
    )

  def held(x):
    return (x <= _FLOOR) & (gradient(x) >= 0.0)

  def residual(x):
    parts = x @ jnp.abs(matrix) + shares * x ** (-1.0 / alpha)
    return jnp.max(jnp.where(held(x), 0.0, jnp.abs(gradient(x)) / parts))

  def unfinished(carry):
    step, x = carry
    return (step < _NEWTON_STEPS) & (residual(x) > slack)

  def newton(carry):
    step, x = carry
    # In relative changes of x, so that entries of any size weigh alike.
    slope = jnp.where(held(x), 0.0, x * gradient(x))
    moving = jnp.where(held(x), 0.0, x)
    curve = jnp.where(held(x), 1.0, shares * x ** (1.0 - 1.0 / alpha) / alpha)
    hessian = moving[:, None] * matrix * moving[None, :] + jnp.diag(curve)
    change = jnp.linalg.solve(hessian, -slope)
    reach = 0.9 / jnp.maximum(-jnp.min(change), 0.9)
    lengths = reach * halves
    points = x[None, :] * (1.0 + lengths[:, None] * change[None, :])
    points = jnp.maximum(points, _FLOOR)
    slopes = gradient(points) @ (x * change)
    fine = slopes <= 0.5 * jnp.abs(slope @ change)
    # Of none that is fine, the shortest.
    chosen = jnp.where(jnp.any(fine), jnp.argmax(fine), len(halves) - 1)
    return step + 1, points[chosen]

  start = shares ** (alpha / (1.0 + alpha))
  _, x = jax.lax.while_loop(unfinished, newton, (0, start))
  return Solution(x, residual(x) <= slack)


def eigen(gram: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
  """Eigenvalues and vectors of a Gram matrix, by Jacobi's rotations.

  Each eigenvalue has its own relative precision (Demmel and Veselic, 1992):
  a task a million times smaller than another does not drown in its rounding,
  as it does in `jnp.linalg.eigh` of single precision.

  Args:
    gram: symmetric, positive semidefinite, [K, K].

  Returns:
    Eigenvalues [K], 0 where they are by rounding; vectors in the columns of
    [K, K]; and whether the rest beside the diagonal is small.
  """
  size = len(gram)
  slack = TOLERANCE * precision(gram)
  rounds = jnp.asarray(_rounds(size))
  scale = _or_one(jnp.max(jnp.diagonal(gram)))
  scaled = gram / scale

  def sizes(matrix, vectors):
    values = jnp.diagonal(matrix)
    # What it would be of gradients that are orthogonal: rounding's measure.
    alone = jnp.diagonal(scaled) @ jnp.square(vectors)
    return values, alone, values > slack * alone

  def rest(matrix, vectors):
    values, alone, some = sizes(matrix, vectors)
    roots = jnp.sqrt(jnp.where(some, values, alone))
    off = jnp.abs(matrix) * (1.0 - jnp.eye(size, dtype=matrix.dtype))
    floor = float(jnp.finfo(matrix.dtype).tiny)
    return jnp.max(off / (slack * roots[:, None] * roots[None, :] + floor))

  def rotate(pairs, carry):
    matrix, vectors = carry
    p, q = pairs[:, 0], pairs[:, 1]
    across = matrix[p, q]
    # The smaller of the two angles, by its tangent: precise if it is tiny.
    ratio = (matrix[q, q] - matrix[p, p]) / jnp.where(across, 2 * across, 1)
    sign = jnp.where(ratio < 0.0, -1.0, 1.0)
    tangent = sign / (jnp.abs(ratio) + jnp.sqrt(1.0 + ratio**2))
    tangent = jnp.where(across, tangent, 0.0)
    cos = 1.0 / jnp.sqrt(1.0 + tangent**2)
    sin = -tangent * cos
    turn = jnp.eye(size, dtype=matrix.dtype)
    turn = turn.at[p, p].set(cos).at[q, q].set(cos)
    turn = turn.at[p, q].set(-sin).at[q, p].set(sin)
    turned = turn.T @ matrix @ turn
    return 0.5 * (turned + turned.T), vectors @ turn

  def sweep(carry):
    count, matrix, vectors = carry
    matrix, vectors = jax.lax.fori_loop(
      0,
      len(rounds),
      lambda i, both: rotate(rounds[i], both),
      (matrix, vectors),
    )
    return count + 1, matrix, vectors

  start = (0, scaled, jnp.eye(size, dtype=gram.dtype))
  _, matrix, vectors = jax.lax.while_loop(
    lambda carry: (carry[0] < _SWEEPS) & (rest(*carry[1:]) > 1.0), sweep, start
  )
  values, _, some = sizes(matrix, vectors)
  converged = rest(matrix, vectors) <= 1.0
  return jnp.where(some, values * scale, 0.0), vectors, converged


def _rounds(size: int) -> np.ndarray:
  """All pairs of `size` entries in rounds of disjoint ones, i32[R, P, 2].

  Of an odd number one entry rests in every round. Entries of a pair rise.
  """
  players = list(range(size + size % 2))
  rounds = []
  for _ in range(len(players) - 1):
    half = len(players) // 2
    pairs = zip(players[:half], reversed(players[half:]), strict=True)
    rounds.append([sorted(pair) for pair in pairs if max(pair) < size])
    players = [players[0], players[-1], *players[1:-1]]
  return np.array(rounds, np.int32).reshape(len(rounds), -1, 2)


def _or_one(value: jax.Array) -> jax.Array:
  return jnp.where(value > 0.0, value, 1.0)
