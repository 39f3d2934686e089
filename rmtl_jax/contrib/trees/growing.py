"""Trees from rows, and which of them a task has, chosen on validation rows.

Rates of ids overfit where later rows have others: each task's oblivious trees
are grown without pairs and ids, with pairs, with ids and with both. Trees with
`category_splits` err elsewhere, so a task has the mean of both forms unless one
alone is clearly better.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from rmtl_jax import types
from rmtl_jax.contrib.trees import (
  boosting,
  category_splits,
  features,
  oblivious,
)
from rmtl_jax.networks import functional

# A field of more values is an id, and one of more values can't be parted; row 0
# of a vocabulary is no value.
_MOST_CATEGORIES, MOST_PARTED = 200, 2**12
# Of validation's logloss, what rates of pairs and ids must save, since those of
# later rows are worth less; and one form alone, beside the mean of both.
_WORTH_MORE, _WORTH_ALONE = 0.005, 0.01
_FORMS = ((0.5, 0.5), (1.0, 0.0), (0.0, 1.0))


class TreeFields(NamedTuple):
  """Fields of trees beside numeric fields, lists and single rates.

  Attributes:
    pairs: of categorical fields, by their places.
    categories: places of the fields that `category_splits` part; without any
      there are no such trees.
  """

  pairs: Sequence[features.Pair] = ()
  categories: Sequence[int] = ()


def grow(
  spec: types.FeatureSpec,
  fields: TreeFields,
  count: int,
  train: functional.Rows,
  validation: functional.Rows,
  seed: int,
  progress: Callable[[float], object] = lambda fraction: None,
  again: functional.Rows | None = None,
) -> dict[str, Any]:
  """The parameters of `network.Trees`, from rows.

  Args:
    spec: of the fields.
    fields: of the trees.
    count: of trees, of each task and form.
    train: the rows that are learnt from.
    validation: those that choose how many trees a task has, and which.
    seed: of folds, and of the columns and rows that a tree samples.
    progress: called now and then, with the fraction of the trees that is grown;
      each set of columns and each form is an equal part, and so is each of
      `again`.
    again: rows of which trees are grown again, as many and of the columns that
      validation chose; these are the result.
  """
  sets = column_sets(spec, fields.pairs)
  form = category_form(spec, fields)
  parts = len(sets) + bool(fields.categories)
  of_parts = _parts(progress, parts if again is None else 2 * parts)
  learnt = features.learn(spec, fields.pairs, train, seed)
  of_validation = features.others(spec, fields.pairs, learnt, validation)
  by_rates, chosen = _chosen(
    learnt.rows,
    of_validation,
    sets,
    lambda some, others: boosting.boost(
      oblivious.Oblivious(), some, others, count, seed, next(of_parts)
    ),
  )
  grown, shares = [by_rates], np.ones((1, spec.num_tasks))
  if fields.categories:
    by_categories = boosting.boost(
      form,
      _with_categories(spec, fields, learnt.rows, train),
      _with_categories(spec, fields, of_validation, validation),
      count,
      seed,
      next(of_parts),
    )
    grown.append(by_categories)
    shares = _shares(by_rates.logits, by_categories.logits, of_validation)
  trees = [one.trees for one in grown]
  if again is not None:
    learnt = features.learn(spec, fields.pairs, again, seed)
    trees[0] = _grown_again(
      learnt.rows, sets, chosen, by_rates.rounds, count, seed, of_parts
    )
    if fields.categories:
      rows = _with_categories(spec, fields, learnt.rows, again)
      trees[1] = boosting.boost_again(
        form, rows, grown[1].rounds, count, seed, next(of_parts)
      )
  trees = [
    one._replace(leaves=one.leaves * share[:, None, None])
    for one, share in zip(trees, shares, strict=True)
  ]
  return _parameters(spec, fields, learnt, trees)


def _parts(
  progress: Callable[[float], object], count: int
) -> Iterator[Callable[[float], object]]:
  """The callback of each of so many equal parts, called with its fraction."""

  def of(number: int) -> Callable[[float], object]:
    return lambda fraction: progress((number + fraction) / count)

  return map(of, range(count))


def compile_ahead(
  spec: types.FeatureSpec, fields: TreeFields, train: int, validation: int
) -> None:
  """Compiles what `grow` runs for as many rows, in whatever thread."""
  for places in column_sets(spec, fields.pairs):
    boosting.compile_ahead(
      oblivious.Oblivious(), len(places), spec.num_tasks, train, validation
    )
  if fields.categories:
    form = category_form(spec, fields)
    boosting.compile_ahead(
      form,
      form.numbers + len(fields.categories),
      spec.num_tasks,
      train,
      validation,
      form.dtype,
    )


def category_form(
  spec: types.FeatureSpec, fields: TreeFields
) -> category_splits.CategorySplits:
  """The form of the trees that part categories."""
  sizes = [spec.categorical[i] for i in fields.categories]
  numbers = len(_numbers(spec, fields.pairs))
  return category_splits.CategorySplits(numbers, max([boosting.BINS, *sizes]))


def column_sets(
  spec: types.FeatureSpec, pairs: Sequence[features.Pair]
) -> list[np.ndarray]:
  """Places of the columns without pairs and ids, with either, and of all.

  Pairs of ids are ids too. Empty sets and repeated ones are left out.
  """
  ids, is_pair = _kinds(spec, pairs)
  found: list[np.ndarray] = []
  for hidden in (is_pair | ids, ids, is_pair, np.zeros_like(ids)):
    places = _places(spec, hidden)
    if len(places) and not any(np.array_equal(places, one) for one in found):
      found.append(places)
  return found


def _kinds(
  spec: types.FeatureSpec, pairs: Sequence[features.Pair]
) -> tuple[np.ndarray, np.ndarray]:
  """Whether each field and pair is an id, and whether it is a pair."""
  sizes = (*spec.categorical, *(size for size, _ in spec.multi_valued))
  is_id = [n - 1 > _MOST_CATEGORIES for n in sizes]
  ids = np.array([*is_id, *(is_id[i] or is_id[j] for i, j in pairs)], bool)
  return ids, np.arange(len(ids)) >= len(sizes)


def _places(spec: types.FeatureSpec, hidden: np.ndarray) -> np.ndarray:
  """Of the columns of numbers, and of fields and pairs that aren't hidden."""
  by_task = np.repeat(hidden, spec.num_tasks)
  return np.flatnonzero(
    ~np.concatenate([np.zeros(spec.numeric, bool), by_task])
  )


