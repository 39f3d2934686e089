"""Balancers of the products of task gradients (the Gram matrix, K x K).

A maker, such as `mgda(num_tasks)`, gives an Optax transformation from K task
gradients, a tree of [K, ...] leaves that sum over K to the gradient
as it is, to one gradient, sum_k w_k g_k. The weights are a function of the
products of the gradients, `mgda_weights(gram)`; they average 1 unless the
paper has another scale. A whole loop is

    gradients = jax.jacrev(losses_of_tasks)(params)  # of losses / K
    optimizer = optax.chain(pcgrad(num_tasks=2), optax.adam(1e-3))
    updates, state = optimizer.update(gradients, state, params, key=key)

A gradient that is exactly zero is that of a task without a row in the batch:
the other tasks are weighted as if they were alone.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from rmtl_jax.balancing import solvers, task_sums

# A product so large that CAGrad's worst task is another one.
_FAR = 1e3


class GramState(NamedTuple):
  """The state of a balancer of products of gradients.

  Attributes:
    task_weights: those of the last step, f32[K].
  """

  task_weights: jax.Array


def from_gram(
  num_tasks: int,
  weights_of: Callable[[jax.Array, jax.Array | None], jax.Array],
) -> optax.GradientTransformationExtraArgs:
  """A transformation from a function of the gradients' products.

  Examples:
    >>> inverse = from_gram(2, lambda gram, key: 1 / jnp.diagonal(gram))
    >>> gradients = {'w': jnp.array([[2.0], [4.0]])}
    >>> updates, state = inverse.update(gradients, inverse.init(gradients))
    >>> updates['w'].tolist(), state.task_weights.tolist()
    ([0.75], [0.25, 0.0625])

  Args:
    num_tasks: K.
    weights_of: (gram f32[K, K], key or None) -> weights f32[K].

  Raises:
    ValueError: in `update`, where gradients lack the leading axis.
  """

  def init(params):
    del params
    return GramState(jnp.ones(num_tasks, jnp.float32))

  def update(updates, state, params=None, *, key=None, **extra):
    del state, params, extra
    for leaf in jax.tree.leaves(updates):
      if leaf.shape[:1] != (num_tasks,):
        raise ValueError(
          f'gradients of tasks: expected {num_tasks} on the first axis, found'
          f' the shape {leaf.shape}'
        )
    gram = task_sums.gram(updates)
    # Accelerators round products of matrices to fewer digits otherwise.
    with jax.default_matmul_precision('highest'):
      weights = weights_of(gram, key)
    # A gradient that is no finite number ends a run; no solver hides it.
    weights = jnp.where(jnp.all(jnp.isfinite(gram)), weights, jnp.nan)
    return task_sums.combine(updates, weights), GramState(weights)

  return optax.GradientTransformationExtraArgs(init, update)


def mgda(num_tasks: int) -> optax.GradientTransformationExtraArgs:
  """MGDA: the weights of the least norm; see `mgda_weights`."""
  return from_gram(num_tasks, lambda gram, key: mgda_weights(gram))


def mgda_weights(gram: jax.Array) -> jax.Array:
  """K times the shares of the least norm.

  Sener and Koltun (NeurIPS 2018), Eq. (3), solved exactly rather than by
  Frank-Wolfe.

  Examples:
    >>> gram = jnp.array([[1.0, 0.0], [0.0, 3.0]])
    >>> [round(float(w), 3) for w in mgda_weights(gram)]
    [1.5, 0.5]
  """
  norms, cosines, present = solvers.geometry(gram)
  slopes = jnp.where(present, jnp.min(norms) / norms, 0.0)
  # Of min x C x / 2 - x / |g|, scaled to sum to 1.
  parts = solvers.nonnegative_quadratic(solvers.ridged(cosines), slopes)
  shares = parts * slopes
  weights = jnp.sum(present) * shares / solvers.or_one(jnp.sum(shares))
  return jnp.where(present, weights, 1.0)


def pcgrad(num_tasks: int) -> optax.GradientTransformationExtraArgs:
  """PCGrad: conflicts projected out, in a random order of the tasks.

  Returns:
    A transformation that needs `key`, for more than two tasks.
  """

  def weights_of(gram, key):
    if num_tasks <= 2:
      return pcgrad_weights(gram)
    if key is None:
      raise ValueError('pcgrad: expected a `key`, for the order of the tasks')
    draws = jax.random.uniform(key, (num_tasks, num_tasks))
    return pcgrad_weights(gram, jnp.argsort(draws, axis=1))

  return from_gram(num_tasks, weights_of)


def pcgrad_weights(
  gram: jax.Array, order: jax.Array | None = None
) -> jax.Array:
  """PCGrad: conflicts projected out one by one; Yu et al. (2020), Alg. 1.

  Each task's gradient loses its part along every gradient that it conflicts
  with, in turn; the weights are those of the sum of the remaining gradients.

  Examples:
    >>> pcgrad_weights(jnp.array([[1.0, -1.0], [-1.0, 4.0]])).tolist()
    [2.0, 1.25]

  Args:
    gram: [K, K].
    order: for every task the order of the others, i32[K, K] with permutations
      in its rows; None: from the first to the last.
  """
  norms, cosines, _ = solvers.geometry(gram)
  count = len(gram)
  if order is None:
    order = jnp.broadcast_to(jnp.arange(count)[None], (count, count))

  def of_task(start, turns):
    def project(parts, other):
      product = parts @ cosines[:, other]
      # At 1 on the diagonal: the task itself is never in conflict.
      is_other = start[other] == 0.0
      against = jnp.where(is_other, jnp.minimum(product, 0.0), 0.0)
      return parts.at[other].add(-against), None

    return jax.lax.scan(project, start, turns)[0]

  parts = jax.vmap(of_task)(jnp.eye(count, dtype=gram.dtype), order)
  return norms @ parts / norms


def cagrad(
  num_tasks: int, alpha: float = 0.5
) -> optax.GradientTransformationExtraArgs:
  """CAGrad: near the mean, best for the worst task; see `cagrad_weights`.

  Args:
    num_tasks: K.
    alpha: the paper's c.
  """
  return from_gram(num_tasks, lambda gram, key: cagrad_weights(gram, alpha))


def cagrad_weights(gram: jax.Array, c: float = 0.5) -> jax.Array:
  """CAGrad: within c norms of the mean, the best for the worst task.

  Liu et al. (NeurIPS 2021), Algorithm 1, not rescaled afterwards: the weights
  average more than 1 where tasks conflict. By the conditions of the dual's
  optimum: of the sum d, all products with gradients are at least the worst
  task's, and equal to it where the weight exceeds 1.

  Examples:
    >>> [round(float(w), 3) for w in cagrad_weights(jnp.eye(2), c=0.5)]
    [1.5, 1.5]

  Args:
    gram: [K, K].
    c: radius over the norm of the mean gradient; 0 is the mean.
  """
  norms, cosines, present = solvers.geometry(gram)
  cosines = solvers.ridged(cosines)
  own = jnp.where(present, norms, 0.0)
  offsets = cosines @ own
  # A negative product is rounding of a mean that is 0.
  radius = c * jnp.sqrt(jnp.maximum(own @ offsets, 0.0))
  # No product with a gradient of zero is the worst one.
  offsets = jnp.where(present, offsets, _FAR * (1.0 + radius))
  slopes = jnp.min(norms) / norms
  parts = solvers.widest_of_radius(cosines, slopes, offsets, radius)
  return 1.0 + jnp.where(present, parts / norms, 0.0)


def aligned_mtl(num_tasks: int) -> optax.GradientTransformationExtraArgs:
  """Aligned-MTL: orthogonal gradients of one size; `aligned_mtl_weights`."""
  return from_gram(num_tasks, lambda gram, key: aligned_mtl_weights(gram))


def aligned_mtl_weights(gram: jax.Array) -> jax.Array:
  """Aligned-MTL: scales all principal components to the smallest one.

  Senushkin et al. (CVPR 2023), Algorithm 1 with the least singular value as
  scale: weights sqrt(least eigenvalue) G ** (-1/2) 1. Eigenvalues that are 0
  by rounding are left out, as in the authors' code: in single precision those
  below a millionth or so of the largest.

  Examples:
    >>> gram = jnp.array([[1.0, 0.0], [0.0, 4.0]])
    >>> aligned_mtl_weights(gram).tolist()
    [1.0, 0.5]
  """
  scaled = gram / solvers.or_one(jnp.max(jnp.diagonal(gram)))
  values, vectors = jnp.linalg.eigh(scaled)
  kept = values > 0.25 * solvers.slack(gram)
  least = jnp.min(jnp.where(kept, values, jnp.inf))
  roots = jnp.where(kept, jnp.sqrt(least / jnp.where(kept, values, 1.0)), 0.0)
  weights = vectors @ (roots * jnp.sum(vectors, 0))
  return jnp.where(jnp.diagonal(gram) > 0.0, weights, 1.0)


def conflict_free(num_tasks: int) -> optax.GradientTransformationExtraArgs:
  """ConFIG: the same angle to every gradient; see `conflict_free_weights`."""
  return from_gram(num_tasks, lambda gram, key: conflict_free_weights(gram))


def conflict_free_weights(gram: jax.Array) -> jax.Array:
  """ConFIG: the direction of one cosine to every gradient.

  Liu et al. (ICLR 2025), Eq. (2): the pseudo-inverse of the unit gradients
  times 1, here of their Gram matrix, as long as all gradients' parts along it
  together. K = 2: weights (|g_1| + |g_2|) / (2 |g_k|).

  Examples:
    >>> gram = jnp.array([[1.0, 0.0], [0.0, 16.0]])
    >>> [round(float(w), 3) for w in conflict_free_weights(gram)]
    [2.5, 0.625]
  """
  norms, cosines, present = solvers.geometry(gram)
  values, vectors = jnp.linalg.eigh(cosines)
  kept = values > solvers.slack(gram)
  inverse = jnp.where(kept, 1.0 / jnp.where(kept, values, 1.0), 0.0)
  ones = present.astype(gram.dtype)
  parts = vectors @ (inverse * (vectors.T @ ones))
  along = cosines @ parts
  own = jnp.where(present, norms, 0.0)
  length = own @ along / solvers.or_one(parts @ along)
  return jnp.where(present, parts / norms * length, 1.0)


def imtl_g(num_tasks: int) -> optax.GradientTransformationExtraArgs:
  """IMTL-G: equal projections on all gradients; see `imtl_g_weights`."""
  return from_gram(num_tasks, lambda gram, key: imtl_g_weights(gram))


def imtl_g_weights(gram: jax.Array) -> jax.Array:
  """IMTL-G: the sum's projections on all gradients are equal.

  Liu et al. (ICLR 2021), section 3.1: K times shares that sum to 1 and may be
  negative. K = 2: shares in proportion to 1 / |g_k|. Shares that sum to 0 have
  no such scale; then the absolute values of the weights average 1.

  Examples:
    >>> gram = jnp.array([[1.0, 0.0], [0.0, 9.0]])
    >>> [round(float(w), 3) for w in imtl_g_weights(gram)]
    [1.5, 0.5]
  """
  norms, cosines, present = solvers.geometry(gram)
  ones = jnp.ones(len(gram), gram.dtype)
  solve = functools.partial(jnp.linalg.solve, solvers.ridged(cosines))
  parts = solve(ones)
  # A second time, to correct for the ridge.
  parts = parts + solve(ones - cosines @ parts)
  shares = jnp.where(present, parts * (jnp.min(norms) / norms), 0.0)
  total, size = jnp.sum(shares), jnp.sum(jnp.abs(shares))
  has_scale = jnp.abs(total) > solvers.slack(gram) * size
  scale = jnp.where(has_scale, total, solvers.or_one(size))
  return jnp.where(present, jnp.sum(present) * shares / scale, 1.0)


def upgrad(
  num_tasks: int, weights: Sequence[float] | None = None
) -> optax.GradientTransformationExtraArgs:
  """UPGrad: each gradient projected on the dual cone; `upgrad_weights`.

  Args:
    num_tasks: K.
    weights: the preference, K numbers >= 0, divided by their mean; None: 1.
  """
  wanted = _preference(num_tasks, weights)
  return from_gram(num_tasks, lambda gram, key: upgrad_weights(gram, wanted))


def upgrad_weights(gram: jax.Array, preference: jax.Array) -> jax.Array:
  """UPGrad: each gradient projected on the dual cone of all, and their sum.

  Quinton and Rey (2024), Jacobian descent. For K = 2 it is PCGrad.

  Examples:
    >>> gram = jnp.array([[1.0, -1.0], [-1.0, 4.0]])
    >>> weights = upgrad_weights(gram, jnp.array([0.5, 1.5]))
    >>> [round(float(w), 3) for w in weights]
    [2.0, 1.625]

  Args:
    gram: [K, K].
    preference: weights where nothing conflicts, >= 0, [K].
  """
  norms, cosines, _ = solvers.geometry(gram)
  eye = jnp.eye(len(gram), dtype=gram.dtype)
  parts = jax.vmap(functools.partial(_on_dual_cone, cosines))(eye)
  return norms * preference.astype(gram.dtype) @ parts / norms


def dualproj(
  num_tasks: int, weights: Sequence[float] | None = None
) -> optax.GradientTransformationExtraArgs:
  """DualProj: the mean projected on the dual cone; see `dualproj_weights`.

  Args:
    num_tasks: K.
    weights: the preference, as in `upgrad`.
  """
  wanted = _preference(num_tasks, weights)
  return from_gram(num_tasks, lambda gram, key: dualproj_weights(gram, wanted))


def dualproj_weights(gram: jax.Array, preference: jax.Array) -> jax.Array:
  """DualProj: the weighted sum projected on the dual cone of all gradients.

  Lopez-Paz and Ranzato (NeurIPS 2017), GEM, Eq. (11).

  Examples:
    >>> gram = jnp.array([[1.0, -2.0], [-2.0, 9.0]])
    >>> [round(float(w), 3) for w in dualproj_weights(gram, jnp.ones(2))]
    [2.0, 1.0]

  Args:
    gram: [K, K].
    preference: weights where nothing conflicts, >= 0, [K].
  """
  norms, cosines, _ = solvers.geometry(gram)
  own = norms * preference.astype(gram.dtype)
  return _on_dual_cone(cosines, own) / norms


def _on_dual_cone(cosines: jax.Array, own: jax.Array) -> jax.Array:
  """Parts >= `own` of unit gradients with the least norm of their sum."""
  against = -(cosines @ own)
  return own + solvers.nonnegative_quadratic(solvers.ridged(cosines), against)


def _preference(num_tasks: int, weights: Sequence[float] | None) -> jax.Array:
  wanted = np.ones(num_tasks) if weights is None else np.asarray(weights)
  return jnp.asarray(wanted / wanted.mean(), jnp.float32)
