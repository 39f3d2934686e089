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
    propensity: the logged probability that a task's label is seen, f32[T, K],
      0 of tasks without; None: the log has none.
  """

  segment: types.Array
  parents: tuple[int | None, ...] = ()
  observed: types.Array | None = None
  propensity: types.Array | None = None


def pairwise(logits: jax.Array, labels: jax.Array, lane: Lane) -> jax.Array:
  """BPR: the mean of log(1 + exp(-(z_i - z_j))) over a row's pairs.

  A row has a pair with each row of its session that has another label; z_i is
  the logit of the larger label. A row without a pair has no loss. Each pair
  stands in the losses of both of its rows.

  Examples:
    >>> z = jnp.array([[1.0], [0.0], [5.0]])
    >>> y = jnp.array([[1.0], [0.0], [1.0]])
    >>> found = pairwise(z, y, Lane(jnp.array([0, 0, 1])))
    >>> [f'{x:.4f}' for x in found[:, 0]]
    ['0.3133', '0.3133', '0.0000']

  Args:
    logits: z, f32[T, K].
    labels: any numbers, f32[T, K].

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
    >>> found = listwise(z, y, Lane(jnp.array([0, 0, 1])))
    >>> [f'{x:.4f}' for x in abs(found[:, 0])]
    ['0.3133', '0.0000', '0.0000']

  Args:
    logits: z, f32[T, K].
    labels: relevances >= 0, f32[T, K].

  Returns:
    f32[T, K], in nats; 0 for negatives.
  """
  types.check_same_shape(logits, labels)
  return -labels * (logits - session_logsumexp(logits, lane))


def by_class(logits: jax.Array, labels: jax.Array, lane: Lane) -> jax.Array:
  """JRC: log(sum of exp f_j[y_i] over its session) - f_i[y_i].

  Each class has a logit, f = (-z / 2, z / 2), and is a list of its own in which
  its rows compete; the probability is that of the two logits' softmax
  (Sheng et al., "Joint Optimization of Ranking and Calibration with
  Contextualized Hybrid Model", KDD 2023: the contextual part of the loss, the
  other being the cross-entropy).

  Differs from the paper: there the network has two free logits a task, here
  one, so that lists and cross-entropy pull at the same number.

  Examples:
    >>> z, y = jnp.array([[2.0], [0.0]]), jnp.array([[1.0], [0.0]])
    >>> [f'{x:.4f}' for x in by_class(z, y, Lane(jnp.array([0, 0])))[:, 0]]
    ['0.3133', '0.3133']

  Args:
    logits: z, f32[T, K].
    labels: 0 or 1, f32[T, K].

  Returns:
    f32[T, K], in nats.
  """
  types.check_same_shape(logits, labels)
  half = 0.5 * logits
  as_positive = session_logsumexp(half, lane) - half
  as_negative = session_logsumexp(-half, lane) + half
  return jnp.where(labels > 0.5, as_positive, as_negative)


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
