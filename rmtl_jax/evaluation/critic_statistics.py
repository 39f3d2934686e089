"""Statistics of a critic: its Q-values against realised returns."""

from __future__ import annotations

import numpy as np

from rmtl_jax import types
from rmtl_jax.evaluation import labelled

# A critic has collapsed (method.md, section 2) where the deviation of Q is
# below COLLAPSED_DEVIATION times that of the realised returns, or where more
# than COLLAPSED_ZEROS of its values are exactly 0: its weights are then
# constants, and RMTL is the baseline.
COLLAPSED_DEVIATION = 1e-3
COLLAPSED_ZEROS = 0.99
# It has diverged where its root mean squared error as a prediction of the
# realised returns is this many times the error of predicting 0.
DIVERGED_ERROR = 10.0

CriticStatistics = dict[str, float | bool | None]


def discounted_returns(
  rewards: np.ndarray, session: np.ndarray, discount: float
) -> np.ndarray:
  """Computes G_t = r_t + discount * G_(t+1), 0 after a session's last row.

  Args:
    rewards: [R, K]; rows of one session are neighbours, in order.
    session: i64[R].
    discount: gamma in [0, 1].

  Returns:
    f64[R, K].
  """
  types.check_ranks((2, 1), rewards, session)
  remaining = rows_remaining(session)
  returns = rewards.astype(np.float64)
  # Doubling: after the pass with stride d a row has the discounted sum of its
  # own and the next 2d - 1 rewards, so log2(longest session) passes suffice.
  stride = 1
  while len(remaining) and stride <= remaining.max():
    # Indexing copies, so no row reads a sum that this pass has extended.
    rows = np.flatnonzero(remaining >= stride)
    returns[rows] += discount**stride * returns[rows + stride]
    stride *= 2
  return returns


def rows_remaining(session: np.ndarray) -> np.ndarray:
  """Counts the rows of the same session after each row, i64[R]."""
  types.check_ranks((1,), session)
  rows = len(session)
  ends = np.append(np.flatnonzero(session[1:] != session[:-1]), rows - 1)
  if not rows:
    return np.zeros(0, np.int64)
  lengths = np.diff(ends, prepend=-1)
  return np.repeat(ends, lengths) - np.arange(rows)


def describe(
  q_values: np.ndarray,
  rewards: np.ndarray,
  rows: labelled.Labelled,
  discount: float,
  losses: np.ndarray,
) -> dict[str, CriticStatistics]:
  """Compares Q(s_t, pi(s_t)) with the realised returns of whole sessions.

  Args:
    q_values: [R, K]; rows of one session are neighbours, in order.
    rewards: [R, K], <= 0, of the actions pi(s_t).
    rows: rows of weight 0 have no label and no loss.
    discount: gamma in [0, 1].
    losses: [R, K], the row's own loss.

  Returns:
    Per task: `mean_q`, `std_q`, `mean_return`, `r2` (of Q as a prediction of
    the return; 0 is as good as its mean, negative worse), `loss_correlation`
    (Pearson's, of -Q with the row's loss), `zero_share`, `collapsed`,
    `diverged`; None where undefined.

  Raises:
    ValueError: shapes that don't fit.
  """
  types.check_ranks((2, 2), q_values, rewards)
  types.check_same_shape(q_values, rewards, rows.labels, losses)
  returns = discounted_returns(rewards, rows.session, discount)
  results = {}
  for k, task in enumerate(rows.tasks):
    q, g = q_values[:, k].astype(np.float64), returns[:, k]
    weight = rows.weight(k)
    seen = np.ones(len(q), bool) if weight is None else weight > 0.0
    std_q = float(q.std())
    zero_share = float(np.mean(q == 0.0))
    results[task] = {
      'mean_q': float(q.mean()),
      'std_q': std_q,
      'mean_return': float(g.mean()),
      'r2': _r2(g, q),
      'loss_correlation': _correlation(-q[seen], losses[seen, k]),
      'zero_share': zero_share,
      'collapsed': std_q < COLLAPSED_DEVIATION * float(g.std())
      or zero_share > COLLAPSED_ZEROS,
      'diverged': _root_mean_square(q - g)
      > DIVERGED_ERROR * _root_mean_square(g),
    }
  return results


def _root_mean_square(values: np.ndarray) -> float:
  return float(np.sqrt(np.mean(np.square(values))))


def _r2(actual: np.ndarray, predicted: np.ndarray) -> float | None:
  """1 - residual / total sum of squares; None if the actual is constant."""
  if _is_constant(actual):
    return None
  total = float(np.sum((actual - actual.mean()) ** 2))
  return 1.0 - float(np.sum((actual - predicted) ** 2)) / total


def _correlation(a: np.ndarray, b: np.ndarray) -> float | None:
  """Pearson's correlation; None if one side is constant."""
  if _is_constant(a) or _is_constant(b):
    return None
  a, b = a - a.mean(dtype=np.float64), b - b.mean(dtype=np.float64)
  scale = float(np.sqrt(np.sum(a * a) * np.sum(b * b)))
  return float(np.clip(np.sum(a * b) / scale, -1.0, 1.0)) if scale else None


def _is_constant(values: np.ndarray) -> bool:
  """Compares values, not the deviation: rounding can make that positive."""
  return not len(values) or bool(np.all(values == values[0]))