def _numbers(
  spec: types.FeatureSpec, pairs: Sequence[features.Pair]
) -> np.ndarray:
  """Places of the columns of trees that part categories, beside these."""
  ids, _ = _kinds(spec, pairs)
  is_single = np.arange(len(ids)) < len(spec.categorical)
  return _places(spec, ids | is_single)


def _with_categories(
  spec: types.FeatureSpec,
  fields: TreeFields,
  binned: boosting.Rows,
  rows: functional.Rows,
) -> boosting.Rows:
  """Binned rows with the categories of fields in place of their rates."""
  numbers = binned.bins[_numbers(spec, fields.pairs)]
  categorical = np.asarray(rows.inputs.categorical)
  categories = categorical[:, list(fields.categories)].T
  dtype = category_form(spec, fields).dtype
  both = [part.astype(dtype) for part in (numbers, categories)]
  return binned._replace(bins=np.concatenate(both))


def _chosen(
  train: boosting.Rows,
  validation: boosting.Rows,
  sets: list[np.ndarray],
  boost: Callable[[boosting.Rows, boosting.Rows], boosting.Grown],
) -> tuple[boosting.Grown, np.ndarray]:
  """Each task's trees without pairs and ids, or with what is worth it.

  Args:
    train: rows with all columns.
    validation: likewise.
    sets: places of columns; the first has neither pairs nor ids.
    boost: (train, validation), with a set's columns -> what is grown.

  Returns:
    The chosen trees; and of each task, the number of its set, i64[K].
  """
  found = [
    boost(
      train._replace(bins=train.bins[places]),
      validation._replace(bins=validation.bins[places]),
    )
    for places in sets
  ]
  asked = [
    one.losses / (1 - _WORTH_MORE * (i > 0)) for i, one in enumerate(found)
  ]
  chosen = np.argmin(asked, 0)
  trees = _of_tasks([one.trees for one in found], sets, chosen)
  rounds, losses, logits = (
    np.stack([of[i][k] for k, i in enumerate(chosen)])
    for of in zip(*(one[1:] for one in found), strict=True)
  )
  return boosting.Grown(trees, rounds, losses, logits), chosen


