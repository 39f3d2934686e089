"""Weights of tasks from the products of their gradients: the methods.

Every function takes the Gram matrix of K task gradients, [K, K], in its dtype,
and gives a `solvers.Solution`: weights [K] of the sum sum_k w_k g_k, and
whether its solver converged. Where a paper has shares that sum to 1, the
weights are K times those: they average 1, and equal ones leave the gradient
as it is where the K gradients sum to it. Where a paper leaves the scale to
the learning rate (Nash-MTL, FairGrad), the paper's weights are divided by
their mean.

Gradients that are exactly zero: `pareto_weights` gives all that it may to
those (that sum's norm is least: no step may be taken);
`imtl_g_weights`, `config_weights` and `aligned_mtl_weights` give them 0; all
others weigh the other tasks as if they were alone, and leave 1 to those.
Weights of K zero gradients are 1. Equal gradients get equal weights, but for
what rounding of their products makes of it; the sum is the same. Where K
gradients cancel, a method without a common direction gives a sum of about 0
(CAGrad: 1 - c times the mean, with weights that are large for K > 2). Gram
matrices with numbers that are not finite give any weights.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from rmtl_jax.balancing import solvers

# Largest target of GradVac's cosines: at 1 no finite step reaches it.
_WIDEST_COSINE = 0.9999
# SDMGrad's inner steps: learning rate, momentum and number, those of the
# authors' experiments.
_SDMGRAD_STEP, _SDMGRAD_MOMENTUM, _SDMGRAD_STEPS = 10.0, 0.5, 20


@solvers.in_full_precision
def pareto_weights(gram: jax.Array, minimum: float = 0.0) -> solvers.Solution:
  """K times the shares of the least norm, none below `minimum`.

  Without a bound it is MGDA: Desideri (2012); Sener and Koltun (NeurIPS 2018),
  Eq. (3), for K = 2 in closed form (their Algorithm 1). Solved exactly rather
  than by Frank-Wolfe. With one it is PE-LTR, Lin et al. (RecSys 2019), who
  solve without the bounds first and project; this is the optimum of their
  problem itself: MGDA among the corners of the bounded simplex.

  Examples:
    >>> gram = jnp.array([[1.0, 2.0], [2.0, 9.0]])
    >>> pareto_weights(gram).weights.tolist()
    [2.0, 0.0]
    >>> pareto_weights(gram, minimum=0.25).weights.tolist()
    [1.5, 0.5]

  Args:
    minimum: the least share, from 0 to 1 / K.
  """
  tasks = len(gram)
  if tasks == 2:
    first = jnp.clip(_nearest_of_two(gram), minimum, 1.0 - minimum)
    return _closed(2.0 * jnp.stack([first, 1.0 - first]))
  # A corner has the minimum of all tasks and what is left of one.
  left = 1.0 - tasks * minimum
  corners = left * jnp.eye(tasks, dtype=gram.dtype) + minimum
  shares, converged = _least_norm(
    gram if minimum == 0.0 else corners @ _over_largest(gram) @ corners
  )
  return solvers.Solution(tasks * (left * shares + minimum), converged)


@solvers.in_full_precision
def pcgrad_weights(
  gram: jax.Array, order: jax.Array | None = None
) -> solvers.Solution:
  """PCGrad: conflicts projected out one by one; Yu et al. (2020), Alg. 1.

  Each task's gradient loses its part along every gradient that it conflicts
  with, in turn; the weights are those of the sum of what is left.

  Examples:
    >>> pcgrad_weights(jnp.array([[1.0, -1.0], [-1.0, 4.0]])).weights.tolist()
    [2.0, 1.25]

  Args:
    order: for every task the order of the others, i32[K, K] with permutations
      in its rows; None: from the first to the last. It has no effect for K
      = 2.
  """
  norms, cosines, _ = solvers.geometry(gram)
  tasks = len(gram)

  def of_task(start, turns):
    def project(parts, other):
      product = parts @ cosines[:, other]
      # At 1 on the diagonal: the task itself is never in conflict.
      is_other = start[other] == 0.0
      against = jnp.where(is_other, jnp.minimum(product, 0.0), 0.0)
      return parts.at[other].add(-against), None

    return jax.lax.scan(project, start, turns)[0]

  eye = jnp.eye(tasks, dtype=gram.dtype)
  parts = jax.vmap(of_task)(eye, _order(order, tasks))
  return _closed(_of_units(parts, norms))


@solvers.in_full_precision
def gradvac_weights(
  gram: jax.Array,
  targets: jax.Array,
  decay: float = 0.01,
  order: jax.Array | None = None,
) -> tuple[solvers.Solution, jax.Array]:
  """GradVac: gradients turned until their cosines are what they usually are.

  Wang et al. (ICLR 2021), Eq. (3), with targets that are moving averages of
  the cosines, Eq. (4). Cosines are those of the whole model's gradients
  (`whole_model` in the paper, which also has one target per layer).

  Args:
    targets: moving averages of cosines, [K, K]; zeros at first.
    decay: beta, the share of a new cosine.
    order: as in `pcgrad_weights`.

  Returns:
    The weights, and the next targets. Those of gradients that are zero stay.
  """
  norms, cosines, present = solvers.geometry(gram)
  tasks = len(gram)

  def of_task(own, start, turns, goals):
    def turn(carry, other):
      parts, goals = carry
      length = jnp.sqrt(jnp.maximum(parts @ cosines @ parts, 0.0))
      counts = (other != own) & present[other] & present[own]
      cosine = parts @ cosines[:, other] / jnp.where(length > 0, length, 1.0)
      cosine = jnp.clip(cosine, -1.0, 1.0)
      goal = jnp.clip(goals[other], -_WIDEST_COSINE, _WIDEST_COSINE)
      sine, goal_sine = jnp.sqrt(1.0 - cosine**2), jnp.sqrt(1.0 - goal**2)
      step = length * (goal * sine - cosine * goal_sine) / goal_sine
      step = jnp.where(counts & (cosine < goals[other]), step, 0.0)
      mean = (1.0 - decay) * goals[other] + decay * cosine
      new_goals = goals.at[other].set(jnp.where(counts, mean, goals[other]))
      return (parts.at[other].add(step), new_goals), None

    return jax.lax.scan(turn, (start, goals), turns)[0]

  parts, new_targets = jax.vmap(of_task)(
    jnp.arange(tasks),
    jnp.eye(tasks, dtype=gram.dtype),
    _order(order, tasks),
    targets,
  )
  return _closed(_of_units(parts, norms)), new_targets


@solvers.in_full_precision
def cagrad_weights(gram: jax.Array, c: float = 0.5) -> solvers.Solution:
  """CAGrad: within c norms of the mean, the best for the worst task.

  Liu et al. (NeurIPS 2021), Algorithm 1, not rescaled afterwards: the weights
  average more than 1 where tasks conflict. K = 2 in closed form. For more, the
  conditions of the dual's optimum: of the sum d, all products with gradients
  are at least the worst task's, and equal to it where the weight exceeds 1.

  Examples:
    >>> gram = jnp.array([[1.0, 0.0], [0.0, 1.0]])
    >>> cagrad_weights(gram, c=0.5).weights.tolist()
    [1.5, 1.5]

  Args:
    c: radius over the norm of the mean gradient; 0 is the mean.
  """
  norms, cosines, present = solvers.geometry(gram)
  cosines = solvers.ridged(cosines)
  own = jnp.where(present, norms, 0.0)
  offsets = cosines @ own
  # A negative product is rounding of a mean that is 0.
  radius = c * jnp.sqrt(jnp.maximum(own @ offsets, 0.0))
  if len(gram) == 2:
    shares = _best_of_two(norms, cosines, c)
    shares = jnp.where(jnp.all(present), shares, 1.0)
    parts = jnp.where(present, norms * shares, 0.0)
    length = jnp.sqrt(jnp.maximum(parts @ cosines @ parts, 0.0))
    parts = parts * (radius / jnp.where(length > 0.0, length, 1.0))
    converged = jnp.asarray(True)
  else:
    slopes = jnp.min(norms) / norms
    # No product with a gradient of zero is the worst one.
    offsets = jnp.where(present, offsets, _FAR * (1.0 + radius))
    parts, converged = solvers.widest_of_radius(
      cosines, slopes, offsets, radius
    )
  extra = jnp.where(present, parts / norms, 0.0)
  return solvers.Solution(1.0 + extra, converged)


@solvers.in_full_precision
def aligned_mtl_weights(gram: jax.Array) -> solvers.Solution:
  """Aligned-MTL: gradients whose principal parts all have the least's size.

  Senushkin et al. (CVPR 2023), Algorithm 1 with the least singular value as
  scale: weights sqrt(least eigenvalue) G ** (-1/2) 1, with eigenvalues that
  are 0 by rounding left out.

  Examples:
    >>> gram = jnp.array([[1.0, 0.0], [0.0, 4.0]])
    >>> aligned_mtl_weights(gram).weights.tolist()
    [1.0, 0.5]
  """
  values, vectors, converged = solvers.eigen(gram)
  kept = values > 0.0
  least = jnp.min(jnp.where(kept, values, jnp.inf))
  roots = jnp.where(kept, jnp.sqrt(least / jnp.where(kept, values, 1.0)), 0.0)
  weights = vectors @ (roots * jnp.sum(vectors, 0))
  return solvers.Solution(jnp.where(jnp.any(kept), weights, 1.0), converged)


@solvers.in_full_precision
def config_weights(gram: jax.Array) -> solvers.Solution:
  """ConFIG: the direction of one cosine to every gradient.

  Liu et al. (ICLR 2025), Eq. (2): the pseudo-inverse of the unit gradients
  times 1, here of their Gram matrix, as long as all gradients' parts along it
  together. K = 2: weights (|g_1| + |g_2|) / (2 |g_k|).

  Examples:
    >>> config_weights(jnp.array([[1.0, 0.0], [0.0, 9.0]])).weights.tolist()
    [2.0, 0.6666666865348816]
  """
  norms, cosines, present = solvers.geometry(gram)
  total = jnp.sum(jnp.where(present, norms, 0.0))
  if len(gram) == 2:
    mean = total / jnp.maximum(jnp.sum(present), 1)
    weights = jnp.where(present, mean / norms, 0.0)
  else:
    values, vectors = jnp.linalg.eigh(cosines)
    kept = values > solvers.TOLERANCE * solvers.precision(gram)
    inverse = jnp.where(kept, 1.0 / jnp.where(kept, values, 1.0), 0.0)
    # No share of gradients that are zero: their rows are those of identity.
    ones = present.astype(gram.dtype)
    parts = vectors @ (inverse * (vectors.T @ ones))
    along = cosines @ parts
    square = parts @ along
    own = jnp.where(present, norms, 0.0)
    length = jnp.where(
      square > 0.0, own @ along / jnp.where(square > 0.0, square, 1.0), 0.0
    )
    weights = jnp.where(present, parts / norms, 0.0) * length
  return _closed(jnp.where(jnp.any(present), weights, 1.0))


@solvers.in_full_precision
def imtl_g_weights(gram: jax.Array) -> solvers.Solution:
  """IMTL-G: the sum's projections on all gradients are equal.

  Liu et al. (ICLR 2021), section 3.1: K times shares that sum to 1 and may be
  negative. K = 2: shares in proportion to 1 / |g_k|.

  Examples:
    >>> imtl_g_weights(jnp.array([[1.0, 0.0], [0.0, 9.0]])).weights.tolist()
    [1.5, 0.5]

  Returns:
    Weights that average 1. Where the shares sum to 0 and so have no scale,
    weights with absolute values that average 1, and that it did not converge.
  """
  norms, cosines, present = solvers.geometry(gram)
  tasks = len(gram)
  if tasks == 2:
    parts = jnp.ones(2, gram.dtype)
  else:
    ones = jnp.ones(tasks, gram.dtype)
    solve = lambda side: jnp.linalg.solve(solvers.ridged(cosines), side)
    parts = solve(ones)
    # Once more, for what the ridge changed.
    parts = parts + solve(ones - cosines @ parts)
  shares = jnp.where(present, parts * (jnp.min(norms) / norms), 0.0)
  total, size = jnp.sum(shares), jnp.sum(jnp.abs(shares))
  slack = solvers.TOLERANCE * solvers.precision(gram)
  scaled = jnp.abs(total) > slack * size
  scale = jnp.where(scaled, total, jnp.where(size > 0.0, size, 1.0))
  weights = tasks * shares / scale
  nothing = ~jnp.any(present)
  return solvers.Solution(jnp.where(nothing, 1.0, weights), scaled | nothing)


@solvers.in_full_precision
def fairgrad_weights(gram: jax.Array, alpha: float = 2.0) -> solvers.Solution:
  """FairGrad: an alpha-fair decrease of the losses.

  Ban and Ji (ICML 2024), Eq. (4): G w = w ** (-1 / alpha), here by a convex
  problem with that gradient, and over the mean weight. Alpha 1 is Nash-MTL, the
  bargain in which no task can gain relatively more (Navon et al., ICML 2022,
  Claim 3.1); for K = 2 in proportion to 1 / |g_k|.

  Examples:
    >>> gram = jnp.array([[1.0, 0.0], [0.0, 8.0]])
    >>> fairgrad_weights(gram, alpha=2.0).weights.round(3)
    Array([1.6, 0.4], dtype=float32)
    >>> gram = jnp.array([[1.0, 0.5], [0.5, 9.0]])
    >>> fairgrad_weights(gram, alpha=1.0).weights.tolist()
    [1.5, 0.5]

  Args:
    alpha: 0 is equal weights, 1 Nash-MTL; more is fairer.
  """
  norms, cosines, present = solvers.geometry(gram)
  count = jnp.maximum(jnp.sum(present), 1)
  if alpha == 0.0:
    return _closed(jnp.where(norms > 0.0, 1.0, norms))
  # About 1 on average, so that powers of them stay in range.
  logs = jnp.where(present, jnp.log(norms), 0.0)
  middle = jnp.where(present, norms / jnp.exp(jnp.sum(logs) / count), 1.0)
  if alpha == 1.0 and len(gram) == 2:
    parts, converged = jnp.ones(2, gram.dtype), jnp.asarray(True)
  else:
    parts, converged = solvers.fair_point(
      solvers.ridged(cosines), middle ** (1.0 / alpha - 1.0), alpha
    )
  raw = jnp.where(present, parts / middle, 0.0)
  mean = jnp.sum(raw) / count
  weights = jnp.where(present, raw / jnp.where(mean > 0, mean, 1.0), 1.0)
  return solvers.Solution(weights, converged)


@solvers.in_full_precision
def upgrad_weights(
  gram: jax.Array, preference: jax.Array | None = None
) -> solvers.Solution:
  """UPGrad: each gradient projected on the dual cone of all, and their sum.

  Quinton and Rey (2024), Jacobian descent. K = 2 in closed form, that of
  PCGrad without preference.

  Examples:
    >>> gram = jnp.array([[1.0, -1.0], [-1.0, 4.0]])
    >>> upgrad_weights(gram, jnp.array([0.5, 1.5])).weights.tolist()
    [2.0, 1.625]

  Args:
    preference: weights where nothing conflicts, >= 0, [K]; None: 1.
  """
  norms, cosines, _ = solvers.geometry(gram)
  ones = jnp.ones(len(gram), gram.dtype)
  wanted = ones if preference is None else preference.astype(gram.dtype)
  eye = jnp.eye(len(gram), dtype=gram.dtype)
  parts, converged = jax.vmap(lambda own: _on_dual_cone(cosines, own))(eye)
  weights = _of_units(parts, norms, wanted)
  return solvers.Solution(weights, jnp.all(converged))


@solvers.in_full_precision
def dualproj_weights(
  gram: jax.Array, preference: jax.Array | None = None
) -> solvers.Solution:
  """DualProj: the weighted sum projected on the dual cone of all gradients.

  Lopez-Paz and Ranzato (NeurIPS 2017), GEM, Eq. (11). K = 2 in closed form.

  Examples:
    >>> gram = jnp.array([[1.0, -2.0], [-2.0, 9.0]])
    >>> dualproj_weights(gram).weights.tolist()
    [2.0, 1.0]

  Args:
    preference: weights where nothing conflicts, >= 0, [K]; None: 1.
  """
  norms, cosines, _ = solvers.geometry(gram)
  ones = jnp.ones(len(gram), gram.dtype)
  wanted = ones if preference is None else preference.astype(gram.dtype)
  parts, converged = _on_dual_cone(cosines, norms * wanted)
  return solvers.Solution(parts / norms, converged)


@solvers.in_full_precision
def sdmgrad_shares(
  cross: jax.Array, shares: jax.Array, lambda_: float = 0.3
) -> tuple[solvers.Solution, jax.Array]:
  """SDMGrad: least norm from two samples, drawn towards the mean.

  Xiao et al. (NeurIPS 2023), Algorithm 1: projected steps on the shares, which
  go on from those of the step before; both samples stay the same over the
  inner steps. `cross` is divided by the square of the mean norm, as the
  authors do.

  Args:
    cross: products of gradients of one sample with those of the other, [K, K].
    shares: of the step before, on the simplex, [K].
    lambda_: how much the mean counts.

  Returns:
    K times (shares + lambda / K) / (1 + lambda), and the next shares.
  """
  tasks = len(cross)
  even = jnp.full_like(shares, 1.0 / tasks)
  scale = jnp.mean(jnp.sqrt(jnp.maximum(jnp.diagonal(cross), 0.0)))
  # Of products that are all noise below 0, their own size.
  size = jnp.where(scale > 0.0, scale**2, jnp.max(jnp.abs(cross)))
  scaled = cross / jnp.where(size > 0.0, size, 1.0)

  def step(_, carry):
    shares, velocity = carry
    slope = scaled @ (shares + lambda_ * even)
    velocity = _SDMGRAD_MOMENTUM * velocity + slope
    moved = shares - _SDMGRAD_STEP * velocity
    return solvers.project_on_simplex(moved), velocity

  start = (shares, jnp.zeros_like(shares))
  new_shares, _ = jax.lax.fori_loop(0, _SDMGRAD_STEPS, step, start)
  mixed = (new_shares + lambda_ * even) / (1.0 + lambda_)
  return _closed(tasks * mixed), new_shares


@solvers.in_full_precision
def modo_shares(
  cross: jax.Array,
  shares: jax.Array,
  learning_rate: float = 0.1,
  decay: float = 0.1,
) -> jax.Array:
  """MoDo: one projected step of the shares, from two samples.

  Chen et al. (JMLR 2024), Equation 2.9: shares - gamma (C + rho)
  shares, on the simplex.

  Examples:
    >>> cross = jnp.array([[2.0, 0.0], [0.0, 4.0]])
    >>> modo_shares(cross, jnp.array([0.5, 0.5]), 0.125, 0.0).tolist()
    [0.5625, 0.4375]

  Args:
    cross: C, as in `sdmgrad_shares`.
    shares: of the step before, on the simplex, [K].
    learning_rate: gamma.
    decay: rho, which draws shares to equal ones.
  """
  slope = cross @ shares + decay * shares
  return solvers.project_on_simplex(shares - learning_rate * slope)


# A product so large that no level of CAGrad reaches it.
_FAR = 1e3


def _closed(weights: jax.Array) -> solvers.Solution:
  return solvers.Solution(weights, jnp.asarray(True))


def _over_largest(gram: jax.Array) -> jax.Array:
  largest = jnp.max(jnp.diagonal(gram))
  return gram / jnp.where(largest > 0.0, largest, 1.0)


def _order(order: jax.Array | None, tasks: int) -> jax.Array:
  rising = jnp.arange(tasks)[None, :]
  return jnp.broadcast_to(rising, (tasks, tasks)) if order is None else order


def _of_units(
  parts: jax.Array, norms: jax.Array, wanted: jax.Array | None = None
) -> jax.Array:
  """Weights of gradients from parts of unit ones, task by task in rows."""
  own = norms if wanted is None else norms * wanted
  return own @ parts / norms


def _nearest_of_two(gram: jax.Array) -> jax.Array:
  """The first share of the point nearest 0 on the line through two."""
  scaled = _over_largest(gram)
  ridge = solvers.RIDGE * solvers.precision(gram)
  a, b = scaled[0, 0] * (1.0 + ridge), scaled[1, 1] * (1.0 + ridge)
  distance = a + b - 2.0 * scaled[0, 1]
  foot = (b - scaled[0, 1]) / jnp.where(distance != 0.0, distance, 1.0)
  return jnp.where(distance != 0.0, foot, 0.5)


def _least_norm(gram: jax.Array) -> solvers.Solution:
  """Shares of the least norm: of min x C x / 2 - x / |g|, scaled to sum 1."""
  norms, cosines, present = solvers.geometry(gram)
  slopes = jnp.min(norms) / norms
  parts, converged = solvers.nonnegative_quadratic(
    solvers.ridged(cosines), slopes
  )
  shares = parts * slopes
  absent = (~present).astype(gram.dtype)
  some = jnp.any(~present)
  shares = jnp.where(some, absent, shares)
  return solvers.Solution(shares / jnp.sum(shares), converged | some)


def _best_of_two(norms: jax.Array, cosines: jax.Array, c: float) -> jax.Array:
  """CAGrad's shares for K = 2, from the derivative of its dual."""
  gram = norms[:, None] * cosines * norms[None, :]
  a, b, across = gram[0, 0], gram[1, 1], gram[0, 1]
  distance = a + b - 2.0 * across
  safe = jnp.where(distance > 0.0, distance, 1.0)
  foot = (b - across) / safe
  # Of the line's point nearest 0, and of the mean along the line.
  height = jnp.maximum(a * b - across**2, 0.0) / safe
  slope = a - b
  room = safe * (c**2 * jnp.maximum(a + b + 2.0 * across, 0.0)) - slope**2
  inner = room > 0.0
  away = jnp.abs(slope) * jnp.sqrt(height / jnp.where(inner, room, 1.0) / safe)
  away = jnp.where(inner, away, jnp.where(slope == 0.0, 0.0, jnp.inf))
  first = jnp.clip(foot - jnp.sign(slope) * away, 0.0, 1.0)
  first = jnp.where(distance > 0.0, first, 0.5)
  return jnp.stack([first, 1.0 - first])


def _on_dual_cone(cosines: jax.Array, own: jax.Array) -> solvers.Solution:
  """Parts >= `own` of unit gradients with the least norm of their sum.

  Args:
    cosines: of the gradients, [K, K].
    own: parts of what is projected, >= 0, [K].
  """
  against = -(cosines @ own)
  if len(own) == 2:
    # Of two, at most one is against the sum.
    return _closed(own + jnp.maximum(against, 0.0))
  added, converged = solvers.nonnegative_quadratic(
    solvers.ridged(cosines), against
  )
  return solvers.Solution(own + added, converged)
