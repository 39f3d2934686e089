"""Metrics of resampled sessions.

Rows of one session depend on each other, so the bootstrap resamples sessions: a
replicate draws S of the S sessions with replacement (the multinomial bootstrap)
and counts every row as often as its session was drawn. All tasks, metrics and
models share the draws of one seed, so that intervals of a difference are
paired.

A replicate of a mean is a quotient of two sums over sessions. Of an AUC the
scores are sorted once: negatives are counted between the scores of positives,
in a sparse matrix with a column per session, which the draws multiply. Sums of
whole numbers are exact, ties included.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from scipy import sparse

from rmtl_jax import types
from rmtl_jax.evaluation import labelled, metrics

METRICS = ('auc', 'gauc', 'logloss', 'session_logloss')
# Of tasks that are not binary.
ERRORS = ('mae', 'rmse')
# Replicates that are computed at once.
_AT_ONCE = 16
# Draws that are kept, one byte each.
_MOST_KEPT = 2**27


def replicates(
  predicted: labelled.Predicted,
  rows: labelled.Labelled,
  count: int,
  seed: int,
) -> dict[str, np.ndarray]:
  """Computes metrics of resampled sessions.

  Args:
    predicted: finite predictions of the rows.
    count: B, number of replicates.

  Returns:
    Each of METRICS, of tasks that are not binary of ERRORS, to f64[B, K]; NaN
    where a metric is undefined (one class only, no rows), or the task is of
    another kind.
  """
  types.check_same_shape(predicted.rows, rows.labels)
  codes, sessions = metrics.group_codes(rows.session)
  names = [METRICS if binary else ERRORS for binary in rows.is_binary]
  shape = count, len(rows.tasks)
  found = {name: np.full(shape, np.nan) for of in names for name in of}
  if predicted.lists is None:
    found.pop('gauc', None)
  if not (sessions and count):
    return found
  # Sums over sessions, [S], whose quotient a mean is.
  sums: dict[tuple[str, int], tuple[np.ndarray, np.ndarray]] = {}
  aucs: dict[int, _AucCounts] = {}
  for k, binary in enumerate(rows.is_binary):
    y, p = rows.labels[:, k], predicted.rows[:, k]
    w = np.ones(len(y)) if rows.weights is None else rows.weights[:, k]
    w = w.astype(np.float64)
    size = np.bincount(codes, w, sessions)
    if not binary:
      errors = np.abs(p.astype(np.float64) - y)
      sums['mae', k] = np.bincount(codes, w * errors, sessions), size
      sums['rmse', k] = np.bincount(codes, w * errors**2, sessions), size
      continue
    aucs[k] = _auc_counts(y, p, w, codes)
    total = np.bincount(codes, w * metrics.row_logloss(y, p), sessions)
    sums['logloss', k] = total, size
    has_rows = size > 0.0
    mean = total / np.where(has_rows, size, 1.0)
    sums['session_logloss', k] = mean, has_rows.astype(np.float64)
    if predicted.lists is not None:
      sums['gauc', k] = _list_sums(predicted.lists, rows, k, codes, sessions)
  draws = _kept if sessions * count <= _MOST_KEPT else _draws
  for part, drawn in draws(sessions, count, seed):
    times = drawn.astype(np.float64)
    for (name, k), (above, below) in sums.items():
      # einsum, because the last digits of a BLAS product depend on its threads.
      below = np.einsum('s,sb->b', below, times)
      with np.errstate(invalid='ignore', divide='ignore'):
        found[name][part, k] = np.einsum('s,sb->b', above, times) / below
    for k, counts in aucs.items():
      found['auc'][part, k] = _aucs(counts, times)
  if 'rmse' in found:
    found['rmse'] = np.sqrt(found['rmse'])
  return found


def _draws(
  sessions: int, count: int, seed: int
) -> Iterator[tuple[slice, np.ndarray]]:
  """How often replicates have each session, u8[S, B], some at a time."""
  generator = np.random.default_rng(seed)
  for start in range(0, count, _AT_ONCE):
    part = slice(start, min(start + _AT_ONCE, count))
    drawn = [
      np.bincount(generator.integers(sessions, size=sessions), None, sessions)
      for _ in range(part.start, part.stop)
    ]
    yield part, np.stack(drawn, axis=1).astype(np.uint8)


@functools.lru_cache(maxsize=1)
def _kept(
  sessions: int, count: int, seed: int
) -> list[tuple[slice, np.ndarray]]:
  """`_draws`, for the metrics of all models of a split."""
  return list(_draws(sessions, count, seed))


class _AucCounts(NamedTuple):
  """Weights of a task's rows by place among its positives' scores, and session.

  Attributes:
    positive: of positives, sparse [E + 1, S].
    negative: of negatives.
    ties: of negatives with a positive's score.
  """

  positive: sparse.csr_array
  negative: sparse.csr_array
  ties: sparse.csr_array


def _auc_counts(
  labels: np.ndarray,
  scores: np.ndarray,
  weights: np.ndarray,
  codes: np.ndarray,
) -> _AucCounts:
  is_positive = labels > 0.5
  edges = np.unique(scores[is_positive])
  # A score's place is that of the first edge that is not below it.
  place = np.searchsorted(edges, scores)
  is_tie = np.append(edges, np.nan)[place] == scores
  shape = len(edges) + 1, int(codes.max()) + 1

  def counts(of: np.ndarray) -> sparse.csr_array:
    made = sparse.coo_array((weights[of], (place[of], codes[of])), shape)
    return sparse.csr_array(made)

  return _AucCounts(
    counts(is_positive), counts(~is_positive), counts(~is_positive & is_tie)
  )


def _aucs(counts: _AucCounts, times: np.ndarray) -> np.ndarray:
  """AUCs of some draws, f64[B]; NaN with one class.

  Args:
    times: how often each session was drawn, f64[S, B].
  """
  positive = counts.positive @ times
  below = np.cumsum(counts.negative @ times, axis=0)
  pairs = positive.sum(axis=0) * below[-1]
  if counts.ties.nnz:  # a tie is half a pair
    below -= 0.5 * (counts.ties @ times)
  ordered = np.einsum('eb,eb->b', positive, below)
  return np.where(pairs > 0.0, ordered / np.where(pairs, pairs, 1.0), np.nan)


def _list_sums(
  lists: labelled.Lists,
  rows: labelled.Labelled,
  k: int,
  codes: np.ndarray,
  sessions: int,
) -> tuple[np.ndarray, np.ndarray]:
  """Per session the sums of its lists' AUCs and of their rows, f64[S]."""
  w = None if rows.weights is None else rows.weights[lists.rows, k]
  labels, scores = rows.labels[lists.rows, k], lists.predictions[:, k]
  aucs, sizes = metrics.group_aucs(labels, scores, lists.number, w)
  session = np.zeros(len(aucs), np.int64)
  session[metrics.group_codes(lists.number)[0]] = codes[lists.rows]
  return (
    np.bincount(session, aucs * sizes, sessions),
    np.bincount(session, sizes, sessions),
  )
