"""Trees from rows, and which of the candidates a task has, by validation rows.

Rates of pairs and ids overfit where later rows have others, and small leaves
where rows are few: a task has them only where they are worth it. Trees with
`category_splits` err elsewhere than oblivious ones, so a task has the mean of
both forms unless one alone is clearly better.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from rmtl_jax import types
from rmtl_jax.contrib.trees import (
  boosting,
  candidates,
  category_splits,
  features,
  forms,
)
from rmtl_jax.networks import functional

# Of validation's logloss, what another share than the mean of both forms must
# save.
_WORTH_SHARE = 0.01
# What each form counts.
_SHARES = ((0.5, 0.5), (1.0, 0.0), (0.0, 1.0))


class _Rows(NamedTuple):
  """Rows for all candidates.

  Attributes:
    binned: numbers and rates.
    categories: of the fields that are parted, i32[F, R].
  """

  binned: boosting.Rows
  categories: np.ndarray

  def of(self, found: candidates.Candidates) -> boosting.Rows:
    """Rows with the columns of the candidates' form."""
    count, places = len(self.binned.bins), found.places
    parts = (
      self.binned.bins[places[places < count]],
      self.categories[places[places >= count] - count],
    )
    bins = np.concatenate([part.astype(found.form.dtype) for part in parts])
    return self.binned._replace(bins=bins)


class _Choice(NamedTuple):
  """Of a form, what each task has.

  Attributes:
    candidate: the number of its candidate, i64[K].
    rounds: of its trees, i64[K].
    share: what the form counts, f64[K].
  """

  candidate: np.ndarray
  rounds: np.ndarray
  share: np.ndarray


def grow(
  spec: types.FeatureSpec,
  fields: candidates.TreeFields,
  count: int,
  train: functional.Rows,
  validation: functional.Rows,
  seed: int,
  progress: Callable[[float], object] = lambda fraction: None,
  again: functional.Rows | None = None,
) -> dict[str, Any]:
  """The parameters of `network.Trees`, from rows.

  Args:
    count: of trees, of each task and form.
    train: the rows that are learnt from.
    validation: those that choose how many trees a task has, and which.
    seed: of folds, and of the columns and rows that a tree samples.
    progress: called now and then, with the fraction of the trees that is grown;
      each candidate is an equal part, and so is each of `again`.
    again: rows of which trees are grown again, as many and of the candidates
      that validation chose; these are the result.
  """
  by_form = candidates.by_form(spec, fields)
  parts = sum(len(of.limits) for of in by_form)
  of_parts = _parts(progress, parts if again is None else 2 * parts)
  learnt = features.learn(spec, fields.pairs, train, seed)
  of_validation = features.others(spec, fields.pairs, learnt, validation)
  some = _rows(fields, learnt.rows, train)
  others = _rows(fields, of_validation, validation)

  def boost(of: candidates.Candidates) -> list[boosting.Grown]:
    rows = some.of(of), others.of(of)
    return [
      boosting.boost(of.form, limits, *rows, count, seed, next(of_parts))
      for limits in of.limits
    ]

  found = list(map(boost, by_form))
  worth = [of.worth for of in by_form]
  choices = _chosen(found, worth, of_validation)
  trees = [[one.trees for one in of] for of in found]
  if again is not None:
    learnt = features.learn(spec, fields.pairs, again, seed)
    rows = _rows(fields, learnt.rows, again)
    trees = [
      _grown_again(rows.of(of), of, choice, count, seed, of_parts)
      for of, choice in zip(by_form, choices, strict=True)
    ]
  of_forms = zip(by_form, trees, choices, strict=True)
  return _parameters(spec, fields, learnt, [_of_tasks(*of) for of in of_forms])


def _parts(
  progress: Callable[[float], object], count: int
) -> Iterator[Callable[[float], object]]:
  """The callback of each of so many equal parts, called with its fraction."""

  def of(number: int) -> Callable[[float], object]:
    return lambda fraction: progress((number + fraction) / count)

  return map(of, range(count))


def compile_ahead(
  spec: types.FeatureSpec,
  fields: candidates.TreeFields,
  train: int,
  validation: int,
) -> None:
  """Compiles what `grow` runs for as many rows, in whatever thread."""
  for of in candidates.by_form(spec, fields):
    boosting.compile_ahead(
      of.form, of.limits[0], len(of.places), spec.num_tasks, train, validation
    )


def _rows(
  fields: candidates.TreeFields, binned: boosting.Rows, rows: functional.Rows
) -> _Rows:
  """Binned rows, and their categories."""
  categorical = np.asarray(rows.inputs.categorical)
  return _Rows(binned, categorical[:, list(fields.categories)].T)


