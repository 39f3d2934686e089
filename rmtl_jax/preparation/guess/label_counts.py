"""How often labels of 0 and 1 stand together, and what one says of another."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np

from rmtl_jax.preparation.guess import facts as facts_lib

# Chance of a funnel, were the two labels independent, from which on it is one.
_CHANCE = 1e-3
# Rows expected to have both of two independent labels, from which on it is no
# chance that none has.
UNLIKELY_NONE = -np.log(_CHANCE)


class LabelCounts(NamedTuple):
  """Counts over the rows in which both of two labels are given.

  Attributes:
    places: of the labels, by column.
    both: i64[n, n], rows in which both are 1.
    ones: i64[n, n], rows in which the first is 1.
    rows: i64[n, n].
  """

  places: dict[str, int]
  both: np.ndarray
  ones: np.ndarray
  rows: np.ndarray

  def implied(self, label: str, parent: str) -> float:
    """P(parent = 1 | label = 1)."""
    i, j = self.places[label], self.places[parent]
    return self.both[i, j] / max(self.ones[i, j], 1)

  def rate(self, label: str) -> float:
    """P(label = 1)."""
    i = self.places[label]
    return self.ones[i, i] / max(self.rows[i, i], 1)

  def is_after(self, label: str, parent: str) -> bool:
    """Whether a positive implies one of the parent, and not by chance."""
    i, j = self.places[label], self.places[parent]
    rate = self.rate(parent)
    return (
      i != j
      and self.implied(label, parent) == 1.0
      and self.rate(label) < rate
      and rate ** self.ones[i, j] < _CHANCE
    )

  def exclude(self, label: str, other: str) -> bool:
    """Whether no row has both, and not by chance."""
    i, j = self.places[label], self.places[other]
    by_chance = self.ones[i, j] * self.ones[j, i] / max(self.rows[i, j], 1)
    return self.both[i, j] == 0 and by_chance > UNLIKELY_NONE

  def same(self, labels: Collection[str]) -> dict[str, str]:
    """Why labels that are another one in all rows are no task beside it."""
    found: dict[str, str] = {}
    names = [name for name in labels if name in self.places]
    for i, name in enumerate(names):
      for other in names[:i]:
        a, b = self.places[name], self.places[other]
        both, ones = self.both[a, b], self.ones[[a, b], [b, a]]
        rows = {*self.rows[[a, a, b], [a, b, b]]}
        what = 'the same as' if {both} == {*ones} else ''
        if both == 0 and {ones.sum()} == rows:
          what = 'the contrary of'
        if what and other not in found and len(rows) == 1:
          found[name] = f'{what} {other} in every row'
    return found


def count(binary: Sequence[facts_lib.Facts]) -> LabelCounts:
  """Counts the rows of the columns of two values."""
  columns = [one.number for one in binary]
  if not columns:
    empty = np.zeros((0, 0), np.int64)
    return LabelCounts({}, empty, empty, empty)
  sample = binary[0].sample
  rows = sample.connection.execute(
    f'SELECT {", ".join(columns)} FROM {sample.table}'
  ).fetchnumpy()
  values = [np.ma.filled(column, np.nan) for column in rows.values()]
  table = np.stack(values, axis=1).astype(np.float64)
  given = (~np.isnan(table)).astype(np.float64)
  ones = (table == 1).astype(np.float64)
  return LabelCounts(
    {one.name: i for i, one in enumerate(binary)},
    ones.T @ ones,
    ones.T @ given,
    given.T @ given,
  )
