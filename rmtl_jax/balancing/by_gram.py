"""Balancers whose weights rest on the products of task gradients alone.

Every maker here gives an Optax transformation from K task gradients, a tree
whose leaves are [K, ...] and whose sum over K is the gradient as it is, to one
gradient, sum_k w_k g_k with weights that average 1 unless a paper says
otherwise. The methods themselves are functions of the Gram matrix in
balancing/gram_weights.py. So a whole loop of one's own is

    gradients = jax.jacrev(losses_of_tasks)(params)
    optimizer = optax.chain(pcgrad(num_tasks=2), optax.adam(1e-3))
    updates, state = optimizer.update(gradients, state, params, key=key)

Every maker takes `num_tasks`, K, and `averaging`: the share of the weights
before in those of a step (CR-MOGM: Zhou et al., NeurIPS 2022, Algorithm 1),
which start at 1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from rmtl_jax import types
from rmtl_jax.balancing import checks, gram_weights, solvers, tasks


class GramState(NamedTuple):
  """The state of a balancer on products of gradients.

  Attributes:
    task_weights: the last step's, f32[K].
    failures: steps whose solver did not converge, i32[].
    memory: what the balancer itself remembers.
  """

  task_weights: jax.Array
  failures: jax.Array
  memory: Any


class NashState(NamedTuple):
  """What `nash_mtl` remembers.

  Attributes:
    period: steps from one solution to the next, i32[].
    step: number of steps, i32[].
    weights: of the last solution, f32[K].
  """

  period: jax.Array
  step: jax.Array
  weights: jax.Array


def from_gram(
  num_tasks: int,
  weights_of: Callable[..., tuple[jax.Array, jax.Array, Any]],
  init_memory: Callable[[], Any] = tuple,
  averaging: float = 0.0,
  groups: int = 1,
  least_norm: bool = False,
) -> optax.GradientTransformationExtraArgs:
  """A transformation from a function of the gradients' products.

  Examples:
    >>> halve = from_gram(2, lambda gram, memory, key, losses: (
    ...   jnp.array([0.5, 1.5]), jnp.array(True), memory))
    >>> gradients = {'w': jnp.array([[2.0], [4.0]])}
    >>> updates, state = halve.update(gradients, halve.init(gradients))
    >>> updates['w'].tolist(), int(state.failures)
    ([7.0], 0)

  Args:
    weights_of: (gram f32[K, K], memory, key, losses f32[K] or None) ->
      (weights f32[K], whether a solver converged, new memory). The function
      alone decides what it reads.
    init_memory: gives the memory before the first step.
    averaging: share of the weights before in those of a step (CR-MOGM: Zhou
      et al., NeurIPS 2022, Algorithm 1), which start at 1.
    groups: 2: leaves are [2, K, ...], of two disjoint halves of the batch, and
      sum over both axes to the gradient; `weights_of` gets `cross_gram`.
    least_norm: whether `weights_of` gives all to a gradient of 0. A batch
      without any row of some task, whose loss is 0, then has the weights of the
      step before; in any case the state stays as it was.

  Raises:
    ValueError: when it is called, where gradients lack the axes.
  """
  axes = (num_tasks,) if groups == 1 else (groups, num_tasks)

  def init(params):
    del params
    return GramState(
      jnp.ones(num_tasks, jnp.float32), jnp.zeros((), jnp.int32), init_memory()
    )

  def update(updates, state, params=None, *, key=None, losses=None, **extra):
    del params, extra
    for leaf in jax.tree.leaves(updates):
      if leaf.shape[: len(axes)] != axes:
        raise ValueError(
          f'gradients of tasks: expected leading axes {axes}, found'
          f' {leaf.shape}'
        )
    gram = tasks.gram(updates) if groups == 1 else cross_gram(updates)
    weights, converged, memory = weights_of(gram, state.memory, key, losses)
    if least_norm:
      weights = tasks.unless_absent(losses, weights, state.task_weights)
    # A gradient that is no finite number ends a run; no solver hides it.
    weights = jnp.where(jnp.all(jnp.isfinite(gram)), weights, jnp.nan)
    weights = averaging * state.task_weights + (1.0 - averaging) * weights
    failures = state.failures + jnp.where(converged, 0, 1)
    learnt = tasks.unless_absent(
      losses, (weights, memory), (state.task_weights, state.memory)
    )
    new_state = GramState(learnt[0], failures, learnt[1])
    if groups > 1:
      updates = tasks.total(updates)
    return tasks.combine(updates, weights), new_state

  return optax.GradientTransformationExtraArgs(init, update)


def cross_gram(gradients: Any) -> jax.Array:
  """Products of gradients of one half with those of the other, f32[K, K].

  Unbiased, where those of the whole batch have its noise in them: averaged
  over both orders, and of losses that are each half's own mean, 4 K ** 2
  times the products of the leaves.

  Args:
    gradients: a tree whose leaves are [2, K, ...] and sum over both axes to
      the gradient of the mean loss.
  """

  first, second = map(tasks.apart, tasks.apart(gradients))
  products = jnp.stack(
    [jnp.stack([tasks.product(a, b) for b in second]) for a in first]
  )
  return (2.0 * len(products) ** 2) * (products + products.T)


def pareto(
  num_tasks: int, minimum: float = 0.0, averaging: float = 0.0
) -> optax.GradientTransformationExtraArgs:
  """PE-LTR: `gram_weights.pareto_weights`.

  Args:
    minimum: the least share of a task, from 0 to 1 / K.

  Raises:
    types.InputError: the minima of all tasks are more than 1.
  """
  if not 0.0 <= minimum * num_tasks <= 1.0 + 1e-6:
    raise types.InputError(
      f'pareto: minimum={minimum}: expected from 0 to 1 / {num_tasks}'
    )
  bounded = min(minimum, 1.0 / num_tasks)
  return _stateless(
    num_tasks,
    lambda gram: gram_weights.pareto_weights(gram, bounded),
    averaging,
    least_norm=True,
  )


def mgda(
  num_tasks: int, averaging: float = 0.0
) -> optax.GradientTransformationExtraArgs:
  """MGDA: `gram_weights.pareto_weights` without a bound."""
  return pareto(num_tasks, averaging=averaging)


def pcgrad(
  num_tasks: int, averaging: float = 0.0
) -> optax.GradientTransformationExtraArgs:
  """PCGrad: `gram_weights.pcgrad_weights` in a random order.

  Returns:
    A transformation that needs `key`, for more than two tasks.
  """

  def weights_of(gram, memory, key, losses):
    del losses
    order = _random_order(key, num_tasks, 'pcgrad')
    found = gram_weights.pcgrad_weights(gram, order)
    return found.weights, found.converged, memory

  return from_gram(num_tasks, weights_of, averaging=averaging)


def gradvac(
  num_tasks: int, decay: float = 0.01, averaging: float = 0.0
) -> optax.GradientTransformationExtraArgs:
  """GradVac: `gram_weights.gradvac_weights`, one target for the whole model.

  Args:
    decay: beta, the share of a new cosine in the targets.

  Returns:
    A transformation that needs `key`, for more than two tasks. Its memory is
    the targets, f32[K, K].

  Raises:
    types.InputError: a decay that is no share.
  """
  checks.check_share('gradvac', 'decay', decay)

  def weights_of(gram, memory, key, losses):
    del losses
    order = _random_order(key, num_tasks, 'gradvac')
    found, targets = gram_weights.gradvac_weights(gram, memory, decay, order)
    return found.weights, found.converged, targets

  return from_gram(
    num_tasks,
    weights_of,
    lambda: jnp.zeros((num_tasks, num_tasks), jnp.float32),
    averaging,
  )


def cagrad(
  num_tasks: int, alpha: float = 0.5, averaging: float = 0.0
) -> optax.GradientTransformationExtraArgs:
  """CAGrad: `gram_weights.cagrad_weights`.

  Args:
    alpha: the paper's c.
  """
  return _stateless(
    num_tasks, lambda gram: gram_weights.cagrad_weights(gram, alpha), averaging
  )


def aligned_mtl(
  num_tasks: int, averaging: float = 0.0
) -> optax.GradientTransformationExtraArgs:
  """Aligned-MTL: `gram_weights.aligned_mtl_weights`."""
  return _stateless(num_tasks, gram_weights.aligned_mtl_weights, averaging)


def conflict_free(
  num_tasks: int, averaging: float = 0.0
) -> optax.GradientTransformationExtraArgs:
  """ConFIG: `gram_weights.config_weights`."""
  return _stateless(num_tasks, gram_weights.config_weights, averaging)


def imtl_g(
  num_tasks: int, averaging: float = 0.0
) -> optax.GradientTransformationExtraArgs:
  """IMTL-G: `gram_weights.imtl_g_weights`."""
  return _stateless(num_tasks, gram_weights.imtl_g_weights, averaging)


def nash_mtl(
  num_tasks: int, period: int = 1, averaging: float = 0.0
) -> optax.GradientTransformationExtraArgs:
  """Nash-MTL: `gram_weights.fairgrad_weights` with alpha 1.

  Args:
    period: steps from one solution to the next; it is in the state.
  """

  def weights_of(gram, memory, key, losses):
    del key, losses
    due = memory.step % jnp.maximum(memory.period, 1) == 0
    weights, converged = jax.lax.cond(
      due,
      lambda: gram_weights.fairgrad_weights(gram, alpha=1.0),
      lambda: solvers.Solution(memory.weights, jnp.asarray(True)),
    )
    new_memory = NashState(memory.period, memory.step + 1, weights)
    return weights, converged, new_memory

  def init_memory():
    return NashState(
      jnp.asarray(period, jnp.int32),
      jnp.zeros((), jnp.int32),
      jnp.ones(num_tasks, jnp.float32),
    )

  return from_gram(num_tasks, weights_of, init_memory, averaging)


def fairgrad(
  num_tasks: int, alpha: float = 2.0, averaging: float = 0.0
) -> optax.GradientTransformationExtraArgs:
  """FairGrad: `gram_weights.fairgrad_weights`.

  Args:
    alpha: 0 is equal weights, 1 Nash-MTL.
  """
  return _stateless(
    num_tasks,
    lambda gram: gram_weights.fairgrad_weights(gram, alpha),
    averaging,
  )


def upgrad(
  num_tasks: int,
  weights: Sequence[float] | None = None,
  averaging: float = 0.0,
) -> optax.GradientTransformationExtraArgs:
  """UPGrad: `gram_weights.upgrad_weights`.

  Args:
    weights: the preference, K numbers >= 0, divided by their mean; None: 1.
      They are in the state.
  """
  return _preferring(num_tasks, gram_weights.upgrad_weights, weights, averaging)


def dualproj(
  num_tasks: int,
  weights: Sequence[float] | None = None,
  averaging: float = 0.0,
) -> optax.GradientTransformationExtraArgs:
  """DualProj: `gram_weights.dualproj_weights`.

  Args:
    weights: the preference, as in `upgrad`.
  """
  return _preferring(
    num_tasks, gram_weights.dualproj_weights, weights, averaging
  )


def sdmgrad(
  num_tasks: int, alpha: float = 0.3, averaging: float = 0.0
) -> optax.GradientTransformationExtraArgs:
  """SDMGrad: `gram_weights.sdmgrad_shares`.

  Args:
    alpha: the paper's lambda.

  Returns:
    A transformation of leaves [2, K, ...]. Its memory is the shares, f32[K].
  """

  def weights_of(cross, memory, key, losses):
    del key, losses
    found, shares = gram_weights.sdmgrad_shares(cross, memory, alpha)
    return found.weights, found.converged, shares

  return _of_halves(num_tasks, weights_of, averaging)


def modo(
  num_tasks: int,
  learning_rate: float = 0.1,
  decay: float = 0.1,
  averaging: float = 0.0,
) -> optax.GradientTransformationExtraArgs:
  """MoDo: `gram_weights.modo_shares`.

  The weights of a step are those that its own products give.

  Args:
    learning_rate: the paper's gamma.
    decay: the paper's rho.

  Returns:
    A transformation of leaves [2, K, ...]. Its memory is the shares, f32[K].
  """

  def weights_of(cross, memory, key, losses):
    del key, losses
    shares = gram_weights.modo_shares(cross, memory, learning_rate, decay)
    return num_tasks * shares, jnp.asarray(True), shares

  return _of_halves(num_tasks, weights_of, averaging)


def _stateless(
  num_tasks: int,
  method: Callable[[jax.Array], solvers.Solution],
  averaging: float,
  least_norm: bool = False,
) -> optax.GradientTransformationExtraArgs:
  """One that reads the Gram matrix and remembers nothing."""

  def weights_of(gram, memory, key, losses):
    del key, losses
    found = method(gram)
    return found.weights, found.converged, memory

  return from_gram(
    num_tasks, weights_of, averaging=averaging, least_norm=least_norm
  )


def _preferring(
  num_tasks: int,
  method: Callable[..., solvers.Solution],
  weights: Sequence[float] | None,
  averaging: float,
) -> optax.GradientTransformationExtraArgs:
  """One whose memory is a preference, f32[K]."""
  wanted = np.ones(num_tasks) if weights is None else np.asarray(weights)
  wanted = (wanted / wanted.mean()).astype(np.float32)

  def weights_of(gram, memory, key, losses):
    del key, losses
    found = method(gram, memory)
    return found.weights, found.converged, memory

  return from_gram(num_tasks, weights_of, lambda: jnp.array(wanted), averaging)


def _of_halves(
  num_tasks: int,
  weights_of: Callable[..., tuple[jax.Array, jax.Array, Any]],
  averaging: float,
) -> optax.GradientTransformationExtraArgs:
  """One that starts with equal shares and reads two halves of a batch."""
  return from_gram(
    num_tasks,
    weights_of,
    lambda: jnp.full(num_tasks, 1.0 / num_tasks, jnp.float32),
    averaging,
    groups=2,
    least_norm=True,
  )


def _random_order(
  key: jax.Array | None, num_tasks: int, name: str
) -> jax.Array | None:
  """For every task a random order of all, i32[K, K]; None where none counts.

  Raises:
    ValueError: more than two tasks, and no key.
  """
  if num_tasks <= 2:
    return None
  if key is None:
    raise ValueError(f'{name}: expected a `key`, for the order of the tasks')
  draws = jax.random.uniform(key, (num_tasks, num_tasks))
  return jnp.argsort(draws, axis=1)
