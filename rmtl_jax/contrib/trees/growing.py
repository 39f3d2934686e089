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
from rmtl_jax.contrib.trees import boosting, category_splits, reading
from rmtl_jax.networks import functional

# A field with more values is an id; and so many can be parted.
_MOST_CATEGORIES, MOST_PARTED = 200, 2**12
# Of validation's logloss, what rates of pairs and ids must save, since those of
# later rows are worth less; and one form alone, beside the mean of both.
_WORTH_MORE, _WORTH_ALONE = 0.005, 0.01
_FORMS = ((0.5, 0.5), (1.0, 0.0), (0.0, 1.0))
# L2 of leaves, and the least sum on a side, of trees that part categories and
# read no rates of pairs: these say most of what few rows say, and much of that
# is chance.
_WITHOUT_PAIRS = 1.0, 1.0


class Read(NamedTuple):
  """What trees read beside numeric fields, lists and single rates.

  Attributes:
    pairs: of categorical fields, by their places.
    categories: places of the fields that `category_splits` part; without any
      there are no such trees.
  """

  pairs: Sequence[reading.Pair] = ()
  categories: Sequence[int] = ()


class Candidate(NamedTuple):
  """Trees that tasks may have, of some form.

  Attributes:
    form: of the trees.
    places: of the columns that they read, i64[C]; categories are behind all
      numbers and rates.
  """

  form: boosting.Form
  places: np.ndarray


class _Choice(NamedTuple):
  """Of a task: which candidate's trees it has, and how many rounds."""

  candidate: int
  rounds: int


class _Rows(NamedTuple):
  """Rows for all candidates.

  Attributes:
    binned: numbers and rates.
    categories: of the fields that are parted, i32[F, R].
  """

  binned: boosting.Rows
  categories: np.ndarray

  def of(self, candidate: Candidate) -> boosting.Rows:
    """What its trees read."""
    form, places = candidate
    count = len(self.binned.bins)
    parts = (
      self.binned.bins[places[places < count]],
      self.categories[places[places >= count] - count],
    )
    bins = np.concatenate([part.astype(form.kind) for part in parts])
    return self.binned._replace(bins=bins)


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
      candidate is an equal part, and so is each of `again`.
    again: rows of which trees are grown again, as many and of the candidates
      that validation chose; these are the result.
  """
  pairs = read.pairs
  kinds = [of for of in (oblivious(spec, read), parting(spec, read)) if of]
  shows = _parts(show, sum(map(len, kinds)) * (1 if again is None else 2))
  learnt = reading.learn(spec, pairs, train, seed)
  of_train = _rows(read, learnt.rows, train)
  of_validation = _rows(
    read, reading.others(spec, pairs, learnt, validation), validation
  )
  found = [
    [
      boosting.boost(
        one.form,
        of_train.of(one),
        of_validation.of(one),
        count,
        seed,
        next(shows),
      )
      for one in of
    ]
    for of in kinds
  ]
  choices, shares = _chosen(found, of_validation.binned)
  grown = [[one.trees for one in of] for of in found]
  if again is not None:
    learnt = reading.learn(spec, pairs, again, seed)
    rows = _rows(read, learnt.rows, again)
    grown = [
      _grown_again(rows, *of, count, seed, shows)
      for of in zip(kinds, choices, strict=True)
    ]
  trees = [
    _of_tasks(*of) for of in zip(kinds, grown, choices, shares, strict=True)
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
  for form, places in (*oblivious(spec, read), *parting(spec, read)):
    boosting.compile_ahead(form, len(places), spec.num_tasks, train, validation)


def oblivious(spec: types.FeatureSpec, read: Read) -> list[Candidate]:
  """Trees of rates without pairs and ids, with either, and of all.

  Pairs of ids are ids too. What would read nothing, or what another reads, is
  left out.
  """
  ids, is_pair = _kinds(spec, read.pairs)
  found: list[np.ndarray] = []
  for hidden in (is_pair | ids, ids, is_pair, np.zeros_like(ids)):
    places = _places(spec, hidden)
    if len(places) and not any(np.array_equal(places, one) for one in found):
      found.append(places)
  return [Candidate(boosting.Oblivious(), places) for places in found]


def parting(spec: types.FeatureSpec, read: Read) -> list[Candidate]:
  """Trees that part categories; with rates of pairs, and without."""
  if not read.categories:
    return []
  width = max(boosting.BINS, *(spec.categorical[i] for i in read.categories))
  count = reading.count_columns(spec, read.pairs)
  categories = count + np.arange(len(read.categories))
  ids, is_pair = _kinds(spec, read.pairs)
  is_single = np.arange(len(ids)) < len(spec.categorical)

  def of(hidden, *limits):
    numbers = _places(spec, hidden | is_single)
    form = category_splits.CategorySplits(len(numbers), width, *limits)
    return Candidate(form, np.concatenate([numbers, categories]))

  found = [of(ids)]
  if np.any(is_pair & ~ids):
    found.append(of(ids | is_pair, *_WITHOUT_PAIRS))
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


def _rows(read: Read, binned: boosting.Rows, rows: functional.Rows) -> _Rows:
  """Binned rows, and their categories."""
  categorical = np.asarray(rows.inputs.categorical)
  return _Rows(binned, categorical[:, list(read.categories)].T)


def _chosen(
  found: Sequence[Sequence[boosting.Grown]], validation: boosting.Rows
) -> tuple[list[list[_Choice]], np.ndarray]:
  """Each task's trees, of those that were grown.

  Args:
    found: of each form, in the order of its candidates.
    validation: rows of which these have said something.

  Returns:
    Of each form, each task's choice; and what each form counts, f64[forms, K].
  """
  by_rates, *others = found
  # Those without pairs and ids, or what is worth more.
  asked = [
    one.losses / (1 - _WORTH_MORE * (i > 0)) for i, one in enumerate(by_rates)
  ]
  best = np.argmin(asked, 0)
  said = _picked([one.said for one in by_rates], best)
  choices, shares = [_choices(by_rates, best)], np.ones((1, len(best)))
  for of in others:
    ways = [(i, *way) for i in range(len(of)) for way in _FORMS]
    losses = [
      boosting.losses(a * said + b * of[i].said, validation)
      / (1 - _WORTH_ALONE * (way > 0))
      for way, (i, a, b) in enumerate(ways)
    ]
    chosen = np.array(ways)[np.argmin(losses, 0)]
    choices.append(_choices(of, chosen[:, 0].astype(int)))
    shares = chosen[:, 1:].T
  return choices, shares


def _picked(of: Sequence[np.ndarray], which: np.ndarray) -> np.ndarray:
  """Each task's part of the array that is its own."""
  return np.stack([of[i][k] for k, i in enumerate(which)])


