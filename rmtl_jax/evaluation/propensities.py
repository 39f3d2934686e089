"""Metrics over all rows, from those in which a label is seen.

A conversion given a click is seen on clicked rows alone, a rating where one was
given, and these are no random sample. Each of them counts with the inverse of
the probability that its label is seen: the mean over them then estimates that
over all rows (inverse propensity scores, self-normalised: Swaminathan and
Joachims, NeurIPS 2015).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from rmtl_jax import types

# A predicted propensity is at least this: one small one would outweigh all.
LEAST_PREDICTED = 0.05
# Rates are quotients by at least this.
_TINY = 1e-15


class Seen(NamedTuple):
  """How likely labels are seen.

  Attributes:
    propensity: of every label, as logged, f32[R, K], 0 of tasks without; None:
      the log has none.
    parents: for each task, the place of its parent: its label is seen where the
      parent's is positive; None without a parent.
    predicted: whether tasks with a parent and without a logged propensity take
      what the model predicts for the parent.
  """

  propensity: np.ndarray | None
  parents: Sequence[int | None]
  predicted: bool = False


def logged(
  propensity: np.ndarray | None, parents: Sequence[int | None]
) -> Seen | None:
  """What the log says alone, the same for every model; None: nothing."""
  return None if propensity is None else Seen(propensity, parents)


class Weighted(NamedTuple):
  """The P tasks with propensities, each over the rows where it is seen.

  Attributes:
    places: of the tasks.
    rates: what is predicted of them given that they are seen, f64[R, P].
    weights: inverse propensities, times the rows' own weights, f64[R, P]; 0
      where a label is not seen.
  """

  places: list[int]
  rates: np.ndarray
  weights: np.ndarray

  def effective_rows(self) -> np.ndarray:
    """Rows of equal weight that would tell as much (Kish), f64[P]."""
    squares = np.sum(self.weights**2, axis=0)
    total = np.sum(self.weights, axis=0)
    return total**2 / np.where(squares > 0.0, squares, 1.0)


def weighted(
  predictions: np.ndarray,
  labels: np.ndarray,
  is_binary: Sequence[bool],
  seen: Seen,
  weights: np.ndarray | None = None,
) -> Weighted:
  """Rates and weights of the tasks with propensities.

  Examples:
    >>> labels = np.array([[1, 1], [1, 0], [0, 0]])
    >>> predictions = np.array([[0.5, 0.25], [0.2, 0.1], [0.5, 0.1]])
    >>> seen = Seen(None, (None, 0), predicted=True)
    >>> found = weighted(predictions, labels, (True, True), seen)
    >>> found.rates.T.tolist(), found.weights.T.tolist()
    ([[0.5, 0.5, 0.2]], [[2.0, 5.0, 0.0]])

  Args:
    predictions: of all rows, on the labels' scale, [R, K].
    labels: [R, K]; 0 where they are not seen.
    weights: [R, K], how much a row counts, 0 where a label is not observed;
      None: every row counts 1.
  """
  types.check_ranks((2, 2), labels, predictions)
  types.check_same_shape(labels, predictions)
  places: list[int] = []
  rates, found = [], []
  for k in range(len(seen.parents)):
    one = of_task(k, predictions, labels, is_binary[k], seen, weights)
    if one is not None:
      places.append(k)
      rates.append(one[0])
      found.append(one[1])
  shape = len(places), len(labels)
  return Weighted(
    places, np.reshape(rates, shape).T, np.reshape(found, shape).T
  )


def of_task(
  k: int,
  predictions: np.ndarray,
  labels: np.ndarray,
  is_binary: bool,
  seen: Seen,
  weights: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray] | None:
  """Rates and weights of one task, f64[R] each, as `weighted` has them.

  Returns:
    None for a task without propensities.
  """
  propensity = _propensity(k, predictions, seen)
  if propensity is None:
    return None
  parent = seen.parents[k]
  rate = predictions[:, k].astype(np.float64)
  own = np.ones(len(labels)) if weights is None else weights[:, k]
  if parent is not None:
    rate = rate / np.maximum(predictions[:, parent], _TINY)
    own = own * (labels[:, parent] == 1)
  return np.minimum(rate, 1.0) if is_binary else rate, own / propensity


def _propensity(
  k: int, predictions: np.ndarray, seen: Seen
) -> np.ndarray | None:
  """The probability that a task's label is seen, f64[R], if that is known."""
  if seen.propensity is not None and seen.propensity[:, k].any():
    return seen.propensity[:, k].astype(np.float64)
  parent = seen.parents[k]
  if not seen.predicted or parent is None:
    return None
  return np.maximum(predictions[:, parent].astype(np.float64), LEAST_PREDICTED)
