"""Session-bootstrap intervals of a metric, and of a difference of two models.

Rows of one session depend on each other, so sessions are what is resampled:
a replicate draws as many sessions as there are, with replacement (the
multinomial bootstrap), and every row counts as often as its session was
drawn. All tasks, metrics and prediction sets of one call see the same draws,
which is what makes the intervals of a difference paired. The scores are
sorted once; a replicate only re-weighs that order, exactly, ties included.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from rmtl_jax import types
from rmtl_jax.evaluation import metrics, ranking

METRICS = ('auc', 'logloss', 'session_logloss')


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
) -> dict[str, np.ndarray]:
  """Metrics of resampled sessions.

  Args:
    predictions: M prediction sets [R, K] of the same rows; finite.
    labels: [R, K], 0 or 1.
    session: i64[R], the row's session, in any order.
    count: B, number of replicates.
    seed: of the draws.

  Returns:
    `auc`, `logloss` and `session_logloss` to f64[B, M, K]; NaN where a
    replicate doesn't define the metric (one class only, no rows).
  """
  for scores in predictions:
    types.check_ranks((2, 2, 1), scores, labels, session)
    types.check_same_shape(scores, labels)
  codes, sessions = metrics.group_codes(session)
  tasks = labels.shape[1]
  shape = (count, len(predictions), tasks)
  values = {name: np.full(shape, np.nan) for name in METRICS}
  if not sessions:
    return values
  sizes = np.bincount(codes).astype(np.float64)
  sums = np.empty((sessions, len(predictions), tasks))
  ranked = []
  for m, scores in enumerate(predictions):
    for k in range(tasks):
      losses = metrics.row_logloss(labels[:, k], scores[:, k])
      sums[:, m, k] = np.bincount(codes, losses)
      ranked.append(_rank_sessions(labels[:, k], scores[:, k], codes))
  generator = np.random.default_rng(seed)
  for b in range(count):
    draws = generator.integers(sessions, size=sessions)
    times = np.bincount(draws, minlength=sessions)
    values['auc'][b] = np.reshape(
      [_resampled_auc(r, times) for r in ranked], shape[1:]
    )
    times = times.astype(np.float64)
    values['logloss'][b] = np.tensordot(times, sums, 1) / (times @ sizes)
    values['session_logloss'][b] = (
      np.tensordot(times / sizes, sums, 1) / sessions
    )
  return values


def _rank_sessions(
  labels: np.ndarray, scores: np.ndarray, codes: np.ndarray
) -> _RankedSessions:
  order = ranking.rank(labels, scores)
  return _RankedSessions(order, codes[order.positive], codes[order.negative])


def _resampled_auc(ranked: _RankedSessions, times: np.ndarray) -> float:
  """AUC where a row counts as often as its session was drawn, i64[S]."""
  return ranking.weighted_auc(
    ranked.order,
    times[ranked.positive_session],
    times[ranked.negative_session],
  )


def percentile_interval(values: np.ndarray, confidence: float) -> np.ndarray:
  """The central interval that holds `confidence` of the replicates.

  Replicates that don't define the metric are left out; where that is more
  than half of them, an interval of the rest would mislead and is NaN.

  Args:
    values: f64[B, ...], NaN where undefined.
    confidence: in (0, 1).

  Returns:
    f64[..., 2], low and high.
  """
  flat = values.reshape(len(values), math.prod(values.shape[1:]))
  interval = np.full((flat.shape[1], 2), np.nan)
  tail = (1.0 - confidence) / 2.0
  for i, column in enumerate(flat.T):
    defined = column[~np.isnan(column)]
    if len(defined) and 2 * len(defined) >= len(column):
      interval[i] = np.quantile(defined, [tail, 1.0 - tail])
  return interval.reshape(*values.shape[1:], 2)


def session_intervals(
  predictions: np.ndarray,
  labels: np.ndarray,
  session: np.ndarray,
  count: int,
  confidence: float,
  seed: int,
) -> dict[str, np.ndarray]:
  """Percentile intervals of each bootstrapped metric.

  Args:
    predictions: [R, K], finite.
    labels: [R, K], 0 or 1.
    session: i64[R].
    count: number of replicates; 0 gives NaN.
    confidence: coverage, in (0, 1).
    seed: of the draws.

  Returns:
    `auc`, `logloss` and `session_logloss` to f64[K, 2], low and high; NaN
    where undefined, or with fewer than two sessions, which can't tell how
    sessions vary.
  """
  values = _checked_replicates([predictions], labels, session, count, seed)
  return {
    n: percentile_interval(v[:, 0], confidence) for n, v in values.items()
  }


def difference_intervals(
  first: np.ndarray,
  second: np.ndarray,
  labels: np.ndarray,
  session: np.ndarray,
  count: int,
  confidence: float,
  seed: int,
) -> dict[str, np.ndarray]:
  """Percentile intervals of metric(first) - metric(second), paired.

  Args:
    first: [R, K], finite.
    second: [R, K], another model's predictions of the same rows; finite.
    labels: [R, K], 0 or 1.
    session: i64[R].
    count: number of replicates; 0 gives NaN.
    confidence: coverage, in (0, 1).
    seed: of the draws.

  Returns:
    As `session_intervals`.
  """
  values = _checked_replicates([first, second], labels, session, count, seed)
  return {
    n: percentile_interval(v[:, 0] - v[:, 1], confidence)
    for n, v in values.items()
  }


def _checked_replicates(
  predictions: Sequence[np.ndarray],
  labels: np.ndarray,
  session: np.ndarray,
  count: int,
  seed: int,
) -> dict[str, np.ndarray]:
  """`replicates`, or none at all where one session is all there is."""
  if len(session) and np.all(session == session[0]):
    count = 0
  return replicates(predictions, labels, session, count, seed)
