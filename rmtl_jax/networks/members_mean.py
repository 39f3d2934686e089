"""Actors that differ in their seed, or in more, as one actor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rmtl_jax import types
from rmtl_jax.networks import functional, layers
from rmtl_jax.ops import ensembles, task_losses


def make_ensemble(
  network: functional.Network, count: int
) -> functional.Network:
  """M members of one network; `lane` gives the outputs of their mean.

  The mean is of the members' predictions, not of their outputs: members that
  are calibrated have a mean with the right sum over the rows, and, since the
  logloss is convex in the probability, that mean's logloss is never above the
  mean of theirs, whatever the data (Jensen's inequality).

  Parameters are the members' trees, stacked on a leading axis. `init` draws
  M members from one key; trained members are separate runs with other seeds
  (config/variants.py). The members run one after the other where members of
  any stack do (on CPU a batched GEMM is slower than M of them), else vmapped.

  Args:
    network: an actor of `factory.make_actor`.
    count: M, at least 1.
  """

  if layers.runs_separately():
    members = functional.side_by_side(network, count)
  else:
    members = _vmapped(network, count)

  def lane(params, shared, inputs, *, dropout_key=None):
    logits = members.lane(params, shared, inputs, dropout_key=dropout_key)
    # The number of rows is a symbol in an export: `len` could not take it.
    rows, columns = logits.shape
    logits = logits.reshape(rows, count, columns // count)  # [T, M, O]
    if network.tasks:
      members_first = jnp.swapaxes(logits, 0, 1)
      return task_losses.outputs_of_mean(network.tasks, members_first)
    return jax.vmap(jax.vmap(ensembles.logit_of_mean, 1))(logits)

  return members._replace(lane=lane)


def make_mixture(networks: Sequence[functional.Network]) -> functional.Network:
  """Members of several networks; `lane` gives their outputs' weighted mean.

  Parameters are {'members': a tree of each network's, 'weights': f32[M, K]}.
  A member that is left out has () in place of its tree.

  Args:
    networks: M actors of the same fields and tasks.
  """

  def init(key: jax.Array) -> Any:
    keys = jax.random.split(key, len(networks))
    members = [n.init(k) for n, k in zip(networks, keys, strict=True)]
    return mixture(members, None)

  def share(params: Any, inputs: types.Inputs) -> Any:
    pairs = zip(networks, params['members'], strict=True)
    return [
      n.share(own, inputs) if own else _nothing(n.shared_axes)
      for n, own in pairs
    ]

  def lane(params, shared, inputs, *, dropout_key=None):
    members = params['members']
    outputs = [
      network.lane(own, part, inputs, dropout_key=dropout_key)
      for network, own, part in zip(networks, members, shared, strict=True)
      if own
    ]
    weights = params['weights']
    if weights is None:
      return jnp.mean(jnp.stack(outputs), axis=0)
    weights = weights[np.array([bool(own) for own in members])]
    if networks[0].tasks:
      widths = np.array([task.outputs for task in networks[0].tasks])
      weights = jnp.repeat(weights, widths, axis=1)
    return jnp.einsum('mtk,mk->tk', jnp.stack(outputs), weights)

  return networks[0]._replace(
    init=init,
    share=share,
    lane=lane,
    shared_axes=[network.shared_axes for network in networks],
  )


def _nothing(shared_axes: Any) -> Any:
  """Shared part of a member that is left out."""
  return jax.tree.map(
    lambda axis: (), shared_axes, is_leaf=lambda axis: axis is None
  )


def mixture(members: Sequence[Any], weights: Any) -> Any:
  """The parameters of `make_mixture`; weights of None are equal."""
  return {'members': list(members), 'weights': weights}


def _vmapped(network: functional.Network, count: int) -> functional.Network:
  """As `functional.side_by_side`, with members that run together."""

  def lane(params, shared, inputs, *, dropout_key=None):
    keys = functional.lane_keys(dropout_key, count)

    def one(params, shared, key):
      return network.lane(params, shared, inputs, dropout_key=key)

    return jnp.concatenate(list(jax.vmap(one)(params, shared, keys)), axis=1)

  # The member axis comes first, so the lanes' own axis is the next.
  shared_axes = jax.tree.map(
    lambda axis: None if axis is None else axis + 1,
    network.shared_axes,
    is_leaf=lambda axis: axis is None,
  )
  return functional.side_by_side(network, count)._replace(
    share=jax.vmap(network.share, (0, None)),
    lane=lane,
    shared_axes=shared_axes,
  )


@jax.jit
def stack(*trees: Any) -> Any:
  """Stacks the leaves of equal trees on a new leading axis."""
  return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)
