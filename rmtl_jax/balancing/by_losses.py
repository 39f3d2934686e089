"""Balancers of the tasks' losses: one backward pass.

A maker, such as `dwa(num_tasks)`, gives an Optax transformation of the
cotangent of the row losses, [..., K], that multiplies each task's part by a
weight; the weights average 1 unless stated otherwise. `update` takes
`losses`, like the cotangent, and `key` where stated. A task's loss is
the mean over the batch's rows of losses times the weights that rows have
already (tasks.mean_losses). A task without a row in the batch counts as the
geometric mean of the others, and states stay as they were.

    balancer = gls(num_tasks=2)
    grad_fn = value_and_weighted_grad(losses_of_rows, balancer)
    loss, gradient, state = grad_fn(params, state, x, labels)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
import optax

from rmtl_jax import types
from rmtl_jax.balancing import task_sums

# Added to losses, or the least of them, where they are divisors or in logs.
_LEAST_LOSS = 1e-8
# Largest log weight: a task without any loss would raise its own for ever.
_LARGEST_LOG = 20.0
# FAMO's gamma, which draws its logits to 0.
_FAMO_DECAY = 1e-3


def from_losses(
  num_tasks: int,
  weights_of: Callable[[jax.Array, Any, Any], tuple[jax.Array, Any]],
  init_state: Callable[[], Any] = optax.EmptyState,
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
    num_tasks: K.
    weights_of: (losses f32[K], state, key or None) -> (weights f32[K], new
      state). Losses have no gradient: weights are constants of the step.
    init_state: gives the state before the first step.

  Returns:
    A transformation that needs `losses`, and passes `key` to `weights_of`.

  Raises:
    ValueError: in `update`, without losses or with another number of tasks.
  """

  def init(params):
    del params
    return init_state()

  def update(updates, state, params=None, *, losses=None, key=None, **extra):
    del params, extra
    if losses is None:
      raise ValueError('losses: expected those of the rows, found none')
    _check_tasks(updates, num_tasks)
    of_tasks = jax.lax.stop_gradient(task_sums.mean_losses(updates, losses))
    seen = task_sums.observed(updates)
    logs = jnp.log(jnp.maximum(of_tasks, _LEAST_LOSS))
    rest = jnp.exp(jnp.sum(logs * seen) / jnp.maximum(jnp.sum(seen), 1))
    weights, new_state = weights_of(jnp.where(seen, of_tasks, rest), state, key)
    new_state = jax.tree.map(
      lambda new, old: jnp.where(jnp.all(seen), new, old), new_state, state
    )
    return task_sums.scale(updates, weights), new_state

  return optax.GradientTransformationExtraArgs(init, update)


def _check_tasks(updates: jax.Array, num_tasks: int) -> None:
  if updates.shape[-1] != num_tasks:
    raise ValueError(
      f'row losses: expected {num_tasks} tasks, found {updates.shape[-1]}'
    )


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
    num_tasks: K.
    weights: K numbers >= 0, divided by their mean; None: all 1.

  Raises:
    types.InputError: another number of weights, one below 0, or all 0.
  """
  given = np.ones(num_tasks) if weights is None else np.asarray(weights, float)
  if given.shape != (num_tasks,):
    raise types.InputError(
      f'static: weights: expected {num_tasks} numbers, found {given.size}'
    )
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
    _check_tasks(updates, num_tasks)
    return task_sums.scale(updates, state.weights), state

  return optax.GradientTransformationExtraArgs(init, update)


def rlw(num_tasks: int) -> optax.GradientTransformationExtraArgs:
  """Random weights, drawn in every step: K softmax(normal draws).

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
  """State of balancers that learn their weights by Adam.

  Attributes:
    s: the paper's parameter of every task, f32[K], 0 at first.
    optimizer_state: Adam's.
  """

  s: jax.Array
  optimizer_state: Any


def homoscedastic_uncertainty(
  num_tasks: int, learning_rate: float = 1e-3
) -> optax.GradientTransformationExtraArgs:
  """Weights exp(-s), where s = log sigma^2 is the learnt noise of a task.

  Kendall et al., "Multi-Task Learning Using Uncertainty to Weigh Losses"
  (CVPR 2018): the sum over tasks of exp(-s) L + s / 2 (Eq. 10, for
  classification) is descended in s by Adam, in the network by its own
  optimizer. The weights keep the paper's scale: 1 at first, 1 / (2 L) where
  losses no longer change. |s| stays within 20.

  Args:
    num_tasks: K.
    learning_rate: of s.
  """

  def weights_and_gradient(losses, s):
    weights = jnp.exp(-s)
    return weights, 0.5 - weights * losses

  return _learnt(num_tasks, learning_rate, weights_and_gradient)


def imtl_l(
  num_tasks: int, learning_rate: float = 1e-3
) -> optax.GradientTransformationExtraArgs:
  """Weights exp(s), learnt so that all scaled losses are one.

  Liu et al., "Towards Impartial Multi-task Learning" (ICLR 2021), IMTL-L:
  the sum over tasks of exp(s) L - s is descended in s by Adam. The weights keep
  the paper's scale: 1 at first, 1 / L where losses no longer change. |s| stays
  within 20.

  Args:
    num_tasks: K.
    learning_rate: of s.
  """

  def weights_and_gradient(losses, s):
    weights = jnp.exp(s)
    return weights, weights * losses - 1.0

  return _learnt(num_tasks, learning_rate, weights_and_gradient)


