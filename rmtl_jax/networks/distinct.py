"""The first layer on a batch's distinct categories.

Ahead of the first ReLU there is no dropout, so rows with the same category get
the same product of embedding and kernel. Computed once per category and then
gathered, it costs a GEMM of as many rows as there are categories instead of as
many as there are slots. Shapes are static, so there is room for as many
categories of a field as batches were seen to have; a batch with more of them
goes through every slot instead, so the result is exact for every batch.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rmtl_jax import config as config_lib
from rmtl_jax import types
from rmtl_jax.networks import layers

# A field's categories pay where (slots - room) D > slots times this: the GEMM
# saves more the wider the embedding, and gathering costs the same for all.
# Measured on two CPU cores.
GATHER_COST = 10


def is_wanted(
  config: config_lib.NetworkConfig, spec: types.FeatureSpec
) -> bool:
  """Whether the first layer looks for distinct categories at all.

  `auto` does on a single CPU device, with embeddings wide enough to pay.
  Several devices would have to look through the whole batch together, and other
  backends were not measured to be faster by it.
  """
  if not spec.categorical or config.first_layer == 'plain':
    return False
  one_cpu = jax.default_backend() == 'cpu' and jax.device_count() == 1
  is_wide = config.embedding_dim > GATHER_COST
  return config.first_layer == 'distinct' or (one_cpu and is_wide)


def rooms(
  config: config_lib.NetworkConfig, spec: types.FeatureSpec, slots: int
) -> list[int]:
  """Room for the categories of each field, 0 where every slot is used.

  Args:
    config: `distinct` takes every field.
    slots: L * T of the batch.
  """
  dim, found = config.embedding_dim, []
  for f, size in enumerate(spec.categorical):
    room = min(spec.distinct[f] if spec.distinct else slots, size, slots)
    pays = (slots - room) * dim > slots * GATHER_COST
    found.append(room if config.first_layer == 'distinct' or pays else 0)
  return found


def distinct(
  values: jax.Array, room: int, size: int
) -> tuple[jax.Array, jax.Array, jax.Array]:
  """Distinct values of i32[n], each in [0, size).

  The place of a value is the number of smaller ones that are there: looking
  through a vocabulary takes a tenth of the time that sorting takes.

  Returns:
    The first distinct values in order, then zeros, i32[room]; the place of each
    element in them, or beyond `room`, i32[n]; how many there are, i32[].
  """
  up_to = jnp.cumsum(jnp.zeros(size, jnp.int32).at[values].set(1))
  inverse = up_to[values] - 1
  first = jnp.zeros(room, jnp.int32).at[inverse].set(values, mode='drop')
  return first, inverse, up_to[-1]


class _Places(NamedTuple):
  """Where a batch's categories are."""

  rows: dict[int, jax.Array]  # of the table, i32[room], by field with room
  at: dict[int, jax.Array]  # of each slot's category in `rows`, i32[slots]
  slot_rows: jax.Array  # of the table, i32[slots, F]
  fits: jax.Array  # whether there was room, bool[]


def product(
  table: jax.Array,
  kernel: jax.Array,
  starts: np.ndarray,
  categorical: jax.Array,
  room: Sequence[int],
  widths: Sequence[int],
) -> list[jax.Array]:
  """sum_f table[start_f + categorical_f] @ kernel_f, the columns in parts.

  Args:
    table: embeddings of all fields below each other, f32[rows, D].
    kernel: f32[F, D, sum of widths].
    starts: the first row of each categorical field in the table, then the end.
    categorical: i32[L, T, F].
    room: of `rooms`.
    widths: of the parts.

  Returns:
    f32[L, T, width] of each part.
  """
  lanes, length, fields = categorical.shape
  flat = categorical.reshape(-1, fields)
  rows, at, fits = {}, {}, jnp.bool_(True)
  for f in range(fields):
    if room[f]:
      size = int(starts[f + 1] - starts[f])
      values, at[f], number = distinct(flat[:, f], room[f], size)
      rows[f] = values + int(starts[f])
      fits &= number <= room[f]
  slot_rows = flat + jnp.asarray(starts[:-1], jnp.int32)[None, :]
  places = _Places(rows, at, slot_rows, fits)
  parts: list[jax.Array] = _product(tuple(widths), table, kernel, places)
  return [part.reshape(lanes, length, -1) for part in parts]


