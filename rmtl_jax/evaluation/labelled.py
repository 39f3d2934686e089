"""Rows with labels, which predictions are compared with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from rmtl_jax import types
from rmtl_jax.config import kinds
from rmtl_jax.data import columns as columns_lib


class Lists(NamedTuple):
  """Predictions of lists, each at one moment.

  Attributes:
    rows: i64[L], places of the rows in lists, among the R.
    number: i64[L], the row's list.
    predictions: of them, each with the past at its list's start, [L, K].
  """

  rows: np.ndarray
  number: np.ndarray
  predictions: np.ndarray

  def map(self, function: Callable[[np.ndarray], np.ndarray]) -> Lists:
    """With other predictions, of the same rows."""
    return self._replace(predictions=function(self.predictions))


class Predicted(NamedTuple):
  """Predictions of R rows, on the labels' scale.

  Attributes:
    rows: of every row when it came, [R, K]; of binary tasks probabilities.
    lists: of rows in their lists; None: no metric of order.
  """

  rows: np.ndarray
  lists: Lists | None = None

  def map(self, function: Callable[[np.ndarray], np.ndarray]) -> Predicted:
    """With a function of predictions, [..., K] -> [..., K], applied to all."""
    lists = None if self.lists is None else self.lists.map(function)
    return Predicted(function(self.rows), lists)


class Labelled(NamedTuple):
  """Rows that predictions are compared with.

  Attributes:
    labels: [R, K], of binary tasks 0 or 1.
    session: i64[R], the row's session.
    tasks: K names.
    losses: K of them; () if all tasks are binary.
    weights: [R, K] >= 0, how much a row counts for a task, 0 where its label
      is not observed; None: every row counts 1.
  """

  labels: np.ndarray
  session: np.ndarray
  tasks: Sequence[str]
  losses: Sequence[types.TaskLoss] = ()
  weights: np.ndarray | None = None

  @classmethod
  def of(cls, split: columns_lib.Rows, tasks: Sequence[str]) -> Labelled:
    """The rows of a split."""
    return cls(
      split.labels,
      split.session,
      tasks,
      split.losses,
      columns_lib.metric_weight(split),
    )

  @property
  def kinds(self) -> tuple[str, ...]:
    """The kind of each task."""
    return tuple(one.kind for one in self.losses) or (
      (kinds.BINARY,) * len(self.tasks)
    )

  @property
  def is_binary(self) -> list[bool]:
    """Of each task."""
    return [kind == kinds.BINARY for kind in self.kinds]

  def take(self, rows: slice | np.ndarray) -> Labelled:
    """Some of the rows."""
    return self._replace(
      labels=self.labels[rows],
      session=self.session[rows],
      weights=None if self.weights is None else self.weights[rows],
    )

  def weight(self, k: int) -> np.ndarray | None:
    """How much the rows count for one task, [R]; None: 1."""
    return None if self.weights is None else self.weights[:, k]
