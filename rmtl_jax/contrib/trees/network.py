"""Boosted trees that add to each binary task's logit.

Trees are grown on train rows before stage 1 and stay as they are: what learns
by gradients beside them learns what they have left. They read numbers: numeric
fields; categorical fields and lists by the rates of every task's label among
rows with the value. A train row's rates come from other rows ("ordered"
statistics in Prokhorenkova et al., NeurIPS 2018; here by folds). What a user's
category likes of an item's has a rate of its own, that of the pair: neither
field's rate tells it. Rates of ids overfit all the same where later rows have
others: each task's trees are grown without pairs and ids, with pairs, with ids
and with both, and validation chooses.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from rmtl_jax import config as config_lib
from rmtl_jax import types
from rmtl_jax.config import crosses, kinds
from rmtl_jax.contrib.trees import boosting
from rmtl_jax.networks import functional, pretrained

# A field with more values is an id, and one of so many is not read.
_MOST_CATEGORIES, _MOST_VALUES = 200, 2**20
# Of validation's logloss, what rates of pairs and ids must save: those of later
# rows are worth less.
_WORTH_MORE = 0.005
# Folds of train rows; pseudo-rows at the task's rate for every value.
_FOLDS, _PRIOR = 5, 20.0


# A field by its place, or two of them.
_Pair = tuple[int, int]
_Field = int | _Pair


class _Structure(nnx.Module):
  """What no gradient changes; see `Trees`."""

  def __init__(
    self, spec: types.FeatureSpec, count: int, pairs: Sequence[_Pair]
  ):
    tasks, shape = spec.num_tasks, (spec.num_tasks, count, boosting.DEPTH)
    self.columns = nnx.Param(jnp.zeros(shape))
    self.thresholds = nnx.Param(jnp.zeros(shape))
    self.leaves = nnx.Param(jnp.zeros((tasks, count, 2**boosting.DEPTH)))
    for i, size in _read(spec).items():
      setattr(self, _rates(i), nnx.Param(jnp.zeros((size, tasks))))
    for pair in pairs:
      sizes = (spec.categorical[i] for i in pair)
      setattr(self, _rates(pair), nnx.Param(jnp.zeros((*sizes, tasks))))


class Trees(nnx.Module):
  """The trees of all tasks.

  Attributes:
    frozen: `columns` that levels ask of, as whole numbers, and `thresholds`
      from which on the answer is yes, f32[K, trees, DEPTH]; `leaves`, f32[K,
      trees, 2**DEPTH]; `rates_<i>` of field i's values, f32[values, K];
      `rates_<i>_<j>` of pairs, f32[values of i, values of j, K].
  """

  def __init__(
    self, spec: types.FeatureSpec, count: int, pairs: Sequence[_Pair] = ()
  ):
    self.spec, self.pairs = spec, tuple(pairs)
    setattr(self, pretrained.FROZEN, _Structure(spec, count, pairs))

  def __call__(
    self, inputs: types.Inputs, key: jax.Array | None = None
  ) -> jax.Array:
    """One lane, inputs [T] -> f32[T, K]; the key draws nothing."""
    del key
    own = getattr(self, pretrained.FROZEN)

    def look_up(field, ids):
      rates = getattr(own, _rates(field))[...]
      return rates.reshape(-1, rates.shape[-1])[ids]

    read = columns(self.spec, self.pairs, inputs, look_up, jnp)
    asked = own.columns[...].astype(jnp.int32)
    leaves = jax.lax.stop_gradient(own.leaves[...])
    of_tasks = zip(asked, own.thresholds[...], leaves, strict=True)
    return jnp.stack([_summed(read.T, *one) for one in of_tasks], 1)


def _summed(
  read: jax.Array, columns: jax.Array, thresholds: jax.Array, leaves: jax.Array
) -> jax.Array:
  """What a task's trees say of rows in all, f32[R].

  One tree after the other, for all rows: a level compares one column, which
  lies side by side, with one number.

  Args:
    read: f32[C, R].
    columns: i32[trees, DEPTH].
    thresholds: f32[trees, DEPTH].
    leaves: f32[trees, 2**DEPTH].
  """

  def add(total, tree):
    columns, thresholds, leaves = tree
    leaf = jnp.zeros(read.shape[1], jnp.int32)
    for level in range(boosting.DEPTH):
      values = read.at[columns[level]].get(mode='clip')
      leaf = leaf * 2 + (values >= thresholds[level])
    return total + leaves.at[leaf].get(mode='promise_in_bounds'), None

  nothing = jnp.zeros(read.shape[1])
  return jax.lax.scan(add, nothing, (columns, thresholds, leaves))[0]


def _rates(field: _Field) -> str:
  places = field if isinstance(field, tuple) else (field,)
  return '_'.join(map(str, ('rates', *places)))


def _read(spec: types.FeatureSpec) -> dict[int, int]:
  """Sizes of the categorical, then multi-valued fields that are read."""
  sizes = (*spec.categorical, *(size for size, _ in spec.multi_valued))
  return {i: n for i, n in enumerate(sizes) if n - 1 <= _MOST_VALUES}


def columns(
  spec: types.FeatureSpec,
  pairs: Sequence[_Pair],
  inputs: types.Inputs,
  look_up: Callable[[_Field, Any], Any],
  xp: Any,
) -> Any:
  """What trees read of rows.

  Args:
    spec: of the fields.
    pairs: of them, those that are read.
    inputs: leading dimension [R].
    look_up: (field or pair, its values of rows) -> their rates of each task.
    xp: numpy or jax.numpy, which computes.

  Returns:
    f32[R, C]: numeric fields, then K columns of each other field in turn, and
    of each pair; of a field that is not read they are 0.
  """
  read, count = _read(spec), len(spec.categorical)
  rows, tasks = inputs.categorical.shape[0], spec.num_tasks
  parts, start = [xp.asarray(inputs.numeric)], 0
  nothing = xp.zeros((rows, tasks), xp.float32)
  for i in range(count):
    ids = xp.asarray(inputs.categorical)[:, i]
    parts.append(look_up(i, ids) if i in read else nothing)
  for i, (_, width) in enumerate(spec.multi_valued, count):
    slots = xp.asarray(inputs.multi_valued)[:, start : start + width]
    start += width
    if i not in read:
      parts.append(nothing)
      continue
    used = (slots >= 0)[..., None]
    total = xp.sum(xp.where(used, look_up(i, xp.maximum(slots, 0)), 0.0), 1)
    parts.append(total / xp.maximum(xp.sum(used, 1), 1))
  for pair in pairs:
    values = _of_pair(spec, pair, xp.asarray(inputs.categorical))
    parts.append(look_up(pair, values))
  return xp.concatenate(parts, 1).astype(xp.float32)


def _of_pair(spec: types.FeatureSpec, pair: _Pair, categorical: Any) -> Any:
  """The number of a row's two values together, i32[R]."""
  i, j = pair
  return categorical[:, i] * spec.categorical[j] + categorical[:, j]