# JAX's gradient of the parts is exact too, but passes several times over
# arrays as large as the layer: it fills the residuals of the branch that is not
# taken with zeros, and pads and adds gradients of parts of the kernel.
@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _product(widths, table, kernel, places) -> list[jax.Array]:
  return _forward(widths, table, kernel, places)[0]


def _forward(widths, table, kernel, places):
  fields = places.slot_rows.shape[1]
  rest = [f for f in range(fields) if f not in places.rows]
  # A GEMM reads no part of an array: both passes share these copies.
  blocks = layers.unstack(kernel)
  embedded = {f: _take(table, rows) for f, rows in places.rows.items()}

  def on_rows():
    # Parts are split before they are gathered: XLA then adds the fields up as
    # it gathers, and else writes all of them out first.
    by_field = {
      f: jax.lax.split(rows @ blocks[f], widths, axis=1)
      for f, rows in embedded.items()
    }
    terms = [
      [_take(part[i], places.at[f]) for f, part in by_field.items()]
      for i in range(len(widths))
    ]
    if rest:
      others = _on_slots(table, blocks, places.slot_rows, rest)
      split = jax.lax.split(others, widths, axis=1)
      terms = [[*term, part] for term, part in zip(terms, split, strict=True)]
    return [sum(term[1:], start=term[0]) for term in terms]

  def on_slots():
    whole = _on_slots(table, blocks, places.slot_rows, range(fields))
    return list(jax.lax.split(whole, widths, axis=1))

  parts = jax.lax.cond(places.fits, on_rows, on_slots)
  return parts, (table, places, blocks, embedded)


def _backward(widths, residuals, cotangents):
  del widths
  table, places, blocks, embedded = residuals
  fields = range(len(blocks))
  cotangent = jnp.concatenate(cotangents, axis=1)

  def on_slots(chosen):
    _, pullback = jax.vjp(
      lambda table, blocks: _on_slots(table, blocks, places.slot_rows, chosen),
      *(table, blocks),
    )
    return pullback(cotangent)

  def on_rows():
    rest = [f for f in fields if f not in places.rows]
    of_table, of_blocks = on_slots(rest)
    for f, rows in places.rows.items():
      # Sum the slots' cotangents per category first: then both products have
      # as few rows as in the forward pass.
      zeros = jnp.zeros((len(rows), cotangent.shape[1]), cotangent.dtype)
      of_product = zeros.at[places.at[f]].add(cotangent, mode='drop')
      of_table = of_table.at[rows].add(of_product @ blocks[f].T)
      of_blocks[f] = embedded[f].T @ of_product
    return of_table, jnp.stack(of_blocks)

  def on_all_slots():
    of_table, of_blocks = on_slots(fields)
    return of_table, jnp.stack(of_blocks)

  return *jax.lax.cond(places.fits, on_rows, on_all_slots), None


_product.defvjp(_forward, _backward)


def _on_slots(
  table: jax.Array,
  blocks: Sequence[jax.Array],
  slot_rows: jax.Array,
  fields: Sequence[int],
) -> jax.Array:
  """The embeddings of every slot through the kernel, f32[slots, width]."""
  if not fields:
    return jnp.zeros((len(slot_rows), blocks[0].shape[1]), table.dtype)
  kernel = jnp.concatenate([blocks[f] for f in fields])
  embedded = _take(table, slot_rows[:, np.array(fields)])
  return embedded.reshape(len(slot_rows), -1) @ kernel


def _take(table: jax.Array, rows: jax.Array) -> jax.Array:
  return jnp.take(table, rows, axis=0, mode='clip')
