"""Steps that touch only the embedding rows which a batch has.

A dense Adam reads and writes every row of an embedding table in every step,
whatever the batch: with ten million rows that is all it does. Here a step sees
a small state instead, with tables of the batch's rows only, and its rows
are written back. So a step's cost does not grow with the vocabulary.

What differs from the dense Adam (config `embedding_adam=rows`): a row that is
not in the batch stays as it is. Its moments do not decay, it takes no step
with what they hold, and L2 does not shrink it. Rows that every batch has are
updated alike; the bias correction counts all steps, as in the dense one. A
field with no more rows than a batch has room for is updated as a whole, and
row 0, of no known value, counts as one of every batch.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rmtl_jax import types
from rmtl_jax.networks import embeddings
from rmtl_jax.updates import state as state_lib


def small_spec(spec: types.FeatureSpec, slots: int) -> types.FeatureSpec:
  """The feature spec of a batch: its distinct rows are the vocabularies.

  Args:
    slots: L * T of a batch.
  """
  single, multi = _room(spec, slots)
  return dataclasses.replace(
    spec,
    categorical=tuple(single),
    multi_valued=tuple(
      (room, width)
      for room, (_, width) in zip(multi, spec.multi_valued, strict=True)
    ),
  )


def _room(spec: types.FeatureSpec, slots: int) -> tuple[list[int], list[int]]:
  """Rows that each field's part of a small table has room for.

  A batch can't have more: one per slot that shows the vocabulary, and row 0.
  """
  lists = list(zip(spec.multi_valued, embeddings.owners(spec), strict=True))
  # Networks read its rows by number.
  fixed = {one.place for one in spec.pretrained}
  single = []
  for f, size in enumerate(spec.categorical):
    if f in fixed:
      single.append(size)
      continue
    shown = 1 + sum(width for (_, width), owner in lists if owner == f)
    single.append(min(size, slots * shown + 1))
  multi = [
    min(size, slots * width + 1) if owner is None else single[owner]
    for (size, width), owner in lists
  ]
  return single, multi


# Filler for unused places: no row of any table.
NOWHERE = np.iinfo(np.int32).max


class Touched(NamedTuple):
  """A batch's embedding rows.

  Attributes:
    rows: of the table, those of the small one, i32[small rows]; NOWHERE where
      there is room left.
    inputs: the batch's, with places in the small table's vocabularies.
  """

  rows: jax.Array
  inputs: types.Inputs


def touched(spec: types.FeatureSpec, inputs: types.Inputs) -> Touched:
  """The rows that a batch has, and the batch in terms of them.

  Args:
    inputs: leading dimensions [L, T].
  """
  lanes, length = inputs.categorical.shape[:2]
  single, multi = _room(spec, lanes * length)
  starts = embeddings.offsets(spec)
  categorical = jnp.asarray(inputs.categorical)
  widths = [width for _, width in spec.multi_valued]
  parts = jax.lax.split(jnp.asarray(inputs.multi_valued), widths, axis=2)
  new_parts, rows, columns = list(parts), [], []
  for f, (size, room) in enumerate(zip(spec.categorical, single, strict=True)):
    mine = [i for i, owner in enumerate(embeddings.owners(spec)) if owner == f]
    values = [categorical[..., f : f + 1], *(parts[i] for i in mine)]
    found, places = _places(values, size, room)
    rows.append(jnp.where(found < size, found + int(starts[f]), NOWHERE))
    columns.append(places[0])
    for i, new in zip(mine, places[1:], strict=True):
      new_parts[i] = new
  for i, owner in enumerate(embeddings.owners(spec)):
    if owner is None:
      size = spec.multi_valued[i][0]
      found, (new_parts[i],) = _places([parts[i]], size, multi[i])
      start = int(starts[len(spec.categorical) + i])
      rows.append(jnp.where(found < size, found + start, NOWHERE))
  new_inputs = inputs._replace(
    categorical=jnp.concatenate([categorical[..., :0], *columns], axis=2),
    multi_valued=jnp.concatenate([parts[0][..., :0], *new_parts], axis=2)
    if parts
    else inputs.multi_valued,
  )
  return Touched(jnp.concatenate(rows), new_inputs)


def _places(
  values: list[jax.Array], size: int, room: int
) -> tuple[jax.Array, list[jax.Array]]:
  """Distinct values, `size` where there is room left, and places in them.

  Row 0 is always the first: it means missing, and unused slots (-1) stay so.
  """
  if room == size:
    return jnp.arange(size, dtype=jnp.int32), values
  flat = [jnp.maximum(v.reshape(-1), 0) for v in values]
  found, inverse = jnp.unique(
    jnp.concatenate([jnp.zeros(1, jnp.int32), *flat]),
    return_inverse=True,
    size=room,
    fill_value=size,
  )
  ends = np.cumsum([len(v) for v in flat])[:-1]
  places = [
    jnp.where(v < 0, v, place.reshape(v.shape))
    for v, place in zip(values, jnp.split(inverse[1:], ends), strict=True)
  ]
  return found, places


def _unpadded(inputs: types.Inputs, mask: types.Array) -> types.Inputs:
  """Row 0, which every small table has, for padding."""
  valid = jnp.asarray(mask)[..., None]
  return inputs._replace(
    categorical=jnp.where(valid, inputs.categorical, 0),
    multi_valued=jnp.where(
      valid | (inputs.multi_valued < 0), inputs.multi_valued, 0
    ),
  )


def on_rows(
  step: Callable[..., tuple[Any, dict[str, jax.Array]]],
  spec: types.FeatureSpec,
  narrow: Callable[[types.Inputs], types.Inputs] = lambda inputs: inputs,
) -> Callable[..., tuple[Any, dict[str, jax.Array]]]:
  """A step on a batch's embedding rows, as one on whole tables.

  Args:
    step: step(state, batch, key, *extras) -> (state, metrics), of networks
      made for `small_spec`.
    spec: the fields that the tables have.
    narrow: the inputs of these fields, of a batch's.

  Returns:
    The same step for states with whole tables. All embedding tables of the
    state, moments and target networks included, follow the rows.
  """

  def run(state, batch, key, *extras):
    rows, inputs = touched(spec, _unpadded(narrow(batch.inputs), batch.mask))

    def take(path, leaf):
      if not state_lib.is_embedding(path):
        return leaf
      return jnp.take(leaf, rows, axis=-2, mode='clip')

    def put(path, old, new):
      if not state_lib.is_embedding(path):
        return new
      return old.at[..., rows, :].set(new, mode='drop', unique_indices=False)

    small = jax.tree.map_with_path(take, state)
    new_small, metrics = step(
      small, batch._replace(inputs=inputs), key, *extras
    )
    return jax.tree.map_with_path(put, state, new_small), metrics

  return run
