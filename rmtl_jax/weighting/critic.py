"""Weights from critics: RMTL's, the paper's ablations, and their controls.

Every transformation here takes the cotangent of the row losses (`updates`,
f32[L, T, K]: what the loss function's pullback is called with) and returns it
multiplied by a weight per row and task. So a chain of them costs no second
backward pass. Extra arguments, by keyword: `q_values` f32[L, T, K], `labels`
f32[L, T, K], `mask` bool[L, T], `key`, `q_deviation` f32[L, T, K]; each link
takes what it needs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
import optax

from rmtl_jax import types


def critic_weights(
  q_values: types.Array, lambda_: types.Array | float
) -> types.Array:
  """Eq. (9): omega = 1 - lambda Q, without gradient; >= 1 where Q <= 0.

  A negative lambda, which the paper lacks, gives rows less weight the worse
  their future looks, but none below 0: Q has no lower bound.

  Args:
    q_values: Q_k(s_t, pi_k(s_t)), f32[...].
    lambda_: the paper's lambda, f32[].

  Returns:
    f32[...].
  """
  weights = 1.0 - lambda_ * jax.lax.stop_gradient(q_values)
  return jnp.where(jnp.less(lambda_, 0.0), jnp.maximum(weights, 0.0), weights)


def scale_by_critic(
  lambda_: jax.Array | float = 0.7,
) -> optax.GradientTransformationExtraArgs:
  """RMTL: every row's loss of every task times 1 - lambda Q (Eq. 9).

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
  """The ablation WL: weights 1 - lambda y Q (paper, section 4.6).

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
  """The ablation NLC: weights -Q, no linear form (paper, section 4.6)."""
  return stateless(
    lambda updates, q_values, **_: updates * -jax.lax.stop_gradient(q_values)
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
    return updates * state.task_weights[None, None, :], state

  return optax.GradientTransformationExtraArgs(init, update)


def clip_weights(
  max_weight: float, inner: optax.GradientTransformationExtraArgs
) -> optax.GradientTransformationExtraArgs:
  """Bounds the weights of `inner`, which must scale elementwise.

  Args:
    max_weight: the upper bound.
    inner: a transformation that multiplies by a weight that does not depend
      on the updates.

  Returns:
    The bounded transformation, with the state of `inner`.
  """

  def update(updates, state, params=None, **extra):
    weights, new_state = inner.update(
      jnp.ones_like(updates), state, params, **extra
    )
    weights = cast(jax.Array, weights)
    return updates * jnp.minimum(weights, max_weight), new_state

  return optax.GradientTransformationExtraArgs(inner.init, update)


def shuffle_weights(
  inner: optax.GradientTransformationExtraArgs,
) -> optax.GradientTransformationExtraArgs:
  """The control q_shuffled: the weights of `inner` at the batch's other rows.

  Same weights, same batch, no information about the row: what a weighting
  gains over this it gains from what the critics know.

  Args:
    inner: a transformation that multiplies by a weight that does not depend
      on the updates.

  Returns:
    A transformation that needs `mask` and `key` beside what `inner` needs,
    with its state.
  """

  def update(updates, state, params=None, **extra):
    weights, new_state = inner.update(
      jnp.ones_like(updates), state, params, **extra
    )
    weights = cast(jax.Array, weights)
    shuffled = shuffle_rows(extra['key'], weights, extra['mask'])
    return updates * shuffled, new_state

  return optax.GradientTransformationExtraArgs(inner.init, update)


def shuffle_rows(
  key: jax.Array, values: jax.Array, mask: jax.Array
) -> jax.Array:
  """Permutes the valid rows of a batch, all tasks of a row together.

  Args:
    key: a random key.
    values: f32[L, T, K].
    mask: bool[L, T]; where false, values stay.

  Returns:
    f32[L, T, K].
  """
  types.check_ranks((3, 2), values, mask)
  flat, valid = values.reshape(-1, values.shape[-1]), mask.reshape(-1)
  draws = jax.random.uniform(key, valid.shape)
  # Both orders list the valid rows first, so they map valid to valid rows.
  source = jnp.argsort(jnp.where(valid, draws, 2.0))
  goal = jnp.argsort(~valid, stable=True)
  moved = flat.at[goal].set(flat[source])
  return jnp.where(valid[:, None], moved, flat).reshape(values.shape)


def stateless(
  update: Callable[..., Any],
) -> optax.GradientTransformationExtraArgs:
  """From update(updates, **extra arguments) to a transformation."""
  return optax.GradientTransformationExtraArgs(
    lambda params: optax.EmptyState(),
    lambda updates, state, params=None, **extra: (
      update(updates, **extra),
      state,
    ),
  )
