"""Weights from critics: RMTL's, the paper's ablations, and their controls.

Every transformation here takes the cotangent of the row losses (`updates`,
[..., K]: what the loss function's pullback is called with) and returns it
multiplied by a weight per row and task, in its own dtype. So a chain of them
costs no second backward pass. Extra arguments, by keyword: `q_values`
f32[..., K], `labels` f32[..., K], `mask` bool[...], `key`; each link takes what
it needs. weighting/leafwise.py checks them, and
takes pytrees of row losses apart.
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
from rmtl_jax.weighting import leafwise


def critic_weights(
  q_values: types.Array, lambda_: types.Array | float
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

  Returns:
    f32[...].
  """
  return jnp.maximum(1.0 - lambda_ * jax.lax.stop_gradient(q_values), 0.0)


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

    def scale(leaf):
      leafwise.check_tasks(leaf, state.task_weights)
      # Aligned by hand: rank promotion may be forbidden.
      aligned = state.task_weights.reshape((1,) * (leaf.ndim - 1) + (-1,))
      return (leaf * aligned).astype(leaf.dtype)

    return jax.tree.map(scale, updates), state

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
    weights, new_state = _weights(inner, updates, state, params, extra)
    shuffle = stateless(
      lambda updates, mask, key, sample_weight=None, **_: shuffle_rows(
        key, updates, mask, sample_weight
      )
    )
    # Leaves of one shape are shuffled alike: the key is one.
    shuffled, _ = shuffle.update(weights, optax.EmptyState(), **extra)
    return _times(updates, shuffled), new_state

  return optax.GradientTransformationExtraArgs(inner.init, update)


def _weights(inner, updates, state, params, extra) -> tuple[Any, Any]:
  """The weights of `inner`, in single precision, and its new state."""
  ones = jax.tree.map(lambda leaf: jnp.ones(leaf.shape), updates)
  return inner.update(ones, state, params, **extra)


def _times(updates: Any, weights: Any) -> Any:
  """The product, leaf by leaf, in the dtype of the cotangent."""
  return jax.tree.map(lambda u, w: (u * w).astype(u.dtype), updates, weights)


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
  leafwise.check_mask(values, mask)
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

  A pytree of row losses is weighted leaf by leaf: `update` sees arrays. The
  extra arguments that it names are checked against them before.

  Examples:
    >>> import jax.numpy as jnp
    >>> link = stateless(
    ...   lambda updates, q_values, **_: updates * (q_values < -1))
    >>> losses = {'click': jnp.ones((2, 1)), 'buy': jnp.ones((2, 1))}
    >>> q = {'click': jnp.array([[-2.0], [0.0]]), 'buy': jnp.zeros((2, 1))}
    >>> weighted, _ = link.update(losses, link.init(losses), q_values=q)
    >>> weighted['click'].ravel().tolist()
    [1.0, 0.0]

  Args:
    update: from the cotangent [..., K] and extra arguments by keyword to the
      cotangent times weights >= 0.

  Returns:
    A transformation without a state.

  Raises:
    ValueError: when it is called, where an extra argument does not belong to
      the row losses, or `update` changes their shape.
  """
  named = tuple(inspect.signature(update).parameters)
  return optax.GradientTransformationExtraArgs(
    lambda params: optax.EmptyState(),
    lambda updates, state, params=None, **extra: (
      leafwise.update(update, updates, named, extra),
      state,
    ),
  )
