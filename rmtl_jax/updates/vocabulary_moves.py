"""Parameters of one run as the start of another, of other vocabularies.

What a vocabulary numbers goes by its values: a category keeps its row of every
table, wherever the row stands now, and new categories start where settings say.
Everything else is copied as it is.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rmtl_jax import types
from rmtl_jax.networks import embeddings, pretrained
from rmtl_jax.updates import state as state_lib

# Noise of new rows, in deviations of the field's values.
NOISE = 0.1
# Rows of every vocabulary of the spec with which axes are looked for.
_PROBE = 2


class Rows(NamedTuple):
  """Where the rows of a vocabulary come from.

  Attributes:
    source: the row with the same value in the other run's vocabulary, -1 where
      it has none, i32[size].
    has_new: whether any source is -1.
  """

  source: np.ndarray
  has_new: bool


class Axis(NamedTuple):
  """An axis of a parameter along which a field's vocabulary runs.

  Attributes:
    number: of the axis.
    field: the field's name.
  """

  number: int
  field: str


@dataclasses.dataclass(frozen=True)
class Moves:
  """How parameters of one spec become those of another.

  Attributes:
    old: the fields of the run that is started from.
    new: the same fields, of the run that starts.
    axes: of parameters, by `jax.tree_util.keystr` of their path, that are no
      embedding tables (`find_axes`); crossed fields have two.
    rows: by name of the fields that own a vocabulary.
  """

  old: types.FeatureSpec
  new: types.FeatureSpec
  axes: Mapping[str, tuple[Axis, ...]]
  rows: Mapping[str, Rows]

  @property
  def arrays(self) -> dict[str, np.ndarray]:
    """The arrays for `move`: sources by field."""
    return {name: one.source for name, one in self.rows.items()}


def find_axes(
  shapes: Callable[[types.FeatureSpec], Any], spec: types.FeatureSpec
) -> dict[str, tuple[Axis, ...]]:
  """The axes of parameters along which a vocabulary runs, tables aside.

  Found by making one vocabulary after the other larger, each by a number of
  its own: whatever a backbone numbers by a field is found, and nothing else.

  Args:
    shapes: the parameters' shapes for a spec.
    spec: the fields; sizes don't matter.

  Raises:
    types.InputError: a parameter depends on vocabularies in another way.
  """
  growth = {field: 1 + field for field in range(len(spec.names))}
  grown = {size: spec.names[field] for field, size in growth.items()}
  plain = _leaves(shapes(_sized(spec, dict.fromkeys(growth, 0))))
  found = {}
  for path, leaf in _leaves(shapes(_sized(spec, growth))).items():
    before = plain[path].shape
    if state_lib.is_embedding(leaf.path) or before == leaf.shape:
      continue
    changed = [
      (axis, now, then)
      for axis, (now, then) in enumerate(zip(leaf.shape, before, strict=True))
      if now != then
    ]
    if any(
      then != _PROBE or now - then not in grown for _, now, then in changed
    ):
      raise types.InputError(
        f'{path}: depends on the vocabularies in a way that can not be mapped'
        ' to others'
      )
    found[path] = tuple(
      Axis(axis, grown[now - then]) for axis, now, then in changed
    )
  return found


class _Leaf(NamedTuple):
  path: Any
  shape: tuple[int, ...]


def _leaves(tree: Any) -> dict[str, _Leaf]:
  return {
    jax.tree_util.keystr(path): _Leaf(path, leaf.shape)
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
  }


def _sized(
  spec: types.FeatureSpec, growth: Mapping[int, int]
) -> types.FeatureSpec:
  """The spec with tiny vocabularies, each grown by a different number."""
  count = len(spec.categorical)
  multi = []
  for i, ((_, width), owner) in enumerate(
    zip(spec.multi_valued, embeddings.owners(spec), strict=True)
  ):
    field = count + i if owner is None else owner
    multi.append((_PROBE + growth[field], width))
  return dataclasses.replace(
    spec,
    categorical=tuple(_PROBE + growth[f] for f in range(count)),
    multi_valued=tuple(multi),
    distinct=(),
  )


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
    as_fresh = pretrained.are_vectors(names)
    new_leaf = old_leaf
    for axis in moves.axes.get(jax.tree_util.keystr(path), ()):
      rows = moves.rows[axis.field]
      shape = list(new_leaf.shape)
      shape[axis.number] = len(rows.source)
      # With two axes these are terms of pairs, and new ones are zero.
      is_whole = tuple(shape) == fresh_leaf.shape
      fresh = fresh_leaf if is_whole else jnp.zeros(shape, fresh_leaf.dtype)
      parts = _Part(new_leaf, fresh, axis.number)
      near = rows.has_new and not as_fresh
      new_leaf = _filled(near, parts, arrays[axis.field], key)
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
