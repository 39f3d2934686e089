"""Features to the first layer's pre-activations.

Every field is a block of `embedding_dim` numbers: an embedding for a
categorical field, the mean of the used slots' embeddings for a multi-valued
one, and one linear
layer for all numeric fields together, or a block for each (numeric.py); a
field with vectors learnt elsewhere has a second block (pretrained.py); one
further block encodes the session so far, if an encoder is set (session.py). The
first linear layer takes the blocks side by side; everything that reads the
features (experts, bottoms, gates) is a range of its columns, so that it runs
once.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from rmtl_jax import config as config_lib
from rmtl_jax import types
from rmtl_jax.networks import (
  distinct,
  distinct_product,
  embeddings,
  layers,
  numeric,
  precision,
  pretrained,
  product_tables,
  session,
)

Shared = Any


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
    kernel: f32[blocks, D, groups * units + gates]; the session's block is the
      last.
    bias: f32[groups * units + gates].
    numeric: linear layer of the numeric block, or those of the numeric fields'
      blocks (numeric.Piecewise), where N > 0.
    products_<field>: its table of products, with first_layer=tables
      (tables.py).
    pretrained_<name>: the vectors of a field that has some.
    session: the encoder of the session so far, where one is set.
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
    self.encodes = config.session_encoder != 'none'
    blocks = num_blocks(spec, config.numeric_encoding) + int(self.encodes)
    self.table = nnx.Param(embeddings.init_table(rngs.params(), spec, config))

    def kernel(width: int, gain: float) -> jax.Array:
      return layers.init_kernel(rngs.params(), (blocks * dim, width), gain)

    kernels = [kernel(groups * units, layers.HE)]
    if gates:
      kernels.append(kernel(gates, layers.LECUN))
    joined = jnp.concatenate(kernels, axis=1).reshape(blocks, dim, -1)
    self.kernel = nnx.Param(joined)
    self.bias = nnx.Param(jnp.zeros((joined.shape[2],)))
    width = sum(self.widths)
    if config.first_layer == 'tables':
      for f in self._tabled():
        products = nnx.Param(jnp.zeros((spec.categorical[f], width)))
        setattr(self, f'products_{f}', products)
    if spec.numeric and config.numeric_encoding == 'piecewise':
      self.numeric = numeric.Piecewise(spec, config, rngs)
    elif spec.numeric:
      self.numeric = layers.Linear(spec.numeric, dim, layers.LECUN, rngs)
    for field in spec.pretrained:
      rows = spec.categorical[field.place]
      vectors = pretrained.Vectors(field, rows, dim, rngs)
      setattr(self, pretrained.group(field.name), vectors)
    if self.encodes:
      self.session = session.make(config, rngs)

  @property
  def by_batch(self) -> bool:
    """Whether `share` takes the categories of a whole batch at once."""
    if self.config.first_layer == 'tables':
      return bool(self.spec.categorical)
    return distinct.is_wanted(self.config.first_layer, self.spec)

  @property
  def shared_axes(self) -> Any:
    """`in_axes` of what `share` returns, in a vmap over lanes."""
    return 0 if self.by_batch else None

  def _tabled(self) -> tuple[int, ...]:
    return product_tables.tabled(self.spec.categorical, sum(self.widths))

  def share(self, inputs: types.Inputs) -> Shared:
    """The part that lanes of a batch share.

    Args:
      inputs: leading dimensions [L, T].

    Returns:
      Contribution of the categories to the pre-activations, f32[L, T, width] of
      every group and of the gates; with them the bias and linear numeric
      fields, where they go by their distinct values (distinct_product.py). Or
      nothing.
    """
    if not self.by_batch:
      return ()
    form, sizes = self.config.first_layer, self.spec.categorical
    table, kernel, bias = self.table[...], self.kernel[...], self.bias[...]
    categorical = jnp.asarray(inputs.categorical)
    if form == 'tables':
      products = {
        f: getattr(self, f'products_{f}')[...] for f in self._tabled()
      }
      return product_tables.look_up(
        products, table, sizes, kernel[: len(sizes)], categorical, self.widths
      )
    return distinct_product.through(
      distinct_product.Weights(table, kernel, bias, self._linear_numeric()),
      embeddings.cumulative(sizes),
      categorical,
      jnp.asarray(inputs.numeric),
      distinct.rooms(form, self.spec, table.shape[1], categorical.shape),
      self.widths,
      # Behind those of categories and of lists.
      sum(self._blocks()[:2]),
    )

  @property
  def _shares_bias(self) -> bool:
    """Whether `share` adds the bias and linear numeric fields."""
    return self.by_batch and self.config.first_layer != 'tables'

  def _linear_numeric(self) -> jax.Array | None:
    """Kernel and bias of a linear numeric block, f32[N + 1, D]."""
    if not self.spec.numeric or isinstance(self.numeric, numeric.Piecewise):
      return None
    kernel, bias = self.numeric.kernel[...], self.numeric.bias[...]
    return jnp.concatenate([kernel, bias[None, :]])

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
    parts = list(shared)
    terms = self._terms(inputs)
    if terms:
      # Parts first: XLA would write the batch's out to join them.
      own = jax.lax.split(sum(terms[1:], terms[0]), self.widths, axis=1)
      pairs = zip(own, parts, strict=True)
      parts = [y + s for y, s in pairs] if self.by_batch else list(own)
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
      int(self.encodes),
    )

  def _terms(self, inputs: types.Inputs) -> list[jax.Array]:
    """A lane's own part of the pre-activations, f32[T, width].

    Each kind of block goes through its own rows of the kernel: joined blocks
    would be written out, only to be read once.
    """
    kernel, bias = self.kernel[...], self.bias[...]
    for_categories, for_lists, for_numeric, for_vectors, for_session = (
      jax.lax.split(kernel, self._blocks(), axis=0)
    )
    rows = inputs.categorical.shape[0]
    terms = []
    if not self._shares_bias:
      terms.append(jnp.broadcast_to(bias, (rows, bias.shape[0])))
    embedded = None
    if self.spec.categorical and not self.by_batch:
      embedded = embeddings.of_categories(self.table[...], self.spec, inputs)
      terms.append(_through(embedded, for_categories))
    if for_lists.shape[0]:
      terms.append(_through(self._lists(inputs), for_lists))
    if self.spec.numeric and not (
      self._shares_bias and self._linear_numeric() is not None
    ):
      terms.append(self._numeric(inputs, for_numeric))
    if self.spec.pretrained:
      terms.append(_through(self._vectors(inputs), for_vectors))
    if self.encodes:
      items = self._items(inputs, embedded)
      so_far = self.session(items, *session.places(inputs))
      terms.append(precision.product(so_far, for_session[0]))
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

  def _items(
    self, inputs: types.Inputs, embedded: jax.Array | None
  ) -> jax.Array:
    """Embeddings of the items of one lane, f32[T, D]."""
    field = self.spec.item
    if field is None:
      raise ValueError('expected rows with items')
    if embedded is not None:
      return embedded[:, field]
    row = jnp.asarray(inputs.categorical)[:, field]
    start = int(embeddings.offsets(self.spec)[field])
    return jnp.take(self.table[...], row + start, axis=0, mode='clip')

  def _numeric(self, inputs: types.Inputs, kernel: jax.Array) -> jax.Array:
    """The numeric blocks through the layer, f32[T, width].

    (x A + c) W = x (A W) + c W: a term of rank N instead of D, exact.
    """
    if isinstance(self.numeric, numeric.Piecewise):
      return self.numeric.through(inputs.numeric, kernel)
    through = self.numeric.kernel[...] @ kernel[0]
    constant = self.numeric.bias[...] @ kernel[0]
    x = jnp.asarray(inputs.numeric)
    if self.spec.numeric > distinct_product.FEW_NUMERIC:
      return x @ through + constant[None, :]
    terms = [
      x[:, i : i + 1] * through[i : i + 1] for i in range(self.spec.numeric)
    ]
    return sum(terms, start=constant[None, :])


def _through(blocks: jax.Array, kernel: jax.Array) -> jax.Array:
  """Blocks f32[T, n, D] through their part f32[n, D, width] of the layer."""
  count, dim, width = kernel.shape
  return precision.product(
    blocks.reshape(-1, count * dim), kernel.reshape(-1, width)
  )
