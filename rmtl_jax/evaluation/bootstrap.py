"""Metrics of resampled sessions.

Rows of one session depend on each other, so the bootstrap resamples sessions: a
replicate draws S of the S sessions with replacement (the multinomial bootstrap)
and counts every row as often as its session was drawn. All tasks, metrics and
prediction sets of one call share the draws, so that intervals of a difference
are paired.

The scores are sorted once and a replicate re-weighs that order, exactly, ties
included. Its sums are integers, and several replicates share the bits of one
64-bit word, so that one pass over the rows adds up all of them. Integer sums
also do not depend on the number of threads.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from rmtl_jax import types
from rmtl_jax.evaluation import groups, labelled, metrics, pairs, ranking

METRICS = ('auc', 'logloss', 'session_logloss')
# Of tasks that are not binary.
ERRORS = ('mae', 'rmse', 'xauc')
# Rows above which XAUC has no interval: it takes a pass over the rows for each
# replicate and bit of the labels' ranks, some 15 times as long as an AUC.
MOST_PAIRED = 100_000
# Replicates of XAUC that are computed at once, and results that are remembered:
# calibration and differences ask for those of the same predictions again.
_PAIRED_AT_ONCE, _MOST_KNOWN = 8, 256
_KNOWN: dict[bytes, np.ndarray] = {}


class _RankedSessions(NamedTuple):
  """One task's ranking, and the sessions of its rows in that order."""

  order: ranking.Ranking
  positive_session: np.ndarray
  negative_session: np.ndarray