def _choices(
  found: Sequence[boosting.Grown], which: np.ndarray
) -> list[_Choice]:
  """Each task's, with its rounds."""
  rounds = _picked([one.rounds for one in found], which)
  return [_Choice(int(i), int(n)) for i, n in zip(which, rounds, strict=True)]


def _grown_again(
  rows: _Rows,
  candidates: Sequence[Candidate],
  choices: Sequence[_Choice],
  count: int,
  seed: int,
  shows: Iterator[Callable[[float], object]],
) -> list[Any]:
  """Trees of other rows, of each candidate that a task has chosen, or None."""
  rounds = np.array([one.rounds for one in choices])
  used = {one.candidate for one in choices}
  return [
    boosting.boost_again(one.form, rows.of(one), rounds, count, seed, show)
    if i in used
    else None
    for i, (one, show) in enumerate(zip(candidates, shows, strict=False))
  ]


def _of_tasks(
  candidates: Sequence[Candidate],
  grown: Sequence[Any],
  choices: Sequence[_Choice],
  share: np.ndarray,
) -> Any:
  """Each task's trees; their columns are places among all.

  Args:
    candidates: of a form.
    grown: the trees of each one, or None.
    choices: of each task.
    share: what the form counts, f64[K].
  """

  def of(k: int, choice: _Choice) -> Any:
    own = type(grown[choice.candidate])(
      *(part[k] for part in grown[choice.candidate])
    )
    places = candidates[choice.candidate].places
    return own._replace(
      columns=places[own.columns], leaves=own.leaves * share[k]
    )

  ones = [of(k, choice) for k, choice in enumerate(choices)]
  return type(ones[0])(*map(np.stack, zip(*ones, strict=True)))


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
  trees: category_splits.Trees,
  edges: np.ndarray,
) -> dict[str, np.ndarray]:
  """Of the trees that part categories.

  Args:
    spec: of the fields.
    read: what trees read.
    trees: of all tasks.
    edges: of the bins of all columns, f64[C, BINS].
  """
  # Bins up to the last say no.
  last = boosting.BINS - 1 - trees.yes[..., : boosting.BINS].sum(-1)
  answers = {
    category_splits.answers_name(i): category_splits.packed(
      np.moveaxis(
        (trees.columns == len(edges) + f)[..., None]
        & trees.yes[..., : spec.categorical[i]],
        -1,
        -2,
      )
    )
    for f, i in enumerate(read.categories)
  }
  return {
    'edges': edges[:, :-1].astype(np.float32),
    'columns': trees.columns.astype(np.float32),
    'last': last.astype(np.float32),
    'leaves': trees.leaves.astype(np.float32),
    **answers,
  }
