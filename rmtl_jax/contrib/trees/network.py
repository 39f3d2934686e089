"""Boosted trees that add to each binary task's logit.

Trees are grown on train rows before stage 1 and stay as they are: what learns
by gradients beside them learns what they have left. They read numbers: numeric
fields; categorical fields and lists by the rates of every task's label among
rows with the value. What a user's category likes of an item's has a rate of its
own, that of the pair: neither field's rate tells it. Trees of a second form
part the categories of fields in sets.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from rmtl_jax import config as config_lib
from rmtl_jax import types
from rmtl_jax.config import crosses
from rmtl_jax.contrib.trees import (
  candidates,
  category_splits,
  features,
  forms,
  growing,
  oblivious,
)
from rmtl_jax.networks import functional, pretrained


class _CategoryStructure(nnx.Module):
  """Of the trees that part categories; see `Trees`."""

  def __init__(
    self,
    spec: types.FeatureSpec,
    count: int,
    columns: int,
    fields: candidates.TreeFields,
  ):
    tasks, nodes = spec.num_tasks, category_splits.NODES
    self.edges = nnx.Param(jnp.zeros((columns, forms.BINS - 1)))
    self.columns = nnx.Param(jnp.zeros((tasks, count, nodes)))
    self.last = nnx.Param(jnp.zeros((tasks, count, nodes)))
    self.leaves = nnx.Param(jnp.zeros((tasks, count, 2**category_splits.DEPTH)))
    for i in fields.categories:
      shape = tasks, count, spec.categorical[i], category_splits.WORDS
      name = category_splits.answers_name(i)
      setattr(self, name, nnx.Param(jnp.zeros(shape)))


class _Structure(nnx.Module):
  """What no gradient changes; see `Trees`."""

  def __init__(
    self, spec: types.FeatureSpec, count: int, fields: candidates.TreeFields
  ):
    tasks, shape = spec.num_tasks, (spec.num_tasks, count, oblivious.DEPTH)
    self.columns = nnx.Param(jnp.zeros(shape))
    self.thresholds = nnx.Param(jnp.zeros(shape))
    self.leaves = nnx.Param(jnp.zeros((tasks, count, 2**oblivious.DEPTH)))
    for field in (*features.fields_with_rates(spec), *fields.pairs):
      rates = jnp.zeros((*features.sizes(spec, field), tasks))
      setattr(self, features.rates_name(field), nnx.Param(rates))
    if fields.categories:
      columns = features.count_columns(spec, fields.pairs)
      self.category_splits = _CategoryStructure(spec, count, columns, fields)


class Trees(nnx.Module):
  """The trees of all tasks.

  Attributes:
    frozen: `columns` that levels ask of, as whole numbers, and `thresholds`
      from which on the answer is yes, f32[K, trees, DEPTH]; `leaves`, f32[K,
      trees, 2**DEPTH]; `rates_<i>` of field i's values, f32[values, K];
      `rates_<i>_<j>` of pairs, f32[values of i, values of j, K].
    frozen.category_splits: `edges` between the bins of all columns, f32[C,
      BINS - 1]; `columns` that nodes ask of, those of categories behind all
      others, and the `last` bin whose answer is no, f32[K, trees, NODES];
      `leaves`, f32[K, trees, 2**DEPTH]; `answers_<i>` of nodes to field i's
      values, f32[K, trees, values, WORDS], as `category_splits.packed` has
      them.
  """

  def __init__(
    self, spec: types.FeatureSpec, count: int, fields: candidates.TreeFields
  ):
    self.spec, self.fields = spec, fields
    setattr(self, pretrained.FROZEN, _Structure(spec, count, fields))

  def __call__(
    self, inputs: types.Inputs, key: jax.Array | None = None
  ) -> jax.Array:
    """One lane, inputs [T] -> f32[T, K]; the key draws nothing."""
    del key
    own = getattr(self, pretrained.FROZEN)

    def look_up(field, ids):
      rates = getattr(own, features.rates_name(field))[...]
      return rates.reshape(-1, rates.shape[-1])[ids]

    columns = features.columns(
      self.spec, self.fields.pairs, inputs, look_up, jnp
    ).T
    asked = own.columns[...].astype(jnp.int32)
    leaves = jax.lax.stop_gradient(own.leaves[...])
    of_tasks = zip(asked, own.thresholds[...], leaves, strict=True)
    logits = jnp.stack([_summed(columns, *one) for one in of_tasks], 1)
    if not self.fields.categories:
      return logits
    return logits + self._by_categories(own.category_splits, columns, inputs)

  def _by_categories(
    self, own: Any, numbers: jax.Array, inputs: types.Inputs
  ) -> jax.Array:
    """Logits of the trees that part categories, f32[T, K].

    Args:
      own: their parameters.
      numbers: columns of numbers, f32[C, T].
      inputs: [T].
    """
    fields = self.fields.categories
    is_above = numbers[:, None] >= own.edges[...][..., None]
    bins = jnp.sum(is_above, 1, dtype=jnp.int32)
    starts = np.cumsum([0, *(self.spec.categorical[i] for i in fields)])[:-1]
    # A category is the row of its answers among those of all fields.
    rows = [
      inputs.categorical[:, i] + start
      for i, start in zip(fields, starts, strict=True)
    ]
    values = jnp.concatenate([bins, jnp.stack(rows)])
    answers = [
      jax.lax.stop_gradient(getattr(own, category_splits.answers_name(i))[...])
      for i in fields
    ]
    columns, last = (
      one[...].astype(jnp.int32) for one in (own.columns, own.last)
    )
    leaves = jax.lax.stop_gradient(own.leaves[...])
    of_tasks = enumerate(zip(columns, last, leaves, strict=True))
    return jnp.stack(
      [
        _summed_by_categories(
          values, len(numbers), functools.partial(_words, answers, k), *one
        )
        for k, one in of_tasks
      ],
      1,
    )


def _summed(
  values: jax.Array,
  columns: jax.Array,
  thresholds: jax.Array,
  leaves: jax.Array,
) -> jax.Array:
  """The sum of a task's trees for rows, f32[R].

  One tree after the other, for all rows: a level compares one column, which
  lies side by side, with one number.

  Args:
    values: of all columns, f32[C, R].
    columns: i32[trees, DEPTH].
    thresholds: f32[trees, DEPTH].
    leaves: f32[trees, 2**DEPTH].
  """

  def add(total, tree):
    columns, thresholds, leaves = tree
    leaf = jnp.zeros(values.shape[1], jnp.int32)
    for level in range(oblivious.DEPTH):
      column = values.at[columns[level]].get(mode='clip')
      leaf = leaf * 2 + (column >= thresholds[level]).astype(jnp.int32)
    return total + leaves.at[leaf].get(mode='promise_in_bounds'), None

  nothing = jnp.zeros(values.shape[1])
  return jax.lax.scan(add, nothing, (columns, thresholds, leaves))[0]


def _words(
  answers: Sequence[jax.Array], task: int, number: jax.Array
) -> jax.Array:
  """A tree's answers to the values of all fields, i32[values, WORDS].

  Only those of the tree are joined and made whole numbers. All at once are
  megabytes, most of them of trees without leaves.

  Args:
    answers: of each field, f32[K, trees, its values, WORDS].
    task: of K.
    number: of its trees.
  """
  words = jnp.concatenate([of_field[task, number] for of_field in answers])
  return words.astype(jnp.int32)


def _summed_by_categories(
  values: jax.Array,
  numbers: int,
  words: Callable[[jax.Array], jax.Array],
  columns: jax.Array,
  last: jax.Array,
  leaves: jax.Array,
) -> jax.Array:
  """The sum of a task's trees that part categories for rows, f32[R].

  Args:
    values: bins of numbers, then rows of answers to categories, i32[C, R].
    numbers: of the columns, those that are numbers.
    words: number of a tree -> its answers to categories, i32[values, WORDS].
    columns: i32[trees, NODES].
    last: i32[trees, NODES].
    leaves: f32[trees, 2**DEPTH].
  """
  # Those behind have no leaves.
  used = jnp.any(leaves != 0, 1)
  count = jnp.max(jnp.where(used, jnp.arange(1, len(used) + 1), 0))

  def add(number, total):
    own = last[number], words(number)

    def answer(node, column, value):
      is_above = (value > own[0].at[node].get(mode='clip')).astype(jnp.int32)
      is_in = category_splits.is_yes(own[1], value, node)
      return jnp.where(column < numbers, is_above, is_in)

    return total + category_splits.leaf_values(
      values, columns[number], answer, leaves[number]
    )

  nothing = jnp.zeros(values.shape[1])
  return jax.lax.fori_loop(0, count, add, nothing)


def wrap(
  network: functional.Network,
  spec: types.FeatureSpec,
  config: config_lib.NetworkConfig,
) -> functional.Network:
  """The actor with the trees added to its towers' outputs.

  Returns:
    The same with a group of parameters `trees`, `fit` and `compile_fit`.

  Raises:
    types.InputError: pairs of fields that networks don't see, or of more values
      than a field with rates may have; a field to part that is none, or has too
      many.
  """
  fields = candidates.TreeFields(
    crosses.places(spec, config.tree_pairs, 'tree_pairs'),
    crosses.fields(spec, config.tree_categories, 'tree_categories'),
  )
  _check(spec, fields)
  made = functional.with_terms(
    network, spec, 'trees', lambda rngs: Trees(spec, config.trees, fields)
  )

  def fit(train, validation, seed, progress, again=None):
    grown = growing.grow(
      spec, fields, config.trees, train, validation, seed, progress, again
    )
    return {'trees': {pretrained.FROZEN: grown}}

  def compile_fit(train, validation):
    growing.compile_ahead(spec, fields, train, validation)

  return made._replace(fit=fit, compile_fit=compile_fit)


def _check(spec: types.FeatureSpec, fields: candidates.TreeFields) -> None:
  """Refuses pairs and fields of too many values."""
  for pair in fields.pairs:
    values = math.prod(features.sizes(spec, pair))
    if values > features.MOST_VALUES:
      names = '*'.join(spec.names[i] for i in pair)
      raise types.InputError(
        f'config.network.tree_pairs: {names} has {values:,} pairs of values,'
        f' and {features.MOST_VALUES:,} are the most'
      )
  for i in fields.categories:
    values = spec.categorical[i] - 1  # row 0 is no value
    if values > candidates.MOST_PARTED:
      raise types.InputError(
        f'config.network.tree_categories: {spec.names[i]} has {values:,}'
        f' values, and {candidates.MOST_PARTED:,} are the most'
      )
