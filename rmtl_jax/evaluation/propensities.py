"""Metrics of a conversion rate over all rows, from the clicked ones.

A rate given a click is only seen on clicked rows, which are no random sample.
Each of them counts with the inverse of its probability of a click: the mean
over clicked rows then estimates that over all (inverse propensity scores,
self-normalised: Swaminathan and Joachims, NeurIPS 2015).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from rmtl_jax import types
from rmtl_jax.evaluation import metrics

# Probabilities are at least this far from 0 and 1 in a logarithm.
_CLIP = 1e-15


class Clicked(NamedTuple):
  """The clicked rows, and what they stand for.

  Attributes:
    labels: of conversions, f64[C].
    rates: predicted rates given a click, f64[C].
    weights: inverse propensities, f64[C].
  """

  labels: np.ndarray
  rates: np.ndarray
  weights: np.ndarray

  def logloss(self) -> float:
    """Weighted mean of cross-entropies, in nats; NaN without a click."""
    if not len(self.labels):
      return float('nan')
    p = np.clip(self.rates, _CLIP, 1 - _CLIP)
    errors = -np.where(self.labels == 1, np.log(p), np.log1p(-p))
    return float(np.average(errors, weights=self.weights))

  def auc(self) -> float:
    """Weighted AUC; NaN with one class only."""
    return metrics.auc(self.labels, self.rates, self.weights)


def clicked(
  labels: np.ndarray,
  predictions: np.ndarray,
  propensities: np.ndarray | None = None,
  least: float = 0.05,
) -> Clicked:
  """Clicked rows and their weights.

  Examples:
    >>> labels = np.array([[1, 1], [1, 0], [0, 0]])
    >>> predictions = np.array([[0.5, 0.25], [0.2, 0.1], [0.5, 0.1]])
    >>> found = clicked(labels, predictions)
    >>> found.rates.tolist(), found.weights.tolist()
    ([0.5, 0.5], [2.0, 5.0])

  Args:
    labels: of click and conversion, 0 or 1, [R, 2].
    predictions: probabilities of both, [R, 2].
    propensities: of a click, [R], as a log may hold them; None: as predicted.
    least: propensities are at least this.
  """
  types.check_ranks((2, 2), labels, predictions)
  types.check_same_shape(labels, predictions)
  rows = labels[:, 0] == 1
  click, conversion = predictions[rows].astype(np.float64).T
  rates = np.minimum(conversion / np.maximum(click, _CLIP), 1.0)
  known = click if propensities is None else propensities[rows]
  return Clicked(
    labels[rows, 1].astype(np.float64), rates, 1 / np.maximum(known, least)
  )
