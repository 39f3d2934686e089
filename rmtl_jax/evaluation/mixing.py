"""Weights of an ensemble's members, from rows that none was trained on.

Stacking (Wolpert, 1992) with weights of at least 0 that sum to 1, which keeps
members that are much alike from cancelling each other (Breiman, 1996).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import special

from rmtl_jax.evaluation import metrics

# Penalty on the squared distance to equal weights, in units of summed logloss:
# once, so that few rows hardly change the weights, and again for every so
# many rows, since members chose their epoch by the rows that weigh them. Both
# count as often as rows of one session repeat each other (`design_effect`).
_PRIOR, _ROWS = 1.0, 1000
# A probability's distance to 0 and 1, ahead of its logit.
_LEAST = 1e-7


def fit_weights(
  probabilities: np.ndarray,
  labels: np.ndarray,
  is_binary: Sequence[bool] = (),
  sample_weight: np.ndarray | None = None,
  session: np.ndarray | None = None,
) -> np.ndarray:
  """The weights of the members' logits with the lowest logloss, by task.

  They minimise the summed logloss plus D `prior_cost(W)` |w - 1 / M|^2, where W
  is the sum of the task's weights of rows and D the `design_effect` of their
  sessions on what members' losses differ by.

  Args:
    probabilities: f32[M, R, K].
    labels: f32[R, K], of binary tasks 0 or 1.
    is_binary: of each task; () if all are.
    sample_weight: f32[R, K] >= 0, or None.
    session: i64[R], the row's session, in any order; None: each row is one.

  Returns:
    f32[M, K], of sum 1 over the members; equal where a task is not binary, or
    has one class only.
  """
  count, _, tasks = probabilities.shape
  weights = np.full((count, tasks), 1 / count)
  bounded = np.clip(probabilities, _LEAST, 1 - _LEAST, dtype=np.float64)
  logits = special.logit(bounded)
  codes = None if session is None else metrics.group_codes(session)[0]
  for k in range(tasks):
    if is_binary and not is_binary[k]:
      continue
    y = labels[:, k]
    own = np.ones_like(y) if sample_weight is None else sample_weight[:, k]
    if np.any(own[y > 0] > 0) and np.any(own[y == 0] > 0):
      weights[:, k] = _of_task(logits[:, :, k].T, y, own, codes)
  return weights.astype(np.float32)


def prior_cost(total: float) -> float:
  """Of the squared distance to equal weights, for rows of this total weight."""
  return _PRIOR * (1 + total / _ROWS)


def design_effect(values: np.ndarray, session: np.ndarray) -> float:
  """By how much sessions raise the variance of a sum over rows (Kish, 1965).

  The variance of the sum if sessions are drawn, by that if rows are.

  Args:
    values: f64[R, M], of mean 0 over the rows; variances are added over M.
    session: i64[R], from 0.

  Returns:
    1 if rows of one session are independent, their number in a session if they
    are equal; at least 1.
  """
  by_row = np.sum(values**2)
  if not by_row:
    return 1.0
  by_session = sum(
    np.sum(np.bincount(session, column) ** 2) for column in values.T
  )
  return max(1.0, float(by_session / by_row))


def _of_task(
  logits: np.ndarray,
  labels: np.ndarray,
  rows: np.ndarray,
  session: np.ndarray | None,
) -> np.ndarray:
  """One task's weights, f64[M], of logits f64[R, M] and weights of rows."""
  # Only ensembles need it: 20 MiB.
  from scipy import optimize

  count, total = logits.shape[1], np.sum(rows, dtype=np.float64)
  prior = prior_cost(total)
  if session is not None:
    losses = np.logaddexp(0.0, logits) - labels[:, None] * logits
    differences = losses - np.mean(losses, axis=1, keepdims=True)
    differences -= rows @ differences / total
    prior *= design_effect(rows[:, None] * differences, session)

  def logloss(weights):
    z, away = logits @ weights, weights - 1 / count
    losses = rows * (np.logaddexp(0.0, z) - labels * z)
    value = np.sum(losses) + prior * away @ away
    slopes = rows * (special.expit(z) - labels)
    gradient = logits.T @ slopes + 2 * prior * away
    return value / total, gradient / total

  found = optimize.minimize(
    logloss,
    np.full(count, 1 / count),
    jac=True,
    method='SLSQP',
    bounds=[(0.0, 1.0)] * count,
    constraints={
      'type': 'eq',
      'fun': lambda weights: np.sum(weights) - 1.0,
      'jac': lambda weights: np.ones(count),
    },
    options={'ftol': 1e-10, 'maxiter': 200},
  )
  weights = np.clip(found.x, 0.0, None)
  return weights / np.sum(weights)
