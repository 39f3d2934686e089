"""The divergence of an affinity's posteriors from their priors, in the loss.

The loss of variational Bayes is the rows' expected loss plus
KL(posterior || prior), once per pass over the train rows. A step descends the
mean over rows and tasks, so the divergence has weight 1 / (rows * tasks).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import tree_util

from rmtl_jax.contrib.affinity import network


class PriorState(NamedTuple):
  """State of the link; () for a network without an affinity.

  Attributes:
    share: weight of the divergence in every step, f32[].
    step: i32[], updates so far.
    paid: beside every affinity's table the last update at which a row paid,
      i32[..., rows, 1]; nothing beside other parameters.
  """

  share: jax.Array
  step: jax.Array
  paid: Any


def add_divergence(weight: float) -> optax.GradientTransformation:
  """Adds the divergence's gradient to that of an affinity's tables.

  A row pays for all updates since it paid last. Where every update sees whole
  tables that is one; where it sees the rows of its batch (`updates/rows.py`),
  a rare row pays at once for the updates that left it out.

  Args:
    weight: of the divergence in every update, 1 / (train rows * tasks); only
      `init` uses it.
  """

  def init(params):
    def unpaid(path, leaf):
      if _affinity_leaf(path) != 'table':
        return None
      return jnp.full((*leaf.shape[:-1], 1), -1, jnp.int32)

    paid = jax.tree.map_with_path(unpaid, params)
    if not jax.tree.leaves(paid):
      return ()
    return PriorState(
      jnp.array(weight, jnp.float32), jnp.zeros((), jnp.int32), paid
    )

  def update(updates, state, params=None):
    if not isinstance(state, PriorState):
      return updates, state
    due = {
      path[:-1]: (state.step - paid).astype(jnp.float32)
      for path, paid in tree_util.tree_leaves_with_path(state.paid)
    }

    def add(path, gradient, param):
      name = _affinity_leaf(path)
      if name not in ('table', 'spread'):
        return gradient
      divergence = network.divergence_gradient(name, param)
      return gradient + state.share * due[path[:-1]] * divergence

    new_updates = jax.tree.map_with_path(add, updates, params)
    paid = jax.tree.map(lambda p: jnp.full_like(p, state.step), state.paid)
    return new_updates, PriorState(state.share, state.step + 1, paid)

  return optax.GradientTransformation(init, update)


def _affinity_leaf(path: Any) -> str | None:
  """The name of a leaf of an affinity, None of any other."""
  names = [e.key for e in path if isinstance(e, tree_util.DictKey)]
  return names[-1] if names[-2:-1] == ['affinity'] else None
