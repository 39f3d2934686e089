"""Parameter and embedding personalised network (PEPNet; Chang et al., 2023)."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from rmtl_jax import config as config_lib
from rmtl_jax import types
from rmtl_jax.networks import (
  backbones,
  embeddings,
  first_layer,
  layers,
  numeric,
  precision,
  session,
)


class Pepnet(backbones.Backbone):
  """Gates on the embeddings by domain, and on towers by user and item.

  EPNet: every number of the features' blocks is scaled by a gate that reads
  the domain's embedding and the blocks. PPNet: the units of every layer of
  every task's tower are scaled by a gate that reads the embeddings of user and
  item and what EPNet made. Both read the features without gradient, and the
  fields that they are about with one (KDD 2023, section 3). A tower is
  `bottom_units`, then `tower_units`; a gate's hidden layer is as wide as the
  first of `tower_units`.

  Differs from the paper: one PPNet for all layers, split at its end; the
  user's and the item's categorical fields are what it is about, or where the
  data name neither, the domain; units after ReLU and dropout are scaled.
  """

  def build(self, setup: layers.Setup) -> None:
    """K towers on the scaled features, and PPNet."""
    units = (*self.config.bottom_units, *self.config.tower_units)
    width = self.config.tower_units[0]
    self.first = GatedFirstLayer(
      self.spec, self.config, setup.rngs, units[0], self.num_tasks, width
    )
    for i in range(len(units)):
      if i > 0:
        linear = layers.StackedLinear(
          self.num_tasks, units[i - 1], units[i], layers.HE, setup
        )
        setattr(self, f'linear_{i}', linear)
      activation = layers.Activation(self.num_tasks, setup)
      setattr(self, f'activation_{i}', activation)
    self.gate = layers.Linear(
      width, self.num_tasks * sum(units), layers.LECUN, setup.rngs
    )
    self.heads = layers.Heads(self.num_tasks, units[-1], setup)
    self.widths = tuple(n for n in units for _ in range(self.num_tasks))

  def split(self, gates: jax.Array) -> backbones.Gates:
    """PPNet's first product -> the gate of each layer, task by task."""
    scales = gate_unit(gates, self.gate)
    return list(jax.lax.split(scales, self.widths, axis=1))

  def logits(
    self, x: layers.Stack, gates: backbones.Gates, key: backbones.Key
  ) -> jax.Array:
    """Layer by layer: all towers, then their gates."""
    form, tasks = self.config.expert_form, self.num_tasks
    for i in range(len(self.widths) // tasks):
      if i > 0:
        x = getattr(self, f'linear_{i}')(x)
      x = getattr(self, f'activation_{i}')(x, key)
      own = gates[i * tasks : (i + 1) * tasks]
      x = layers.stack([x[k] * own[k] for k in range(tasks)], form)
    return self.heads(x)


def gate_unit(z: jax.Array, linear: layers.Linear) -> jax.Array:
  """2 sigmoid(ReLU(z) W + b): a gate's scales, 1 where it says nothing."""
  return 2 * jax.nn.sigmoid(linear(jax.nn.relu(z)))


class GatedFirstLayer(first_layer.FirstLayer):
  """The first layer on blocks that EPNet has scaled, slot by slot.

  Neither distinct categories nor tables of products serve here: a row's
  scales depend on all of its fields.

  Args:
    spec: the data's fields; one is the domain.
    config: embedding sizes.
    rngs: where the initial values come from.
    units: of a tower's first layer.
    groups: towers.
    width: of the hidden layers of both gates.

  Attributes:
    ep_hidden, ep_out: EPNet, of the domain's embedding and the blocks.
    pp_hidden: the hidden layer of PPNet, on its fields and scaled blocks.
  """

  def __init__(
    self,
    spec: types.FeatureSpec,
    config: config_lib.NetworkConfig,
    rngs: nnx.Rngs,
    units: int,
    groups: int,
    width: int,
  ):
    config = dataclasses.replace(config, first_layer='plain')
    super().__init__(spec, config, rngs, units, groups)
    assert spec.domain is not None
    blocks, dim = self.kernel.shape[:2]
    sides = {*spec.user_side, *spec.item_side}
    self.about = tuple(
      f for f in range(len(spec.categorical)) if f in sides
    ) or (spec.domain,)
    flat = blocks * dim
    self.ep_hidden = layers.Linear(dim + flat, width, layers.HE, rngs)
    self.ep_out = layers.Linear(width, flat, layers.LECUN, rngs)
    self.pp_hidden = layers.Linear(
      len(self.about) * dim + flat, width, layers.HE, rngs
    )

  def __call__(
    self, shared: first_layer.Shared, inputs: types.Inputs
  ) -> tuple[layers.Stack, jax.Array]:
    """Pre-activations of one lane: each tower's, and those of PPNet."""
    blocks = self.blocks(inputs)
    rows = blocks.shape[0]
    flat = blocks.reshape(rows, -1)
    seen = jnp.concatenate(
      [blocks[:, self.spec.domain], jax.lax.stop_gradient(flat)], axis=1
    )
    scaled = gate_unit(self.ep_hidden(seen), self.ep_out) * flat
    kernel = self.kernel[...]
    y = precision.product(scaled, kernel.reshape(flat.shape[1], -1))
    y = y + self.bias[...][None, :]
    groups = list(jax.lax.split(y, self.widths, axis=1))
    about = blocks[:, np.array(self.about)].reshape(rows, -1)
    seen = jnp.concatenate([about, jax.lax.stop_gradient(scaled)], axis=1)
    return layers.stack(groups, self.config.expert_form), self.pp_hidden(seen)

  def blocks(self, inputs: types.Inputs) -> jax.Array:
    """The features of one lane, f32[T, blocks, D]."""
    embedded = embeddings.of_categories(self.table[...], self.spec, inputs)
    blocks = [embedded]
    if len(self.spec.multi_valued) > len(self.ignored):
      blocks.append(self._lists(inputs, embedded))
    if self.spec.numeric:
      x: Any = jnp.asarray(inputs.numeric)
      if isinstance(self.numeric, numeric.Piecewise):
        blocks.append(self.numeric.blocks(x))
      else:
        blocks.append(self.numeric(x)[:, None, :])
    if self.spec.pretrained:
      blocks.append(self._vectors(inputs))
    if self.encodes:
      items = self._embedded(inputs, embedded, self.spec.item)
      so_far = self.session(items, *session.places(inputs))
      blocks.append(so_far[:, None, :])
    return jnp.concatenate(blocks, axis=1)
