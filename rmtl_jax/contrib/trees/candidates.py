"""Which trees a task may have: of some form, and with some of the columns.

Columns are numbers and rates, as `features.columns` has them, and behind these
the categories of fields that are parted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from rmtl_jax import types
from rmtl_jax.contrib.trees import category_splits, features, forms, oblivious

# A field of more values is an id, and one of more values can't be parted; row 0
# of a vocabulary is no value.
_MOST_CATEGORIES, MOST_PARTED = 200, 2**12
# L2 of leaves, and the least sum of second derivatives on a side, of small
# leaves. Rates of pairs and ids are partly chance, which larger limits keep
# from being learnt; without them, small leaves can tell persons apart.
_SMALL = 1.0, 1.0
# Of validation's logloss, what trees must save that read rates of pairs or ids,
# since those of later rows are worth less; and what those of small leaves must.
_WORTH_RATES, _WORTH_SMALL = 0.005, 0.01


class TreeFields(NamedTuple):
  """Fields of trees beside numeric fields, lists and single rates.

  Attributes:
    pairs: of categorical fields, by their places.
    categories: places of the fields that `category_splits` part; without any
      there are no such trees.
  """

  pairs: Sequence[features.Pair] = ()
  categories: Sequence[int] = ()


class Candidates(NamedTuple):
  """The candidates of one form, which differ in their limits only.

  Attributes:
    form: of all their trees.
    places: of the form's columns among all, i64[C].
    limits: of each candidate.
    worth: the share of validation's logloss that each must save to be taken in
      place of the first.
  """

  form: forms.Form
  places: np.ndarray
  limits: Sequence[forms.Limits]
  worth: Sequence[float]


def by_form(spec: types.FeatureSpec, fields: TreeFields) -> list[Candidates]:
  """Those that read rates, then those that part categories, if any do."""
  found = by_rates(spec, fields), by_categories(spec, fields)
  return [of for of in found if of is not None]


def by_rates(spec: types.FeatureSpec, fields: TreeFields) -> Candidates:
  """Oblivious trees without pairs and ids, with either, and with both.

  Pairs of ids are ids too. Empty sets of columns and repeated ones are left
  out. The last ones are without pairs and ids, and have small leaves.
  """
  ids, is_pair = _kinds(spec, fields.pairs)
  plain, *others = (is_pair | ids, ids, is_pair, np.zeros_like(ids))
  found: list[np.ndarray] = []
  for hidden in (plain, *others):
    places = _places(spec, hidden)
    if len(places) and not any(np.array_equal(places, one) for one in found):
      found.append(places)
  form = oblivious.Oblivious()
  count = features.count_columns(spec, fields.pairs)
  limits = [forms.make_limits(form, count, places) for places in found]
  worth = [0.0, *[_WORTH_RATES] * (len(found) - 1)]
  if len(places := _places(spec, plain)):
    limits.append(forms.make_limits(form, count, places, *_SMALL))
    worth.append(_WORTH_SMALL)
  return Candidates(form, np.arange(count), limits, worth)


def by_categories(
  spec: types.FeatureSpec, fields: TreeFields
) -> Candidates | None:
  """Trees that part categories; then without pairs, and of small leaves."""
  if not fields.categories:
    return None
  sizes = [spec.categorical[i] for i in fields.categories]
  form = category_splits.CategorySplits(max(forms.BINS, *sizes))
  ids, is_pair = _kinds(spec, fields.pairs)
  is_single = np.arange(len(ids)) < len(spec.categorical)
  numbers = _places(spec, ids | is_single)
  count = len(numbers)
  without = _places(spec, ids | is_single | is_pair)
  places = np.flatnonzero(np.isin(numbers, without))
  limits = [
    forms.make_limits(form, count, np.arange(count)),
    forms.make_limits(form, count, places, *_SMALL),
  ]
  behind = features.count_columns(spec, fields.pairs) + np.arange(len(sizes))
  of_form = np.concatenate([numbers, behind])
  return Candidates(form, of_form, limits, (0.0, _WORTH_SMALL))


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