def wrap(
  network: functional.Network,
  spec: types.FeatureSpec,
  config: config_lib.NetworkConfig,
) -> functional.Network:
  """The actor with the trees added to its towers' outputs.

  Args:
    network: the actor without them.
    spec: the data's fields.
    config: `trees`, `tree_pairs`.

  Returns:
    The same with a group of parameters `trees`, `fit` and `compile_fit`.

  Raises:
    types.InputError: pairs of fields that networks don't see, or of more values
      than a field that is read may have.
  """
  pairs = crosses.places(spec, config.tree_pairs, 'tree_pairs')
  for pair in pairs:
    values = math.prod(_sizes(spec, pair))
    if values > _MOST_VALUES:
      names = '*'.join(spec.names[i] for i in pair)
      raise types.InputError(
        f'config.network.tree_pairs: {names} has {values:,} pairs of values,'
        f' and {_MOST_VALUES:,} are the most'
      )
  made = functional.with_terms(
    network,
    spec,
    'trees',
    lambda rngs: Trees(spec, config.trees, pairs),
  )

  def fit(train, validation, seed, show, again=None):
    grown = grow(
      spec, pairs, config.trees, train, validation, seed, show, again
    )
    return {'trees': {pretrained.FROZEN: grown}}

  def compile_fit(train, validation):
    for places in _shown(spec, pairs):
      boosting.compile_ahead(len(places), spec.num_tasks, train, validation)

  return made._replace(fit=fit, compile_fit=compile_fit)


class _Rates(NamedTuple):
  """Of the values of one field or pair."""

  all_rows: np.ndarray  # f32[values, K]
  without: np.ndarray  # of the rows of other folds, f32[folds, values, K]


