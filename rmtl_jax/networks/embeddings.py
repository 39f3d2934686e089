"""The table of embeddings: the rows of all fields' vocabularies in one array.

A field's row r is row `offsets[field] + r` of the table. Row 0 of every field
(missing, unseen or rare) starts at zero.
"""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from rmtl_jax import config as config_lib
from rmtl_jax import types


def owners(spec: types.FeatureSpec) -> tuple[int | None, ...]:
  """Each multi-valued field's `vocabulary_owners`, None for its own."""
  return spec.vocabulary_owners or (None,) * len(spec.multi_valued)


def histories(spec: types.FeatureSpec) -> tuple[int, ...]:
  """Multi-valued fields that are lists of another field's values.

  They have the embeddings of their owner, the item or its category, which learn
  from them. Row 0 means no value there: prepared data has it where a list
  is empty, id-dropout where it takes a value away.
  """
  return tuple(i for i, owner in enumerate(owners(spec)) if owner is not None)


def offsets(spec: types.FeatureSpec) -> np.ndarray:
  """First row of every categorical, then multi-valued field in the table.

  A field with another's vocabulary has its owner's rows.

  Returns:
    i64[fields + 1]; the last entry is the number of rows.
  """
  sizes = [
    rows if owner is None else 0
    for (rows, _), owner in zip(spec.multi_valued, owners(spec), strict=True)
  ]
  starts = cumulative((*spec.categorical, *sizes))
  for i, owner in enumerate(owners(spec), start=len(spec.categorical)):
    if owner is not None:
      starts[i] = starts[owner]
  return starts


def cumulative(sizes: Sequence[int]) -> np.ndarray:
  """The first row of each part, then their sum, i64[parts + 1]."""
  return np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])


def init_table(
  key: jax.Array, spec: types.FeatureSpec, config: config_lib.NetworkConfig
) -> jax.Array:
  """f32[sum of the vocabularies' sizes, D], row 0 of every field zero.

  Zero rows follow, up to a multiple of `table_multiple`; nothing reads them. A
  network that reads no category has such rows alone: checkpoints have no array
  without numbers.
  """
  dim = config.embedding_dim
  starts = offsets(spec)
  shape = int(starts[-1]), dim
  if config.official:
    # Xavier's rule, of the table as a matrix (Glorot and Bengio, 2010).
    limit = (6.0 / sum(shape)) ** 0.5
    table = jax.random.uniform(key, shape, minval=-limit, maxval=limit)
  else:
    table = config.embedding_scale * jax.random.normal(key, shape)
  table = table.at[np.unique(starts[:-1])].set(0.0)
  rows = max(table.shape[0], 1)
  rows += -rows % config.table_multiple
  return jnp.pad(table, ((0, rows - table.shape[0]), (0, 0)))


def of_categories(
  table: jax.Array, spec: types.FeatureSpec, inputs: types.Inputs
) -> jax.Array:
  """The categories' rows of a table of all fields below each other.

  Args:
    table: f32[rows, D].
    inputs: leading dimension [T].

  Returns:
    f32[T, F, D].
  """
  starts = offsets(spec)[: len(spec.categorical)]
  # One gather for all fields, so that its gradient is one scatter.
  rows = jnp.asarray(inputs.categorical) + starts.astype(np.int32)[None, :]
  return jnp.take(table, rows, axis=0, mode='clip')


def mean_of_used(table: jax.Array, slots: jax.Array, start: int) -> jax.Array:
  """Mean of the used slots' embeddings, f32[T, D]; zero where none is used.

  Args:
    table: f32[rows, D].
    slots: rows of the field's vocabulary, i32[T, slots], -1 = unused.
    start: the field's first row in the table.
  """
  used = (slots >= 0).astype(table.dtype)
  rows = jnp.maximum(slots, 0) + start
  embedded = jnp.take(table, rows, axis=0, mode='clip')
  count = jnp.maximum(jnp.sum(used, axis=1, keepdims=True), 1.0)
  return jnp.sum(embedded * used[:, :, None], axis=1) / count
