"""Vectors of categories that were learnt elsewhere, as blocks of features.

A field of data may come with a vector for each row of its vocabulary (texts,
images, graphs). A linear layer of the network's own projects it to a block,
next to the field's embedding, so that a new item with a vector is not unknown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from rmtl_jax import types
from rmtl_jax.networks import layers

# The name of what no step changes, a leaf or a group: optimizers keep nothing
# for it.
FROZEN = 'frozen'
_TRAINED = 'vectors'
_PREFIX = 'pretrained_'


def group(name: str) -> str:
  """The name, in the first layer, of the vectors of a field."""
  return _PREFIX + name


class Vectors(nnx.Module):
  """A field's vectors, and their projection to a block.

  Args:
    field: their description in the data.
    rows: of the field's vocabulary.
    dim: D.
    rngs: where the projection's initial values come from.

  Attributes:
    frozen, vectors: of every row, f32[rows, width]; zero until `fill`. The
      first where they stay as they are, else the second.
    kernel: of the projection, f32[width, D].
  """

  def __init__(
    self, field: types.Pretrained, rows: int, dim: int, rngs: nnx.Rngs
  ):
    self.is_frozen = not field.trained
    vectors = nnx.Param(jnp.zeros((rows, field.width)))
    if self.is_frozen:
      self.frozen = vectors
    else:
      self.vectors = vectors
    self.kernel = nnx.Param(
      layers.init_kernel(rngs.params(), (field.width, dim), layers.LECUN)
    )

  def __call__(self, ids: jax.Array) -> jax.Array:
    """The block of some rows.

    Args:
      ids: rows of the vocabulary, i32[T].

    Returns:
      f32[T, D].
    """
    if self.is_frozen:
      table = jax.lax.stop_gradient(self.frozen[...])
    else:
      table = self.vectors[...]
    found = jnp.take(table, ids, axis=0, mode='clip')
    return found @ self.kernel[...]


def field_of(names: Sequence[str]) -> str | None:
  """The field whose vectors a leaf of parameters has, by the leaf's path."""
  if len(names) < 2 or names[-1] not in (FROZEN, _TRAINED):
    return None
  prefix, found, field = names[-2].partition(_PREFIX)
  return field if found and not prefix else None


def fill(params: Any, vectors: Mapping[str, jax.Array]) -> Any:
  """Parameters with the vectors that the data have.

  Args:
    params: of a network, nested dicts; leading axes of its leaves are tasks
      or members.
    vectors: f32[rows, width] by field; fields that the network does not read
      are left aside.
  """
  if not vectors or not isinstance(params, Mapping):
    return params
  groups = {group(name): given for name, given in vectors.items()}
  new = {}
  for name, value in params.items():
    if name in groups and isinstance(value, Mapping):
      new[name] = {
        part: _copy(groups[name], leaf.shape)
        if part in (FROZEN, _TRAINED)
        else leaf
        for part, leaf in value.items()
      }
    else:
      new[name] = fill(value, vectors)
  return new


def of(params: Any) -> dict[str, jax.Array]:
  """The vectors that a first layer has, f32[rows, width] by field.

  Args:
    params: of the first layer; of several tasks or members the first's.
  """
  found = {}
  for name, value in params.items():
    if name.startswith(_PREFIX):
      leaf = value.get(FROZEN, value.get(_TRAINED))
      while leaf.ndim > 2:
        leaf = leaf[0]
      found[name.removeprefix(_PREFIX)] = leaf
  return found


def _copy(vectors: jax.Array, shape: tuple[int, ...]) -> jax.Array:
  # A copy: two trees of a donated state share no buffer.
  return jnp.array(jnp.broadcast_to(jnp.asarray(vectors), shape), copy=True)


def without_frozen(tree: Any) -> Any:
  """A tree of parameters, or of their gradients, without frozen leaves."""
  if not isinstance(tree, Mapping):
    return tree
  return {
    name: without_frozen(value)
    for name, value in tree.items()
    if name != FROZEN
  }


def with_frozen(updates: Any, params: Any) -> Any:
  """Updates of `without_frozen`, with zeros for what was left out of params."""
  if not isinstance(params, Mapping):
    return updates
  return {
    name: jax.tree.map(jnp.zeros_like, value)
    if name == FROZEN
    else with_frozen(updates[name], value)
    for name, value in params.items()
  }