class _Learnt(NamedTuple):
  """Rows that trees learn from, and what columns mean by them."""

  known: dict[_Field, _Rates]
  edges: list[np.ndarray]
  rows: boosting.Rows


class _Choice(NamedTuple):
  """Of a task: the columns that its trees are shown, and its rounds."""

  shown: int
  rounds: int


def grow(
  spec: types.FeatureSpec,
  pairs: Sequence[_Pair],
  count: int,
  train: functional.Rows,
  validation: functional.Rows,
  seed: int,
  show: Callable[[float], object] = lambda done: None,
  again: functional.Rows | None = None,
) -> dict[str, np.ndarray]:
  """The parameters of `Trees`, from rows.

  Args:
    spec: of the fields.
    pairs: of them, that are read.
    count: of trees, of each task.
    train: the rows that are learnt from.
    validation: those that say how many trees are best.
    seed: of folds, and of what a tree is shown.
    show: called now and then, with the share of the trees that is grown.
    again: rows of which trees are grown again, as many and of the columns that
      validation chose; these are the result.
  """
  learnt, shown = _learn(spec, pairs, train, seed), _shown(spec, pairs)
  of_validation = columns(
    spec,
    pairs,
    validation.inputs,
    lambda i, ids: learnt.known[i].all_rows[ids],
    np,
  )
  trees, choices = _chosen(
    learnt.rows,
    _binned(spec, of_validation, learnt.edges, validation),
    shown,
    lambda some, others: boosting.boost(some, others, count, seed, show),
  )
  if again is not None:
    learnt = _learn(spec, pairs, again, seed)
    trees = _grown_again(learnt.rows, shown, choices, count, seed, show)
  edges = learnt.edges
  table = np.full((len(edges), boosting.BINS), np.finfo(np.float32).max)
  for row, found in zip(table, edges, strict=True):
    row[: len(found)] = found
  return {
    'columns': trees.columns.astype(np.float32),
    'thresholds': table[trees.columns, trees.last].astype(np.float32),
    'leaves': trees.leaves.astype(np.float32),
    **{
      _rates(field): one.all_rows.reshape(*_sizes(spec, field), -1)
      for field, one in learnt.known.items()
    },
  }


def _learn(
  spec: types.FeatureSpec,
  pairs: Sequence[_Pair],
  rows: functional.Rows,
  seed: int,
) -> _Learnt:
  """Rates of all fields' and pairs' values, bins, and the rows in them."""
  fold = np.random.default_rng(seed).integers(0, _FOLDS, len(rows.labels))
  known = {
    field: _field(spec, rows, _weights(spec, rows), field, fold)
    for field in (*_read(spec), *pairs)
  }

  def from_other_folds(field, ids):
    number = fold.reshape((-1,) + (1,) * (ids.ndim - 1))
    return known[field].without[number, ids]

  read = columns(spec, pairs, rows.inputs, from_other_folds, np)
  edges = [_edges(values) for values in read.T]
  return _Learnt(known, edges, _binned(spec, read, edges, rows))


def _shown(spec: types.FeatureSpec, pairs: Sequence[_Pair]) -> list[np.ndarray]:
  """Places of the columns without pairs and ids, with either, and of all.

  Pairs of ids are ids too. What would show nothing, or what another shows, is
  left out.
  """
  sizes = (*spec.categorical, *(size for size, _ in spec.multi_valued))
  is_id = [n - 1 > _MOST_CATEGORIES for n in sizes]
  ids = np.array([*is_id, *(is_id[i] or is_id[j] for i, j in pairs)], bool)
  is_pair = np.arange(len(ids)) >= len(sizes)
  found: list[np.ndarray] = []
  for hidden in (is_pair | ids, ids, is_pair, np.zeros_like(ids)):
    by_task = np.repeat(hidden, spec.num_tasks)
    seen = ~np.concatenate([np.zeros(spec.numeric, bool), by_task])
    places = np.flatnonzero(seen)
    if seen.any() and not any(np.array_equal(places, one) for one in found):
      found.append(places)
  return found


