"""The first layer on a batch's distinct categories.

Ahead of the first ReLU there is no dropout, so rows with the same category
get the same product of embedding and kernel. Computed once per category and
gathered, it costs a GEMM of as many rows as there are categories, instead of
as many as there are slots.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rmtl_jax.networks import layers

# A field with at most this share of the batch's slots as its vocabulary is
# projected whole: looking for distinct values would cost more than it saves.
WHOLE = 0.25

# What is saved grows with the embedding's width, gathering costs the same for
# all. Seven fields, 29 % distinct, two CPU cores: the whole training step
# takes 1.4-1.7 times as long at width 16, 1.2 at 32, 0.95 at 64, 0.68-0.84 at
# 128; with 97 % distinct, 1.1 at 128.
PAYS_FROM_WIDTH = 96


def pays(form: str, embedding_dim: int) -> bool:
  """Whether the first layer works on distinct categories.

  `auto` does on a single CPU device where embeddings are wide. Several
  devices would have to sort the whole batch together, and other backends have
  not been measured.

  Args:
    form: NetworkConfig.first_layer.
    embedding_dim: D.
  """
  if form != 'auto':
    return form == 'distinct'
  one_cpu = jax.default_backend() == 'cpu' and jax.device_count() == 1
  return one_cpu and embedding_dim >= PAYS_FROM_WIDTH


class Products(NamedTuple):
  """First-layer products of a batch's categories.

  Attributes:
    tables: one f32[rows, width] per field.
    index: each slot's row in its field's table, i32[L, T, F].
  """

  tables: Any
  index: Any


class Distinct(NamedTuple):
  """The distinct values of an array.

  Attributes:
    values: in order, then zeros, i32[slots].
    inverse: where each slot's value stands in `values`, shaped like the array.
    number: how many there are, i32[].
  """

  values: jax.Array
  inverse: jax.Array
  number: jax.Array


def distinct(array: jax.Array) -> Distinct:
  """Distinct values with static shapes: room for as many as there are slots.

  Args:
    array: i32[...].
  """
  flat = array.reshape(-1)
  order = jnp.argsort(flat)
  ordered = flat[order]
  is_new = (ordered[1:] != ordered[:-1]).astype(jnp.int32)
  rank = jnp.concatenate([jnp.zeros(1, jnp.int32), jnp.cumsum(is_new)])
  zeros = jnp.zeros(flat.shape, jnp.int32)
  inverse = zeros.at[order].set(rank, unique_indices=True)
  return Distinct(
    zeros.at[rank].set(ordered), inverse.reshape(array.shape), rank[-1] + 1
  )


def tiers(slots: int) -> tuple[int, ...]:
  """Capacities to choose from, each twice the one before, the last `slots`."""
  return tuple(sorted({max(slots // 4, 1), max(slots // 2, 1), slots}))


def project(rows: jax.Array, kernel: jax.Array, count: jax.Array) -> jax.Array:
  """rows @ kernel, of which only the first `count` rows are wanted.

  The smallest sufficient tier is computed, so the result is exact for every
  count. Rows beyond `count` hold anything.

  Args:
    rows: f32[slots, D].
    kernel: f32[D, width].
    count: i32[].

  Returns:
    f32[slots, width].
  """
  slots = rows.shape[0]
  sizes = tiers(slots)

  def tier(size: int):
    def run(rows, kernel):
      product = rows[:size] @ kernel
      return jnp.pad(product, ((0, slots - size), (0, 0)))

    return run

  index = sum((count > size).astype(jnp.int32) for size in sizes[:-1])
  return jax.lax.switch(index, [tier(size) for size in sizes], rows, kernel)


def products(
  table: jax.Array,
  starts: np.ndarray,
  kernel: jax.Array,
  categorical: jax.Array,
) -> Products:
  """What every category of the batch adds to the first layer.

  Args:
    table: embeddings of all fields below each other, f32[rows, D].
    starts: each categorical field's first row, then the row after the last.
    kernel: f32[F, D, width].
    categorical: i32[L, T, F].

  Returns:
    The products; the rows of `tables` that no slot points at hold anything.
  """
  slots = categorical.shape[0] * categorical.shape[1]
  fields = [categorical[..., f] for f in range(categorical.shape[2])]
  rows, found = [], []
  for f, values in enumerate(fields):
    size = int(starts[f + 1] - starts[f])
    if size <= WHOLE * slots:
      rows.append(jnp.arange(size, dtype=jnp.int32))
      found.append(None)
    else:
      found.append(distinct(values))
      rows.append(found[f].values)
  # One gather for all fields, so that its gradient is one scatter.
  embedded = jnp.take(
    table,
    jnp.concatenate([r + int(starts[f]) for f, r in enumerate(rows)]),
    axis=0,
    mode='clip',
  )
  parts = jax.lax.split(embedded, [len(r) for r in rows], axis=0)
  tables, index = [], []
  for values, seen, part, block in zip(
    fields, found, parts, layers.unstack(kernel), strict=True
  ):
    if seen is None:
      tables.append(part @ block)
      index.append(values)
    else:
      tables.append(project(part, block, seen.number))
      index.append(seen.inverse)
  return Products(tuple(tables), jnp.stack(index, axis=-1))


def gather(shared: Products) -> jax.Array:
  """One lane's sum over fields of the products, f32[T, width].

  Args:
    shared: `products` of the batch, with the lane's own index i32[T, F].
  """
  terms = [
    jnp.take(table, shared.index[:, f], axis=0, mode='clip')
    for f, table in enumerate(shared.tables)
  ]
  return sum(terms[1:], start=terms[0])
