"""Trees from rows, and which of them a task has: validation says.

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
  oblivious,
  reading,
)
from rmtl_jax.networks import functional

# A field with more values is an id; and so many can be parted.
_MOST_CATEGORIES, MOST_PARTED = 200, 2**12
# Of validation's logloss, what rates of pairs and ids must save, since those of
# later rows are worth less; and one form alone, beside the mean of both.
_WORTH_MORE, _WORTH_ALONE = 0.005, 0.01
_FORMS = ((0.5, 0.5), (1.0, 0.0), (0.0, 1.0))


class Read(NamedTuple):
  """What trees read beside numeric fields, lists and single rates.

  Attributes:
    pairs: of categorical fields, by their places.
    categories: places of the fields that `category_splits` part; without any
      there are no such trees.
  """

  pairs: Sequence[reading.Pair] = ()
  categories: Sequence[int] = ()


class _Choice(NamedTuple):
  """Of a task: the columns that its oblivious trees are shown, and rounds."""

  shown: int
  rounds: int


class _Rows(NamedTuple):
  """Rows for either form of trees."""

  by_rates: boosting.Rows
  by_categories: boosting.Rows


def grow(
  spec: types.FeatureSpec,
  read: Read,
  count: int,
  train: functional.Rows,
  validation: functional.Rows,
  seed: int,
  show: Callable[[float], object] = lambda done: None,
  again: functional.Rows | None = None,
) -> dict[str, Any]:
  """The parameters of `network.Trees`, from rows.

  Args:
    spec: of the fields.
    read: what trees read.
    count: of trees, of each task and form.
    train: the rows that are learnt from.
    validation: those that say how many trees are best.
    seed: of folds, and of what a tree is shown.
    show: called now and then, with the share of the trees that is grown; each
      set of columns and each form is an equal part, and so is each of `again`.
    again: rows of which trees are grown again, as many and of the columns that
      validation chose; these are the result.
  """
  pairs, sets = read.pairs, shown(spec, read.pairs)
  form = category_form(spec, read)
  parts = len(sets) + (form is not None)
  shows = _parts(show, parts if again is None else 2 * parts)
  learnt = reading.learn(spec, pairs, train, seed)
  of_train = _rows(spec, read, learnt.rows, train)
  of_validation = _rows(
    spec, read, reading.others(spec, pairs, learnt, validation), validation
  )
  by_rates, choices = _chosen(
    of_train.by_rates,
    of_validation.by_rates,
    sets,
    lambda some, others: boosting.boost(
      oblivious.Oblivious(), some, others, count, seed, next(shows)
    ),
  )
  trees, by_categories = [by_rates.trees], None
  shares = np.ones((1, spec.num_tasks))
  if form is not None:
    by_categories = boosting.boost(
      form,
      of_train.by_categories,
      of_validation.by_categories,
      count,
      seed,
      next(shows),
    )
    trees.append(by_categories.trees)
    shares = _shares(by_rates.said, by_categories.said, of_validation.by_rates)
  if again is not None:
    learnt = reading.learn(spec, pairs, again, seed)
    of_again = _rows(spec, read, learnt.rows, again)
    trees = [_grown_again(of_again.by_rates, sets, choices, count, seed, shows)]
    if form is not None and by_categories is not None:
      rounds = by_categories.rounds
      trees.append(
        boosting.boost_again(
          form, of_again.by_categories, rounds, count, seed, next(shows)
        )
      )
  trees = [
    one._replace(leaves=one.leaves * share[:, None, None])
    for one, share in zip(trees, shares, strict=True)
  ]
  return _parameters(spec, read, learnt, trees)


def _parts(
  show: Callable[[float], object], count: int
) -> Iterator[Callable[[float], object]]:
  """What each of so many parts calls with its own share."""

  def of(number: int) -> Callable[[float], object]:
    return lambda done: show((number + done) / count)

  return map(of, range(count))


def compile_ahead(
  spec: types.FeatureSpec, read: Read, train: int, validation: int
) -> None:
  """Compiles what `grow` runs for as many rows, in whatever thread."""
  for places in shown(spec, read.pairs):
    boosting.compile_ahead(
      oblivious.Oblivious(), len(places), spec.num_tasks, train, validation
    )
  form = category_form(spec, read)
  if form is not None:
    boosting.compile_ahead(
      form,
      form.numbers + len(read.categories),
      spec.num_tasks,
      train,
      validation,
      form.kind,
    )


def category_form(
  spec: types.FeatureSpec, read: Read
) -> category_splits.CategorySplits | None:
  """The form of the trees that part categories; None without any."""
  if not read.categories:
    return None
  width = max(boosting.BINS, *(spec.categorical[i] for i in read.categories))
  return category_splits.CategorySplits(len(_numbers(spec, read.pairs)), width)


def shown(
  spec: types.FeatureSpec, pairs: Sequence[reading.Pair]
) -> list[np.ndarray]:
  """Places of the columns without pairs and ids, with either, and of all.

  Pairs of ids are ids too. What would show nothing, or what another shows, is
  left out.
  """
  ids, is_pair = _kinds(spec, pairs)
  found: list[np.ndarray] = []
  for hidden in (is_pair | ids, ids, is_pair, np.zeros_like(ids)):
    places = _places(spec, hidden)
    if len(places) and not any(np.array_equal(places, one) for one in found):
      found.append(places)
  return found


def _kinds(
  spec: types.FeatureSpec, pairs: Sequence[reading.Pair]
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
  spec: types.FeatureSpec, pairs: Sequence[reading.Pair]
) -> np.ndarray:
  """Places of what trees that part categories read beside these."""
  ids, _ = _kinds(spec, pairs)
  is_single = np.arange(len(ids)) < len(spec.categorical)
  return _places(spec, ids | is_single)


def _rows(
  spec: types.FeatureSpec,
  read: Read,
  binned: boosting.Rows,
  rows: functional.Rows,
) -> _Rows:
  """Binned rows, and the same with categories in place of their rates."""
  if not read.categories:
    return _Rows(binned, binned)
  categories = np.asarray(rows.inputs.categorical)[:, list(read.categories)].T
  numbers = binned.bins[_numbers(spec, read.pairs)]
  form = category_form(spec, read)
  assert form is not None
  both = np.concatenate(
    [part.astype(form.kind) for part in (numbers, categories)]
  )
  return _Rows(binned, binned._replace(bins=both))


def _chosen(
  train: boosting.Rows,
  validation: boosting.Rows,
  sets: list[np.ndarray],
  boost: Callable[[boosting.Rows, boosting.Rows], boosting.Grown],
) -> tuple[boosting.Grown, list[_Choice]]:
  """Each task's trees without pairs and ids, or with what is worth it."""
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
  choices = [
    _Choice(int(i), int(found[i].rounds[k]))
    for k, i in enumerate(np.argmin(asked, 0))
  ]
  trees = _of_tasks([one.trees for one in found], sets, choices)
  rounds, losses, said = (
    np.stack([of[one.shown][k] for k, one in enumerate(choices)])
    for of in zip(*(one[1:] for one in found), strict=True)
  )
  return boosting.Grown(trees, rounds, losses, said), choices


