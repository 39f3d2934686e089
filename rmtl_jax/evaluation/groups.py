"""Groups of rows: sessions, users, and bins of equal numbers of rows."""

from __future__ import annotations

import numpy as np

from rmtl_jax import types


def group_codes(ids: np.ndarray) -> tuple[np.ndarray, int]:
  """Numbers groups from 0, by ascending id.

  Args:
    ids: i64[R], in any order; sorted ids (prepared sessions) cost no sort.

  Returns:
    (i64[R], number of groups).
  """
  types.check_ranks((1,), ids)
  if not len(ids):
    return np.zeros(0, np.int64), 0
  steps = ids[1:] != ids[:-1]
  if np.any(ids[1:] < ids[:-1]):
    unique, codes = np.unique(ids, return_inverse=True)
    return codes, len(unique)
  codes = np.concatenate([[0], np.cumsum(steps)])
  return codes, int(codes[-1]) + 1


def equal_mass_bins(
  ascending: np.ndarray, bins: int, weights: np.ndarray | None = None
) -> np.ndarray:
  """Assigns every row a bin by the mid-rank of its value; ties share one.

  Args:
    ascending: [R], sorted, R >= 1.
    bins: number of bins, >= 1.
    weights: [R] >= 0 in this order, not all 0; None: rows count alike.

  Returns:
    i64[R] in [0, bins), ascending.
  """
  rows = len(ascending)
  start = run_starts(ascending[1:] != ascending[:-1])
  end = np.append(start[1:], rows)
  if weights is not None:
    reached = np.concatenate([[0.0], np.cumsum(weights, dtype=np.float64)])
    middle = (reached[start] + reached[end]) * bins // (2.0 * reached[-1])
    # The end of the last bin is where rows of weight 0 may stand.
    return np.repeat(np.minimum(middle, bins - 1).astype(np.int64), end - start)
  # Mid-rank (start + end) / 2 of R rows, scaled to the bins, in integers.
  return np.repeat((start + end) * bins // (2 * rows), end - start)


def run_starts(changes: np.ndarray) -> np.ndarray:
  """First position of every run, from bool[R - 1], true where values change."""
  return np.concatenate([[0], np.flatnonzero(changes) + 1])
