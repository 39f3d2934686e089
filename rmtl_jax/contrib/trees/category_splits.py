"""Boosted trees whose nodes ask questions of their own, of categories too.

A node parts the categories of a field in two sets: of all ways to do so that
follow the order of their mean gradients in that node, the one that gains most
(Fisher, "On grouping for maximum homogeneity", JASA 1958; as LightGBM does, Ke
et al., NeurIPS 2017). No rate stands for a category, so nothing of a row's own
label is in what trees know of it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rmtl_jax.contrib.trees import forms

DEPTH = 6
NODES = 2**DEPTH - 1
# Of the columns, and of the fields, what a tree samples: two at least, which
# can say something together.
_SHARE, _LEAST_SAMPLED = 0.5, 2
# L2 that parts of categories have beside that of leaves; pseudo-rows that draw
# a category to the middle of their order; and the least sum of second
# derivatives of a category that takes part in it.
_MORE_L2, _PSEUDO_ROWS, _LEAST = 10.0, 10.0, 1.0
# Bits of a number that has answers, so that float32 has it as it is; numbers
# for all nodes.
_WORD = 16
WORDS = -(-NODES // _WORD)
# Cells of a table that JAX numbers by 32 bits.
_MOST_PLACES = 2**31 - 1
# Ranks of categories with too few rows: the bits of infinity, and more.
_RARE = int(np.float32(np.inf).view(np.int32))


class CategoryTrees(NamedTuple):
  """Trees of K tasks; the nodes of a level lie side by side, the root first.

  Attributes:
    columns: that a node asks of, i32[K, trees, NODES].
    yes: of the column's bins and categories, whether the answer is yes,
      bool[K, trees, NODES, W].
    leaves: what a leaf adds to the logit, f32[K, trees, 2**DEPTH].
  """

  columns: Any
  yes: Any
  leaves: Any


class CategorySplits(NamedTuple):
  """The form; see `forms.Form`.

  Its limits are of the columns that are bins of numbers; those behind them are
  categories, of which all trees may ask.

  Attributes:
    width: W, more than any bin or category.
  """

  width: int

  sampled = _SHARE, _LEAST_SAMPLED

  @property
  def dtype(self) -> np.dtype[Any]:
    """Of the columns, whole numbers below the width."""
    return np.min_scalar_type(self.width - 1)

  def grow(
    self,
    bins: jax.Array,
    derivatives: jax.Array,
    limits: forms.Limits,
    key: jax.Array,
  ) -> CategoryTrees:
    """See `forms.Form`."""
    nodes = 2 ** (DEPTH - 1)
    categories = np.arange(len(limits.columns), len(bins))
    numbers_key, categories_key = jax.random.split(key)
    sample = functools.partial(forms.sample_columns, self)
    sampled = {
      _threshold: sample(limits.columns, limits.allowed, numbers_key),
      _set: sample(categories, len(categories), categories_key),
    }

    def level(leaf, _):
      found = [
        question(self, bins[which], which, leaf, derivatives, limits, nodes)
        for question, which in sampled.items()
        if len(which)
      ]
      gain, column, yes = (
        jnp.stack(parts) for parts in zip(*found, strict=True)
      )
      best = jnp.argmax(gain, 0)[None]
      column = jnp.take_along_axis(column, best, 0)[0]
      yes = jnp.take_along_axis(yes, best[..., None], 0)[0]
      after = leaf * 2 + yes[leaf, _values(bins, column[leaf])]
      return after, (column, yes)

    nothing = jnp.zeros(bins.shape[1], jnp.int32)
    leaf, asked = jax.lax.scan(level, nothing, None, DEPTH)
    columns, yes = (
      jnp.concatenate([part[i, : 2**i] for i in range(DEPTH)]) for part in asked
    )
    leaves = forms.steps(leaf, derivatives, DEPTH, limits.l2)
    return CategoryTrees(columns, yes, leaves)

  def predict(self, bins: jax.Array, tree: CategoryTrees) -> jax.Array:
    """See `forms.Form`."""

    def answer(node, column, value):
      del column
      return tree.yes[node, value]

    return leaf_values(bins, tree.columns, answer, tree.leaves)


def leaf_values(
  values: jax.Array,
  columns: jax.Array,
  answer: Callable[[jax.Array, jax.Array, jax.Array], jax.Array],
  leaves: jax.Array,
) -> jax.Array:
  """The values of the leaves that rows fall into, f32[R].

  Args:
    values: of all columns, whole numbers, [C, R].
    columns: of its nodes, i32[NODES].
    answer: (nodes, their columns, values of these) of rows, i32[R] -> 0 or 1.
    leaves: f32[2**DEPTH].
  """
  leaf = jnp.zeros(values.shape[1], jnp.int32)
  for level in range(DEPTH):
    node = leaf + (2**level - 1)
    column = columns.at[node].get(mode='clip')
    leaf = leaf * 2 + answer(node, column, _values(values, column))
  return leaves.at[leaf].get(mode='promise_in_bounds')


def _values(table: jax.Array, column: jax.Array) -> jax.Array:
  """Of each row the value in one column, [C, R] and i32[R] -> i32[R].

  A place in the flat table is faster to look up on a CPU than a column and a
  row, but a large table has more of them than 32 bits can tell. An export, of
  which the number of rows is a symbol, has few.
  """
  rows = table.shape[1]
  row = jnp.arange(rows)
  if not isinstance(rows, int) or table.size <= _MOST_PLACES:
    found = table.reshape(-1).at[column * rows + row].get(mode='clip')
  else:
    found = table.at[column, row].get(mode='clip')
  return found.astype(jnp.int32)


def answers_name(field: int) -> str:
  """Of the parameter that has what nodes answer to a field's values."""
  return f'answers_{field}'


