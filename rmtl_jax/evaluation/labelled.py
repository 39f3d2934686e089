"""Rows with labels, which predictions are compared with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from rmtl_jax import types
from rmtl_jax.config import kinds
from rmtl_jax.data import columns as columns_lib


class Labelled(NamedTuple):
  """Rows that predictions are compared with.

  Attributes:
    labels: [R, K], of binary tasks 0 or 1.
    session: i64[R], the row's session.
    tasks: K names.
    user: i64[R], the row's user, negative where unknown (such rows are left
      out of GAUC by user), or None where the data has no users.
    losses: K of them; () if all tasks are binary.
    weights: [R, K] >= 0, how much a row counts for a task, 0 where its label
      is not observed; None: every row counts 1.
  """

  labels: np.ndarray
  session: np.ndarray
  tasks: Sequence[str]
  user: np.ndarray | None = None
  losses: Sequence[types.TaskLoss] = ()
  weights: np.ndarray | None = None

  @classmethod
  def of(cls, split: columns_lib.Rows, tasks: Sequence[str]) -> Labelled:
    """The rows of a split, with the names of its K tasks."""
    return cls(
      split.labels,
      split.session,
      tasks,
      split.user,
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

  def take(self, rows: slice) -> Labelled:
    """Some of the rows."""
    user, weights = self.user, self.weights
    return self._replace(
      labels=self.labels[rows],
      session=self.session[rows],
      user=None if user is None else user[rows],
      weights=None if weights is None else weights[rows],
    )

  def weight(self, k: int) -> np.ndarray | None:
    """How much the rows count for one task, [R]; None: 1."""
    return None if self.weights is None else self.weights[:, k]
