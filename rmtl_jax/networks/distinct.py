"""The distinct categories of a batch, and when to look for them.

Shapes are static, so there is *room* for as many distinct values of a field as
its batches were seen to have (data/batches.distinct_capacity).
distinct_product.py has the first layer on them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from rmtl_jax import types

# The saving per slot grows with the embedding's width, gathering costs the
# same for all: about so many numbers of an embedding through the GEMM.
# Measured on two CPU cores: from D (1 - share) =
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
    inverse: index of each slot's value in `values`, shaped like the array;
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
  # Over several devices, communication would grow with the vocabulary.
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
