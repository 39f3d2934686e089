"""Features to the first layer's pre-activations.

Every field is a block of `embedding_dim` numbers: an embedding for a
categorical field, the mean of the used slots' embeddings for a multi-valued
one, and one linear
layer for all numeric fields together, or a block for each (numeric.py); a
field with vectors learnt elsewhere has a second block (pretrained.py). The
first linear layer takes the blocks side by side; everything that reads the
features (experts, bottoms, gates) is a range of its columns, so that it runs
once.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from rmtl_jax import config as config_lib
from rmtl_jax import types
from rmtl_jax.networks import (
  distinct,
  embeddings,
  layers,
  numeric,
  pretrained,
)

Shared = Any
# Up to so many numeric fields are added as products of a column and a row: a
# GEMM would write them out to be read once.
FEW_NUMERIC = 4


def num_blocks(
  spec: types.FeatureSpec, numeric_encoding: str = 'linear'
) -> int:
  """Blocks of the fields: F + multi-valued + numeric ones' + pretrained.

  Args:
    numeric_encoding: of NetworkConfig; the N numeric fields are N blocks if
      `piecewise`, else one.
  """
  return (
    len(spec.categorical)
    + len(spec.multi_valued)
    + numeric.num_blocks(spec, numeric_encoding)
    + len(spec.pretrained)
  )


class FirstLayer(nnx.Module):
  """Embeddings and the linear layer on top of them, before any dropout.

  Args:
    spec: the data's fields.
    config: embedding sizes.
    rngs: where the initial values come from.
    units: columns of a group: of an expert, a bottom or a tower. They feed a
      ReLU, so their kernels have gain HE.
    groups: how many of these are side by side.
    gates: further columns, which feed no ReLU (kernels of gain LECUN).

  Attributes:
    table: embeddings of all fields below each other, f32[sum of sizes, D].
    kernel: f32[blocks, D, groups * units + gates].
    bias: f32[groups * units + gates].
    numeric: linear layer of the numeric block, or those of the numeric fields'
      blocks (numeric.Piecewise), where N > 0.
    pretrained_<name>: the vectors of a field that has some.
  """

  def __init__(
    self,
    spec: types.FeatureSpec,
    config: config_lib.NetworkConfig,
    rngs: nnx.Rngs,
    units: int,
    groups: int = 1,
    gates: int = 0,
  ):
    dim = config.embedding_dim
    self.spec = spec
    self.config = config
    self.groups = groups
    self.widths = (units,) * self.groups + ((gates,) if gates else ())
    blocks = num_blocks(spec, config.numeric_encoding)
    self.table = nnx.Param(embeddings.init_table(rngs.params(), spec, config))

    def kernel(width: int, gain: float) -> jax.Array:
      return layers.init_kernel(rngs.params(), (blocks * dim, width), gain)

    kernels = [kernel(groups * units, layers.HE)]
    if gates:
      kernels.append(kernel(gates, layers.LECUN))
    joined = jnp.concatenate(kernels, axis=1).reshape(blocks, dim, -1)
    self.kernel = nnx.Param(joined)
    self.bias = nnx.Param(jnp.zeros((joined.shape[2],)))
    if spec.numeric and config.numeric_encoding == 'piecewise':
      self.numeric = numeric.Piecewise(spec, config, rngs)
    elif spec.numeric:
      self.numeric = layers.Linear(spec.numeric, dim, layers.LECUN, rngs)
    for field in spec.pretrained:
      rows = spec.categorical[field.place]
      vectors = pretrained.Vectors(field, rows, dim, rngs)
      setattr(self, pretrained.group(field.name), vectors)

  @property
  def by_batch(self) -> bool:
    """Whether `share` takes the categories of a whole batch at once."""
    return distinct.is_wanted(self.config, self.spec)

  @property
  def shared_axes(self) -> Any:
    """`in_axes` of what `share` returns, in a vmap over lanes."""
    return (0 if self.by_batch else None, None)

  def share(self, inputs: types.Inputs) -> Shared:
    """The part that lanes of a batch share.

    Args:
      inputs: leading dimensions [L, T].

    Returns:
      The contribution of the categories to the pre-activations, f32[L, T,
      width] of every group and of the gates, by the batch's distinct ones, or
      nothing; and the coefficients of linear numeric fields, with the bias as
      last row, f32[N + 1, width].
    """
    kernels = jax.lax.split(self.kernel[...], self._blocks(), axis=0)
    rows = self.bias[...][None, :]
    # One linear layer may read all numeric fields.
    if self.spec.numeric and isinstance(self.numeric, layers.Linear):
      # (x A + c) W + b = x (A W) + (c W + b): rank N instead of D, exact.
      slopes = self.numeric.kernel[...] @ kernels[2][0]
      constant = self.numeric.bias[...][None, :] @ kernels[2][0]
      rows = jnp.concatenate([slopes, constant + rows])
    if not self.by_batch:
      return (), rows
    categorical = jnp.asarray(inputs.categorical)
    parts = distinct.product(
      self.table[...],
      kernels[0],
      embeddings.cumulative(self.spec.categorical),
      categorical,
      distinct.rooms(self.config, self.spec, math.prod(categorical.shape[:2])),
      self.widths,
    )
    return parts, rows

  def __call__(
    self, shared: Shared, inputs: types.Inputs
  ) -> tuple[layers.Stack, jax.Array]:
    """Pre-activations of one lane.

    Args:
      shared: what `share` returned for the batch, the lane's part of it.
      inputs: leading dimension [T].

    Returns:
      A stack of each group's f32[T, units], and f32[T, gates].
    """
    categories, rows = shared
    terms: list[list[jax.Array]] = []
    if self.by_batch:
      terms.append(list(categories))
    blocks = self._terms(inputs)
    if blocks:
      joined = sum(blocks[1:], start=blocks[0])
      terms.append(list(jax.lax.split(joined, self.widths, axis=1)))
    terms.append(self._linear(inputs, rows))
    # Part by part: XLA would write the batch's parts out to join them.
    parts = [
      functools.reduce(jnp.add, term) for term in zip(*terms, strict=True)
    ]
    gates = parts[self.groups :]
    groups = layers.stack(parts[: self.groups])
    return groups, gates[0] if gates else parts[0][:, :0]

  def _blocks(self) -> tuple[int, ...]:
    """Blocks of each kind of field, in the kernel's order."""
    return (
      len(self.spec.categorical),
      len(self.spec.multi_valued),
      numeric.num_blocks(self.spec, self.config.numeric_encoding),
      len(self.spec.pretrained),
    )

  def _terms(self, inputs: types.Inputs) -> list[jax.Array]:
    """A lane's own part of the pre-activations, f32[T, width].

    Each kind of block goes through its own rows of the kernel: joined blocks
    would be written out, only to be read once.
    """
    for_categories, for_lists, for_numeric, for_vectors = jax.lax.split(
      self.kernel[...], self._blocks(), axis=0
    )
    terms = []
    if self.spec.categorical and not self.by_batch:
      embedded = embeddings.of_categories(self.table[...], self.spec, inputs)
      terms.append(_through(embedded, for_categories))
    if for_lists.shape[0]:
      terms.append(_through(self._lists(inputs), for_lists))
    if self.spec.numeric and isinstance(self.numeric, numeric.Piecewise):
      terms.append(self.numeric.through(inputs.numeric, for_numeric))
    if self.spec.pretrained:
      terms.append(_through(self._vectors(inputs), for_vectors))
    return terms

  def _lists(self, inputs: types.Inputs) -> jax.Array:
    """Multi-valued fields of one lane, f32[T, fields, D]."""
    slots = jnp.asarray(inputs.multi_valued)
    starts = embeddings.offsets(self.spec)[len(self.spec.categorical) :]
    widths = [width for _, width in self.spec.multi_valued]
    histories, blocks = embeddings.histories(self.spec), []
    for i, part in enumerate(jax.lax.split(slots, widths, axis=1)):
      # A history's row 0 is no value. Counted, it would pull short histories
      # towards the embedding of rare ones.
      if i in histories:
        part = jnp.where(part > 0, part, -1)
      start = int(starts[i])
      blocks.append(embeddings.mean_of_used(self.table[...], part, start))
    return jnp.stack(blocks, axis=1)

  def _vectors(self, inputs: types.Inputs) -> jax.Array:
    """Projected vectors of one lane, f32[T, fields that have some, D]."""
    blocks = []
    for field in self.spec.pretrained:
      vectors = getattr(self, pretrained.group(field.name))
      blocks.append(vectors(jnp.asarray(inputs.categorical)[:, field.place]))
    return jnp.stack(blocks, axis=1)

  def _linear(self, inputs: types.Inputs, rows: jax.Array) -> list[jax.Array]:
    """Linear numeric fields and the bias, part by part, f32[T, width]."""
    x, parts = jnp.asarray(inputs.numeric), []
    for part in jax.lax.split(rows, self.widths, axis=1):
      if len(part) - 1 > FEW_NUMERIC:
        parts.append(x @ part[:-1] + part[-1:])
        continue
      columns = [
        x[:, i : i + 1] * part[i : i + 1] for i in range(len(part) - 1)
      ]
      parts.append(sum(columns, start=part[-1:]))
    return parts


def _through(blocks: jax.Array, kernel: jax.Array) -> jax.Array:
  """Blocks f32[T, n, D] through their part f32[n, D, width] of the layer."""
  count, dim, width = kernel.shape
  return blocks.reshape(-1, count * dim) @ kernel.reshape(-1, width)
