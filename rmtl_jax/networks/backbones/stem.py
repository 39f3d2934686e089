"""Shared and task-specific embeddings (STEM-Net; Su et al., AAAI 2024)."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from rmtl_jax import types
from rmtl_jax.networks import backbones, first_layer, layers


class Stem(backbones.Backbone):
  """A table of embeddings for all tasks, and one more for each of them.

  Each table feeds experts of its own. Task k's gate, on its own and the
  shared embeddings, sees all experts in the forward pass; in the backward
  pass other tasks' experts, and so their embeddings, get no gradient (all
  forward, task-specific backward). A gate sees `num_experts` experts (at least
  one per table, rounded down to as many for each).

  Differs from the paper: one level of experts, of `bottom_units`; a gate is
  one linear layer, with weights of its own for each of its two tables. What a
  critic copies of the actor are the shared embeddings.

  Attributes:
    first: the first layer of the shared embeddings.
    task_<k>: that of task k's.
  """

  @property
  def per_table(self) -> int:
    """Experts on each table."""
    return max(1, self.config.num_experts // (self.num_tasks + 1))

  def build(self, setup: layers.Setup) -> None:
    """Experts of the tasks in order, then the shared ones."""
    count = self.per_table * (self.num_tasks + 1)
    gates = (count,) * self.num_tasks
    self.first = self.read(setup, self.per_table, gates)
    for k in range(self.num_tasks):
      setattr(self, f'task_{k}', OwnEmbeddings(self, setup, count))
    self.experts = layers.Hidden(count, self.config.bottom_units, setup)
    self.towers = layers.Towers(self.num_tasks, setup)

  def _own(self) -> list[first_layer.FirstLayer]:
    return [getattr(self, f'task_{k}').first for k in range(self.num_tasks)]

  def share(self, inputs: types.Inputs) -> list[first_layer.Shared]:
    """What the lanes of a batch share, of every first layer."""
    return [layer.share(inputs) for layer in (self.first, *self._own())]

  @property
  def shared_axes(self) -> list[Any]:
    """`in_axes` of what `share` returns, in a vmap over lanes."""
    return [layer.shared_axes for layer in (self.first, *self._own())]

  def __call__(
    self,
    shared: list[first_layer.Shared],
    inputs: types.Inputs,
    dropout_key: backbones.Key,
  ) -> jax.Array:
    """One lane -> outputs of the towers, f32[T, sum of units]."""
    common, common_gates = self.first(shared[0], inputs)
    parts = jax.lax.split(common_gates, self.gates, axis=1)
    own, gates = [], []
    for layer, part, mine in zip(self._own(), parts, shared[1:], strict=True):
      x, gate = layer(mine, inputs)
      own.append(x)
      gates.append(jax.nn.softmax(gate + part, axis=1))
    x = functools.reduce(layers.concatenate, [*own, common])
    return self.logits(x, gates, dropout_key)

  def logits(
    self, x: layers.Stack, gates: backbones.Gates, key: backbones.Key
  ) -> jax.Array:
    """Each task's mixture of all experts."""
    x = self.experts(x, key)
    tables = np.repeat(np.arange(self.num_tasks + 1), self.per_table)
    mixed = [
      layers.mix(
        gate, task_specific(x, (tables == k) | (tables == self.num_tasks))
      )
      for k, gate in enumerate(gates)
    ]
    return self.towers_on(mixed, key)


class OwnEmbeddings(nnx.Module):
  """A task's own table, its experts' columns and its gate's.

  Args:
    backbone: whose fields and sizes it has.
    setup: of the network.
    count: experts that the gate sees.
  """

  def __init__(self, backbone: Stem, setup: layers.Setup, count: int):
    units = backbone.config.bottom_units[0]
    self.first = first_layer.FirstLayer(
      backbone.spec,
      backbone.config,
      setup.rngs,
      units,
      backbone.per_table,
      count,
    )


def task_specific(x: layers.Stack, seen: np.ndarray) -> layers.Stack:
  """The same experts; a gradient reaches those that are seen alone.

  Args:
    x: E of f32[T, units].
    seen: bool[E].
  """
  if not isinstance(x, list):
    return jnp.where(seen[:, None, None], x, jax.lax.stop_gradient(x))
  return [
    member if sees else jax.lax.stop_gradient(member)
    for member, sees in zip(x, seen, strict=True)
  ]
