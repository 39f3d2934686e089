"""Features of trees: numbers, rates of values and of pairs, and their bins.

A train row's rates come from other rows ("ordered" statistics in Prokhorenkova
et al., NeurIPS 2018; here by folds).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from rmtl_jax import types
from rmtl_jax.contrib.trees import boosting, forms
from rmtl_jax.data import columns as columns_lib
from rmtl_jax.networks import functional

# A field of more values has no rates.
MOST_VALUES = 2**20
# Folds of train rows; pseudo-rows at the task's rate for every value.
_FOLDS, _PRIOR = 5, 20.0

# A field by its place, or two of them.
Pair = tuple[int, int]
Field = int | Pair


class Rates(NamedTuple):
  """Of the values of one field or pair."""

  all_rows: np.ndarray  # f32[values, K]
  without: np.ndarray  # of the rows of other folds, f32[folds, values, K]


class Learnt(NamedTuple):
  """Rows that trees learn from, and what columns mean by them."""

  known: dict[Field, Rates]
  edges: list[np.ndarray]
  rows: boosting.Rows


def fields_with_rates(spec: types.FeatureSpec) -> dict[int, int]:
  """Sizes of the categorical, then multi-valued fields that have rates."""
  sizes = (*spec.categorical, *(size for size, _ in spec.multi_valued))
  return {i: n for i, n in enumerate(sizes) if n - 1 <= MOST_VALUES}


def rates_name(field: Field) -> str:
  """Of the parameter that has the rates of a field or pair."""
  places = field if isinstance(field, tuple) else (field,)
  return '_'.join(map(str, ('rates', *places)))


def columns(
  spec: types.FeatureSpec,
  pairs: Sequence[Pair],
  inputs: types.Inputs,
  look_up: Callable[[Field, Any], Any],
  xp: Any,
) -> Any:
  """The features of rows, for trees.

  Args:
    pairs: of them, those that have rates of their own.
    inputs: leading dimension [R].
    look_up: (field or pair, its values of rows) -> their rates of each task.
    xp: numpy or jax.numpy, which computes.

  Returns:
    f32[R, C]: numeric fields, then K columns of each other field in turn, and
    of each pair; of a field without rates they are 0.
  """
  with_rates, count = fields_with_rates(spec), len(spec.categorical)
  rows, tasks = inputs.categorical.shape[0], spec.num_tasks
  parts, start = [xp.asarray(inputs.numeric)], 0
  nothing = xp.zeros((rows, tasks), xp.float32)
  for i in range(count):
    ids = xp.asarray(inputs.categorical)[:, i]
    parts.append(look_up(i, ids) if i in with_rates else nothing)
  for i, (_, width) in enumerate(spec.multi_valued, count):
    slots = xp.asarray(inputs.multi_valued)[:, start : start + width]
    start += width
    if i not in with_rates:
      parts.append(nothing)
      continue
    used = (slots >= 0)[..., None]
    total = xp.sum(xp.where(used, look_up(i, xp.maximum(slots, 0)), 0.0), 1)
    count_used = xp.maximum(xp.sum(used, 1), 1)
    parts.append(total / count_used.astype(xp.float32))
  for pair in pairs:
    values = numbers_of_pair(spec, pair, xp.asarray(inputs.categorical))
    parts.append(look_up(pair, values))
  return xp.concatenate(parts, 1).astype(xp.float32)


def count_columns(spec: types.FeatureSpec, pairs: Sequence[Pair]) -> int:
  """C, of what `columns` makes."""
  fields = len(spec.categorical) + len(spec.multi_valued) + len(pairs)
  return spec.numeric + fields * spec.num_tasks


def numbers_of_pair(
  spec: types.FeatureSpec, pair: Pair, categorical: Any
) -> Any:
  """The number of a row's two values together, i32[R]."""
  i, j = pair
  return categorical[:, i] * spec.categorical[j] + categorical[:, j]


