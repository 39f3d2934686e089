"""The first layer on a batch's distinct categories.

Ahead of the first ReLU there is no dropout, so rows with the same category
get the same product of embedding and kernel. Computed once per category and
gathered, it costs a GEMM of as many rows as there are categories, instead of
as many as there are slots.

Shapes are static, so there is *room* for as many distinct values of a field as
its batches were seen to have (data/batches.distinct_capacity). A batch that has
more goes through every slot instead: the result is exact for every batch.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rmtl_jax import types
from rmtl_jax.networks import layers, precision

# What is saved of a slot grows with the embedding's width, gathering costs the
# same for all: about so many numbers of an embedding through the GEMM.
# Measured by benchmarks/first_layer.py on two CPU cores: from D (1 - share) =
# 12 on, a training step took less time.
GATHER_COST = 10
# A vocabulary of up to so many values per slot is looked through faster than
# the slots are sorted: on two CPU cores 2,048 slots took 0.01 to 0.03 ms in
# place of 0.2 to 0.4 with 700 to 4,647 values, 0.09 in place of 0.22 with
# 20,000, and as long with 100,000.
VALUES_PER_SLOT = 32


def is_wanted(first_layer: str, spec: types.FeatureSpec) -> bool:
  """Whether the first layer looks for distinct categories at all.

  `auto` does on a single CPU device, where the room that a batch's categories
  need is known. Several devices would have to sort the whole batch together,
  and on other backends one large GEMM was not beaten yet.

  Args:
    first_layer: NetworkConfig.first_layer.
    spec: the data's fields.
  """
  if first_layer == 'plain' or not spec.categorical:
    return False
  if first_layer == 'distinct':
    return True
  one_cpu = jax.default_backend() == 'cpu' and jax.device_count() == 1
  return one_cpu and bool(spec.distinct)


def pays(room: int, slots: int, embedding_dim: int) -> bool:
  """Whether a field's distinct categories cost less than all of its slots.

  Args:
    room: distinct categories that a batch has.
    slots: of a batch.
    embedding_dim: D.
  """
  return (slots - room) * embedding_dim > slots * GATHER_COST


def rooms(
  first_layer: str,
  spec: types.FeatureSpec,
  embedding_dim: int,
  shape: Sequence[int],
) -> list[int]:
  """Room for the distinct values of each field, 0 where every slot is used.

  Args:
    first_layer: NetworkConfig.first_layer; `distinct` takes every field.
    spec: the data's fields.
    embedding_dim: D.
    shape: (L, T, ...) of the batch.
  """
  slots = shape[0] * shape[1]
  found = []
  for f, size in enumerate(spec.categorical):
    known = spec.distinct[f] if spec.distinct else slots
    room = min(known, size, slots)
    use = first_layer == 'distinct' or pays(room, slots, embedding_dim)
    found.append(room if use else 0)
  return found


class Distinct(NamedTuple):
  """The distinct values of an array.

  Attributes:
    values: the first ones in order, then zeros, i32[room].
    inverse: where each slot's value stands in `values`, shaped like the array;
      beyond `room` where there are more.
    number: how many there are, i32[].
  """

  values: jax.Array
  inverse: jax.Array
  number: jax.Array


def distinct(array: jax.Array, room: int, size: int) -> Distinct:
  """Distinct values in an array of static size.

  Args:
    array: i32[...], each in [0, size).
    room: values wanted at most.
    size: of the vocabulary.
  """
  flat = array.reshape(-1)
  # Over several devices what is communicated would grow with the vocabulary.
  if jax.device_count() == 1 and size <= VALUES_PER_SLOT * len(flat):
    inverse, number = _ranks_by_presence(flat, size)
  else:
    inverse, number = _ranks_by_sorting(flat)
  values = jnp.zeros(room, jnp.int32).at[inverse].set(flat, mode='drop')
  return Distinct(values, inverse.reshape(array.shape), number)


def _ranks_by_presence(
  flat: jax.Array, size: int
) -> tuple[jax.Array, jax.Array]:
  """Each slot's rank among the distinct values, and how many these are.

  A value's rank is the number of smaller ones that are there.

  Args:
    flat: i32[slots], each in [0, size).
    size: of the vocabulary.
  """
  present = jnp.zeros(size, jnp.int32).at[flat].set(1)
  up_to = jnp.cumsum(present)
  return up_to[flat] - 1, up_to[-1]


def _ranks_by_sorting(flat: jax.Array) -> tuple[jax.Array, jax.Array]:
  """As `_ranks_by_presence`, for a vocabulary of any size.

  Equal values are neighbours once sorted, and each new one is one rank up.

  Args:
    flat: i32[slots].
  """
  order = jnp.argsort(flat)
  ordered = flat[order]
  is_new = (ordered[1:] != ordered[:-1]).astype(jnp.int32)
  rank = jnp.concatenate([jnp.zeros(1, jnp.int32), jnp.cumsum(is_new)])
  inverse = jnp.zeros(flat.shape, jnp.int32)
  return inverse.at[order].set(rank, unique_indices=True), rank[-1] + 1


def through(
  table: jax.Array,
  starts: np.ndarray,
  kernel: jax.Array,
  categorical: jax.Array,
  room: Sequence[int],
  widths: Sequence[int],
) -> list[jax.Array]:
  """Categories through their part of the first layer.

  Args:
    table: embeddings of all fields below each other, f32[rows, D].
    starts: each categorical field's first row, then the row after the last.
    kernel: f32[F, D, sum of widths].
    categorical: i32[L, T, F].
    room: for the distinct values of each field, 0 where every slot is used.
    widths: of the parts that the layer's columns are wanted in.

  Returns:
    f32[L, T, width] of each part.
  """
  lanes, length, fields = categorical.shape
  first = jnp.asarray(starts[:-1], jnp.int32)
  slot_rows = categorical.reshape(-1, fields) + first[None, :]
  rows, index, fits = [], [], []
  for f in range(fields):
    size = int(starts[f + 1] - starts[f])
    values = categorical[..., f].reshape(-1)
    if room[f] in (0, size):
      rows.append(jnp.arange(size if room[f] else 0, dtype=jnp.int32))
      index.append(values)
    else:
      found = distinct(values, room[f], size)
      rows.append(found.values)
      index.append(found.inverse)
      fits.append(found.number <= room[f])
    rows[f] += int(starts[f])

  def on_rows(table, kernel):
    return _on_rows(table, kernel, rows, index, slot_rows, widths)

  # A batch with more distinct values than room must not lose any.
  if fits:
    parts = jax.lax.cond(
      jnp.all(jnp.stack(fits)),
      on_rows,
      lambda table, kernel: on_slots(table, kernel, slot_rows, widths),
      table,
      kernel,
    )
  else:
    parts = on_rows(table, kernel)
  return [part.reshape(lanes, length, -1) for part in parts]


def on_slots(
  table: jax.Array,
  kernel: jax.Array,
  slot_rows: jax.Array,
  widths: Sequence[int],
) -> list[jax.Array]:
  """Every slot's embeddings through the kernel, f32[slots, width] per part.

  Args:
    table: f32[rows, D].
    kernel: f32[F, D, sum of widths].
    slot_rows: i32[slots, F].
    widths: of the parts.
  """
  fields, dim, width = kernel.shape
  embedded = jnp.take(table, slot_rows, axis=0, mode='clip')
  flat = embedded.reshape(-1, fields * dim)
  product = precision.product(flat, kernel.reshape(fields * dim, width))
  return list(jax.lax.split(product, tuple(widths), axis=1))


def _on_rows(
  table: jax.Array,
  kernel: jax.Array,
  rows: Sequence[jax.Array],
  index: Sequence[jax.Array],
  slot_rows: jax.Array,
  widths: Sequence[int],
) -> list[jax.Array]:
  """Each field's rows through its block, then gathered, as `on_slots`.

  Args:
    table: f32[rows, D].
    kernel: f32[F, D, sum of widths].
    rows: of the table, i32[room] of each field; none where its slots are used.
    index: each slot's place in its field's rows, i32[slots].
    slot_rows: of the table, i32[slots, F].
    widths: of the parts.
  """
  used = [f for f, r in enumerate(rows) if len(r)]
  rest = [f for f, r in enumerate(rows) if not len(r)]
  terms = []
  if used:
    # One gather for all fields, so that its gradient is one scatter.
    embedded = jnp.take(
      table, jnp.concatenate([rows[f] for f in used]), axis=0, mode='clip'
    )
    sizes = tuple(len(rows[f]) for f in used)
    terms.append(
      _products(
        jax.lax.split(embedded, sizes, axis=0),
        kernel if not rest else kernel[np.array(used)],
        [index[f] for f in used],
        tuple(widths),
        precision.current(),
      )
    )
  if rest:
    fields = np.array(rest)
    terms.append(on_slots(table, kernel[fields], slot_rows[:, fields], widths))
  return [add(t) for t in zip(*terms, strict=True)]


def add(terms: Sequence[jax.Array]) -> jax.Array:
  """The sum of one or more arrays."""
  return sum(terms[1:], start=terms[0])


@functools.partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def _products(
  embedded: list[jax.Array],
  kernel: jax.Array,
  index: list[jax.Array],
  widths: tuple[int, ...],
  matmul_precision: str,
) -> list[jax.Array]:
  """sum_f (E_f W_f)[index_f], the columns in parts.

  Args:
    embedded: E_f, f32[rows_f, D].
    kernel: W, f32[F, D, sum of widths].
    index: i32[slots] each.
    widths: of the parts.
    matmul_precision: of the products (precision.py).

  Returns:
    f32[slots, width] of each part.
  """
  products = [
    precision.product(rows, block, matmul_precision)
    for rows, block in zip(embedded, layers.unstack(kernel), strict=True)
  ]
  return gather_sum(products, index, widths)


def _products_forward(embedded, kernel, index, widths, matmul_precision):
  products = _products(embedded, kernel, index, widths, matmul_precision)
  return products, (embedded, kernel, index)


def _products_backward(widths, matmul_precision, residuals, cotangents):
  del widths
  multiply = functools.partial(precision.product, name=matmul_precision)
  embedded, kernel, index = residuals
  cotangent = jnp.concatenate(cotangents, axis=1)
  of_rows, of_kernel = [], []
  for rows, block, places in zip(
    embedded, layers.unstack(kernel), index, strict=True
  ):
    # Sum the slots' cotangents per category first: then both products have as
    # few rows as the forward pass.
    zeros = jnp.zeros((len(rows), cotangent.shape[1]), cotangent.dtype)
    of_product = zeros.at[places].add(cotangent, mode='drop')
    of_rows.append(multiply(of_product, block.T))
    of_kernel.append(multiply(rows.T, of_product))
  return of_rows, jnp.stack(of_kernel), None


_products.defvjp(_products_forward, _products_backward)


def gather_sum(
  tables: Sequence[jax.Array],
  index: Sequence[jax.Array],
  widths: Sequence[int],
) -> list[jax.Array]:
  """sum_f tables_f[index_f], the columns in parts.

  A part is sliced before it is gathered, not after: XLA then adds the fields
  up as it gathers, where it would else write all of them out first (5 times
  as long for seven fields on two CPU cores).

  Args:
    tables: f32[rows_f, sum of widths].
    index: i32[slots] each.
    widths: of the parts.

  Returns:
    f32[slots, width] of each part.
  """
  parts, begin = [], 0
  for width in widths:
    terms = [
      jnp.take(table[:, begin : begin + width], places, axis=0, mode='clip')
      for table, places in zip(tables, index, strict=True)
    ]
    parts.append(add(terms))
    begin += width
  return parts
