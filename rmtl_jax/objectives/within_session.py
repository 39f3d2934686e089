"""Losses of the order within a session; one lane, the caller vmaps.

Sessions lie side by side in a lane, so the pairs of one lane are a small square
of which a mask keeps those within a session. A session that is cut into several
lanes is several lists. Rax has such losses too, but of a whole list: weights of
rows need the loss of every row.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from rmtl_jax import types


class Lane(NamedTuple):
  """What an objective knows of a lane's rows beside logits and labels.

  Attributes:
    segment: equal within one session, -1 in padding, i32[T].
    parents: the place of the task that each one comes after, or None.
    observed: whether a task's label is, bool[T, K]; None: all are. Rows without
      it are in no pair and no list.
  """

  segment: types.Array
  parents: tuple[int | None, ...] = ()
  observed: types.Array | None = None


def pairwise(logits: jax.Array, labels: jax.Array, lane: Lane) -> jax.Array:
  """BPR: the mean of log(1 + exp(-(z_i - z_j))) over a row's pairs.

  A row has a pair with each row of its session that has another label; z_i is
  the logit of the larger label. A row without a pair has no loss. Each pair
  stands in the losses of both of its rows.

  Examples:
    >>> z = jnp.array([[1.0], [0.0], [5.0]])
    >>> y = jnp.array([[1.0], [0.0], [1.0]])
    >>> pairwise(z, y, Lane(jnp.array([0, 0, 1])))[:, 0].round(4).tolist()
    [0.3133, 0.3133, 0.0]

  Args:
    logits: z, f32[T, K].
    labels: any numbers, f32[T, K].
    lane: where sessions are.

  Returns:
    f32[T, K], in nats.
  """
  types.check_same_shape(logits, labels)
  same = _same_session(lane)
  order = jnp.where(same, jnp.sign(labels[:, None] - labels[None]), 0.0)
  pair_losses = jax.nn.softplus(-order * (logits[:, None] - logits[None]))
  pairs = jnp.abs(order)
  return jnp.sum(pairs * pair_losses, 1) / jnp.maximum(jnp.sum(pairs, 1), 1.0)


def listwise(logits: jax.Array, labels: jax.Array, lane: Lane) -> jax.Array:
  """Softmax: -y_i log(exp z_i / sum of exp z_j over its session).

  Examples:
    >>> z = jnp.array([[1.0], [0.0], [5.0]])
    >>> y = jnp.array([[1.0], [0.0], [1.0]])
    >>> listwise(z, y, Lane(jnp.array([0, 0, 1])))[:, 0].round(4).tolist()
    [0.3133, -0.0, -0.0]

  Args:
    logits: z, f32[T, K].
    labels: relevances >= 0, f32[T, K].
    lane: where sessions are.

  Returns:
    f32[T, K], in nats; 0 for negatives.
  """
  types.check_same_shape(logits, labels)
  return -labels * (logits - session_logsumexp(logits, lane))


def of_classes(logits: jax.Array, labels: jax.Array, lane: Lane) -> jax.Array:
  """JRC: log(sum of exp z_j[y_i] over its session) - z_i[y_i].

  A task has a logit for each class, z[0] and z[1]; its probability is that of
  their softmax. Each class is a list, and each row competes in its own
  (Sheng et al., KDD 2023, the generative part of the objective). Beside the
  point-wise loss, which sees z[1] - z[0] alone, that gives the logits' common
  part a meaning.

  Args:
    logits: z, f32[T, K, 2].
    labels: 0 or 1, f32[T, K].
    lane: where sessions are.

  Returns:
    f32[T, K], in nats.
  """
  is_positive = labels > 0.5
  own = jnp.where(is_positive, logits[..., 1], logits[..., 0])
  total = jnp.where(
    is_positive,
    session_logsumexp(logits[..., 1], lane),
    session_logsumexp(logits[..., 0], lane),
  )
  return total - own


def session_logsumexp(values: jax.Array, lane: Lane) -> jax.Array:
  """log of the sum of exp v_j over each row's session, f32[T, K]."""
  same = _same_session(lane) | jnp.eye(len(values), dtype=bool)[:, :, None]
  return jax.nn.logsumexp(jnp.where(same, values[None], -jnp.inf), axis=1)


def _same_session(lane: Lane) -> jax.Array:
  """Which rows j share a session with row i, bool[T, T, K]; padding is one."""
  segment = jnp.asarray(lane.segment)
  same = (segment[:, None] == segment[None])[:, :, None]
  if lane.observed is None:
    return same
  return same & lane.observed[:, None] & lane.observed[None]