def learn(
  spec: types.FeatureSpec,
  pairs: Sequence[Pair],
  rows: functional.Rows,
  seed: int,
) -> Learnt:
  """Rates of all fields' and pairs' values, bins, and the rows in them."""
  fold = np.random.default_rng(seed).integers(0, _FOLDS, len(rows.labels))
  weight = weights(rows)
  known = {
    field: rates_of(spec, rows, weight, field, fold)
    for field in (*fields_with_rates(spec), *pairs)
  }

  def from_other_folds(field, ids):
    number = fold.reshape((-1,) + (1,) * (ids.ndim - 1))
    return known[field].without[number, ids]

  values = columns(spec, pairs, rows.inputs, from_other_folds, np)
  edges = [bin_edges(column) for column in values.T]
  return Learnt(known, edges, binned(values, edges, rows))


def others(
  spec: types.FeatureSpec,
  pairs: Sequence[Pair],
  learnt: Learnt,
  rows: functional.Rows,
) -> boosting.Rows:
  """Rows of another split in the bins of what was learnt."""
  values = columns(
    spec,
    pairs,
    rows.inputs,
    lambda field, ids: learnt.known[field].all_rows[ids],
    np,
  )
  return binned(values, learnt.edges, rows)


def weights(rows: functional.Rows) -> np.ndarray:
  """Of the labels, f32[R, K], of mean one: limits and priors count rows."""
  found = columns_lib.mean_one(rows.weight)
  return np.ones_like(rows.labels) if found is None else found


def sizes(spec: types.FeatureSpec, field: Field) -> tuple[int, ...]:
  """Of the vocabularies of a field or pair."""
  if isinstance(field, tuple):
    return tuple(spec.categorical[i] for i in field)
  return (fields_with_rates(spec)[field],)


def rates_of(
  spec: types.FeatureSpec,
  rows: functional.Rows,
  weight: np.ndarray,
  field: Field,
  fold: np.ndarray,
) -> Rates:
  """The rates of a field or pair, over all rows and those of other folds."""
  count, tasks = len(spec.categorical), spec.num_tasks
  size = math.prod(sizes(spec, field))
  categorical = np.asarray(rows.inputs.categorical)
  if isinstance(field, tuple):
    values = numbers_of_pair(spec, field, categorical)[:, None]
  elif field < count:
    values = categorical[:, field : field + 1]
  else:
    start = sum(width for _, width in spec.multi_valued[: field - count])
    width = spec.multi_valued[field - count][1]
    values = np.asarray(rows.inputs.multi_valued)[:, start : start + width]
  row, slot = np.nonzero(values >= 0)
  place = fold[row] * size + values[row, slot]
  sums = np.empty((2, _FOLDS, size, tasks))
  for k in range(tasks):
    for part, of in enumerate((weight[:, k], weight[:, k] * rows.labels[:, k])):
      found = np.bincount(place, of[row], _FOLDS * size)
      sums[part, :, :, k] = found.reshape(_FOLDS, size)
  whole = sums.sum(1)
  total = np.sum(weight, 0, np.float64)
  positive = np.sum(weight * rows.labels, 0, np.float64)
  prior = _PRIOR * positive / np.maximum(total, 1.0)

  def rates(sums):
    return ((sums[1] + prior) / (sums[0] + _PRIOR)).astype(np.float32)

  return Rates(rates(whole), rates(whole[:, None] - sums))


def bin_edges(values: np.ndarray) -> np.ndarray:
  """Where a column's bins begin, but the first: increasing, < BINS of them.

  Values that fill a bin begin one each; all others share those that are left.
  """
  distinct, counts = np.unique(values, return_counts=True)
  if len(distinct) <= forms.BINS:
    return distinct[1:]
  often = counts * forms.BINS > len(values)
  others, rows = distinct[~often], np.cumsum(counts[~often])
  shares = np.arange(forms.BINS - 1 - often.sum())
  at = np.searchsorted(rows, shares * rows[-1] / max(len(shares), 1), 'right')
  found = np.union1d(distinct[often], others[at])
  return found[found > distinct[0]]


def binned(
  values: np.ndarray,
  edges: list[np.ndarray],
  rows: functional.Rows,
) -> boosting.Rows:
  """Rows as boosting takes them."""
  bins = [
    np.searchsorted(found, column, 'right')
    for found, column in zip(edges, values.T, strict=True)
  ]
  return boosting.Rows(
    np.stack(bins).astype(np.uint8),
    np.ascontiguousarray(rows.labels.T, np.float32),
    np.ascontiguousarray(weights(rows).T, np.float32),
  )