def _shares(
  by_rates: np.ndarray, by_categories: np.ndarray, validation: boosting.Rows
) -> np.ndarray:
  """What each form counts, of every task.

  Args:
    by_rates: what the one says of validation rows, f32[K, V].
    by_categories: what the other says.
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
  choices: list[_Choice],
  count: int,
  seed: int,
  shows: Iterator[Callable[[float], object]],
) -> oblivious.ObliviousTrees:
  """Trees of other rows, of each task as `_chosen` has chosen."""
  rounds = np.array([one.rounds for one in choices])
  used = {one.shown for one in choices}
  found = [
    boosting.boost_again(
      oblivious.Oblivious(),
      rows._replace(bins=rows.bins[places]),
      rounds,
      count,
      seed,
      show,
    )
    if i in used
    else None
    for i, (places, show) in enumerate(zip(sets, shows, strict=False))
  ]
  return _of_tasks(found, sets, choices)


def _of_tasks(
  found: Sequence[oblivious.ObliviousTrees | None],
  sets: list[np.ndarray],
  choices: list[_Choice],
) -> oblivious.ObliviousTrees:
  """Each task's trees, of those that were shown its columns."""

  def of(k: int, choice: _Choice) -> oblivious.ObliviousTrees:
    trees = found[choice.shown]
    assert trees is not None
    own = oblivious.ObliviousTrees(*(part[k] for part in trees))
    return own._replace(columns=sets[choice.shown][own.columns])

  ones = [of(k, choice) for k, choice in enumerate(choices)]
  return oblivious.ObliviousTrees(*map(np.stack, zip(*ones, strict=True)))


def _parameters(
  spec: types.FeatureSpec,
  read: Read,
  learnt: reading.Learnt,
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
      reading.rates_name(field): one.all_rows.reshape(
        *reading.sizes(spec, field), -1
      )
      for field, one in learnt.known.items()
    },
  }
  for one in by_categories:
    made['category_splits'] = _category_parameters(spec, read, one, table)
  return made


def _category_parameters(
  spec: types.FeatureSpec,
  read: Read,
  trees: category_splits.CategoryTrees,
  edges: np.ndarray,
) -> dict[str, np.ndarray]:
  """Of the trees that part categories.

  Args:
    spec: of the fields.
    read: what trees read.
    trees: of all tasks.
    edges: of the bins of all columns, f64[C, BINS].
  """
  numbers = _numbers(spec, read.pairs)
  # Columns of numbers keep their place among all, categories come behind them.
  behind = len(edges) + np.arange(len(read.categories))
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
    for f, i in enumerate(read.categories)
  }
  return {
    'edges': edges[:, :-1].astype(np.float32),
    'columns': places[trees.columns].astype(np.float32),
    'last': last.astype(np.float32),
    'leaves': trees.leaves.astype(np.float32),
    **answers,
  }