def _chosen(
  found: Sequence[Sequence[boosting.Grown]],
  worth: Sequence[Sequence[float]],
  validation: boosting.Rows,
) -> list[_Choice]:
  """What tasks have, of one or both forms.

  Args:
    found: of each form, what its candidates have become.
    worth: what each of these must save.
    validation: the rows of which these have logits.
  """
  by_rates, *others = found
  of_rates, *of_others = worth
  pairs = zip(by_rates, of_rates, strict=True)
  best = np.argmin([one.losses / (1 - least) for one, least in pairs], 0)
  choices = [_Choice(best, _rounds(by_rates, best), np.ones(len(best)))]
  logits = _picked([one.logits for one in by_rates], best)
  for of, of_form in zip(others, of_others, strict=True):
    ways = [(i, *shares) for i in range(len(of)) for shares in _SHARES]
    losses = _losses(ways, logits, of, of_form, validation)
    best, share, rest = np.array(ways)[np.argmin(losses, 0)].T
    best = best.astype(int)
    choices = [
      choices[0]._replace(share=share),
      _Choice(best, _rounds(of, best), rest),
    ]
  return choices


def _losses(
  ways: Sequence[tuple[int, float, float]],
  logits: np.ndarray,
  found: Sequence[boosting.Grown],
  worth: Sequence[float],
  validation: boosting.Rows,
) -> list[np.ndarray]:
  """Of each task with each way, f64[K]; more than it is, but of the first.

  Args:
    ways: numbers of candidates, the share of `logits` and that of theirs.
    logits: of the first form, f32[K, V].
    found: what the candidates have become.
    worth: what each of these must save.
    validation: rows.
  """
  return [
    boosting.losses(share * logits + rest * found[i].logits, validation)
    / (1 - max(worth[i], _WORTH_SHARE * (share != rest)))
    for i, share, rest in ways
  ]


def _rounds(found: Sequence[boosting.Grown], which: np.ndarray) -> np.ndarray:
  """Of each task's candidate, i64[K]."""
  return _picked([one.rounds for one in found], which)


def _picked(of: Sequence[np.ndarray], which: np.ndarray) -> np.ndarray:
  """Each task's part of its candidate's array."""
  return np.stack([of[i][k] for k, i in enumerate(which)])


def _grown_again(
  rows: boosting.Rows,
  of: candidates.Candidates,
  choice: _Choice,
  count: int,
  seed: int,
  of_parts: Iterator[Callable[[float], object]],
) -> list[Any]:
  """Trees of other rows, of each candidate that a task has; None of others."""
  trees: list[Any] = []
  for number, limits in enumerate(of.limits):
    progress, is_chosen = next(of_parts), choice.candidate == number
    if not np.any(is_chosen):
      trees.append(None)
      continue
    # Rounds that no task counts need not be grown.
    rounds = np.where(is_chosen & (choice.share > 0), choice.rounds, 0)
    trees.append(
      boosting.boost_again(of.form, limits, rows, rounds, count, seed, progress)
    )
  return trees


def _of_tasks(
  of: candidates.Candidates, trees: Sequence[Any], choice: _Choice
) -> Any:
  """Each task's trees of a form; `columns` are places among all."""

  def own(task: int, number: int) -> Any:
    found = trees[number]
    parts = type(found)(*(part[task] for part in found))
    return parts._replace(
      columns=of.places[parts.columns],
      leaves=parts.leaves * choice.share[task],
    )

  ones = [own(task, number) for task, number in enumerate(choice.candidate)]
  return type(ones[0])(*map(np.stack, zip(*ones, strict=True)))


def _parameters(
  spec: types.FeatureSpec,
  fields: candidates.TreeFields,
  learnt: features.Learnt,
  trees: Sequence[Any],
) -> dict[str, Any]:
  """As networks have them; of `grow`."""
  edges = learnt.edges
  table = np.full((len(edges), forms.BINS), np.finfo(np.float32).max)
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
  fields: candidates.TreeFields,
  trees: category_splits.CategoryTrees,
  edges: np.ndarray,
) -> dict[str, np.ndarray]:
  """Of the trees that part categories.

  Args:
    trees: of all tasks.
    edges: of the bins of all columns, f64[C, BINS].
  """
  # Bins up to the last say no.
  last = forms.BINS - 1 - trees.yes[..., : forms.BINS].sum(-1)
  answers = {
    category_splits.answers_name(i): category_splits.packed(
      np.moveaxis(
        (trees.columns == len(edges) + f)[..., None]
        & trees.yes[..., : spec.categorical[i]],
        -1,
        -2,
      )
    )
    for f, i in enumerate(fields.categories)
  }
  return {
    'edges': edges[:, :-1].astype(np.float32),
    'columns': trees.columns.astype(np.float32),
    'last': last.astype(np.float32),
    'leaves': trees.leaves.astype(np.float32),
    **answers,
  }
