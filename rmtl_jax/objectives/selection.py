"""Losses of conversions over all rows, where clicked ones alone tell.

A conversion rate given a click, trained on the clicked rows, is wrong for rows
that are seldom clicked: who clicks is no random sample. These losses weigh
clicked rows by the inverse of their probability of a click, which the log has
or the network itself predicts, without gradient, and not below
`least_propensity`. They hold for any task and the one that it comes after;
tasks that come after none keep their cross-entropy. One lane; the caller vmaps.

With ESMM the rate given the parent, p_k / p_parent, is what its tower gives;
another network's is taken as at most 1.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from rmtl_jax.objectives import within_session
from rmtl_jax.ops import losses

# Largest log p_k - log p_parent: above, log(1 - p) would be infinite.
_LARGEST = -1e-6


class Given(NamedTuple):
  """A task among the rows that are positive of its parent, f32[T] each.

  Attributes:
    observed: o, 1 where the parent's label is.
    propensity: the probability of that, clipped, without gradient.
    log_p: log of the task's rate given its parent.
    log_not_p: log of 1 - that rate.
    labels: of the task.
    least: of propensities.
    is_row: false in padding.
  """

  observed: jax.Array
  propensity: jax.Array
  log_p: jax.Array
  log_not_p: jax.Array
  labels: jax.Array
  least: float
  is_row: jax.Array

  def error(self, labels: jax.Array | float) -> jax.Array:
    """-(r log p + (1 - r) log(1 - p)) of these labels."""
    return -(labels * self.log_p + (1.0 - labels) * self.log_not_p)


def inverse_propensity(given: Given) -> jax.Array:
  """ESCM2-IPS: o e / o^ (Wang et al., SIGIR 2022)."""
  return given.observed / given.propensity * given.error(given.labels)


def doubly_robust(given: Given) -> jax.Array:
  """ESCM2-DR: e^ + o (e - e^) / o^ (Wang et al., SIGIR 2022).

  Differs from the paper: e^ is the error that a row would have with the mean
  predicted rate of its lane for a label, not a tower's that is trained for it.
  Any e^ that does not look at the row's label leaves the mean unbiased.
  """
  rows = jnp.maximum(jnp.sum(given.is_row), 1)
  rate = jnp.sum(jnp.exp(given.log_p), where=given.is_row) / rows
  imputed = given.error(jax.lax.stop_gradient(rate))
  weight = given.observed / given.propensity
  return imputed + weight * (given.error(given.labels) - imputed)


def counterfactual(given: Given) -> jax.Array:
  """DCMT: o e / o^ + (1 - o) e* / (1 - o^) (Zhu et al., ICDE 2023).

  e* is the error of the rows without a click in a world where they have none:
  there a conversion is as certain not to happen as it is to happen here.

  Differs from the paper: the counterfactual rate is 1 - p, which its prior
  asks for by a penalty and a second tower; weights are not normalised.
  """
  unobserved = 1.0 - given.observed
  other = jnp.maximum(1.0 - given.propensity, given.least)
  return inverse_propensity(given) + unobserved / other * given.error(0.0)


def _over_all_rows(
  loss: Callable[[Given], jax.Array],
) -> Callable[..., jax.Array]:
  """A loss of a task given its parent as an objective of all tasks."""

  def objective(
    logits: jax.Array,
    labels: jax.Array,
    lane: within_session.Lane,
    least_propensity: float,
  ) -> jax.Array:
    columns = list(losses.binary_cross_entropy(logits, labels).T)
    for k, parent in enumerate(lane.parents):
      if parent is None:
        continue
      own = loss(given_parent(k, logits, labels, lane, least_propensity))
      if lane.observed is not None:
        # Whether the row was clicked is not known: its 0 is no negative.
        own = jnp.where(lane.observed[:, parent], own, 0.0)
      columns[k] = own
    return jnp.stack(columns, axis=1)

  return objective


def given_parent(
  k: int,
  logits: jax.Array,
  labels: jax.Array,
  lane: within_session.Lane,
  least: float,
) -> Given:
  """Task k given its parent.

  Args:
    logits: of the tasks' own probabilities, f32[T, K].
    labels: 0 or 1, f32[T, K].
    lane: the tasks' parents, and what the log says of propensities.
    least: propensities are at least this.
  """
  parent = lane.parents[k]
  if parent is None:
    raise ValueError(f'expected a task that comes after another, found {k}')
  log_p = jax.nn.log_sigmoid(logits[:, k])
  log_p = jnp.minimum(log_p - jax.nn.log_sigmoid(logits[:, parent]), _LARGEST)
  propensity = jax.nn.sigmoid(jax.lax.stop_gradient(logits[:, parent]))
  if lane.propensity is not None:
    logged = jnp.asarray(lane.propensity)[:, k]
    propensity = jnp.where(logged > 0.0, logged, propensity)
  return Given(
    labels[:, parent],
    jnp.maximum(propensity, least),
    log_p,
    jnp.log(-jnp.expm1(log_p)),
    labels[:, k],
    least,
    jnp.asarray(lane.segment) >= 0,
  )


escm2_ips = _over_all_rows(inverse_propensity)
escm2_dr = _over_all_rows(doubly_robust)
dcmt = _over_all_rows(counterfactual)
