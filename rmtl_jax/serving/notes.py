"""Remarks of one call: unseen values and warnings."""

from __future__ import annotations

import dataclasses

# Fewer values, or empty rows, raise no warning.
_MANY = 20


@dataclasses.dataclass
class FieldCounts:
  """Counts of a field's values in one call.

  Attributes:
    column: the raw column.
    rest: fraction of train values that are row 0.
    rows: rows of the call.
    values: non-missing values; all of a list count.
    unseen: values that the vocabulary lacks.
  """

  column: str
  rest: float
  rows: int = 0
  values: int = 0
  unseen: int = 0

  @property
  def share(self) -> float:
    """Fraction of unseen values; 0 without values."""
    return self.unseen / self.values if self.values else 0.0

  def add(self, rows: int, values: int, unseen: int) -> None:
    """Counts more rows."""
    self.rows += rows
    self.values += int(values)
    self.unseen += int(unseen)

  def warning(self) -> str:
    """A warning if the column may be another than in training, else ''."""
    where = f'column {self.column!r}'
    if not self.values:
      empty = f'{where} has no value in {self.rows:,} rows'
      return empty if self.rows >= _MANY else ''
    if self.unseen == self.values:
      return (
        f'not one of {self.values:,} values of {where} is in the'
        " run's vocabulary"
      )
    # Fewer than half as many are known as in training.
    if self.values >= _MANY and 1.0 - self.share < 0.5 * (1.0 - self.rest):
      return (
        f'{self.unseen:,} of {self.values:,} values of {where}'
        f" ({self.share:.0%}) are not in the run's vocabulary (in training"
        f' {self.rest:.0%} had no embedding of their own)'
      )
    return ''


class Notes:
  """Collects the remarks of one call.

  Attributes:
    lines: warnings about other things than values.
    fields: counts by the field's name.
  """

  def __init__(self):
    """Nothing is said yet."""
    self.lines: list[str] = []
    self.fields: dict[str, FieldCounts] = {}

  def unseen(self) -> dict[str, float]:
    """Each field's share of values that are not in its vocabulary."""
    return {name: counts.share for name, counts in self.fields.items()}

  def warnings(self) -> list[str]:
    """Lines for a person."""
    lines = {name: counts.warning() for name, counts in self.fields.items()}
    return [
      *self.lines,
      *(f'field {name!r}: {line}' for name, line in lines.items() if line),
    ]
