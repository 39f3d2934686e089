"""Rows whose values stand out, where a loss was not finite."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rmtl_jax.data import columns as columns_lib

# A value stands out where it is this many times the size that is usual in its
# column (the median of what is not 0), over the first so many rows.
OUTSTANDING = 1e3
_SEEN = 2**22
_MOST = 3


def describe_outliers(
  split: columns_lib.Rows,
  rows: np.ndarray,
  numeric: Sequence[str],
  tasks: Sequence[str],
) -> str:
  """Names the values that stand out in rows whose loss was not finite.

  Args:
    rows: i64[B], of the steps in question.

  Returns:
    The source's row ids, columns and values that stand out most, or that none
    does.
  """
  names = [*numeric, *tasks]
  seen = np.union1d(np.arange(min(split.rows, _SEEN)), rows)
  found = split.take(seen)
  row_id = split.row_id[seen]
  values = np.concatenate([found.numeric, found.labels], axis=1)
  words = _largest(row_id, values, np.searchsorted(seen, rows), names)
  if words:
    return f'suspicious rows: {words}'
  # A gradient that broke shows in the loss of the step after.
  words = _largest(row_id, values, np.arange(len(seen)), names)
  if words:
    return f'suspicious rows, seen earlier: {words}'
  return (
    f'none of the {len(rows)} rows seen last has an input that stands out (a'
    ' smaller learning_rate, clip_norm or weighting.max_weight may help)'
  )


def _largest(
  row_id: np.ndarray,
  values: np.ndarray,
  rows: np.ndarray,
  names: Sequence[str],
) -> str:
  """The values that stand out most, largest first; empty if none does."""
  scores = _scores(values, rows)
  found = np.argwhere(scores > OUTSTANDING)
  order = np.argsort([-scores[tuple(at)] for at in found], kind='stable')
  words = [
    f'row_id {row_id[rows[row]]}: {names[column]} ='
    f' {values[rows[row], column]:g}'
    for row, column in found[order[:_MOST]]
  ]
  more = len(found) - len(words)
  return ', '.join(words) + (f' and {more} more' if more else '')


def _scores(values: np.ndarray, rows: np.ndarray) -> np.ndarray:
  """How many times the usual size of its column a value has, f64[B, C]."""
  sizes = np.abs(values.astype(np.float64))
  usual = np.ones(sizes.shape[1])
  for column in range(sizes.shape[1]):
    some = sizes[:, column]
    some = some[np.isfinite(some) & (some > 0)]
    if some.size:
      usual[column] = np.median(some)
  scores = sizes[rows] / usual
  return np.where(np.isfinite(scores), scores, np.inf)
