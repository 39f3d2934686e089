"""Oblivious trees: all nodes of a level ask the same question.

A row's leaf is a number of as many bits as the tree has levels (Prokhorenkova
et al., "CatBoost", NeurIPS 2018).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rmtl_jax.contrib.trees import forms

DEPTH = 5
# Of the columns, what a tree samples.
_SHARE = 0.3


class ObliviousTrees(NamedTuple):
  """Oblivious trees of K tasks.

  Attributes:
    columns: that a level asks of, i32[K, trees, DEPTH].
    last: the highest bin whose answer is no, i32[K, trees, DEPTH].
    leaves: what a leaf adds to the logit, f32[K, trees, 2**DEPTH]; the first
      level's answer is the highest bit of a leaf's number.
  """

  columns: Any
  last: Any
  leaves: Any


class Oblivious(NamedTuple):
  """The form; see `forms.Form`."""

  dtype = np.dtype(np.uint8)
  sampled = _SHARE, DEPTH

  def grow(
    self,
    bins: jax.Array,
    derivatives: jax.Array,
    limits: forms.Limits,
    key: jax.Array,
  ) -> ObliviousTrees:
    """See `forms.Form`."""
    sampled = forms.sample_columns(self, limits.columns, limits.allowed, key)
    columns, last, leaves = _grow(bins[sampled], derivatives, limits)
    return ObliviousTrees(sampled[columns], last, leaves)

  def predict(self, bins: jax.Array, tree: ObliviousTrees) -> jax.Array:
    """See `forms.Form`."""
    leaf = jnp.zeros(bins.shape[1], jnp.int32)
    for level in range(DEPTH):
      leaf = leaf * 2 + (bins[tree.columns[level]] > tree.last[level])
    return tree.leaves[leaf]


def _grow(
  bins: jax.Array, derivatives: jax.Array, limits: forms.Limits
) -> tuple[jax.Array, jax.Array, jax.Array]:
  """One oblivious tree.

  Args:
    bins: of the columns that it samples, u8[C, R].
    derivatives: first and second, f32[R, 2].

  Returns:
    Columns and last bins of its levels, i32[DEPTH], and the Newton step of
    each leaf, f32[2**DEPTH].
  """
  nodes = 2 ** (DEPTH - 1)  # of the last level; one program for all levels

  def level(leaf, _):
    sums = forms.histograms(
      bins, limits.sampled, leaf, derivatives, nodes, forms.BINS
    )
    best = jnp.argmax(jnp.sum(forms.gains(sums, limits), 1))
    column, bin_ = best // forms.BINS, best % forms.BINS
    return leaf * 2 + (bins[column] > bin_), (column, bin_)

  nothing = jnp.zeros(bins.shape[1], jnp.int32)
  leaf, (columns, last) = jax.lax.scan(level, nothing, None, DEPTH)
  return columns, last, forms.steps(leaf, derivatives, DEPTH, limits.l2)
