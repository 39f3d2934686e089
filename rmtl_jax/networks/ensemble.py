"""Actors that differ in their seed, as one actor."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp

from rmtl_jax import types
from rmtl_jax.networks import functional, layers
from rmtl_jax.ops import ensembles


def make_ensemble(
  network: functional.Network, count: int, form: str = 'auto'
) -> functional.Network:
  """M members of one network, whose `lane` gives the logits of their mean.

  The mean is of the members' probabilities, not of their logits: members that
  are calibrated have a mean with the right sum over the rows, and, since the
  logloss is convex in the probability, that mean's logloss is never above the
  mean of theirs, whatever the data (Jensen's inequality).

  Parameters are the members' trees, stacked on a leading axis. `init` draws
  M members from one key; trained members are runs with seeds of their own
  (runtime/workdir.py). The members run one after the other where members of
  any stack do (on CPU a batched GEMM is slower than M of them), else vmapped.

  Args:
    network: an actor of `functional.make_actor`.
    count: M, at least 1.
    form: NetworkConfig.expert_form.
  """

  def init(key: jax.Array) -> functional.Params:
    return jax.vmap(network.init)(jax.random.split(key, count))

  if layers.runs_separately(form):
    share, logits, shared_axes = _separate(network, count)
  else:
    share, logits, shared_axes = _vmapped(network)

  def lane(params, shared, inputs, *, dropout_key=None):
    keys = None
    if dropout_key is not None:
      numbers = jnp.arange(count)
      keys = jax.vmap(jax.random.fold_in, (None, 0))(dropout_key, numbers)
    members = logits(params, shared, inputs, keys)  # [M, T, K]
    return jax.vmap(jax.vmap(ensembles.logit_of_mean, 1), 1)(members)

  return network._replace(
    init=jax.jit(init), share=share, lane=lane, shared_axes=shared_axes
  )


def _separate(network: functional.Network, count: int) -> Any:
  """(share, logits, shared_axes) of members that run one after the other."""

  def share(params: functional.Params, inputs: types.Inputs) -> Any:
    members = layers.unstack_tree(params)
    return [network.share(member, inputs) for member in members]

  def logits(params, shared, inputs, keys):
    return jnp.stack(
      [
        network.lane(
          member,
          shared[m],
          inputs,
          dropout_key=None if keys is None else keys[m],
        )
        for m, member in enumerate(layers.unstack_tree(params))
      ]
    )

  return share, logits, [network.shared_axes] * count


def _vmapped(network: functional.Network) -> Any:
  """(share, logits, shared_axes) of members that run together."""
  share = jax.vmap(network.share, (0, None))

  def logits(params, shared, inputs, keys):
    def one(params, shared, key):
      return network.lane(params, shared, inputs, dropout_key=key)

    return jax.vmap(one)(params, shared, keys)

  # The member axis comes first, so the lanes' own axis is the next.
  shared_axes = jax.tree.map(
    lambda axis: None if axis is None else axis + 1,
    network.shared_axes,
    is_leaf=lambda axis: axis is None,
  )
  return share, logits, shared_axes


@jax.jit
def stack(*trees: Any) -> Any:
  """Trees of equal shapes as one, whose leaves get a leading axis."""
  return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


@functools.partial(jax.jit, static_argnums=1)
def unstack(tree: Any, size: int) -> list[Any]:
  """The `size` trees that `stack` joined, bit for bit."""
  return [jax.tree.map(lambda x, p=p: x[p], tree) for p in range(size)]
