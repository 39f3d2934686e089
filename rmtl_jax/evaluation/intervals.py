"""Session-bootstrap intervals of metrics and of differences of two models.

Rows of one session depend on each other, so the bootstrap resamples sessions: a
replicate draws S of the S sessions with replacement (the multinomial bootstrap)
and counts every row as often as its session was drawn. All tasks, metrics and
prediction sets of one call share the draws, so that intervals of a difference
are paired.

The scores are sorted once and a replicate re-weighs that order, exactly, ties
included. Its sums are integers, and several replicates share the bits of one
64-bit word, so that one pass over the rows adds up all of them. Integer sums
also do not depend on the number of threads.

Intervals are percentiles at the levels of Student's t (Hesterberg, "What
Teachers Should Know About the Bootstrap", 2015): the bootstrap's variance is
too small by (n - 1) / n and its tails are too thin where n, the number of
sessions with the rarer label, is small.
tests/evaluation/test_coverage.py has the coverage by simulation.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from rmtl_jax import types
from rmtl_jax.evaluation import groups, metrics, pairs, ranking

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


class Intervals(NamedTuple):
  """Intervals of all tasks.

  Attributes:
    bounds: each of METRICS to f64[K, 2], low and high, NaN where undefined.
    undefined_draws: i64[K], replicates with one label only, which have no AUC
      and are left out of its interval.
  """

  bounds: dict[str, np.ndarray]
  undefined_draws: np.ndarray


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
    seed: of the draws.
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
      ranked.append(_rank_sessions(labels[:, k], scores[:, k], codes))
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
  """As `replicates`, of tasks that are not binary.

  The draws of a seed are those of `replicates`.

  Args:
    predictions: M prediction sets [R, K] of the same rows; finite.
    labels: [R, K].
    session: i64[R], in any order.
    count: B.
    seed: of the draws.
    weights: [R, K] >= 0, or None.
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


def _rank_sessions(
  labels: np.ndarray, scores: np.ndarray, codes: np.ndarray
) -> _RankedSessions:
  order = ranking.rank(labels, scores)
  return _RankedSessions(order, codes[order.positive], codes[order.negative])


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


def rarer_sessions(
  labels: np.ndarray,
  session: np.ndarray,
  weights: np.ndarray | None = None,
) -> np.ndarray:
  """Counts the sessions with the rarer label, i64[K].

  The rarer label is the one that fewer sessions hold.

  Args:
    labels: [R, K], 0 or 1.
    session: i64[R], in any order.
    weights: [R, K] >= 0, or None; rows of weight 0 are left out.
  """
  types.check_ranks((2, 1), labels, session)
  codes, sessions = groups.group_codes(session)
  counted = np.ones(labels.shape, bool) if weights is None else weights > 0.0
  found = []
  for column, counts in zip(labels.T, counted.T, strict=True):
    is_positive = column > 0.5
    held = [
      np.count_nonzero(np.bincount(codes[rows & counts], minlength=sessions))
      for rows in (is_positive, ~is_positive)
    ]
    found.append(min(held))
  return np.array(found, np.int64)


def clusters(metric: str, rarer: int | None) -> int | None:
  """The number of sessions n in the correction of a metric's interval.

  Args:
    metric: one of METRICS.
    rarer: sessions with the rarer label, None if unknown.

  Returns:
    `rarer`, but at least 2 for metrics that one class defines.
  """
  return rarer if rarer is None or metric == 'auc' else max(rarer, 2)


def percentile_interval(
  values: np.ndarray, confidence: float, sessions: int | None = None
) -> np.ndarray:
  """Computes the central interval, at the levels of Student's t.

  Undefined replicates are left out. If they are more than half of all, an
  interval of the rest would mislead and is NaN.

  Args:
    values: f64[B, ...], NaN where undefined.
    confidence: in (0, 1).
    sessions: n, see `clusters`. The quantiles are those of the normal at
      sqrt(n / (n - 1)) t, with n - 1 degrees of freedom. None: no correction.

  Returns:
    f64[..., 2], low and high; NaN below two sessions.
  """
  flat = values.reshape(len(values), math.prod(values.shape[1:]))
  interval = np.full((flat.shape[1], 2), np.nan)
  tail = _tail(confidence, sessions)
  for i, column in enumerate(flat.T):
    defined = column[~np.isnan(column)]
    if tail is not None and len(defined) and 2 * len(defined) >= len(column):
      # Weibull's quantiles take order statistic p (B + 1): between neighbours
      # lies a share 1 / (B + 1) of a new draw. The default, p (B - 1), would
      # make intervals of few replicates too short.
      interval[i] = np.quantile(defined, [tail, 1.0 - tail], method='weibull')
  return interval.reshape(*values.shape[1:], 2)


