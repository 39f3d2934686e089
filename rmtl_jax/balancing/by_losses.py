"""Balancers that weigh the tasks' losses: one backward pass.

Every maker here gives an Optax transformation of the cotangent of the row
losses ([..., K], or a pytree of such; K is `num_tasks`), which multiplies each
task's part by a weight; the weights average 1 unless a docstring says
otherwise. `update` takes `losses`, like the cotangent, and `key` where a maker
says so. Losses of tasks are means over the batch's rows, of losses times the
weights that rows have already (balancing/tasks.mean_losses). Losses are at
least 0; they may be 0. A task that no row of the batch tells of has none: it
counts as the geometric mean of the others, and states stay as they were.

    balancer = gls(num_tasks=2)
    grad_fn = value_and_weighted_grad(losses_of_rows, balancer)
    loss, gradient, state = grad_fn(params, state, x, labels)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
import optax

from rmtl_jax import types
from rmtl_jax.balancing import checks, tasks

# Added to losses, or the least of them, where they are divisors or in logs.
_LEAST_LOSS = 1e-8
# Of log weights that learn: a task without any loss would drive its own up
# for ever.
_LARGEST_LOG = 20.0


def from_losses(
  num_tasks: int,
  weights_of: Callable[[jax.Array, Any, Any], tuple[jax.Array, Any]],
  init_state: Callable[[], Any] = optax.EmptyState,
  unobserved: Callable[[jax.Array, Any], Any] = lambda losses, state: state,
) -> optax.GradientTransformationExtraArgs:
  """A transformation from a function of the tasks' losses.

  Examples:
    >>> link = from_losses(2, lambda losses, state, key: (1 / losses, state))
    >>> cotangent = jnp.full((1, 2), 0.5)
    >>> weighted, _ = link.update(
    ...   cotangent, link.init(()), losses=jnp.array([[2.0, 0.5]]))
    >>> weighted.tolist()
    [[0.25, 1.0]]

  Args:
    weights_of: (losses f32[K], state, key or None) -> (weights f32[K], new
      state). Losses have no gradient: weights are constants of the step.
    init_state: gives the state before the first step.
    unobserved: (losses f32[K], state) -> the state after a batch without any
      row of some task, whose loss is 0 here.

  Returns:
    A transformation that needs `losses`, and hands `key` on.

  Raises:
    ValueError: when it is called, where the cotangent has another number of
      tasks or `losses` does not belong to it.
  """

  def init(params):
    del params
    return init_state()

  def update(updates, state, params=None, *, losses=None, key=None, **extra):
    del params, extra
    checks.check_losses(updates, losses, num_tasks)
    of_tasks = jax.lax.stop_gradient(tasks.mean_losses(updates, losses))
    seen = tasks.observed(updates)
    logs = jnp.log(jnp.maximum(of_tasks, _LEAST_LOSS))
    rest = jnp.exp(jnp.sum(logs * seen) / jnp.maximum(jnp.sum(seen), 1))
    weights, new_state = weights_of(jnp.where(seen, of_tasks, rest), state, key)
    new_state = jax.tree.map(
      lambda new, old: jnp.where(jnp.all(seen), new, old),
      new_state,
      unobserved(of_tasks, state),
    )
    return tasks.scale(updates, weights), new_state

  return optax.GradientTransformationExtraArgs(init, update)


class StaticState(NamedTuple):
  """The state of `static`.

  Attributes:
    weights: of the tasks, f32[K]; in the state, so that one compiled step
      serves all values.
  """

  weights: jax.Array


def static(
  num_tasks: int, weights: Sequence[float] | None = None
) -> optax.GradientTransformationExtraArgs:
  """Constant weights.

  Examples:
    >>> link = static(2, weights=(1.0, 3.0))
    >>> cotangent = jnp.ones((2, 2))
    >>> weighted, _ = link.update(cotangent, link.init(cotangent))
    >>> weighted.tolist()
    [[0.5, 1.5], [0.5, 1.5]]

  Args:
    weights: K numbers >= 0, divided by their mean; None: all 1.

  Raises:
    types.InputError: another number of weights, one below 0, or all 0.
  """
  given = checks.numbers_of_tasks('static', 'weights', weights, num_tasks, 1.0)
  if not (np.all(given >= 0) and 0 < given.sum() < np.inf):
    raise types.InputError(
      f'static: weights={given.tolist()}: expected numbers that are at least'
      ' 0, not all 0'
    )
  initial = (given / given.mean()).astype(np.float32)

  def init(params):
    del params
    return StaticState(jnp.array(initial))

  def update(updates, state, params=None, **extra):
    del params, extra
    checks.check_tasks(updates, num_tasks)
    return tasks.scale(updates, state.weights), state

  return optax.GradientTransformationExtraArgs(init, update)


def rlw(num_tasks: int) -> optax.GradientTransformationExtraArgs:
  """Random weights, drawn anew in every step: K softmax(normal draws).

  Lin et al., "Reasonable Effectiveness of Random Weighting: A Litmus Test for
  Multi-Task Learning" (TMLR 2022), Algorithm 2.

  Returns:
    A transformation that needs `losses` and `key`.
  """

  def weights_of(losses, state, key):
    if key is None:
      raise ValueError('rlw: expected a random key, key=...')
    draws = jax.random.normal(key, losses.shape, losses.dtype)
    return num_tasks * jax.nn.softmax(draws), state

  return from_losses(num_tasks, weights_of)


class LearntState(NamedTuple):
  """The state of balancers whose weights take steps of Adam.

  Attributes:
    s: the paper's parameter of every task, f32[K], 0 at first.
    optimizer_state: Adam's.
  """

  s: jax.Array
  optimizer_state: Any


def homoscedastic_uncertainty(
  num_tasks: int,
  learning_rate: float = 1e-3,
  noise: Literal['classification', 'regression'] = 'classification',
) -> optax.GradientTransformationExtraArgs:
  """Weights exp(-s), where s = log sigma^2 is the learnt noise of a task.

  Kendall et al., "Multi-Task Learning Using Uncertainty to Weigh Losses"
  (CVPR 2018): the sum over tasks of exp(-s) L + s / 2 (Eq. 10, a task of
  classification) or of exp(-s) L / 2 + s / 2 (Eq. 7, regression) is descended
  in s by Adam, in the network by its own optimizer. The weights keep the
  paper's scale, and start at 1: those of `regression` are twice the paper's,
  so that both start where equal weights are. They approach 1 / (2 L) and 1 / L
  where losses no longer change. |s| stays within 20.

  Args:
    learning_rate: of s.
    noise: which of the two.

  Raises:
    types.InputError: another noise, or a learning rate below 0.
  """
  if noise not in ('classification', 'regression'):
    raise types.InputError(
      f'homoscedastic_uncertainty: noise={noise!r}: expected classification or'
      ' regression'
    )

  def weights_and_gradient(losses, s):
    weights = jnp.exp(-s)
    if noise == 'classification':
      return weights, 0.5 - weights * losses
    return weights, 0.5 - 0.5 * weights * losses

  return _learnt(
    'homoscedastic_uncertainty', num_tasks, learning_rate, weights_and_gradient
  )


def imtl_l(
  num_tasks: int, learning_rate: float = 1e-3
) -> optax.GradientTransformationExtraArgs:
  """Weights exp(s), learnt so that all scaled losses are one.

  Liu et al., "Towards Impartial Multi-task Learning" (ICLR 2021), IMTL-L:
  the sum over tasks of exp(s) L - s is descended in s by Adam. The weights keep
  the paper's scale: 1 at first, 1 / L where losses no longer change. |s| stays
  within 20.

  Args:
    learning_rate: of s.

  Raises:
    types.InputError: a learning rate below 0.
  """

  def weights_and_gradient(losses, s):
    weights = jnp.exp(s)
    return weights, weights * losses - 1.0

  return _learnt('imtl_l', num_tasks, learning_rate, weights_and_gradient)


def _learnt(
  name: str,
  num_tasks: int,
  learning_rate: float,
  weights_and_gradient: Callable[..., tuple[jax.Array, jax.Array]],
) -> optax.GradientTransformationExtraArgs:
  """Weights of s, which takes a step after they have been used.

  Args:
    name: of the balancer, for errors.
    learning_rate: of Adam.
    weights_and_gradient: (losses f32[K], s f32[K]) -> (weights, derivative of
      what is descended in s), f32[K] each.
  """
  checks.check_at_least(name, 'learning_rate', learning_rate, 0)
  optimizer = optax.adam(learning_rate)

  def init_state():
    s = jnp.zeros(num_tasks, jnp.float32)
    return LearntState(s, optimizer.init(s))

  def weights_of(losses, state, key):
    del key
    weights, gradient = weights_and_gradient(losses, state.s)
    step, optimizer_state = optimizer.update(gradient, state.optimizer_state)
    s = jnp.clip(state.s + step, -_LARGEST_LOG, _LARGEST_LOG)
    return weights, LearntState(s, optimizer_state)

  return from_losses(num_tasks, weights_of, init_state)


class DwaState(NamedTuple):
  """The state of `dwa`.

  Attributes:
    before: mean losses of the last two whole periods, the older one first,
      f32[2, K].
    mean: that of the steps of this period so far, f32[K].
    steps: their number, i32[].
    periods: whole ones so far, at most 2, i32[].
    period: steps of one, i32[].
  """

  before: jax.Array
  mean: jax.Array
  steps: jax.Array
  periods: jax.Array
  period: jax.Array


def dwa(
  num_tasks: int, temperature: float = 2.0, period: int = 1
) -> optax.GradientTransformationExtraArgs:
  """Dynamic weight average: more for tasks whose losses fall slowly.

  Liu et al., "End-to-End Multi-Task Learning with Attention" (CVPR 2019),
  Eq. (7): K softmax(r / T), where r is a task's mean loss of the last period
  by that of the period before. Weights are equal until two periods are over.

  Args:
    temperature: T; the larger, the more even the weights.
    period: steps; an epoch in the paper.

  Raises:
    types.InputError: a temperature that is not above 0, a period below 1.
  """
  checks.check_above_0('dwa', 'temperature', temperature)
  checks.check_at_least('dwa', 'period', period, 1)

  def init_state():
    return DwaState(
      before=jnp.zeros((2, num_tasks), jnp.float32),
      mean=jnp.zeros(num_tasks, jnp.float32),
      steps=jnp.zeros((), jnp.int32),
      periods=jnp.zeros((), jnp.int32),
      period=jnp.array(period, jnp.int32),
    )

  def weights_of(losses, state, key):
    del key
    older, newer = jnp.maximum(state.before, _LEAST_LOSS)
    weights = num_tasks * jax.nn.softmax(newer / older / temperature)
    weights = jnp.where(state.periods < 2, 1.0, weights)
    steps = state.steps + 1
    mean = state.mean + (losses - state.mean) / steps
    is_over = steps >= state.period
    new_state = DwaState(
      before=jnp.where(
        is_over, jnp.stack([state.before[1], mean]), state.before
      ),
      mean=jnp.where(is_over, 0.0, mean),
      steps=jnp.where(is_over, 0, steps),
      periods=jnp.minimum(state.periods + is_over, 2),
      period=state.period,
    )
    return weights, new_state

  return from_losses(num_tasks, weights_of, init_state)


def gls(num_tasks: int) -> optax.GradientTransformationExtraArgs:
  """The gradient of the losses' geometric mean in place of their mean's.

  Chennupati et al., "MultiNet++: Multi-Stream Feature Aggregation and
  Geometric Loss Strategy for Multi-Task Learning" (CVPR workshops 2019):
  F = (prod_k L_k)^(1/K) has the derivative F / (K L_k). So the weights in the
  mean are F / L_k: 1 where losses are equal, and else at least 1 on average.
  """

  def weights_of(losses, state, key):
    del key
    log_losses = jnp.log(jnp.maximum(losses, _LEAST_LOSS))
    return jnp.exp(jnp.mean(log_losses) - log_losses), state

  return from_losses(num_tasks, weights_of)


class FamoState(NamedTuple):
  """The state of `famo`.

  Attributes:
    logits: xi of the paper, f32[K], 0 at first.
    before: losses of the last batch before the step, f32[K].
    optimizer_state: Adam's, of the logits.
    minima: lower bounds of the losses, f32[K].
    learning_rate: of the logits, f32[].
    decay: gamma of the paper, f32[].
  """

  logits: jax.Array
  before: jax.Array
  optimizer_state: Any
  minima: jax.Array
  learning_rate: jax.Array
  decay: jax.Array


def famo(
  num_tasks: int,
  learning_rate: float = 0.025,
  decay: float = 1e-3,
  minima: Sequence[float] | None = None,
) -> optax.GradientTransformationExtraArgs:
  """Weights with which all losses fall at one rate, from losses alone.

  Liu et al., "FAMO: Fast Adaptive Multitask Optimization" (NeurIPS 2023),
  Algorithm 1: z = softmax(xi), and the gradient of sum_k z_k log(L_k - b_k),
  scaled so that the weights average 1. After every step `observe_famo` must be
  told the losses of the same batch; weights don't learn without it.

  Examples:
    >>> link, cotangent = famo(2), jnp.full((1, 2), 0.5)
    >>> weighted, state = link.update(
    ...   cotangent, link.init(()), losses=jnp.array([[1.0, 3.0]]))
    >>> print(np.asarray(weighted).round(3))
    [[0.75 0.25]]
    >>> state = observe_famo(state, jnp.array([0.5, 3.0]))  # one fell
    >>> print(np.asarray(state.logits).round(3))
    [-0.025  0.025]

  Args:
    learning_rate: beta of the paper, of Adam on the logits.
    decay: gamma of the paper: draws logits to 0.
    minima: b, a lower bound of each loss, f32[K]; None: 0.

  Raises:
    types.InputError: a learning rate or decay below 0, another number of
      minima.
  """
  checks.check_at_least('famo', 'learning_rate', learning_rate, 0)
  checks.check_at_least('famo', 'decay', decay, 0)
  bounds = checks.numbers_of_tasks('famo', 'minima', minima, num_tasks, 0.0)

  def init_state():
    logits = jnp.zeros(num_tasks, jnp.float32)
    return FamoState(
      logits=logits,
      before=jnp.zeros(num_tasks, jnp.float32),
      optimizer_state=optax.scale_by_adam().init(logits),
      minima=jnp.array(bounds, jnp.float32),
      learning_rate=jnp.array(learning_rate, jnp.float32),
      decay=jnp.array(decay, jnp.float32),
    )

  def weights_of(losses, state, key):
    del key
    log_weights = state.logits - _log_above(losses, state.minima)
    weights = num_tasks * jax.nn.softmax(log_weights)
    return weights, state._replace(before=losses)

  return from_losses(
    num_tasks,
    weights_of,
    init_state,
    # For `observe_famo`, which learns nothing of such a batch.
    unobserved=lambda losses, state: state._replace(before=losses),
  )


def observe_famo(state: FamoState, losses: jax.Array) -> FamoState:
  """The step of FAMO's logits, after that of the network.

  Their gradient is d z / d xi times the fall of the log losses, plus decay
  times xi (Algorithm 1, lines 5 and 6; Adam as in the paper's experiments). A
  task without rows would seem to fall slowest, and rise.

  Args:
    state: after the update on the batch.
    losses: of the tasks on the same batch after the step, f32[K]; means with
      the same weights of rows as those before it.
  """
  fall = _log_above(state.before, state.minima) - _log_above(
    losses, state.minima
  )
  z = jax.nn.softmax(state.logits)
  gradient = z * (fall - jnp.sum(z * fall)) + state.decay * state.logits
  step, optimizer_state = optax.scale_by_adam().update(
    gradient, state.optimizer_state
  )
  new_state = state._replace(
    logits=state.logits - state.learning_rate * cast(jax.Array, step),
    optimizer_state=optimizer_state,
  )
  return tasks.unless_absent(state.before, new_state, state)


def _log_above(losses: jax.Array, minima: jax.Array) -> jax.Array:
  return jnp.log(jnp.maximum(losses - minima, 0.0) + _LEAST_LOSS)


class StchState(NamedTuple):
  """The state of `stch`.

  Attributes:
    nadir: mean losses of the warm-up so far, f32[K].
    steps: of the warm-up, i32[].
    warmup_steps: how many it has, i32[].
  """

  nadir: jax.Array
  steps: jax.Array
  warmup_steps: jax.Array


def stch(
  num_tasks: int, temperature: float = 1.0, warmup_steps: int = 1
) -> optax.GradientTransformationExtraArgs:
  """A smooth maximum of log losses, each relative to what it was at first.

  Lin et al., "Smooth Tchebycheff Scalarization for Multi-Objective
  Optimization" (ICML 2024): the gradient of
  mu log sum_k exp(log(L_k / nadir_k) / mu), scaled so that the weights average
  1. The nadir is the mean losses of the warm-up, which descends the sum of log
  losses.

  Args:
    temperature: mu; the smaller, the more the largest alone counts.
    warmup_steps: steps of the warm-up.

  Raises:
    types.InputError: a temperature that is not above 0, no warm-up.
  """
  checks.check_above_0('stch', 'temperature', temperature)
  checks.check_at_least('stch', 'warmup_steps', warmup_steps, 1)

  def init_state():
    return StchState(
      nadir=jnp.zeros(num_tasks, jnp.float32),
      steps=jnp.zeros((), jnp.int32),
      warmup_steps=jnp.array(warmup_steps, jnp.int32),
    )

  def weights_of(losses, state, key):
    del key
    log_losses, log_nadir = (
      jnp.log(jnp.maximum(values, _LEAST_LOSS))
      for values in (losses, state.nadir)
    )
    warms_up = state.steps < state.warmup_steps
    shares = jax.nn.log_softmax((log_losses - log_nadir) / temperature)
    log_weights = jnp.where(warms_up, 0.0, shares) - log_losses
    steps = state.steps + 1
    new_state = StchState(
      jnp.where(
        warms_up, state.nadir + (losses - state.nadir) / steps, state.nadir
      ),
      jnp.where(warms_up, steps, state.steps),
      state.warmup_steps,
    )
    return num_tasks * jax.nn.softmax(log_weights), new_state

  return from_losses(num_tasks, weights_of, init_state)
