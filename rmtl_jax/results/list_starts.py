"""Rows as they stood in lists: each with the past at its list's start.

Whoever ranks chooses between rows of one moment. A click raises what is
predicted of the later rows of its session, so over rows of different moments a
model that knows more would order worse. A list is the rows that were shown
together (of one session and time) where most rows of a split were, else the
rows of a session; lists of one row have no order.

Prepared data have as-of features at each row's own time, which are replaced: a
feature of the session or the user, and parts of the time, by those of the
list's first row; one of the item, of user and item, or of the user's rows with
a value (`tastes`) by that of the list's first row with this item or value. So
no row knows an outcome of its own list. What other sessions did to an item
since the list began, the time since the user last saw the item, and tastes of
a list that shares but a part of its values with an earlier row's, stay as they
were at the row's own time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from rmtl_jax import types
from rmtl_jax.data import columns as columns_lib
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.evaluation import labelled
from rmtl_jax.preparation.as_of import groups, history, slates, window_features
from rmtl_jax.preparation.schema import fields as fields_lib
from rmtl_jax.training import split_data

# Rows of a split that are looked at, in whole sessions from its beginning.
_MOST_ROWS = 2**20


class ListStarts(NamedTuple):
  """The rows of lists.

  Attributes:
    split: with their features at the list's start.
    rows: their places in the split that they come from, i64[L].
    number: i64[L], the row's list.
  """

  split: split_data.Split
  rows: np.ndarray
  number: np.ndarray


def of(
  split: split_data.Split, manifest: manifest_lib.Manifest
) -> ListStarts | None:
  """The lists of a split; None if none has two rows."""
  host = split.host
  starts = host.starts
  last = max(int(np.searchsorted(starts, _MOST_ROWS, 'right')) - 1, 1)
  starts = starts[: last + 1]
  every = np.arange(starts[-1])
  begins = host.begins_time[: starts[-1]]
  shown = np.cumsum(begins) - 1
  sizes = np.bincount(shown)
  if np.mean(sizes[shown] > 1) <= 0.5:
    begins = np.isin(every, starts[:-1])
  number = np.cumsum(begins) - 1
  rows = np.flatnonzero(np.bincount(number)[number] > 1)
  if not len(rows):
    return None
  number = number[rows]
  features = host.take(rows)
  inputs = types.Inputs(
    features.categorical, features.multi_valued, features.numeric
  )
  inputs = at_start(inputs, number, manifest)
  session = np.searchsorted(starts, rows, 'right') - 1
  changes = np.flatnonzero(np.diff(session)) + 1
  frozen = columns_lib.SplitColumns(
    np.asarray(inputs.categorical),
    np.asarray(inputs.multi_valued),
    np.asarray(inputs.numeric),
    features.labels,
    session,
    None,
    rows,
    None,
    np.diff(number, prepend=-1) > 0,
    np.concatenate([[0], changes, [len(rows)]]),
    host.losses,
  )
  placed = split_data.place(frozen, split.config, split.layout)
  # So that the program that predicts the split serves its lists too.
  placed = split_data.of_one_size({'': split, 'lists': placed})['lists']
  return ListStarts(placed, rows, number)


def columns(spec: types.FeatureSpec) -> dict[str, tuple[str, slice]]:
  """Position of each field: a part of Inputs, and its columns there.

  >>> spec = types.FeatureSpec((9,), ((5, 3),), 0, 1, names=('item', 'tags'))
  >>> columns(spec)['tags']
  ('multi_valued', slice(0, 3, None))
  """
  count = len(spec.categorical)
  ends = np.cumsum([0, *(width for _, width in spec.multi_valued)]).tolist()
  found = {
    name: ('categorical', slice(i, i + 1))
    for i, name in enumerate(spec.names[:count])
  }
  for i, name in enumerate(spec.names[count:]):
    found[name] = 'multi_valued', slice(ends[i], ends[i + 1])
  for i, name in enumerate(spec.numeric_names):
    found[name] = 'numeric', slice(i, i + 1)
  return found


def at_start(
  inputs: types.Inputs, number: np.ndarray, manifest: manifest_lib.Manifest
) -> types.Inputs:
  """Features with the past at each list's start.

  Args:
    inputs: [L, ...], numpy arrays; rows of a list are neighbours, in order.
    number: i64[L], the row's list.
  """
  places = columns(manifest.feature_spec())

  def values_of(name: str) -> np.ndarray:
    kind, where = places[name]
    return np.asarray(getattr(inputs, kind))[:, where]

  found = {
    kind: np.array(getattr(inputs, kind))
    for kind in ('categorical', 'multi_valued', 'numeric')
  }
  sources: dict[str, np.ndarray] = {}
  for field in manifest.fields:
    key = _key(field, manifest)
    if key is None:
      continue
    if key not in sources:
      sources[key] = _first(number, list(values_of(key).T) if key else [])
    kind, where = places[field.name]
    found[kind][:, where] = found[kind][sources[key], where]
  return inputs._replace(**found)


def _key(
  field: manifest_lib.Field, manifest: manifest_lib.Manifest
) -> str | None:
  """The field that decides from which row of a list the value comes.

  Returns:
    '' for the list's first row; None if the row's own value stays.
  """
  group, key = field.details.get('as_of'), field.details.get('key')
  if group is None:
    return '' if fields_lib.is_of_time(field) else None
  if group == slates.GROUP:
    return None
  if 'by' in field.details:
    return field.details['by']
  if key is None and group != history.GROUP:
    window = window_features.named(field.name.removeprefix(groups.PREFIX))
    key = window.window if window else 'session'
  return manifest.item_field if key in ('item', 'pair') else ''


def _first(number: np.ndarray, keys: Sequence[np.ndarray]) -> np.ndarray:
  """The first row with the same list and keys, of every row, i64[L]."""
  code = number
  for column in keys:
    code = code * (int(column.max()) + 2) + column + 1
    code = np.unique(code, return_inverse=True)[1]
  _, first, code = np.unique(code, return_index=True, return_inverse=True)
  return first[code]


def predicted(
  predict: Callable[[split_data.Split], np.ndarray],
  split: split_data.Split,
  lists: ListStarts | None,
) -> labelled.Predicted:
  """Predictions of a split's rows and of its lists."""
  rows = predict(split)
  if lists is None:
    return labelled.Predicted(rows)
  found = labelled.Lists(lists.rows, lists.number, predict(lists.split))
  return labelled.Predicted(rows, found)
