"""The first layer from tables of products, for predictions.

While parameters stay as they are, a category's product of embedding and kernel
does too: computed once for the whole vocabulary, it is looked up in every
batch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from rmtl_jax.networks import distinct, distinct_product, precision

# Tables of products (`prepare`) are kept of vocabularies up to so many
# rows, and up to so many numbers in all (512 MiB).
TABLE_ROWS = 2**15
TABLE_NUMBERS = 2**27


def pay(first_layer: str, embedding_dim: int) -> bool:
  """Whether predictions look products up in tables (`prepare`).

  Args:
    first_layer: NetworkConfig.first_layer; `auto` does on CPU, where that pays.
    embedding_dim: D.
  """
  if first_layer == 'auto':
    return (
      jax.default_backend() == 'cpu' and embedding_dim > distinct.GATHER_COST
    )
  return first_layer == 'distinct'


def tabled(sizes: Sequence[int], width: int) -> tuple[int, ...]:
  """Fields that get a table of products, smallest vocabularies first.

  Args:
    sizes: rows of each categorical field's vocabulary.
    width: columns of the first layer.
  """
  fields, numbers = [], 0
  for f in np.argsort(sizes, kind='stable'):
    numbers += sizes[f] * width
    if sizes[f] > TABLE_ROWS or numbers > TABLE_NUMBERS:
      break
    fields.append(int(f))
  return tuple(sorted(fields))


def prepare(params: Any, sizes: Sequence[int]) -> Any:
  """Parameters for many batches: products of all categories, computed once.

  Args:
    params: a network's, with `first.table` [..., rows, D] and `first.kernel`
      [..., blocks, D, width]; leading axes are members or tasks.
    sizes: rows of each categorical field's vocabulary.

  Returns:
    The parameters with `first.products_<field>` f32[..., rows, width] of every
    field with a table.
  """
  first = params['first']
  table, kernel = first['table'], first['kernel']
  starts = np.concatenate([[0], np.cumsum(sizes)])
  multiply = precision.product
  for _ in range(kernel.ndim - 3):
    multiply = jax.vmap(multiply)
  products = {
    f'products_{f}': multiply(
      table[..., starts[f] : starts[f + 1], :], kernel[..., f, :, :]
    )
    for f in tabled(sizes, kernel.shape[-1])
  }
  return {**params, 'first': {**first, **products}}


def look_up(
  products: Mapping[int, jax.Array],
  table: jax.Array,
  sizes: Sequence[int],
  kernel: jax.Array,
  categorical: jax.Array,
  widths: Sequence[int],
) -> list[jax.Array]:
  """As `distinct_product.through`, from the tables of `prepare`.

  Args:
    products: of each field that has a table, f32[rows, sum of widths].
    table: embeddings of all fields below each other, f32[rows, D].
    sizes: rows of each categorical field's vocabulary.
    kernel: f32[F, D, sum of widths].
    categorical: i32[L, T, F].
    widths: of the parts.

  Returns:
    f32[L, T, width] of each part.
  """
  lanes, length, fields = categorical.shape
  rest = np.array([f for f in range(fields) if f not in products], np.int32)

  def of(values):
    terms = []
    if products:
      index = [values[:, f] for f in products]
      terms.append(
        distinct_product.gather_sum(list(products.values()), index, widths)
      )
    if len(rest):
      starts = np.concatenate([[0], np.cumsum(sizes)])[rest].astype(np.int32)
      rows = values[:, rest] + starts[None, :]
      terms.append(distinct_product.on_slots(table, kernel[rest], rows, widths))
    return [distinct_product.add(t) for t in zip(*terms, strict=True)]

  # A loop of two passes is a barrier: without it XLA recomputes the sum at each
  # use, and so materialises every gather.
  halves = 2 if lanes % 2 == 0 else 1
  parts = jax.lax.map(of, categorical.reshape(halves, -1, fields))
  return [part.reshape(lanes, length, -1) for part in parts]