def _learnt(
  num_tasks: int,
  learning_rate: float,
  weights_and_gradient: Callable[..., tuple[jax.Array, jax.Array]],
) -> optax.GradientTransformationExtraArgs:
  """Weights of s, which takes a step of Adam after they have been used.

  Args:
    num_tasks: K.
    learning_rate: of Adam.
    weights_and_gradient: (losses f32[K], s f32[K]) -> (weights, derivative of
      what is descended in s), f32[K] each.
  """
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
    before: mean losses of the last two whole epochs, the older one first,
      f32[2, K].
    mean: that of the steps of this epoch so far, f32[K].
    steps: their number, i32[].
    epochs: whole ones so far, at most 2, i32[].
    epoch_steps: steps of one, i32[]; in the state, so that one compiled step
      serves all values.
  """

  before: jax.Array
  mean: jax.Array
  steps: jax.Array
  epochs: jax.Array
  epoch_steps: jax.Array


def dwa(
  num_tasks: int, epoch_steps: int = 1, temperature: float = 2.0
) -> optax.GradientTransformationExtraArgs:
  """Dynamic weight average: more weight for slowly falling losses.

  Liu et al., "End-to-End Multi-Task Learning with Attention" (CVPR 2019),
  Eq. (7): K softmax(r / T), where r is a task's mean loss of the last epoch
  by that of the epoch before. Weights are equal until two epochs are over.

  Args:
    num_tasks: K.
    epoch_steps: steps of an epoch, at least 1.
    temperature: T; the larger, the more even the weights.
  """

  def init_state():
    return DwaState(
      before=jnp.zeros((2, num_tasks), jnp.float32),
      mean=jnp.zeros(num_tasks, jnp.float32),
      steps=jnp.zeros((), jnp.int32),
      epochs=jnp.zeros((), jnp.int32),
      epoch_steps=jnp.array(epoch_steps, jnp.int32),
    )

  def weights_of(losses, state, key):
    del key
    older, newer = jnp.maximum(state.before, _LEAST_LOSS)
    weights = num_tasks * jax.nn.softmax(newer / older / temperature)
    weights = jnp.where(state.epochs < 2, 1.0, weights)
    steps = state.steps + 1
    mean = state.mean + (losses - state.mean) / steps
    is_over = steps >= state.epoch_steps
    new_state = DwaState(
      before=jnp.where(
        is_over, jnp.stack([state.before[1], mean]), state.before
      ),
      mean=jnp.where(is_over, 0.0, mean),
      steps=jnp.where(is_over, 0, steps),
      epochs=jnp.minimum(state.epochs + is_over, 2),
      epoch_steps=state.epoch_steps,
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
    learning_rate: of the logits, f32[].
  """

  logits: jax.Array
  before: jax.Array
  optimizer_state: Any
  learning_rate: jax.Array


def famo(
  num_tasks: int, learning_rate: float = 0.025
) -> optax.GradientTransformationExtraArgs:
  """Weights with which all losses fall at one rate, from losses alone.

  Liu et al., "FAMO: Fast Adaptive Multitask Optimization" (NeurIPS 2023),
  Algorithm 1: z = softmax(xi), and the gradient of sum_k z_k log L_k, scaled
  so that the weights average 1. After every step `observe_famo` must be given
  the losses of the same batch; weights don't learn without it.

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
    num_tasks: K.
    learning_rate: beta of the paper, of Adam on the logits.
  """

  def init_state():
    logits = jnp.zeros(num_tasks, jnp.float32)
    return FamoState(
      logits=logits,
      before=jnp.zeros(num_tasks, jnp.float32),
      optimizer_state=optax.scale_by_adam().init(logits),
      learning_rate=jnp.array(learning_rate, jnp.float32),
    )

  def weights_of(losses, state, key):
    del key
    log_weights = state.logits - jnp.log(losses + _LEAST_LOSS)
    weights = num_tasks * jax.nn.softmax(log_weights)
    return weights, state._replace(before=losses)

  return from_losses(num_tasks, weights_of, init_state)


def observe_famo(state: FamoState, losses: jax.Array) -> FamoState:
  """The step of FAMO's logits, after that of the network.

  Their gradient is d z / d xi times the fall of the log losses, plus decay
  times xi (Algorithm 1, lines 5 and 6; Adam as in the paper's experiments).
  The state stays as it is after a batch without any row of some task.

  Args:
    state: after the update on the batch.
    losses: of the tasks on the same batch after the step, f32[K]; means with
      the same weights of rows as those before it, 0 of a task without rows.
  """
  fall = jnp.log((state.before + _LEAST_LOSS) / (losses + _LEAST_LOSS))
  z = jax.nn.softmax(state.logits)
  gradient = z * (fall - jnp.sum(z * fall)) + _FAMO_DECAY * state.logits
  step, optimizer_state = optax.scale_by_adam().update(
    gradient, state.optimizer_state
  )
  new_state = state._replace(
    logits=state.logits - state.learning_rate * cast(jax.Array, step),
    optimizer_state=optimizer_state,
  )
  return task_sums.unless_absent(losses, new_state, state)
