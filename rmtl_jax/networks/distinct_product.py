"""The first layer on a batch's distinct categories.

Ahead of the first ReLU there is no dropout, so rows with the same category
get the same product of embedding and kernel. Computed once per category and
gathered, it costs a GEMM of as many rows as there are categories, instead of
as many as there are slots. A batch with more categories than there is room for
(distinct.py) goes through every slot instead: the result is exact for every
batch.

All of it is one function with a custom gradient. JAX's gradient of the
parts fills the residuals of the branch that is not taken with zeros, pads and
adds gradients of parts of the kernel, and joins the cotangents of the layer's
columns once for each of its terms: passes over memory as large as the layer.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np

from rmtl_jax.networks import distinct, layers, precision

# Up to so many numeric fields are added as products of a column and a row: as
# a GEMM they would be written out, to be read once, and their gradient would
# copy the whole layer's transposed.
FEW_NUMERIC = 4


class Weights(NamedTuple):
  """The parameters of the first layer.

  Attributes:
    table: embeddings of all fields below each other, f32[rows, D].
    kernel: f32[blocks, D, sum of widths], the categorical fields' first.
    bias: f32[sum of widths].
    numeric: of a linear numeric block, kernel and bias below each other,
      f32[N + 1, D]; None without one.
  """

  table: jax.Array
  kernel: jax.Array
  bias: jax.Array
  numeric: jax.Array | None


class _Places(NamedTuple):
  """Positions of a batch's categories.

  Attributes:
    rows: of the table, i32[room] of each field; none where its slots are used.
    slots: each one's place in its field's rows, i32[slots].
    slot_rows: of the table, i32[slots, F].
    fits: whether there was room, bool[]; None where there always is.
  """

  rows: list[jax.Array]
  slots: list[jax.Array]
  slot_rows: jax.Array
  fits: jax.Array | None


class _Form(NamedTuple):
  """The static arguments.

  Attributes:
    widths: of the parts that the layer's columns are wanted in.
    block: the kernel's that is of numeric fields.
    matmul_precision: of the products (precision.py).
  """

  widths: tuple[int, ...]
  block: int
  matmul_precision: str


def through(
  weights: Weights,
  starts: np.ndarray,
  categorical: jax.Array,
  numeric: jax.Array,
  room: Sequence[int],
  widths: Sequence[int],
  block: int,
) -> list[jax.Array]:
  """Categories and linear numeric fields through the first layer, and its bias.

  Args:
    weights: of the layer. Blocks of other fields have no part in the result.
    starts: each categorical field's first row, then the row after the last.
    categorical: i32[L, T, F].
    numeric: f32[L, T, N]; not read where `weights.numeric` is None.
    room: for the distinct values of each field, 0 where every slot is used.
    widths: of the parts that the layer's columns are wanted in.
    block: the kernel's that is of numeric fields.

  Returns:
    f32[L, T, width] of each part.
  """
  lanes, length = categorical.shape[:2]
  form = _Form(tuple(widths), block, precision.current())
  places = _find(starts, categorical, room)
  if weights.numeric is None:
    numeric = numeric[..., :0]
  flat = numeric.reshape(lanes * length, -1)
  parts = cast(list[jax.Array], _through(form, weights, places, flat))
  return [part.reshape(lanes, length, -1) for part in parts]


def _find(
  starts: np.ndarray, categorical: jax.Array, room: Sequence[int]
) -> _Places:
  """The rows of a batch's distinct categories, for `through`."""
  fields = categorical.shape[-1]
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
      found = distinct.distinct(values, room[f], size)
      rows.append(found.values)
      index.append(found.inverse)
      fits.append(found.number <= room[f])
    rows[f] += int(starts[f])
  return _Places(
    rows, index, slot_rows, jnp.all(jnp.stack(fits)) if fits else None
  )


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _through(
  form: _Form, weights: Weights, places: _Places, numeric: jax.Array
) -> list[jax.Array]:
  """As `through`, of slots in one axis."""
  return _forward(form, weights, places, numeric)[0]


def _forward(form, weights, places, numeric):
  fields = len(places.rows)
  used, rest = _split(places)
  # Once for both passes: a GEMM reads no part of an array.
  blocks = layers.unstack(weights.kernel)[:fields]
  # One gather for all fields, so that its gradient is one scatter.
  embedded = _take(weights.table, [places.rows[f] for f in used])

  def on_rows(blocks, embedded, table):
    terms = []
    if used:
      products = [
        precision.product(rows, blocks[f], form.matmul_precision)
        for f, rows in zip(used, embedded, strict=True)
      ]
      index = [places.slots[f] for f in used]
      terms.append(gather_sum(products, index, form.widths))
    if rest:
      kernel, rows = _of(rest, blocks), places.slot_rows[:, np.array(rest)]
      terms.append(on_slots(table, kernel, rows, form.widths))
    return [add(t) for t in zip(*terms, strict=True)]

  def on_all_slots(blocks, embedded, table):
    del embedded
    kernel = jnp.stack(blocks)
    return on_slots(table, kernel, places.slot_rows, form.widths)

  parts = _where_it_fits(
    places, on_rows, on_all_slots, blocks, embedded, weights.table
  )
  rows = _numeric_rows(form, weights)
  begins = np.cumsum((0, *form.widths))
  parts = [
    part + _numeric_terms(numeric, rows[:, begin : begin + width])
    for part, begin, width in zip(parts, begins, form.widths, strict=False)
  ]
  return parts, (weights, places, numeric, blocks, embedded, rows)