def replicates(
  predictions: Sequence[np.ndarray],
  labels: np.ndarray,
  session: np.ndarray,
  count: int,
  seed: int,
  weights: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
  """Computes metrics of resampled sessions.

  Args:
    predictions: M prediction sets [R, K] of the same rows; finite.
    labels: [R, K], 0 or 1.
    session: i64[R], the row's session, in any order.
    count: B, number of replicates.
    weights: [R, K] >= 0, as metrics take them; None: rows count alike.

  Returns:
    `auc`, `logloss` and `session_logloss` to f64[B, M, K]; NaN where a
    metric is undefined (one class only, no rows).
  """
  for scores in predictions:
    types.check_ranks((2, 2, 1), scores, labels, session)
    types.check_same_shape(scores, labels)
  codes, sessions = groups.group_codes(session)
  tasks = labels.shape[1]
  shape = (count, len(predictions), tasks)
  values = {name: np.full(shape, np.nan) for name in METRICS}
  if not sessions:
    return values
  if weights is not None:
    return _weighted_replicates(
      predictions, labels, codes, sessions, weights, values, seed
    )
  # Logloss needs only sums per session, AUC the order of the rows: both are
  # computed once, before any draw.
  sizes = np.bincount(codes)
  sums = np.empty((len(predictions), tasks, sessions))
  ranked = []
  for m, scores in enumerate(predictions):
    for k in range(tasks):
      losses = metrics.row_logloss(labels[:, k], scores[:, k])
      sums[m, k] = np.bincount(codes, losses)
      order = ranking.rank(labels[:, k], scores[:, k])
      of_rows = codes[order.positive], codes[order.negative]
      ranked.append(_RankedSessions(order, *of_rows))
  means = sums / sizes
  generator = np.random.default_rng(seed)
  reached = np.empty(len(labels) + 1, np.int64)
  # Replicates per 64-bit word, with room for twice the rows in each: a draw of
  # many long sessions has more rows than the data.
  per_word = 63 // _bits(2 * len(labels))
  for start in range(0, count, per_word):
    part = slice(start, min(start + per_word, count))
    times = np.stack(
      [_draw(generator, sessions) for _ in range(part.start, part.stop)]
    )
    rows = times @ sizes
    aucs = np.stack([_resampled_aucs(r, times, rows, reached) for r in ranked])
    values['auc'][part] = aucs.T.reshape(-1, *shape[1:])
    # einsum, because the last digits of a BLAS product depend on its threads.
    floats = times.astype(np.float64)
    total = np.einsum('bs,mks->bmk', floats, sums)
    values['logloss'][part] = total / rows[:, None, None]
    total = np.einsum('bs,mks->bmk', floats, means)
    values['session_logloss'][part] = total / sessions
  return values


def error_replicates(
  predictions: Sequence[np.ndarray],
  labels: np.ndarray,
  session: np.ndarray,
  count: int,
  seed: int,
  weights: np.ndarray | None = None,
  paired: bool = True,
) -> dict[str, np.ndarray]:
  """As `replicates`, of tasks that are not binary, with the same draws.

  Args:
    labels: [R, K], any numbers.
    paired: whether XAUC is asked for, which takes the longest.

  Returns:
    Each of ERRORS to f64[B, M, K]; without XAUC if it is not asked for, or
    there are more rows than MOST_PAIRED.
  """
  codes, sessions = groups.group_codes(session)
  tasks = labels.shape[1]
  paired = paired and len(labels) <= MOST_PAIRED
  values = {
    name: np.full((count, len(predictions), tasks), np.nan)
    for name in ERRORS
    if paired or name != 'xauc'
  }
  if not sessions:
    return values
  if paired:
    for m, scores in enumerate(predictions):
      for k in range(tasks):
        values['xauc'][:, m, k] = _xauc_replicates(
          labels[:, k],
          scores[:, k],
          codes,
          count,
          seed,
          None if weights is None else weights[:, k],
        )
  if weights is None:
    weights = np.ones_like(labels)
  sizes = np.stack([np.bincount(codes, w) for w in weights.T])
  sums = np.empty((2, len(predictions), tasks, sessions))
  for m, scores in enumerate(predictions):
    errors = np.abs(scores.astype(np.float64) - labels)
    for k in range(tasks):
      sums[0, m, k] = np.bincount(codes, weights[:, k] * errors[:, k])
      sums[1, m, k] = np.bincount(codes, weights[:, k] * errors[:, k] ** 2)
  generator = np.random.default_rng(seed)
  for b in range(count):
    times = _draw(generator, sessions).astype(np.float64)
    # einsum, because the last digits of a BLAS product depend on its threads.
    means = np.einsum('emks,s->emk', sums, times)
    drawn = np.einsum('ks,s->k', sizes, times)
    means /= np.where(drawn > 0.0, drawn, np.nan)
    values['mae'][b], values['rmse'][b] = means[0], np.sqrt(means[1])
  return values


def of_kinds(
  predictions: Sequence[np.ndarray],
  rows: labelled.Labelled,
  count: int,
  seed: int,
  paired: bool = True,
) -> dict[str, np.ndarray]:
  """`replicates` of the binary tasks and `error_replicates` of the others.

  Returns:
    Each metric to f64[B, M, K], NaN for tasks of other kinds.
  """
  errors = functools.partial(error_replicates, paired=paired)
  binary = np.asarray(rows.is_binary, bool)
  found: dict[str, np.ndarray] = {}
  for draw, columns in ((replicates, binary), (errors, ~binary)):
    if not columns.any():
      continue
    drawn = draw(
      [scores[:, columns] for scores in predictions],
      rows.labels[:, columns],
      rows.session,
      count,
      seed,
      None if rows.weights is None else rows.weights[:, columns],
    )
    for name, values in drawn.items():
      found[name] = np.full((*values.shape[:2], len(columns)), np.nan)
      found[name][..., columns] = values
  return found


def _xauc_replicates(
  labels: np.ndarray,
  scores: np.ndarray,
  codes: np.ndarray,
  count: int,
  seed: int,
  weights: np.ndarray | None,
) -> np.ndarray:
  """XAUC of resampled sessions, f64[B]; the draws are those of `replicates`."""
  # Only the order of the predictions counts, which calibration leaves.
  place = np.unique(scores, return_inverse=True)[1]
  digest = hashlib.sha256(f'{count} {seed} {weights is None}'.encode())
  for part in (labels, place, codes, weights):
    if part is not None:
      digest.update(np.ascontiguousarray(part).tobytes())
  known = digest.digest()
  if known not in _KNOWN:
    found, own = pairs.pair(labels, place), 1 if weights is None else weights
    generator, sessions = np.random.default_rng(seed), int(codes.max()) + 1
    values = np.empty(count)
    for start in range(0, count, _PAIRED_AT_ONCE):
      part = values[start : start + _PAIRED_AT_ONCE]
      times = np.stack([_draw(generator, sessions)[codes] for _ in part])
      part[:] = found.xauc(times * own)
    while len(_KNOWN) >= _MOST_KNOWN:
      del _KNOWN[next(iter(_KNOWN))]
    _KNOWN[known] = values
  return _KNOWN[known]


def _weighted_replicates(
  predictions: Sequence[np.ndarray],
  labels: np.ndarray,
  codes: np.ndarray,
  sessions: int,
  weights: np.ndarray,
  values: dict[str, np.ndarray],
  seed: int,
) -> dict[str, np.ndarray]:
  """`replicates` of weighted rows, filled into `values`.

  The draws are those of rows that count alike. Their sums are no integers, so a
  draw is a pass of its own. A session counts for a task's `session_logloss` if
  one of its rows does.
  """
  parts = {}
  weights = np.asarray(weights, np.float64)
  for k in range(labels.shape[1]):
    rows = np.flatnonzero(weights[:, k] > 0.0)
    y, w, code = labels[rows, k], weights[rows, k], codes[rows]
    sizes = np.bincount(code, w, minlength=sessions)
    for m, scores in enumerate(predictions):
      p = scores[rows, k]
      losses = w * metrics.row_logloss(y, p)
      sums = np.bincount(code, losses, minlength=sessions)
      parts[m, k] = ranking.rank(y, p), w, code, sizes, sums
  generator = np.random.default_rng(seed)
  for b in range(len(values['auc'])):
    times = _draw(generator, sessions).astype(np.float64)
    for (m, k), (order, w, code, sizes, sums) in parts.items():
      drawn = w * times[code]
      values['auc'][b, m, k] = ranking.weighted_auc(
        order, drawn[order.positive], drawn[order.negative]
      )
      has = times * (sizes > 0.0)
      if has.any():
        means = sums / np.where(sizes > 0.0, sizes, 1.0)
        total, mean = np.sum(times * sums), np.sum(has * means)
        values['logloss'][b, m, k] = total / np.sum(times * sizes)
        values['session_logloss'][b, m, k] = mean / np.sum(has)
  return values


def _draw(generator: np.random.Generator, sessions: int) -> np.ndarray:
  """Draws how often a replicate has each session, i64[S]."""
  draws = generator.integers(sessions, size=sessions)
  return np.bincount(draws, minlength=sessions)


def _bits(number: int) -> int:
  """Bits of the integers up to `number`."""
  return max(1, int(number).bit_length())


def _resampled_aucs(
  ranked: _RankedSessions,
  times: np.ndarray,
  rows: np.ndarray,
  reached: np.ndarray,
) -> np.ndarray:
  """Computes AUCs in which a row counts as often as its session was drawn.

  Args:
    ranked: the task's rows.
    times: how often each replicate has each session, i64[B, S].
    rows: number of drawn rows, i64[B].
    reached: i64[more than R], a buffer.

  Returns:
    f64[B]; NaN where a class has no row.
  """
  order, bits = ranked.order, _bits(rows.max())
  if len(times) > 63 // bits:  # the draws have too many rows to share a word
    parts = [
      _resampled_aucs(ranked, times[b : b + 1], rows[b : b + 1], reached)
      for b in range(len(times))
    ]
    return np.concatenate(parts)
  # Replicate b has bits [bits * b, bits * (b + 1)) of every word. No sum below
  # exceeds the replicate's rows, so none carries into the next one's bits.
  shifts = bits * np.arange(len(times))[:, None]
  packed = np.sum(times << shifts, axis=0)
  # reached[i]: weight of the i lowest negatives, as in ranking.weighted_auc.
  reached = reached[: len(ranked.negative_session) + 1]
  reached[0] = 0
  np.take(packed, ranked.negative_session, out=reached[1:], mode='clip')
  np.cumsum(reached[1:], out=reached[1:])
  words = (
    packed[ranked.positive_session],
    reached[order.below],
    reached[order.not_above],
    reached[-1:],
  )
  # Products of two sums would overflow their bits, so from here on every
  # replicate is unpacked.
  aucs = np.full(len(times), np.nan)
  for b, shift in enumerate(shifts[:, 0]):
    positive, below, not_above, negatives = (
      word >> shift & (1 << bits) - 1 for word in words
    )
    pairs = 2.0 * float(positive.sum()) * float(negatives[0])
    if pairs:
      aucs[b] = float(positive @ (below + not_above)) / pairs
  return aucs
