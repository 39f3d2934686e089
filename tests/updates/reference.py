"""The losses in plain float64 numpy, along sessions as Python lists.

Nothing here knows lanes, slots, masks or JAX: rows are numbered from 0, a
session is the list of its rows' numbers, and a longer one than a lane falls
into pieces. Gradients are by hand, with respect to what the networks put out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np


class Piece(NamedTuple):
  """Rows of one session that stand together.

  Attributes:
    rows: their numbers, in order.
    ends: whether the session ends with them; if not, it was cut there.
  """

  rows: list[int]
  ends: bool


def pieces(lengths: Sequence[int], longest: int) -> list[Piece]:
  """Sessions of these lengths, none of its pieces longer than `longest`."""
  result, row = [], 0
  for length in lengths:
    left = list(range(row, row + length))
    row += length
    while left:
      taken, left = left[:longest], left[longest:]
      result.append(Piece(taken, not left))
  return result


def weighted_loss(logits: Any, labels: Any, weights: Any) -> Any:
  """Mean over rows of (1/K) sum_k omega_k BCE_k, and what it is made of.

  Args:
    logits: [R, K].
    labels: [R, K].
    weights: omega, [R, K], constants.

  Returns:
    (the loss, row losses without weights [R, K], d loss / d logits [R, K]).
  """
  logits, labels = np.float64(logits), np.float64(labels)
  row_losses, gradient = np.zeros_like(logits), np.zeros_like(logits)
  rows, tasks = logits.shape
  total = 0.0
  for n in range(rows):
    for k in range(tasks):
      p = 1 / (1 + math.exp(-logits[n, k]))
      y, omega = labels[n, k], float(weights[n][k])
      row_losses[n, k] = -(y * math.log(p) + (1 - y) * math.log(1 - p))
      total += omega * row_losses[n, k] / tasks
      gradient[n, k] = omega * (p - y) / (rows * tasks)
  return total / rows, row_losses, gradient


def log_likelihood(action: float, label: float) -> float:
  """The reward y log a + (1 - y) log(1 - a), a clipped."""
  a = min(max(action, 1e-4), 1 - 1e-4)
  return label * math.log(a) + (1 - label) * math.log(1 - a)


class CriticLoss(NamedTuple):
  """What the TD loss of some sessions is.

  Attributes:
    loss: mean over rows that have a target, and over tasks.
    rows: how many rows have a target.
    targets: [R, K], NaN where a row has none.
    gradient: d loss / d q, [R, K].
  """

  loss: float
  rows: int
  targets: np.ndarray
  gradient: np.ndarray


def critic_loss(
  parts: Sequence[Piece],
  q: Any,
  values: Sequence[Any],
  actions: Any,
  labels: Any,
  discount: float,
) -> CriticLoss:
  """The mean squared TD error, one row after the other.

  Args:
    parts: all sessions.
    q: Q(s, a) of the online critics, [R, K].
    values: estimates of Q(s, pi'(s)), each [R, K]; the target takes the least.
    actions: a, [R, K].
    labels: [R, K].
    discount: gamma.
  """
  q = np.float64(q)
  targets, gradient = np.full_like(q, np.nan), np.zeros_like(q)
  tasks = q.shape[1]
  for part in parts:
    for i, n in enumerate(part.rows):
      last = i == len(part.rows) - 1
      if last and not part.ends:
        continue  # cut: what comes next is not known here
      for k in range(tasks):
        targets[n, k] = log_likelihood(
          float(actions[n][k]), float(labels[n][k])
        )
        if not last:
          following = min(float(v[part.rows[i + 1]][k]) for v in values)
          targets[n, k] += discount * following
  known = ~np.isnan(targets[:, 0])
  rows = int(known.sum())
  errors = q[known] - targets[known]
  gradient[known] = 2 * errors / (rows * tasks)
  return CriticLoss(float((errors**2).mean()), rows, targets, gradient)


def adam(
  params: Any, gradients: Sequence[Any], rate: float, l2: float
) -> np.ndarray:
  """Adam as torch has it (`weight_decay` added to the gradient).

  Args:
    params: before the first step.
    gradients: one per step, shaped like the parameters.
    rate: learning rate.
    l2: weight decay.

  Returns:
    The parameters after the last step.
  """
  p = np.float64(params)
  m, v = np.zeros_like(p), np.zeros_like(p)
  for t, gradient in enumerate(gradients, start=1):
    g = gradient + l2 * p
    m = 0.9 * m + 0.1 * g
    v = 0.999 * v + 0.001 * g * g
    mean, square = m / (1 - 0.9**t), v / (1 - 0.999**t)
    p = p - rate * mean / (np.sqrt(square) + 1e-8)
  return p