def packed(yes: np.ndarray) -> np.ndarray:
  """Answers as numbers of _WORD bits, bool[..., NODES] -> f32[..., WORDS]."""
  room = [(0, 0)] * (yes.ndim - 1) + [(0, WORDS * _WORD - NODES)]
  octets = np.packbits(np.pad(yes, room), -1, 'little')
  words = np.ascontiguousarray(octets).view(f'<u{_WORD // 8}')
  return words.astype(np.float32)


def is_yes(words: jax.Array, row: jax.Array, node: jax.Array) -> jax.Array:
  """What nodes answer, of what `packed` made.

  Args:
    words: of a tree, i32[values, WORDS].
    row: of these, i32[R].
    node: i32[R].

  Returns:
    i32[R], 0 or 1.
  """
  place = row * WORDS + node // _WORD
  word = words.reshape(-1).at[place].get(mode='clip')
  return (word >> (node % _WORD)) & 1


def _threshold(
  form: CategorySplits,
  bins: jax.Array,
  places: jax.Array,
  leaf: jax.Array,
  derivatives: jax.Array,
  limits: forms.Limits,
  nodes: int,
) -> tuple[jax.Array, jax.Array, jax.Array]:
  """The best question of numbers: is the bin above another?

  Args:
    bins: of columns, whole numbers below the width, [C, R].
    places: of these among all columns, i32[C].
    leaf: the node of each row, i32[R].
    derivatives: f32[R, 2].
    nodes: N.

  Returns:
    Of each node: the gain, f32[N]; the column, i32[N]; and where the answer is
    yes, bool[N, W].
  """
  sums = forms.histograms(
    bins, limits.sampled, leaf, derivatives, nodes, forms.BINS
  )
  gain, column, last = _best(forms.gains(sums, limits))
  yes = (jnp.arange(form.width)[None] > last[:, None]) & (gain > 0)[:, None]
  return gain, places[column], yes


def _set(
  form: CategorySplits,
  bins: jax.Array,
  places: jax.Array,
  leaf: jax.Array,
  derivatives: jax.Array,
  limits: forms.Limits,
  nodes: int,
) -> tuple[jax.Array, jax.Array, jax.Array]:
  """The best question of categories: is it one of these? As `_threshold`."""
  sums = forms.histograms(bins, len(bins), leaf, derivatives, nodes, form.width)
  ranks = _ranks(sums)
  ordered = jax.lax.sort(ranks, is_stable=False)
  order = ordered & (2 ** _bits(form.width) - 1)
  first, second = (jnp.take_along_axis(part, order, 2) for part in sums)
  gain = forms.gains((first, second), limits, _MORE_L2)
  # Those with too few rows stay together.
  gain = jnp.where(ordered < _RARE, gain, 0.0)
  gain, column, last = _best(gain)
  best = column, jnp.arange(nodes)
  at = jnp.take_along_axis(ordered[best], last[:, None], 1)
  yes = ranks[best] > at
  return gain, places[column], yes & (gain > 0)[:, None]


def _ranks(sums: forms.Sums) -> jax.Array:
  """Numbers in the order of categories by their mean gradient.

  A number's last bits are the category itself: to sort whole numbers is several
  times as fast as to sort means and to say what was where. Means that differ by
  less than these bits can tell are in the order of their categories; those with
  too few rows are behind all others, from _RARE on.

  Args:
    sums: of both derivatives, f32[..., W] each.

  Returns:
    i32[..., W], all different.
  """
  first, second = sums
  mean = jnp.where(second >= _LEAST, first / (second + _PSEUDO_ROWS), jnp.inf)
  # The bits of floats are in order, once those of negative ones are turned.
  bits = jax.lax.bitcast_convert_type(mean, jnp.int32)
  bits = jnp.where(bits < 0, bits ^ np.iinfo(np.int32).max, bits)
  room = _bits(bits.shape[-1])
  own = jax.lax.broadcasted_iota(jnp.int32, bits.shape, bits.ndim - 1)
  return (bits >> room << room) | own


def _bits(width: int) -> int:
  """How many bits numbers below the width have."""
  return (width - 1).bit_length()


def _best(gain: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
  """f32[C, N, B] -> each node's greatest, its column and its place there."""
  greatest = jnp.max(gain, 2)
  column = jnp.argmax(greatest, 0)
  own = jnp.arange(gain.shape[1])
  place = jnp.argmax(gain[column, own], 1)
  return greatest[column, own], column, place