def _tail(confidence: float, sessions: int | None) -> float | None:
  """The share of replicates outside, at each end; None below two sessions."""
  tail = (1.0 - confidence) / 2.0
  if sessions is None:
    return tail
  if sessions < 2:
    return None
  from scipy import special

  # Wider than normal by the t quantile and by the bootstrap's lost (n - 1) / n.
  widened = math.sqrt(sessions / (sessions - 1))
  return float(special.ndtr(widened * special.stdtrit(sessions - 1, tail)))


def session_intervals(
  predictions: np.ndarray,
  labels: np.ndarray,
  session: np.ndarray,
  count: int,
  confidence: float,
  seed: int,
  weights: np.ndarray | None = None,
) -> Intervals:
  """Computes the interval of each metric in METRICS.

  Args:
    predictions: [R, K], finite.
    labels: [R, K], 0 or 1.
    session: i64[R].
    count: number of replicates; 0 gives NaN.
    confidence: coverage, in (0, 1).
    seed: of the draws.
    weights: [R, K] >= 0, or None.

  Returns:
    The intervals; NaN with fewer than two sessions (of AUC: with the rarer
    label), which can't tell how sessions vary.
  """
  values = _checked_replicates(
    [predictions], labels, session, count, seed, weights
  )
  single = {name: v[:, 0] for name, v in values.items()}
  return _intervals(single, labels, session, confidence, weights)


def difference_intervals(
  first: np.ndarray,
  second: np.ndarray,
  labels: np.ndarray,
  session: np.ndarray,
  count: int,
  confidence: float,
  seed: int,
  weights: np.ndarray | None = None,
) -> Intervals:
  """Computes paired intervals of metric(first) - metric(second).

  Args:
    first: [R, K], finite.
    second: [R, K], another model's predictions of the same rows; finite.
    labels: [R, K], 0 or 1.
    session: i64[R].
    count: number of replicates; 0 gives NaN.
    confidence: coverage, in (0, 1).
    seed: of the draws.
    weights: [R, K] >= 0, or None.

  Returns:
    As `session_intervals`.
  """
  values = _checked_replicates(
    [first, second], labels, session, count, seed, weights
  )
  differences = {name: v[:, 0] - v[:, 1] for name, v in values.items()}
  return _intervals(differences, labels, session, confidence, weights)


def error_intervals(
  predictions: Sequence[np.ndarray],
  labels: np.ndarray,
  session: np.ndarray,
  count: int,
  confidence: float,
  seed: int,
  weights: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
  """Intervals of ERRORS, or paired ones of the first minus the second's.

  Args:
    predictions: one prediction set [R, K], or two.
    labels: [R, K], of tasks that are not binary.
    session: i64[R].
    count: number of replicates; 0 gives NaN.
    confidence: coverage, in (0, 1).
    seed: of the draws.
    weights: [R, K] >= 0, or None.

  Returns:
    What `error_replicates` has to f64[K, 2]; NaN with fewer than two sessions.
  """
  sessions = groups.group_codes(session)[1]
  values = error_replicates(predictions, labels, session, count, seed, weights)
  return {
    name: percentile_interval(
      v[:, 0] - v[:, 1] if len(predictions) == 2 else v[:, 0],
      confidence,
      sessions,
    )
    for name, v in values.items()
  }


def _checked_replicates(
  predictions: Sequence[np.ndarray],
  labels: np.ndarray,
  session: np.ndarray,
  count: int,
  seed: int,
  weights: np.ndarray | None,
) -> dict[str, np.ndarray]:
  """`replicates`; none of a single session, which every draw repeats."""
  if len(session) and np.all(session == session[0]):
    count = 0
  return replicates(predictions, labels, session, count, seed, weights)


def _intervals(
  values: dict[str, np.ndarray],
  labels: np.ndarray,
  session: np.ndarray,
  confidence: float,
  weights: np.ndarray | None,
) -> Intervals:
  """Intervals from replicates f64[B, K] of each metric."""
  rarer = rarer_sessions(labels, session, weights)
  bounds = {
    name: np.stack(
      [
        percentile_interval(v[:, k], confidence, clusters(name, int(n)))
        for k, n in enumerate(rarer)
      ]
    )
    for name, v in values.items()
  }
  return Intervals(bounds, np.isnan(values['auc']).sum(0))
