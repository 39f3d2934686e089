"""Features to the first layer's pre-activations.

Every field is a block of `embedding_dim` numbers: an embedding for a
categorical field, the mean of the used slots' embeddings for a multi-valued
one, and one linear layer for all numeric fields together. The first linear
layer takes the blocks side by side; everything that reads the features
(experts, bottoms, gates) is a range of its columns, so that it runs once.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from rmtl_jax import config as config_lib
from rmtl_jax import types
from rmtl_jax.networks import layers

Shared = Any


def num_blocks(spec: types.FeatureSpec) -> int:
  """Blocks of the features: F + multi-valued fields + 1 if N > 0."""
  return (
    len(spec.categorical) + len(spec.multi_valued) + (1 if spec.numeric else 0)
  )


def offsets(spec: types.FeatureSpec) -> np.ndarray:
  """First row of every categorical, then multi-valued field in the table.

  Returns:
    i64[fields + 1]; the last entry is the number of rows.
  """
  sizes = [*spec.categorical, *(rows for rows, _ in spec.multi_valued)]
  return np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])


def init_table(
  key: jax.Array, spec: types.FeatureSpec, config: config_lib.NetworkConfig
) -> jax.Array:
  """f32[sum of vocabulary sizes, D], row 0 of every field zero."""
  starts = offsets(spec)
  shape = (int(starts[-1]), config.embedding_dim)
  table = config.embedding_scale * jax.random.normal(key, shape)
  return table.at[starts[:-1]].set(0.0)


class FirstLayer(nnx.Module):
  """Embeddings and the linear layer on top of them, before any dropout.

  Args:
    spec: the data's fields.
    config: embedding sizes.
    hidden: columns that feed a ReLU (kernels of gain HE).
    gates: further columns, which stay linear (kernels of gain LECUN).
    rngs: where the initial values come from.

  Attributes:
    table: embeddings of all fields below each other, f32[sum of sizes, D].
    kernel: f32[blocks, D, hidden + gates].
    bias: f32[hidden + gates].
    numeric: linear layer of the numeric block, where N > 0.
  """

  def __init__(
    self,
    spec: types.FeatureSpec,
    config: config_lib.NetworkConfig,
    hidden: int,
    gates: int,
    rngs: nnx.Rngs,
  ):
    blocks, dim = num_blocks(spec), config.embedding_dim
    self.spec = spec
    self.hidden = hidden
    self.table = nnx.Param(init_table(rngs.params(), spec, config))
    kernel = layers.init_kernel(
      rngs.params(), (blocks * dim, hidden), layers.HE
    )
    if gates:
      linear = layers.init_kernel(
        rngs.params(), (blocks * dim, gates), layers.LECUN
      )
      kernel = jnp.concatenate([kernel, linear], axis=1)
    self.kernel = nnx.Param(kernel.reshape(blocks, dim, hidden + gates))
    self.bias = nnx.Param(jnp.zeros((hidden + gates,)))
    if spec.numeric:
      self.numeric = layers.Linear(spec.numeric, dim, layers.LECUN, rngs)

  @property
  def shared_axes(self) -> Any:
    """`in_axes` of what `share` returns, in a vmap over lanes."""
    return None

  def share(self, inputs: types.Inputs) -> Shared:
    """What the lanes of a batch share: nothing.

    Args:
      inputs: leading dimensions [L, T].
    """
    del inputs
    return ()

  def __call__(
    self, shared: Shared, inputs: types.Inputs
  ) -> tuple[jax.Array, jax.Array]:
    """Pre-activations of one lane.

    Args:
      shared: what `share` returned for the batch, the lane's part of it.
      inputs: leading dimension [T].

    Returns:
      f32[T, hidden] and f32[T, gates].
    """
    kernel, bias = self.kernel[...], self.bias[...]
    _, dim, width = kernel.shape
    x = self._embed(inputs)
    looked_up = x.shape[1] // dim
    y = x @ kernel[:looked_up].reshape(looked_up * dim, width)
    y = self._add_numeric(inputs, y) + bias[None, :]
    return y[:, : self.hidden], y[:, self.hidden :]

  def _embed(self, inputs: types.Inputs) -> jax.Array:
    """Looked-up blocks side by side, f32[T, (F + multi-valued) * D]."""
    table = self.table[...]
    starts = offsets(self.spec).astype(np.int32)
    categorical = jnp.asarray(inputs.categorical)
    fields = categorical.shape[1]
    rows = categorical + starts[None, :fields]
    embedded = jnp.take(table, rows, axis=0, mode='clip')
    blocks = [embedded.reshape(rows.shape[0], fields * table.shape[1])]
    slots = jnp.asarray(inputs.multi_valued)
    begin = 0
    for i, (_, width) in enumerate(self.spec.multi_valued):
      blocks.append(
        mean_of_used(
          table, slots[:, begin : begin + width], int(starts[fields + i])
        )
      )
      begin += width
    return jnp.concatenate(blocks, axis=1)

  def _add_numeric(self, inputs: types.Inputs, y: jax.Array) -> jax.Array:
    """Adds the numeric block's share of the layer.

    (x A + c) W = x (A W) + c W: a term of rank N instead of D, exact.
    """
    if not self.spec.numeric:
      return y
    kernel = self.kernel[...][-1]
    x = jnp.asarray(inputs.numeric)
    through = self.numeric.kernel[...] @ kernel
    constant = self.numeric.bias[...] @ kernel
    return y + x @ through + constant[None, :]


def mean_of_used(table: jax.Array, slots: jax.Array, start: int) -> jax.Array:
  """Mean of the used slots' embeddings; zero where no slot is used.

  Args:
    table: f32[rows, D].
    slots: rows of the field's vocabulary, i32[T, slots], -1 = unused.
    start: the field's first row in the table.

  Returns:
    f32[T, D].
  """
  used = (slots >= 0).astype(table.dtype)
  rows = jnp.maximum(slots, 0) + start
  embedded = jnp.take(table, rows, axis=0, mode='clip')
  total = jnp.sum(embedded * used[:, :, None], axis=1)
  count = jnp.maximum(jnp.sum(used, axis=1, keepdims=True), 1.0)
  return total / count