def _numeric_rows(form: _Form, weights: Weights) -> jax.Array:
  """Coefficients of each numeric field and of 1, f32[N + 1, width].

  (x A + c) W + b = x (A W) + (c W + b): terms of rank N instead of D, exact.
  """
  if weights.numeric is None:
    return weights.bias[None, :]
  rows = weights.numeric @ weights.kernel[form.block]
  return jnp.concatenate([rows[:-1], rows[-1:] + weights.bias[None, :]])


def _numeric_terms(numeric: jax.Array, rows: jax.Array) -> jax.Array:
  """f32[slots, N], f32[N + 1, width] -> f32[slots or 1, width]."""
  count = numeric.shape[1]
  if count > FEW_NUMERIC:
    return numeric @ rows[:-1] + rows[-1:]
  terms = [numeric[:, i : i + 1] * rows[i : i + 1] for i in range(count)]
  return sum(terms, start=rows[-1:])


def _backward(form, residuals, cotangents):
  weights, places, numeric, blocks, embedded, rows = residuals
  cotangent = jnp.concatenate(cotangents, axis=1)
  if numeric.shape[1]:
    ones = jnp.ones((len(numeric), 1), numeric.dtype)
    of_rows = jnp.concatenate([numeric, ones], axis=1).T @ cotangent
    of_values = cotangent @ rows[:-1].T
  else:
    of_rows = jnp.sum(cotangent, axis=0, keepdims=True)
    of_values = jnp.zeros_like(numeric)
  of_block, of_numeric = None, None
  if weights.numeric is not None:
    of_block = weights.numeric.T @ of_rows
    of_numeric = of_rows @ weights.kernel[form.block].T

  def joined(of_blocks):
    """The gradient of the whole kernel, written once."""
    others = {} if of_block is None else {form.block: of_block}
    zeros = jnp.zeros_like(weights.kernel[0])
    more = range(len(of_blocks), len(weights.kernel))
    return jnp.stack([*of_blocks, *(others.get(i, zeros) for i in more)])

  def on_rows(cotangent, blocks, embedded, table):
    of_table, of_blocks = _backward_on_rows(
      form, places, cotangent, blocks, embedded, table
    )
    return of_table, joined(of_blocks)

  def on_all_slots(cotangent, blocks, embedded, table):
    del embedded
    of_table, of_kernel = _backward_on_slots(
      form, places.slot_rows, cotangent, jnp.stack(blocks), table
    )
    return of_table, joined(layers.unstack(of_kernel))

  of_table, of_kernel = _where_it_fits(
    places, on_rows, on_all_slots, cotangent, blocks, embedded, weights.table
  )
  of_weights = Weights(of_table, of_kernel, of_rows[-1], of_numeric)
  return of_weights, None, of_values


def _backward_on_rows(form, places, cotangent, blocks, embedded, table):
  """The gradients of the table and of the categorical fields' blocks."""
  multiply = functools.partial(precision.product, name=form.matmul_precision)
  used, rest = _split(places)
  of_embedded = []
  of_blocks: list[Any] = [None] * len(blocks)
  for f, rows in zip(used, embedded, strict=True):
    # Sum the slots' cotangents per category first: then both products have as
    # few rows as the forward pass.
    zeros = jnp.zeros((len(rows), cotangent.shape[1]), cotangent.dtype)
    of_product = zeros.at[places.slots[f]].add(cotangent, mode='drop')
    of_embedded.append(multiply(of_product, blocks[f].T))
    of_blocks[f] = multiply(rows.T, of_product)
  of_table = jnp.zeros_like(table)
  if used:
    at = jnp.concatenate([places.rows[f] for f in used])
    of_table = of_table.at[at].add(jnp.concatenate(of_embedded))
  if rest:
    of_rest, of_kernel = _backward_on_slots(
      form,
      places.slot_rows[:, np.array(rest)],
      cotangent,
      _of(rest, blocks),
      table,
    )
    of_table += of_rest
    for f, block in zip(rest, layers.unstack(of_kernel), strict=True):
      of_blocks[f] = block
  return of_table, of_blocks


def _backward_on_slots(form, slot_rows, cotangent, kernel, table):
  """The gradients of the table and the kernel of `on_slots`."""

  def product(table, kernel):
    (found,) = on_slots(table, kernel, slot_rows, (kernel.shape[2],))
    return found

  with precision.traced_with(form.matmul_precision):
    return jax.vjp(product, table, kernel)[1](cotangent)


_through.defvjp(_forward, _backward)


def _where_it_fits(
  places: _Places,
  on_rows: Callable[..., Any],
  on_all_slots: Callable[..., Any],
  *args: Any,
) -> Any:
  """A batch with more distinct values than room must not lose any."""
  if places.fits is None:
    return on_rows(*args)
  return jax.lax.cond(places.fits, on_rows, on_all_slots, *args)


def _split(places: _Places) -> tuple[list[int], list[int]]:
  """The fields with few distinct values, and the others."""
  used = [f for f, rows in enumerate(places.rows) if len(rows)]
  return used, [f for f in range(len(places.rows)) if f not in used]


def _of(fields: Sequence[int], blocks: Sequence[jax.Array]) -> jax.Array:
  return jnp.stack([blocks[f] for f in fields])


def _take(table: jax.Array, rows: Sequence[jax.Array]) -> list[jax.Array]:
  """The rows of each field, f32[rows_f, D]."""
  if not rows:
    return []
  embedded = jnp.take(table, jnp.concatenate(rows), axis=0, mode='clip')
  return list(jax.lax.split(embedded, [len(r) for r in rows], axis=0))


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


def add(terms: Sequence[jax.Array]) -> jax.Array:
  """The sum of one or more arrays."""
  return sum(terms[1:], start=terms[0])


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
