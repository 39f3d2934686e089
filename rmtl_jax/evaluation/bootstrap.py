"""Metrics of resampled sessions.

Rows of one session depend on each other, so the bootstrap resamples sessions: a
replicate draws S of the S sessions with replacement (the multinomial bootstrap)
and counts every row as often as its session was drawn. All tasks, metrics and
prediction sets of one seed share the draws, so that intervals of a difference
are paired.

A replicate of a mean is a quotient of two sums over sessions. Of an AUC the
scores are sorted once: negatives are counted between the scores of positives,
in a sparse matrix with a column per session, which the draws multiply. Sums of
whole numbers are exact, ties included.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator, Sequence

import numpy as np
from scipy import sparse

from rmtl_jax import types
from rmtl_jax.evaluation import labelled, metrics

METRICS = ('auc', 'gauc', 'logloss', 'session_logloss')
# Of tasks that are not binary.
ERRORS = ('mae', 'rmse')
# Replicates that are computed at once, and AUCs that are remembered: calibrated
# predictions and differences ask for those of the same order again.
_AT_ONCE, _MOST_KNOWN = 16, 256
# Draws that are kept, one byte each.
_MOST_KEPT = 2**27
_KNOWN: dict[bytes, np.ndarray] = {}


def replicates(
  predictions: Sequence[labelled.Predicted],
  rows: labelled.Labelled,
  count: int,
  seed: int,
) -> dict[str, np.ndarray]:
  """Computes metrics of resampled sessions.

  Args:
    predictions: M prediction sets of the rows; finite.
    count: B, number of replicates.

  Returns:
    Each of METRICS, of tasks that are not binary of ERRORS, to f64[B, M, K];
    NaN where a metric is undefined (one class only, no rows), or the task is of
    another kind.
  """
  codes, sessions = metrics.group_codes(rows.session)
  shape = count, len(predictions), len(rows.tasks)
  found: dict[str, np.ndarray] = {}
  if not (sessions and count):
    names = [METRICS if binary else ERRORS for binary in rows.is_binary]
    return {name: np.full(shape, np.nan) for of in names for name in of}
  sums: dict[tuple[str, int, int], tuple[np.ndarray, np.ndarray]] = {}
  aucs: dict[tuple[int, int], _Auc] = {}
  for m, one in enumerate(predictions):
    types.check_same_shape(one.rows, rows.labels)
    for k, binary in enumerate(rows.is_binary):
      y, p = rows.labels[:, k], one.rows[:, k]
      w = np.ones(len(y)) if rows.weights is None else rows.weights[:, k]
      w = w.astype(np.float64)
      if binary:
        auc = _Auc(y, p, w, codes, seed, count)
        aucs[m, k] = auc
        losses = metrics.row_logloss(y, p)
      else:
        losses = np.abs(p.astype(np.float64) - y)
      total = np.bincount(codes, w * losses, sessions)
      size = np.bincount(codes, w, sessions)
      if not binary:
        squares = np.bincount(codes, w * losses**2, sessions)
        sums['mae', m, k], sums['rmse', m, k] = (total, size), (squares, size)
        continue
      has_rows = (size > 0.0).astype(np.float64)
      sums['logloss', m, k] = total, size
      mean = total / np.where(size > 0.0, size, 1.0)
      sums['session_logloss', m, k] = mean, has_rows
      if one.lists is not None:
        sums['gauc', m, k] = _list_sums(one.lists, rows, k, codes, sessions)
  for name, _, _ in sums:
    found.setdefault(name, np.full(shape, np.nan))
  if aucs:
    found['auc'] = np.full(shape, np.nan)
  wanted = [one for one in aucs.values() if one.known is None]
  draws = _kept if sessions * count <= _MOST_KEPT else _draws
  for part, drawn in draws(sessions, count, seed):
    times = drawn.astype(np.float64)
    for (name, m, k), (above, below) in sums.items():
      # einsum, because the last digits of a BLAS product depend on its threads.
      below = np.einsum('s,sb->b', below, times)
      with np.errstate(invalid='ignore', divide='ignore'):
        found[name][part, m, k] = np.einsum('s,sb->b', above, times) / below
    for one in wanted:
      one.advance(part, times)
  for (m, k), one in aucs.items():
    found['auc'][:, m, k] = one.finish()
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


class _Auc:
  """Replicates of a task's AUC, unless they are known."""

  def __init__(
    self,
    labels: np.ndarray,
    scores: np.ndarray,
    weights: np.ndarray,
    codes: np.ndarray,
    seed: int,
    count: int,
  ):
    positive = labels > 0.5
    edges = np.unique(scores[positive])
    # A score's place is that of the first edge that is not below it.
    place = np.searchsorted(edges, scores)
    tied = np.append(edges, np.nan)[place] == scores
    digest = hashlib.blake2b(f'{seed} {count}'.encode())
    for part in (place, tied, positive, weights, codes):
      digest.update(np.ascontiguousarray(part).tobytes())
    self._key = digest.digest()
    self.known = _KNOWN.get(self._key)
    if self.known is None:
      self._values = np.full(count, np.nan)
      shape = len(edges) + 1, int(codes.max()) + 1

      def counts(of: np.ndarray) -> sparse.csr_array:
        made = sparse.coo_array((weights[of], (place[of], codes[of])), shape)
        return sparse.csr_array(made)

      self._positive, self._negative = counts(positive), counts(~positive)
      self._ties = counts(~positive & tied)

  def advance(self, part: slice, times: np.ndarray) -> None:
    """Computes some replicates from their draws, f64[S, B]."""
    positive = self._positive @ times
    below = np.cumsum(self._negative @ times, axis=0)
    pairs = positive.sum(axis=0) * below[-1]
    if self._ties.nnz:  # a tie is half a pair
      below -= 0.5 * (self._ties @ times)
    ordered = np.einsum('eb,eb->b', positive, below)
    defined = pairs > 0.0
    self._values[part][defined] = ordered[defined] / pairs[defined]

  def finish(self) -> np.ndarray:
    """All replicates, f64[B]."""
    if self.known is not None:
      return self.known
    if self._key not in _KNOWN:
      while len(_KNOWN) >= _MOST_KNOWN:
        del _KNOWN[next(iter(_KNOWN))]
      _KNOWN[self._key] = self._values
    return _KNOWN[self._key]


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
