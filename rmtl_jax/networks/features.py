"""Features to the first layer's pre-activations.

Every field is a block of `embedding_dim` numbers: an embedding for a
categorical field, the mean of the used slots' embeddings for a multi-valued
one (of a history of items what its encoder says: history.py), and one linear
layer for all numeric fields together; one block more holds the session so far,
where an encoder is set (session.py). The first linear layer takes the blocks
side by side; everything that reads the features (experts, bottoms, gates) is a
range of its columns, so that it runs once.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from rmtl_jax import config as config_lib
from rmtl_jax import types
from rmtl_jax.networks import (
  distinct,
  history,
  layers,
  precision,
  session,
  tables,
)

Shared = Any

# Up to so many numeric fields are added as products of a column and a row: as
# a GEMM, their gradient would copy the whole layer's transposed.
FEW_NUMERIC = 4


def num_blocks(spec: types.FeatureSpec) -> int:
  """Blocks of the fields: F + multi-valued fields + 1 if N > 0."""
  return (
    len(spec.categorical) + len(spec.multi_valued) + (1 if spec.numeric else 0)
  )


def offsets(spec: types.FeatureSpec) -> np.ndarray:
  """First row of every categorical, then multi-valued field in the table.

  A field that shares a categorical field's vocabulary has that field's rows.

  Returns:
    i64[fields + 1]; the last entry is the number of rows.
  """
  lists = len(spec.multi_valued)
  shares = spec.vocabulary_owners or (None,) * lists
  sizes = [
    rows if owner is None else 0
    for (rows, _), owner in zip(spec.multi_valued, shares, strict=True)
  ]
  starts = cumulative((*spec.categorical, *sizes))
  for i, owner in enumerate(shares, start=len(spec.categorical)):
    if owner is not None:
      starts[i] = starts[owner]
  return starts


def cumulative(sizes: Sequence[int]) -> np.ndarray:
  """The first row of each part, then their sum, i64[parts + 1]."""
  return np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])


def init_table(
  key: jax.Array, spec: types.FeatureSpec, config: config_lib.NetworkConfig
) -> jax.Array:
  """f32[sum of the vocabularies' sizes, D], row 0 of every field zero."""
  dim = config.embedding_dim
  if config.init == 'torch':
    # Xavier's rule, of the table as a matrix (Glorot and Bengio, 2010).
    limit = (6.0 / (int(offsets(spec)[-1]) + dim)) ** 0.5
    draw = functools.partial(jax.random.uniform, minval=-limit, maxval=limit)
    return init_rows(key, spec, config, dim, draw)
  return config.embedding_scale * init_rows(key, spec, config, dim)


def init_rows(
  key: jax.Array,
  spec: types.FeatureSpec,
  config: config_lib.NetworkConfig,
  width: int,
  draw: Callable[..., jax.Array] = jax.random.normal,
) -> jax.Array:
  """Random values, f32[rows, width], row 0 of every field zero.

  Zero rows follow, up to a multiple of `table_multiple`; nothing reads them.

  Args:
    key: of the draw.
    spec: the data's fields.
    config: `table_multiple`.
    width: numbers of a row.
    draw: (key, shape) -> values; standard normal ones if not given.
  """
  starts = offsets(spec)
  table = draw(key, (int(starts[-1]), width))
  table = table.at[np.unique(starts[:-1])].set(0.0)
  return jnp.pad(table, ((0, -table.shape[0] % config.table_multiple), (0, 0)))


class FirstLayer(nnx.Module):
  """Embeddings and the linear layer on top of them, before any dropout.

  Args:
    spec: the data's fields.
    config: embedding sizes.
    hidden: columns that feed a ReLU (kernels of gain HE).
    gates: further columns, which stay linear (kernels of gain LECUN).
    rngs: where the initial values come from.
    members: whose columns the hidden ones are, side by side, equally many.

  Attributes:
    table: embeddings of all fields below each other, f32[sum of sizes, D].
    kernel: f32[blocks, D, hidden + gates]; the session's block is the last.
    bias: f32[hidden + gates].
    numeric: linear layer of the numeric block, where N > 0.
    products_<field>: its table of products, where form is `tables`
      (tables.py).
    session: the encoder of the session so far, where one is set.
    history_<i>: the encoder of multi-valued field i, where it is a history and
      its encoder has parameters.
  """

  def __init__(
    self,
    spec: types.FeatureSpec,
    config: config_lib.NetworkConfig,
    hidden: int,
    gates: int,
    rngs: nnx.Rngs,
    members: int = 1,
  ):
    dim = config.embedding_dim
    self.spec = spec
    self.widths = (hidden // members,) * members + ((gates,) if gates else ())
    self.count = members
    self.expert_form = config.expert_form
    self.encodes = config.session_encoder != 'none'
    self.histories = history.fields(spec)
    self.ignored = self.histories if config.history_encoder == 'none' else ()
    blocks = num_blocks(spec) - len(self.ignored) + int(self.encodes)
    self.form = config.first_layer
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
    if self.form == 'tables':
      for f in self._tabled():
        rows = spec.categorical[f]
        products = nnx.Param(jnp.zeros((rows, hidden + gates)))
        setattr(self, f'products_{f}', products)
    if spec.numeric:
      self.numeric = layers.Linear(spec.numeric, dim, layers.LECUN, rngs)
    if self.encodes:
      self.session = session.make(config, rngs)
    if config.history_encoder == 'target_attention':
      for i in self.histories:
        setattr(self, f'history_{i}', history.TargetAttention(config, rngs))

  @property
  def shares(self) -> bool:
    """Whether `share` does the categories of a whole batch at once."""
    if self.form == 'tables':
      return bool(self.spec.categorical)
    return distinct.is_wanted(self.form, self.spec)

  @property
  def shared_axes(self) -> Any:
    """`in_axes` of what `share` returns, in a vmap over lanes."""
    return 0 if self.shares else None

  def _tabled(self) -> tuple[int, ...]:
    return tables.tabled(self.spec.categorical, sum(self.widths))

  def share(self, inputs: types.Inputs) -> Shared:
    """What the lanes of a batch share.

    Args:
      inputs: leading dimensions [L, T].

    Returns:
      What the categories add to the pre-activations, f32[L, T, width] of
      every member and of the gates (distinct.py), or nothing.
    """
    if not self.shares:
      return ()
    sizes = self.spec.categorical
    kernel = self.kernel[...][: len(sizes)]
    categorical = jnp.asarray(inputs.categorical)
    if self.form == 'tables':
      return tables.look_up(
        {f: getattr(self, f'products_{f}')[...] for f in self._tabled()},
        self.table[...],
        sizes,
        kernel,
        categorical,
        self.widths,
      )
    return distinct.through(
      self.table[...],
      cumulative(sizes),
      kernel,
      categorical,
      distinct.rooms(
        self.form, self.spec, self.table.shape[1], categorical.shape
      ),
      self.widths,
    )

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
    members, gates = self._parts(shared, inputs)
    return jnp.concatenate(members, axis=1), gates

  def members(
    self, shared: Shared, inputs: types.Inputs
  ) -> tuple[layers.Stack, jax.Array]:
    """As a call, but the hidden columns as a stack of members."""
    members, gates = self._parts(shared, inputs)
    return layers.stack(members, self.expert_form), gates

  def _parts(
    self, shared: Shared, inputs: types.Inputs
  ) -> tuple[list[jax.Array], jax.Array]:
    """Each member's f32[T, hidden / members], and f32[T, gates]."""
    y = self._sum(inputs)
    parts = jax.lax.split(y, self.widths, axis=1)
    if self.shares:
      parts = [part + s for part, s in zip(parts, shared, strict=True)]
    gates = parts[self.count :]
    return list(parts[: self.count]), gates[0] if gates else y[:, :0]

  def _sum(self, inputs: types.Inputs) -> jax.Array:
    """One lane's pre-activations without what is shared, f32[T, width]."""
    for_categorical, for_multi_valued, for_numeric, for_session = (
      self._kernels()
    )
    rows = inputs.categorical.shape[0]
    y = jnp.broadcast_to(self.bias[...], (rows, self.bias.shape[0]))
    embedded = None
    if self.spec.categorical and not self.shares:
      embedded = self._categorical(inputs)
      y = y + _through(embedded, for_categorical)
    if for_multi_valued.shape[0]:
      lists = self._multi_valued(inputs, embedded)
      y = y + _through(lists, for_multi_valued)
    if self.spec.numeric:
      y = y + self._numeric(inputs, for_numeric[0])
    if self.encodes:
      so_far = self._session(inputs, embedded)
      y = y + precision.product(so_far, for_session[0])
    return y

  def _kernels(self) -> list[jax.Array]:
    """The kernel's blocks: categorical, multi-valued, numeric, session."""
    sizes = (
      len(self.spec.categorical),
      len(self.spec.multi_valued) - len(self.ignored),
      1 if self.spec.numeric else 0,
      1 if self.encodes else 0,
    )
    return list(jax.lax.split(self.kernel[...], sizes, axis=0))

  def _categorical(self, inputs: types.Inputs) -> jax.Array:
    """Embeddings of one lane, f32[T, F, D]."""
    return of_categories(self.table[...], self.spec, inputs)

  def _multi_valued(
    self, inputs: types.Inputs, embedded: jax.Array | None
  ) -> jax.Array:
    """Multi-valued fields of one lane, f32[T, fields that are read, D].

    Args:
      inputs: leading dimension [T].
      embedded: what `_categorical` gave, or None.
    """
    slots = jnp.asarray(inputs.multi_valued)
    starts = offsets(self.spec)[len(self.spec.categorical) :]
    widths = [width for _, width in self.spec.multi_valued]
    blocks = []
    for i, part in enumerate(jax.lax.split(slots, widths, axis=1)):
      start, attention = int(starts[i]), getattr(self, f'history_{i}', None)
      if i in self.ignored:
        continue
      if i in self.histories:  # row 0 is no item
        part = jnp.where(part > 0, part, -1)
      if attention is None:
        blocks.append(mean_of_used(self.table[...], part, start))
      else:
        rows = jnp.maximum(part, 0) + start
        items = jnp.take(self.table[...], rows, axis=0, mode='clip')
        query = self._items(inputs, embedded)
        blocks.append(attention(query, items, part >= 0))
    return jnp.stack(blocks, axis=1)

  def _session(
    self, inputs: types.Inputs, embedded: jax.Array | None
  ) -> jax.Array:
    """The session so far at each row of one lane, f32[T, D].

    Args:
      inputs: leading dimension [T].
      embedded: what `_categorical` gave, or None.
    """
    if self.spec.item is None:
      raise ValueError('expected rows with items')
    items = self._items(inputs, embedded)
    return self.session(items, *session.places(inputs))

  def _items(
    self, inputs: types.Inputs, embedded: jax.Array | None
  ) -> jax.Array:
    """Embeddings of one lane's items, f32[T, D]."""
    item = self.spec.item
    assert item is not None
    if embedded is not None:
      return embedded[:, item]
    row = jnp.asarray(inputs.categorical)[:, item]
    start = int(offsets(self.spec)[item])
    return jnp.take(self.table[...], row + start, axis=0, mode='clip')

  def _numeric(self, inputs: types.Inputs, kernel: jax.Array) -> jax.Array:
    """The numeric block's share of the layer, f32[T, width].

    (x A + c) W = x (A W) + c W: a term of rank N instead of D, exact.
    """
    through = self.numeric.kernel[...] @ kernel
    constant = self.numeric.bias[...] @ kernel
    numeric = jnp.asarray(inputs.numeric)
    if self.spec.numeric > FEW_NUMERIC:
      return numeric @ through + constant[None, :]
    terms = [
      numeric[:, i : i + 1] * through[i : i + 1]
      for i in range(self.spec.numeric)
    ]
    return sum(terms, start=constant[None, :])


def _through(blocks: jax.Array, kernel: jax.Array) -> jax.Array:
  """Blocks f32[T, n, D] through their part f32[n, D, width] of the layer."""
  count, dim, width = kernel.shape
  return precision.product(
    blocks.reshape(-1, count * dim), kernel.reshape(-1, width)
  )


def of_categories(
  table: jax.Array, spec: types.FeatureSpec, inputs: types.Inputs
) -> jax.Array:
  """The categories' rows of a table of all fields below each other.

  Args:
    table: f32[rows, D].
    spec: the data's fields.
    inputs: leading dimension [T].

  Returns:
    f32[T, F, D].
  """
  starts = offsets(spec)[: len(spec.categorical)]
  rows = jnp.asarray(inputs.categorical) + starts.astype(np.int32)[None, :]
  return jnp.take(table, rows, axis=0, mode='clip')


def of_slots(
  table: jax.Array, slots: jax.Array, start: int
) -> tuple[jax.Array, jax.Array]:
  """The rows of a table that a list's slots hold.

  Args:
    table: f32[rows, D].
    slots: rows of the field's vocabulary, i32[T, slots], -1 = unused.
    start: the field's first row in the table.

  Returns:
    f32[T, slots, D], zero where a slot is unused, and the number of used
    slots, at least 1, f32[T, 1].
  """
  used = (slots >= 0).astype(table.dtype)
  rows = jnp.maximum(slots, 0) + start
  embedded = jnp.take(table, rows, axis=0, mode='clip')
  count = jnp.maximum(jnp.sum(used, axis=1, keepdims=True), 1.0)
  return embedded * used[:, :, None], count


def mean_of_used(table: jax.Array, slots: jax.Array, start: int) -> jax.Array:
  """Mean of the used slots' embeddings; zero where no slot is used.

  Args:
    table: f32[rows, D].
    slots: rows of the field's vocabulary, i32[T, slots], -1 = unused.
    start: the field's first row in the table.

  Returns:
    f32[T, D].
  """
  embedded, count = of_slots(table, slots, start)
  return jnp.sum(embedded, axis=1) / count
