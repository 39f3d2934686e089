"""Balancers that read task gradients themselves, or whose weights learn.

Every maker here gives an Optax transformation from K (`num_tasks`) task
gradients, a tree whose leaves are [K, ...] and whose sum over K is the gradient
as it is (that of the mean of the tasks' losses), to one gradient. `init` takes
the parameters. `update` takes `losses`, the tasks' own f32[K], and `key` where
a maker says so. Norms are taken in single precision over all parameters that
the gradients have; a caller that balances shared parameters alone passes 0 for
the others.

Where the result is sum_k w_k g_k, the state has these weights as
`task_weights`, f32[K]. After a batch without any row of some task, whose
loss is 0, states stay as they were, but for `db_mtl`'s averages. A whole
loop of one's own is

    gradients = jax.jacrev(losses_of_tasks)(params)  # of losses / K
    optimizer = optax.chain(gradnorm(num_tasks=2), optax.adam(1e-3))
    updates, state = optimizer.update(gradients, state, params, losses=losses)
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from rmtl_jax.balancing import checks, tasks
from rmtl_jax.ops import hashing

# Norms this much smaller than what they are brought to count as 0.
_SMALLEST_RATIO = 1e-12
# A number below this is no divisor: the quotient could overflow.
_TINY = 1e-30


class ExcessState(NamedTuple):
  """The state of `excess_mtl`.

  Attributes:
    task_weights: the last step's, f32[K].
    log_weights: their logarithms but for a constant, f32[K].
    square_sums: of every gradient so far, f32[K, ...] like the parameters.
    initial_risks: mean excess risk of the warm-up so far, f32[K].
    warmup_steps: i32[].
    step: steps taken, i32[].
  """

  task_weights: jax.Array
  log_weights: jax.Array
  square_sums: Any
  initial_risks: jax.Array
  warmup_steps: jax.Array
  step: jax.Array


def excess_mtl(
  num_tasks: int, learning_rate: float = 0.01, warmup_steps: int = 0
) -> optax.GradientTransformationExtraArgs:
  """ExcessMTL: tasks far from their optimum count more.

  The excess risk of a task, what its loss is above the least one, is estimated
  as sum_i g_i^2 / sqrt(sum over steps of g_i^2) (He et al., ICML 2024,
  Equations 6 and 7). Over its mean in the warm-up it is the exponent of a
  multiplicative update of the weight (Equation 9). The weights do not react
  to the scale of any task's loss.

  The paper's weights sum to 1 where these average 1. An element whose gradient
  was 0 in all steps adds nothing, where the authors' code adds 1e-7 to the
  sum of squares; a task without risk in the warm-up has the relative risk 1 in
  steps that find any.

  Args:
    learning_rate: of the weights' update (the robust step size); the default
      is the authors' code's.
    warmup_steps: first steps, of equal weights; the first step always is one,
      as in the authors' code. The paper takes three epochs (Appendix C.1).
  """

  def init(params):
    return ExcessState(
      task_weights=jnp.ones(num_tasks),
      log_weights=jnp.zeros(num_tasks),
      square_sums=_zeros(num_tasks, params),
      initial_risks=jnp.zeros(num_tasks),
      warmup_steps=jnp.array(warmup_steps, jnp.int32),
      step=jnp.zeros((), jnp.int32),
    )

  def update(updates, state, params=None, *, losses=None, **extra):
    del params, extra
    square_sums = jax.tree.map(
      lambda total, g: total + jnp.square(g.astype(jnp.float32)),
      state.square_sums,
      updates,
    )
    risks = _excess_risks(updates, square_sums)
    is_warmup = state.step < jnp.maximum(state.warmup_steps, 1)
    mean_risks = state.initial_risks + (risks - state.initial_risks) / (
      state.step + 1
    )
    initial_risks = jnp.where(is_warmup, mean_risks, state.initial_risks)
    relative = jnp.where(risks > 0.0, _relative(risks, initial_risks), 0.0)
    log_weights = state.log_weights + jnp.where(
      is_warmup, 0.0, learning_rate * relative
    )
    log_weights -= jnp.max(log_weights)
    weights = num_tasks * jax.nn.softmax(log_weights)
    new_state = ExcessState(
      weights,
      log_weights,
      square_sums,
      initial_risks,
      state.warmup_steps,
      state.step + 1,
    )
    new_state = tasks.unless_absent(losses, new_state, state)
    return tasks.combine(updates, new_state.task_weights), new_state

  return optax.GradientTransformationExtraArgs(init, update)


def _excess_risks(gradients: Any, square_sums: Any) -> jax.Array:
  """Equations 6 and 7 of ExcessMTL, f32[K]."""

  def of_leaf(leaf, total):
    size = jnp.abs(leaf.astype(jnp.float32))
    # At most 1 per element: the square is a part of the sum.
    share = size / jnp.where(total > 0.0, jnp.sqrt(total), 1.0)
    return jnp.sum(size * share)

  def of_task(gradient, own_sums):
    return jax.tree.reduce(
      jnp.add, jax.tree.map(of_leaf, gradient, own_sums), jnp.zeros(())
    )

  return jnp.stack(
    list(map(of_task, tasks.apart(gradients), tasks.apart(square_sums)))
  )


class GradNormState(NamedTuple):
  """The state of `gradnorm`.

  Attributes:
    task_weights: the last step's, f32[K].
    next_weights: the next step's, f32[K].
    initial_losses: those of the first step, f32[K].
    step: steps taken, i32[].
    optimizer_state: Adam's, of the weights.
  """

  task_weights: jax.Array
  next_weights: jax.Array
  initial_losses: jax.Array
  step: jax.Array
  optimizer_state: Any


def gradnorm(
  num_tasks: int, alpha: float = 1.5, learning_rate: float = 0.025
) -> optax.GradientTransformationExtraArgs:
  """GradNorm: learnt weights that even out norms and rates of training.

  Weights descend sum_k |G_k - mean(G) r_k^alpha|, G_k being the norm of the
  weighted gradient and r_k the loss over its first value, relative to the
  tasks' mean (Chen et al., ICML 2018, Equations 1 and 2 and Algorithm 1). The
  targets are constants, so the derivative is norm times sign. A step uses the
  weights from before its own update. Weights react to the ratio of the tasks'
  losses, not to their common scale.

  Norms are over all parameters that are balanced, where the paper takes the
  last shared layer to save time: here the gradients are there anyway. Weights
  stay at least 0, which the paper leaves open. Adam's epsilon is 1e-16, since
  gradients of mean losses are small.

  Args:
    alpha: how strongly slow tasks are pulled; 0 evens out norms alone.
    learning_rate: of Adam on the weights.

  Returns:
    A transformation that needs `losses`.
  """
  adam = optax.adam(learning_rate, eps=1e-16)

  def init(params):
    del params
    ones = np.ones(num_tasks, np.float32)
    return GradNormState(
      task_weights=jnp.array(ones),
      next_weights=jnp.array(ones),
      initial_losses=jnp.array(ones),
      step=jnp.zeros((), jnp.int32),
      optimizer_state=adam.init(jnp.array(ones)),
    )

  def update(updates, state, params=None, *, losses=None, **extra):
    del params, extra
    losses = _needed('gradnorm', 'losses', losses).astype(jnp.float32)
    weights = state.next_weights
    initial = jnp.where(state.step == 0, losses, state.initial_losses)
    derivative = gradnorm_derivative(
      weights, _norms(updates), _relative(losses, initial), alpha
    )
    change, optimizer_state = adam.update(derivative, state.optimizer_state)
    raw = jnp.maximum(weights + change, 0.0)
    total = jnp.sum(raw)
    new_weights = jnp.where(
      total > 0.0,
      num_tasks * raw / jnp.where(total > 0.0, total, 1.0),
      weights,
    )
    new_state = GradNormState(
      weights, new_weights, initial, state.step + 1, optimizer_state
    )
    new_state = tasks.unless_absent(losses, new_state, state)
    return tasks.combine(updates, weights), new_state

  return optax.GradientTransformationExtraArgs(init, update)


def gradnorm_derivative(
  weights: jax.Array, norms: jax.Array, loss_ratios: jax.Array, alpha: float
) -> jax.Array:
  """The derivative of GradNorm's Equation 2 in the weights, f32[K].

  Examples:
    >>> norms = jnp.array([3.0, 1.0])
    >>> gradnorm_derivative(jnp.ones(2), norms, jnp.ones(2), 1.5).tolist()
    [3.0, -1.0]

  Args:
    weights: of the tasks, >= 0, f32[K].
    norms: of their gradients without weights, f32[K].
    loss_ratios: losses over their first values, f32[K].
    alpha: exponent of the relative rates.
  """
  mean_ratio = jnp.mean(loss_ratios)
  rates = jnp.where(
    mean_ratio > 0.0,
    loss_ratios / jnp.where(mean_ratio > 0.0, mean_ratio, 1.0),
    1.0,
  )
  weighted = weights * norms
  targets = jnp.mean(weighted) * rates**alpha
  gaps = weighted - targets
  # Norms that differ by rounding alone are equal.
  return norms * jnp.where(jnp.abs(gaps) > 1e-6 * targets, jnp.sign(gaps), 0.0)


def graddrop(
  num_tasks: int, alpha: float = 0.0
) -> optax.GradientTransformationExtraArgs:
  """GradDrop: every element keeps the task gradients of one sign.

  The positive sign is drawn with probability (1 + sum_k g_k / sum_k |g_k|) / 2,
  apart for each element (Chen et al., NeurIPS 2020, Algorithm 1). What is not
  kept counts alpha times. There are no weights of tasks.

  The paper drops gradients of an activation, which it first multiplies by the
  activation's sign and sums over the batch; those of parameters are sums over
  the batch already, and take no sign.

  Args:
    num_tasks: K; not used, as other makers have it.
    alpha: the leak, from 0 to 1; 1 drops nothing.

  Returns:
    A transformation without a state that needs `key`.

  Raises:
    types.InputError: a leak out of range.
  """
  del num_tasks
  checks.check_share('graddrop', 'alpha', alpha)

  def update(updates, state, params=None, *, key=None, **extra):
    del params, extra
    leaves, structure = jax.tree.flatten(updates)
    salts = hashing.salts(_needed('graddrop', 'key', key), 0, len(leaves))
    kept = []
    for leaf, salt in zip(leaves, salts, strict=True):
      bits = hashing.bits(salt, leaf.shape[1:])
      # Above 0 and below 1: an element of one sign is always kept.
      uniform = ((bits >> 9).astype(jnp.float32) + 0.5) * 2.0**-23
      kept.append(keep_one_sign(leaf, uniform, alpha).astype(leaf.dtype))
    return structure.unflatten(kept), state

  return optax.GradientTransformationExtraArgs(
    lambda params: optax.EmptyState(), update
  )


def keep_one_sign(
  gradients: jax.Array, uniform: jax.Array, leak: float
) -> jax.Array:
  """GradDrop's sum over tasks of one leaf, given its draws.

  Examples:
    >>> gradients = jnp.array([[3.0, -1.0], [-1.0, -2.0]])
    >>> keep_one_sign(gradients, jnp.array([0.7, 0.7]), 0.0).tolist()
    [3.0, -3.0]

  Args:
    gradients: of the tasks, [K, ...].
    uniform: draws between 0 and 1, f32[...].
    leak: how much of what is not kept counts.

  Returns:
    f32[...].
  """
  # One addition after the other: XLA's reductions over a short leading axis
  # take many times as long on CPUs.
  parts = list(gradients.astype(jnp.float32))
  sizes = sum(map(jnp.abs, parts), jnp.zeros(()))
  sums = sum(parts, jnp.zeros(()))
  purity = 0.5 * (1.0 + sums / jnp.where(sizes > 0.0, sizes, 1.0))

  def kept(part):
    is_kept = jnp.where(
      purity > uniform, part > 0.0, (purity < uniform) & (part < 0.0)
    )
    return jnp.where(is_kept, 1.0, leak) * part

  return sum(map(kept, parts), jnp.zeros(()))


class AveragedState(NamedTuple):
  """The state of `db_mtl`.

  Attributes:
    task_weights: what the last step's task gradients were multiplied by before
      they entered the averages, times what the averages were multiplied by,
      f32[K].
    averages: moving averages of the gradients of log losses, f32[K, ...] like
      the parameters.
  """

  task_weights: jax.Array
  averages: Any


def db_mtl(
  num_tasks: int, decay: float = 0.9
) -> optax.GradientTransformationExtraArgs:
  """DB-MTL: gradients of log losses, averaged, brought to the largest norm.

  The gradient of a log loss is the loss's gradient over the loss; its moving
  average, of share `decay` for what was before, starts at 0 and is not
  corrected for that; every average is scaled to the largest one's norm (Lin et
  al., 2023, Algorithm 1). The result does not react to the scale of any task's
  loss. A constant `decay` is the default of the authors' code, which can also
  let it fall over the steps. Its 1e-8 that is added to every loss is here too.

  Here the scaled averages are averaged over tasks where the paper sums them,
  as everywhere in this package. Embedding rows that a step does not see
  (`embedding_adam=rows`) keep their averages, and are not in the norms.

  Args:
    decay: share of the past in the averages; 0 takes every step's own.

  Returns:
    A transformation that needs `losses`, which are at least 0.

  Raises:
    types.InputError: a decay that is no share.
  """
  checks.check_share('db_mtl', 'decay', decay)

  def init(params):
    return AveragedState(jnp.ones(num_tasks), _zeros(num_tasks, params))

  def update(updates, state, params=None, *, losses=None, **extra):
    del params, extra
    losses = _needed('db_mtl', 'losses', losses).astype(jnp.float32)
    of_log = 1.0 / (losses + 1e-8)
    averages = jax.tree.map(
      lambda average, g: (
        decay * average
        + (1.0 - decay) * _along(of_log, g) * g.astype(jnp.float32)
      ),
      state.averages,
      updates,
    )
    norms = _norms(averages)
    scales = _scales_to(jnp.max(norms), norms)
    combined = jax.tree.map(
      lambda total, g: total.astype(g.dtype),
      tasks.combine(averages, scales),
      updates,
    )
    return combined, AveragedState(scales * of_log, averages)

  return optax.GradientTransformationExtraArgs(init, update)


class NormsState(NamedTuple):
  """The state of `metabalance` and `multibalance`.

  Attributes:
    task_weights: the last step's, f32[K].
    norms: moving averages of gradient norms, f32[K], or of every leaf's,
      f32[K, leaves].
  """

  task_weights: jax.Array
  norms: jax.Array


def metabalance(
  num_tasks: int, alpha: float = 0.7, decay: float = 0.9, target: int = 0
) -> optax.GradientTransformationExtraArgs:
  """MetaBalance: gradient norms near those of a target task, layer by layer.

  In every leaf of the parameters a task's gradient is multiplied by alpha m_t /
  m_k + 1 - alpha, m_k being the moving average of its norm there and m_t that
  of the target task: the strategy that shrinks and enlarges, with a relax
  factor (He et al., WWW 2022). The factors do not average 1: the target's is 1.
  At alpha = 1 the result does not react to the scale of the other losses.
  Leaves without any gradient of the target yet, such as other tasks' towers,
  stay as they are: the paper has shared parameters alone.

  `task_weights` are norms of the scaled gradients over all leaves, relative to
  those before; leaves have factors of their own.

  Args:
    alpha: the relax factor, from 0 (nothing changes) to 1 (the target's norm).
    decay: of the moving averages; they start at 0, which cancels out.
    target: number of the target task; settings of a run have the first.

  Raises:
    types.InputError: a factor or decay that is no share.
  """
  checks.check_share('metabalance', 'alpha', alpha)
  checks.check_share('metabalance', 'decay', decay)

  def init(params):
    leaves = len(jax.tree.leaves(params))
    # One array: a tree like the parameters would pass for embedding tables.
    return NormsState(jnp.ones(num_tasks), jnp.zeros((num_tasks, leaves)))

  def update(updates, state, params=None, *, losses=None, **extra):
    del params, extra
    found = _leaf_norms(updates)
    norms = decay * state.norms + (1.0 - decay) * found
    norms = tasks.unless_absent(losses, norms, state.norms)
    targets = norms[target][None]
    factors = jnp.where(
      targets > 0.0, alpha * _scales_to(targets, norms) + 1.0 - alpha, 1.0
    )
    leaves, structure = jax.tree.flatten(updates)
    combined = structure.unflatten(
      tasks.combine(leaf, factors[:, i]) for i, leaf in enumerate(leaves)
    )
    weights = _relative(_lengths(factors * found), _lengths(found))
    return combined, NormsState(weights, norms)

  return optax.GradientTransformationExtraArgs(init, update)


def multibalance(
  num_tasks: int, alpha: float = 0.7, decay: float = 0.9
) -> optax.GradientTransformationExtraArgs:
  """Gradient norms of all tasks near their mean, by moving averages.

  A task's gradient is multiplied by alpha mean(m) / m_k + 1 - alpha, m_k being
  the moving average of its norm. The weights do not average 1; sum_k w_k m_k
  stays sum_k m_k instead. At alpha = 1 the direction does not react to the
  scale of any task's loss.

  After He et al., 2024 (MultiBalance, arXiv:2411.11871), and not the same.
  From the paper: no task is the target; one factor per task instead of one per
  layer; moving averages of the magnitudes of batch gradients. Not from the
  paper: the norms, which are those of parameters' gradients where it takes
  gradients of the shared representation (one backward pass, where this costs
  K); the mean as the common magnitude; the relax factor, which is
  MetaBalance's, as both defaults are.

  Args:
    alpha: the relax factor, from 0 (nothing changes) to 1 (the same norm).
    decay: of the moving averages; they start at 0, which cancels out.

  Raises:
    types.InputError: a factor or decay that is no share.
  """
  checks.check_share('multibalance', 'alpha', alpha)
  checks.check_share('multibalance', 'decay', decay)

  def init(params):
    del params
    return NormsState(jnp.ones(num_tasks), jnp.zeros(num_tasks))

  def update(updates, state, params=None, *, losses=None, **extra):
    del params, extra
    norms = decay * state.norms + (1.0 - decay) * _norms(updates)
    norms = tasks.unless_absent(losses, norms, state.norms)
    mean = jnp.mean(norms)
    scales = jnp.where(mean > 0.0, _scales_to(mean, norms), 1.0)
    weights = alpha * scales + 1.0 - alpha
    return tasks.combine(updates, weights), NormsState(weights, norms)

  return optax.GradientTransformationExtraArgs(init, update)


def _needed(name: str, argument: str, value: Any) -> Any:
  """The value of an extra argument that a link can't do without."""
  if value is None:
    raise ValueError(f'{name}: update needs the extra argument `{argument}`')
  return value


def _zeros(num_tasks: int, params: Any) -> Any:
  """f32[K, ...] like the parameters."""
  return jax.tree.map(
    lambda leaf: jnp.zeros((num_tasks, *leaf.shape), jnp.float32), params
  )


def _along(weights: jax.Array, leaf: jax.Array) -> jax.Array:
  """Weights f32[K] as [K, 1, ...], to multiply a leaf [K, ...] by."""
  return weights.reshape(-1, *(1,) * (leaf.ndim - 1))


def _leaf_norms(gradients: Any) -> jax.Array:
  """Norms of every task's gradient in every leaf, f32[K, leaves]."""
  return jnp.stack(
    [
      jnp.stack(
        [jnp.sqrt(tasks.product(leaf, leaf)) for leaf in jax.tree.leaves(own)]
      )
      for own in tasks.apart(gradients)
    ]
  )


def _lengths(norms: jax.Array) -> jax.Array:
  """Norms over all leaves, f32[K], of those of leaves, f32[K, leaves]."""
  return jnp.sqrt(jnp.sum(jnp.square(norms), axis=1))


def _norms(gradients: Any) -> jax.Array:
  """Norms of every task's gradient, f32[K]."""
  return _lengths(_leaf_norms(gradients))


def _relative(values: jax.Array, reference: jax.Array) -> jax.Array:
  """values / reference, and 1 where there is none to divide by."""
  has_one = reference > _TINY
  return jnp.where(has_one, values / jnp.where(has_one, reference, 1.0), 1.0)


def _scales_to(target: jax.Array, norms: jax.Array) -> jax.Array:
  """What brings norms to the target; finite for norms of 0."""
  floor = jnp.maximum(_SMALLEST_RATIO * target, _TINY)
  return target / jnp.maximum(norms, floor)