def _shares(
  by_rates: np.ndarray, by_categories: np.ndarray, validation: boosting.Rows
) -> np.ndarray:
  """What each form counts, of every task.

  Args:
    by_rates: the one form's logits of validation rows, f32[K, V].
    by_categories: the other's.
    validation: these rows.

  Returns:
    f64[2, K].
  """
  losses = [
    boosting.losses(a * by_rates + b * by_categories, validation)
    / (1 - _WORTH_ALONE * (i > 0))
    for i, (a, b) in enumerate(_FORMS)
  ]
  return np.array(_FORMS)[np.argmin(losses, 0)].T


def _grown_again(
  rows: boosting.Rows,
  sets: list[np.ndarray],
  chosen: np.ndarray,
  rounds: np.ndarray,
  count: int,
  seed: int,
  of_parts: Iterator[Callable[[float], object]],
) -> oblivious.ObliviousTrees:
  """Trees of other rows, of each task as `_chosen` has chosen.

  Args:
    rows: with all columns.
    sets: places of columns.
    chosen: each task's set, i64[K].
    rounds: of each task, i64[K].
    count: of trees.
    seed: as for `grow`.
    of_parts: the callback of each set.
  """
  found = [
    boosting.boost_again(
      oblivious.Oblivious(),
      rows._replace(bins=rows.bins[places]),
      rounds,
      count,
      seed,
      progress,
    )
    if i in chosen
    else None
    for i, (places, progress) in enumerate(zip(sets, of_parts, strict=False))
  ]
  return _of_tasks(found, sets, chosen)


def _of_tasks(
  found: Sequence[oblivious.ObliviousTrees | None],
  sets: list[np.ndarray],
  chosen: np.ndarray,
) -> oblivious.ObliviousTrees:
  """Each task's trees, of those with its set of columns."""

  def of(k: int, number: int) -> oblivious.ObliviousTrees:
    trees = found[number]
    assert trees is not None
    own = oblivious.ObliviousTrees(*(part[k] for part in trees))
    return own._replace(columns=sets[number][own.columns])

  ones = [of(k, number) for k, number in enumerate(chosen)]
  return oblivious.ObliviousTrees(*map(np.stack, zip(*ones, strict=True)))


def _parameters(
  spec: types.FeatureSpec,
  fields: TreeFields,
  learnt: features.Learnt,
  trees: Sequence[Any],
) -> dict[str, Any]:
  """As networks have them; of `grow`."""
  edges = learnt.edges
  table = np.full((len(edges), boosting.BINS), np.finfo(np.float32).max)
  for row, found in zip(table, edges, strict=True):
    row[: len(found)] = found
  oblivious, *by_categories = trees
  made = {
    'columns': oblivious.columns.astype(np.float32),
    'thresholds': table[oblivious.columns, oblivious.last].astype(np.float32),
    'leaves': oblivious.leaves.astype(np.float32),
    **{
      features.rates_name(field): one.all_rows.reshape(
        *features.sizes(spec, field), -1
      )
      for field, one in learnt.known.items()
    },
  }
  for one in by_categories:
    made['category_splits'] = _category_parameters(spec, fields, one, table)
  return made


def _category_parameters(
  spec: types.FeatureSpec,
  fields: TreeFields,
  trees: category_splits.CategoryTrees,
  edges: np.ndarray,
) -> dict[str, np.ndarray]:
  """Of the trees that part categories.

  Args:
    spec: of the fields.
    fields: of the trees.
    trees: of all tasks.
    edges: of the bins of all columns, f64[C, BINS].
  """
  numbers = _numbers(spec, fields.pairs)
  # Columns of numbers keep their place among all, categories come behind them.
  behind = len(edges) + np.arange(len(fields.categories))
  places = np.concatenate([numbers, behind])
  # Bins up to the last say no.
  last = boosting.BINS - 1 - trees.yes[..., : boosting.BINS].sum(-1)
  answers = {
    category_splits.answers_name(i): category_splits.packed(
      np.moveaxis(
        (trees.columns == len(numbers) + f)[..., None]
        & trees.yes[..., : spec.categorical[i]],
        -1,
        -2,
      )
    )
    for f, i in enumerate(fields.categories)
  }
  return {
    'edges': edges[:, :-1].astype(np.float32),
    'columns': places[trees.columns].astype(np.float32),
    'last': last.astype(np.float32),
    'leaves': trees.leaves.astype(np.float32),
    **answers,
  }
