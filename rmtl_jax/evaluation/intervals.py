"""Session-bootstrap intervals of metrics and of differences of two models.

The bootstrap is that of `bootstrap`.

Intervals are percentiles at the levels of Student's t (Hesterberg, "What
Teachers Should Know About the Bootstrap", 2015): the bootstrap's variance is
too small by (n - 1) / n and its tails are too thin where n, the number of
sessions with the rarer label, is small.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from rmtl_jax import types
from rmtl_jax.evaluation import labelled, metrics

# Coverage of all intervals.
CONFIDENCE = 0.95


def rarer_sessions(rows: labelled.Labelled) -> np.ndarray:
  """Counts the sessions with the rarer label of binary tasks, i64[K].

  The rarer label is the one in fewer sessions; rows of weight 0 are left
  out.
  """
  is_positive = rows.labels > 0.5
  return np.minimum(_holding(is_positive, rows), _holding(~is_positive, rows))


def observed_sessions(rows: labelled.Labelled) -> np.ndarray:
  """Counts the sessions in which a task is observed, i64[K]."""
  return _holding(np.ones(rows.labels.shape, bool), rows)


def _holding(is_one: np.ndarray, rows: labelled.Labelled) -> np.ndarray:
  """Counts the sessions with one of the rows, bool[R, K], that count."""
  types.check_ranks((2, 1), is_one, rows.session)
  codes, sessions = metrics.group_codes(rows.session)
  if rows.weights is not None:
    is_one = is_one & (rows.weights > 0.0)
  counts = [np.bincount(codes[of], minlength=sessions) for of in is_one.T]
  return np.array([np.count_nonzero(of) for of in counts], np.int64)


def clusters(
  metric: str, sessions: int | None, rarer: int | None
) -> int | None:
  """The number of sessions n in the correction of a metric's interval.

  Args:
    metric: one of `bootstrap.METRICS` or `bootstrap.ERRORS`.
    sessions: those in which the task is observed, None if unknown.
    rarer: those with the rarer label, None where the task is not binary.

  Returns:
    `sessions` without `rarer`; else that, but at least 2 for metrics that one
    class defines, where there are as many.
  """
  if rarer is None:
    return sessions
  if metric == 'auc':
    return rarer
  return max(rarer, 2 if sessions is None else min(sessions, 2))


def percentile_interval(
  values: np.ndarray, sessions: int | None = None
) -> np.ndarray:
  """Computes the central interval, at the levels of Student's t.

  Undefined replicates are left out. If they are more than half of all, an
  interval of the rest would mislead and is NaN.

  Args:
    values: f64[B], NaN where undefined.
    sessions: n, see `clusters`. The quantiles are those of the normal at
      sqrt(n / (n - 1)) t, with n - 1 degrees of freedom. None: no correction.

  Returns:
    f64[2], low and high; NaN below two sessions.
  """
  tail = _tail(sessions)
  defined = values[~np.isnan(values)]
  if tail is None or not len(defined) or 2 * len(defined) < len(values):
    return np.full(2, np.nan)
  # Weibull's quantiles take order statistic p (B + 1): between neighbours lies
  # a share 1 / (B + 1) of a new draw. The default, p (B - 1), would make
  # intervals of few replicates too short.
  return np.quantile(defined, [tail, 1.0 - tail], method='weibull')


def as_json(bounds: np.ndarray) -> list[float] | None:
  """[low, high]; None where undefined."""
  return bounds.tolist() if np.isfinite(bounds).all() else None


def _tail(sessions: int | None) -> float | None:
  """The share of replicates outside, at each end; None below two sessions."""
  tail = (1.0 - CONFIDENCE) / 2.0
  if sessions is None:
    return tail
  if sessions < 2:
    return None
  from scipy import special

  # Wider than normal by the t quantile and by the bootstrap's lost (n - 1) / n.
  widened = math.sqrt(sessions / (sessions - 1))
  return float(special.ndtr(widened * special.stdtrit(sessions - 1, tail)))


def session_intervals(
  replicates: Mapping[str, np.ndarray], rows: labelled.Labelled
) -> dict[str, np.ndarray]:
  """Intervals of each task's metrics, or of differences of two models.

  Args:
    replicates: from `bootstrap.replicates`, or differences of two, f64[B, K].

  Returns:
    Of each metric f64[K, 2], low and high; NaN where fewer than two sessions
    are observed (of AUC: with the rarer label), too few to estimate how
    sessions vary.
  """
  sessions, rarer = observed_sessions(rows), rarer_sessions(rows)

  def interval(name: str, values: np.ndarray, k: int) -> np.ndarray:
    least = int(rarer[k]) if rows.is_binary[k] else None
    count = clusters(name, int(sessions[k]), least)
    return percentile_interval(values[:, k], count)

  return {
    name: np.stack([interval(name, v, k) for k in range(len(rows.tasks))])
    for name, v in replicates.items()
  }
