"""Statistics of a critic: its Q-values against realised returns."""

from __future__ import annotations

import numpy as np

from rmtl_jax import types

# A critic has collapsed (method.md, section 2) where the deviation of Q is
# below this times that of the realised returns: its weights are then constants,
# and RMTL is the baseline.
COLLAPSED_DEVIATION = 1e-3
# It has diverged where its root mean squared error as a prediction of the
# realised returns is this many times the error of predicting 0.
DIVERGED_ERROR = 10.0


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
  q_values: np.ndarray, returns: np.ndarray
) -> dict[str, float | bool | None]:
  """Compares Q(s_t, pi(s_t)) of one task with the realised returns.

  Args:
    q_values: [R].
    returns: f64[R], see `discounted_returns`.

  Returns:
    `mean_q`, `std_q`, `mean_return`, `r2` (of Q as a prediction of the return;
    0 is as good as its mean, negative worse; None where returns are constant),
    `collapsed`, `diverged`.
  """
  q = q_values.astype(np.float64)
  std_q = float(q.std())
  error = float(np.sum((returns - q) ** 2))
  total = float(np.sum((returns - returns.mean()) ** 2))
  # Values are compared, because rounding can make a constant's deviation
  # positive.
  is_constant = bool(np.all(returns == returns[0]))
  return {
    'mean_q': float(q.mean()),
    'std_q': std_q,
    'mean_return': float(returns.mean()),
    'r2': None if is_constant else 1.0 - error / total,
    'collapsed': std_q < COLLAPSED_DEVIATION * float(returns.std()),
    'diverged': error > DIVERGED_ERROR**2 * float(np.sum(returns**2)),
  }
