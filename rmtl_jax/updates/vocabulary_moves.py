"""Parameters of one run as the start of another, of other vocabularies.

A category keeps its row of every table, although the row may have another
number now, and new categories start near row 0.
Everything else is copied as it is.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rmtl_jax import types
from rmtl_jax.networks import cross_terms, embeddings, pretrained
from rmtl_jax.updates import state as state_lib

# Noise of new rows, in deviations of the field's values.
NOISE = 0.1


class Rows(NamedTuple):
  """Where the rows of a vocabulary come from.

  Attributes:
    source: the row with the same value in the other run's vocabulary, -1 where
      it has none, i32[size].
    has_new: whether any source is -1.
  """

  source: np.ndarray
  has_new: bool


@dataclasses.dataclass(frozen=True)
class Moves:
  """How parameters of one spec become those of another.

  Attributes:
    old: the fields of the run that is started from.
    new: the same fields, of the run that starts.
    rows: by name of the fields that own a vocabulary.
  """

  old: types.FeatureSpec
  new: types.FeatureSpec
  rows: Mapping[str, Rows]

  @property
  def arrays(self) -> dict[str, np.ndarray]:
    """The arrays for `move`: sources by field."""
    return {name: one.source for name, one in self.rows.items()}


def _axes(names: Sequence[str], spec: types.FeatureSpec) -> dict[int, str]:
  """The fields whose vocabularies a parameter's axes number, tables aside.

  Args:
    names: the parameter's path.
    spec: the fields.

  Returns:
    {axis, from the end: field}; crossed fields have two.
  """
  places = cross_terms.places_of(names)
  if places:
    return {-3: spec.names[places[0]], -2: spec.names[places[1]]}
  field = pretrained.field_of(names)
  return {-2: field} if field else {}


def move(
  moves: Moves,
  old: Any,
  fresh: Any,
  arrays: Mapping[str, types.Array],
  key: jax.Array,
) -> Any:
  """Parameters of the old spec as those of the new one.

  Args:
    moves: between the two; static under jit.
    old: the parameters of the run that is started from.
    fresh: those of a new network of the new spec.
    arrays: `moves.arrays`.

  Returns:
    A tree of the form of `fresh`. New rows start near row 0; frozen vectors,
    and new rows of others, are those of `fresh`.
  """

  def one(path, old_leaf, fresh_leaf, key):
    names = state_lib.names(path)
    if names[-1] == pretrained.FROZEN:
      return fresh_leaf
    if state_lib.is_embedding(path):
      return _table(moves, old_leaf, fresh_leaf, arrays, key)
    near_row_0 = pretrained.field_of(names) is None
    new_leaf = old_leaf
    for axis, field in _axes(names, moves.new).items():
      rows = moves.rows[field]
      axis %= new_leaf.ndim
      shape = list(new_leaf.shape)
      shape[axis] = len(rows.source)
      # With two axes these are terms of pairs, and new ones are zero.
      is_whole = tuple(shape) == fresh_leaf.shape
      fresh = fresh_leaf if is_whole else jnp.zeros(shape, fresh_leaf.dtype)
      parts = _Part(new_leaf, fresh, axis)
      near = rows.has_new and near_row_0
      new_leaf = _filled(near, parts, arrays[field], key)
    return new_leaf

  leaves = jax.tree_util.tree_leaves_with_path(old)
  keys = jax.tree.unflatten(
    jax.tree.structure(old),
    [jax.random.fold_in(key, i) for i in range(len(leaves))],
  )
  return jax.tree.map_with_path(one, old, fresh, keys)


class _Part(NamedTuple):
  """A field's rows in a parameter.

  Attributes:
    old: of the run that is started from.
    fresh: of a new network.
    axis: of the rows.
  """

  old: jax.Array
  fresh: jax.Array
  axis: int


def _table(
  moves: Moves,
  old: jax.Array,
  fresh: jax.Array,
  arrays: Mapping[str, types.Array],
  key: jax.Array,
) -> jax.Array:
  """A joint table of embeddings, f32[..., rows, D], field by field."""
  new = fresh
  starts = embeddings.offsets(moves.old), embeddings.offsets(moves.new)
  for place, name in enumerate(moves.new.names):
    if name not in moves.rows:  # its owner's rows
      continue
    rows = moves.rows[name]
    begin, size = int(starts[1][place]), len(rows.source)
    first = int(starts[0][place])
    old_size = _size(moves.old, place)
    part = _Part(
      old[..., first : first + old_size, :],
      fresh[..., begin : begin + size, :],
      old.ndim - 2,
    )
    own_key = jax.random.fold_in(key, place)
    values = _filled(rows.has_new, part, arrays[name], own_key)
    new = new.at[..., begin : begin + size, :].set(values)
  return new


def _size(spec: types.FeatureSpec, place: int) -> int:
  """Rows of the vocabulary of a field, by its place in `names`."""
  count = len(spec.categorical)
  if place < count:
    return spec.categorical[place]
  return spec.multi_valued[place - count][0]


def _filled(
  near: bool,
  part: _Part,
  source: types.Array,
  key: jax.Array,
) -> jax.Array:
  """Rows by their sources; new ones near row 0, or as the fresh ones."""
  old, fresh, axis = part
  source = jnp.asarray(source)
  known = jnp.take(old, jnp.maximum(source, 0), axis=axis, mode='clip')
  filled = fresh
  if near:
    size = old.shape[axis]
    values = jax.lax.slice_in_dim(old, min(1, size - 1), size, axis=axis)
    deviation = jnp.std(values, axis=axis, keepdims=True)
    noise = jax.random.normal(key, fresh.shape, fresh.dtype)
    filled = known + NOISE * deviation * noise
  shape = [1] * fresh.ndim
  shape[axis] = len(source)
  return jnp.where(source.reshape(shape) >= 0, known, filled)
