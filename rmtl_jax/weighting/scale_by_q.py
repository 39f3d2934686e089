"""Weights from critics: RMTL's, the paper's ablations, and their controls.

Every transformation here takes the cotangent of the row losses (`updates`,
[..., K]: what the loss function's pullback is called with) and returns it
multiplied by a weight per row and task, in its own dtype. So a chain of them
costs no second backward pass. Extra arguments, by keyword: `q_values`
f32[..., K], `labels` f32[..., K], `mask` bool[...], `key`; each link takes what
it needs. An argument of another shape than the row losses is refused, because
broadcasting would take values per row [3] for weights of the tasks of losses
[3, 3].
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from rmtl_jax import types

_PER_TASK = ('q_values', 'labels', 'sample_weight')


def critic_weights(
  q_values: types.Array, lambda_: types.Array | float, xp: Any = jnp
) -> types.Array:
  """Eq. (9): omega = 1 - lambda Q, without gradient; >= 1 where Q <= 0.

  No weight is below 0, so that no loss is ascended. Rewards are log
  likelihoods, so Q <= 0, and with the paper's lambda > 0 that bound is never
  reached. It is reached for Q > 1 / lambda, and with a negative
  lambda, which the paper lacks: rows then count less the worse their future
  looks.

  Args:
    q_values: Q_k(s_t, pi_k(s_t)), f32[...].
    lambda_: the paper's lambda, f32[].
    xp: jax.numpy, or numpy for numbers on the host.

  Returns:
    f32[...].
  """
  return xp.maximum(1.0 - lambda_ * jax.lax.stop_gradient(q_values), 0.0)


def scale_by_critic(
  lambda_: jax.Array | float = 0.7,
) -> optax.GradientTransformationExtraArgs:
  """RMTL: every row's loss of every task times max(0, 1 - lambda Q) (Eq. 9).

  Examples:
    >>> import jax.numpy as jnp, optax
    >>> chain = optax.chain(scale_by_critic(lambda_=0.5))
    >>> cotangent = jnp.ones((1, 2, 1))
    >>> q_values = jnp.array([[[-2.0], [0.0]]])
    >>> weighted, _ = chain.update(
    ...     cotangent, chain.init(cotangent), q_values=q_values)
    >>> weighted.ravel().tolist()
    [2.0, 1.0]

  Args:
    lambda_: the paper's lambda; `optax.inject_hyperparams` makes it follow a
      schedule.

  Returns:
    A transformation that needs `q_values`.
  """
  return stateless(
    lambda updates, q_values, **_: updates * critic_weights(q_values, lambda_)
  )


def scale_by_label_times_q(
  lambda_: jax.Array | float = 0.7,
) -> optax.GradientTransformationExtraArgs:
  """The ablation WL: weights max(0, 1 - lambda y Q) (paper, section 4.6).

  Examples:
    >>> import jax.numpy as jnp
    >>> link, ones = scale_by_label_times_q(0.5), jnp.ones((1, 2, 1))
    >>> weights, _ = link.update(
    ...   ones, link.init(ones), q_values=-2 * ones,
    ...   labels=jnp.array([[[1.0], [0.0]]]))
    >>> weights.ravel().tolist()
    [2.0, 1.0]

  Args:
    lambda_: the paper's lambda.

  Returns:
    A transformation that needs `q_values` and `labels`.
  """
  return stateless(
    lambda updates, q_values, labels, **_: (
      updates * critic_weights(labels * q_values, lambda_)
    )
  )


def scale_by_negative_q() -> optax.GradientTransformationExtraArgs:
  """The ablation NLC: weights max(0, -Q), no linear form (section 4.6)."""
  return stateless(
    lambda updates, q_values, **_: (
      updates * jnp.maximum(-jax.lax.stop_gradient(q_values), 0.0)
    )
  )


class TaskState(NamedTuple):
  """The state of `scale_by_task`.

  Attributes:
    task_weights: f32[K].
  """

  task_weights: jax.Array


def scale_by_task(weights: Any) -> optax.GradientTransformationExtraArgs:
  """One constant per task; the control constant_mean when the constants are
  the mean of RMTL's weights over the train rows.

  Examples:
    >>> import jax.numpy as jnp
    >>> link, ones = scale_by_task([1.0, 3.0]), jnp.ones((1, 2, 2))
    >>> weights, _ = link.update(ones, link.init(ones))
    >>> weights.tolist()
    [[[1.0, 3.0], [1.0, 3.0]]]

  Args:
    weights: f32[K], which the state starts with: a compiled step takes them
      from there.

  Returns:
    A transformation that needs no extra argument.

  Raises:
    ValueError: the weights have another rank.
  """
  initial = np.array(weights, np.float32)
  types.check_ranks((1,), initial)

  def init(params):
    del params
    return TaskState(jnp.array(initial))  # new buffers: states are donated

  def update(updates, state, params=None, **extra):
    del params, extra
    if updates.shape[-1:] != state.task_weights.shape:
      raise ValueError(
        f'weights: expected one per task, the last axis of {updates.shape},'
        f' found {len(state.task_weights)}'
      )
    # Aligned by hand: rank promotion may be forbidden.
    aligned = state.task_weights.reshape((1,) * (updates.ndim - 1) + (-1,))
    return (updates * aligned).astype(updates.dtype), state

  return optax.GradientTransformationExtraArgs(init, update)


def shuffle_weights(
  inner: optax.GradientTransformationExtraArgs,
) -> optax.GradientTransformationExtraArgs:
  """The control q_shuffled: the weights of `inner` at the batch's other rows.

  Same weights, same batch, no information about the row: a gain over this
  control comes from the critics. With sample weights
  (`sample_weight` f32[..., K]) a task's rows are those where its label is
  observed.

  Args:
    inner: a transformation that multiplies by a weight that does not depend
      on the updates.

  Returns:
    A transformation with the state of `inner`, which also needs `mask` and
    `key`.
  """

  def update(updates, state, params=None, **extra):
    # The weights, in single precision.
    weights, new_state = inner.update(
      jnp.ones(updates.shape), state, params, **extra
    )
    shuffled, _ = shuffle.update(weights, optax.EmptyState(), **extra)
    return (updates * shuffled).astype(updates.dtype), new_state

  shuffle = stateless(
    lambda weights, mask, key, sample_weight=None, **_: shuffle_rows(
      key, weights, mask, sample_weight
    )
  )
  return optax.GradientTransformationExtraArgs(inner.init, update)


def shuffle_rows(
  key: jax.Array,
  values: jax.Array,
  mask: jax.Array,
  sample_weight: jax.Array | None = None,
) -> jax.Array:
  """Permutes the valid rows of a batch, all tasks of a row together.

  Args:
    key: a random key.
    values: f32[..., K].
    mask: bool[...]; where false, values stay.
    sample_weight: f32[..., K]; where 0, values of the task stay, as those of
      other rows would change the mean. Tasks that are observed in the same rows
      stay together. None: all rows count.

  Returns:
    f32[..., K].
  """
  check_mask(values, mask)
  flat, valid = values.reshape(-1, values.shape[-1]), mask.reshape(-1)
  draws = jax.random.uniform(key, valid.shape)

  def permuted(columns, counts):
    # Both orders list the rows that count first, so they map these to these.
    source = jnp.argsort(jnp.where(counts, draws, 2.0))
    goal = jnp.argsort(~counts, stable=True)
    moved = columns.at[goal].set(columns[source])
    return jnp.where(counts[:, None], moved, columns)

  if sample_weight is None:
    return permuted(flat, valid).reshape(values.shape)
  counts = valid[:, None] & (sample_weight.reshape(flat.shape) > 0.0)
  by_task = jax.vmap(permuted, 1, 1)(flat[..., None], counts)
  return by_task.reshape(values.shape)


def stateless(
  update: Callable[..., Any],
) -> optax.GradientTransformationExtraArgs:
  """From update(updates, **extra arguments) to a transformation.

  Examples:
    >>> import jax.numpy as jnp
    >>> link = stateless(
    ...   lambda updates, q_values, **_: updates * (q_values < -1))
    >>> losses, q = jnp.ones((2, 1)), jnp.array([[-2.0], [0.0]])
    >>> weighted, _ = link.update(losses, link.init(losses), q_values=q)
    >>> weighted.ravel().tolist()
    [1.0, 0.0]

  Args:
    update: from the cotangent [..., K] and extra arguments by keyword to the
      cotangent times weights >= 0. The extra arguments that it names are
      checked before.

  Returns:
    A transformation without a state.

  Raises:
    ValueError: when it is called, where an extra argument does not belong to
      the row losses, or `update` changes their shape.
  """
  named = inspect.signature(update).parameters

  def checked(updates, state, params=None, **extra):
    del params
    for name in named:
      if name in _PER_TASK and extra.get(name) is not None:
        check_like(name, extra[name], updates)
    if 'mask' in named and 'mask' in extra:
      check_mask(updates, extra['mask'])
    weighted = update(updates, **extra)
    check_like('weighted row losses', weighted, updates)
    # A pullback takes the dtype of the losses alone.
    return weighted.astype(updates.dtype), state

  return optax.GradientTransformationExtraArgs(
    lambda params: optax.EmptyState(), checked
  )


def check_like(name: str, values: Any, losses: types.Array) -> None:
  """Raises ValueError unless `values` have the shape of the row losses."""
  if np.shape(values) != np.shape(losses):
    raise ValueError(
      f'{name}: expected the shape of the row losses, {np.shape(losses)},'
      f' found {np.shape(values)}'
    )


def check_mask(values: types.Array, mask: types.Array) -> None:
  """Raises ValueError unless `mask` has one number per row of [..., K]."""
  if not values.ndim or np.shape(mask) != values.shape[:-1]:
    raise ValueError(
      'mask: expected the shape of the row losses [..., K] without their last'
      f' axis, that of tasks; found {np.shape(mask)} for {values.shape}'
    )