def _chosen(
  train: boosting.Rows,
  validation: boosting.Rows,
  shown: list[np.ndarray],
  boost: Callable[[boosting.Rows, boosting.Rows], boosting.Grown],
) -> tuple[boosting.Trees, list[_Choice]]:
  """Each task's trees without pairs and ids, or with what is worth it."""
  found = [
    boost(
      train._replace(bins=train.bins[places]),
      validation._replace(bins=validation.bins[places]),
    )
    for places in shown
  ]
  asked = [
    one.losses / (1 - _WORTH_MORE * (i > 0)) for i, one in enumerate(found)
  ]
  choices = [
    _Choice(int(i), int(found[i].rounds[k]))
    for k, i in enumerate(np.argmin(asked, 0))
  ]
  return _of_tasks([one.trees for one in found], shown, choices), choices


def _grown_again(
  rows: boosting.Rows,
  shown: list[np.ndarray],
  choices: list[_Choice],
  count: int,
  seed: int,
  show: Callable[[float], object],
) -> boosting.Trees:
  """Trees of other rows, of each task as `_chosen` has chosen."""
  rounds = np.array([one.rounds for one in choices])
  used = {one.shown for one in choices}
  found = [
    boosting.boost_again(
      rows._replace(bins=rows.bins[places]), rounds, count, seed, show
    )
    if i in used
    else None
    for i, places in enumerate(shown)
  ]
  return _of_tasks(found, shown, choices)


def _of_tasks(
  found: Sequence[boosting.Trees | None],
  shown: list[np.ndarray],
  choices: list[_Choice],
) -> boosting.Trees:
  """Each task's trees, of those that were shown its columns."""

  def of(k: int, choice: _Choice) -> boosting.Trees:
    trees = found[choice.shown]
    assert trees is not None
    own = boosting.Trees(*(part[k] for part in trees))
    return own._replace(columns=shown[choice.shown][own.columns])

  ones = [of(k, choice) for k, choice in enumerate(choices)]
  return boosting.Trees(*map(np.stack, zip(*ones, strict=True)))


def _weights(spec: types.FeatureSpec, rows: functional.Rows) -> np.ndarray:
  """Of the labels, f32[R, K]; 0 of tasks that are not binary."""
  weight = np.ones_like(rows.labels) if rows.weight is None else rows.weight
  if not spec.losses:
    return weight
  binary = [one.kind == kinds.BINARY for one in spec.losses]
  return weight * np.array(binary, np.float32)[None, :]


def _sizes(spec: types.FeatureSpec, field: _Field) -> tuple[int, ...]:
  """Of the vocabularies of a field or pair."""
  if isinstance(field, tuple):
    return tuple(spec.categorical[i] for i in field)
  return (_read(spec)[field],)


def _field(
  spec: types.FeatureSpec,
  rows: functional.Rows,
  weight: np.ndarray,
  field: _Field,
  fold: np.ndarray,
) -> _Rates:
  """The rates of a field or pair, over all rows and those of other folds."""
  count, tasks = len(spec.categorical), spec.num_tasks
  size = math.prod(_sizes(spec, field))
  categorical = np.asarray(rows.inputs.categorical)
  if isinstance(field, tuple):
    values = _of_pair(spec, field, categorical)[:, None]
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

  return _Rates(rates(whole), rates(whole[:, None] - sums))


def _edges(values: np.ndarray) -> np.ndarray:
  """Where a column's bins begin, but the first: increasing, < BINS of them.

  Values that fill a bin begin one each; all others share those that are left.
  """
  distinct, counts = np.unique(values, return_counts=True)
  if len(distinct) <= boosting.BINS:
    return distinct[1:]
  often = counts * boosting.BINS > len(values)
  others, rows = distinct[~often], np.cumsum(counts[~often])
  shares = np.arange(boosting.BINS - 1 - often.sum())
  at = np.searchsorted(rows, shares * rows[-1] / max(len(shares), 1), 'right')
  found = np.union1d(distinct[often], others[at])
  return found[found > distinct[0]]


def _binned(
  spec: types.FeatureSpec,
  read: np.ndarray,
  edges: list[np.ndarray],
  rows: functional.Rows,
) -> boosting.Rows:
  """Rows as boosting takes them."""
  bins = [
    np.searchsorted(found, values, 'right')
    for found, values in zip(edges, read.T, strict=True)
  ]
  return boosting.Rows(
    np.stack(bins).astype(np.uint8),
    np.ascontiguousarray(rows.labels.T, np.float32),
    np.ascontiguousarray(_weights(spec, rows).T, np.float32),
  )
