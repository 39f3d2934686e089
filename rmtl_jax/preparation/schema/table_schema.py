"""The columns of a user's own table, as the schema file has them."""

from __future__ import annotations

import collections
import dataclasses
import math
from typing import Any

from rmtl_jax.preparation import source
from rmtl_jax.preparation.raw import readings, times
from rmtl_jax.preparation.schema import fields as fields_lib
from rmtl_jax.preparation.schema import log_entries, raw_tables
from rmtl_jax.preparation.schema import part as part_lib


@dataclasses.dataclass(frozen=True)
class TableSchema:
  """The columns of a user's own table.

  Attributes:
    time: column of the time, or None.
    fields: features; a multi-valued one has its separator in `details`.
    tasks: labels, parents before children.
    session: column of session ids, or None.
    user: column of users, or None.
    item: column of items, or None.
    delimiter: between a CSV file's values; '' for the one of the file's name.
    missing: texts that mean a missing value.
    nulls: values that mean a missing value, by column.
    events: meaning of the log's events; None if its rows are impressions.
    clock: the form of the time, and the zone of hour and weekday.
    any_dates: whether times may lie before the year 2000.
    keep_duplicates: whether equal rows of one time are several impressions.
    tables: raw files by table, the log first; () if the rows are the files'.
    record: the JSON that this was read from.
  """

  time: str | None
  fields: tuple[source.SourceField, ...]
  tasks: tuple[source.SourceTask, ...]
  session: str | None = None
  user: str | None = None
  item: str | None = None
  delimiter: str = ''
  missing: tuple[str, ...] = ()
  nulls: dict[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
  events: log_entries.Events | None = None
  clock: times.Time = dataclasses.field(default_factory=times.Time)
  any_dates: bool = False
  keep_duplicates: bool = False
  tables: tuple[raw_tables.TableFiles, ...] = ()
  record: dict[str, Any] = dataclasses.field(
    default_factory=dict, compare=False
  )

  def missing_in(self, column: str) -> readings.Missing:
    """The values of a column that mean a missing one."""
    return readings.Missing(self.missing, self.nulls.get(column, ()))

  def categorical_of(self, column: str | None) -> str | None:
    """Name of the categorical field made of a column, or None."""
    names = [
      field.name
      for field in self.fields
      if field.kind == 'categorical'
      and field.column == column
      and fields_lib.FROM_TIME not in field.details
    ]
    return names[0] if names else None

  def check(self, part: part_lib.Part) -> None:
    """Refuses keys that contradict each other.

    Args:
      part: the schema's JSON, for errors.
    """
    for task in self.tasks:
      if self.time is None and task.known_after_ms is not None:
        part.fail(
          f'tasks: {task.name!r}: known_after_seconds: needs "time" in the'
          ' schema'
        )
    if len(self.delimiter) > 1 or self.delimiter in tuple('"\r\n'):
      part.fail(f'delimiter: {self.delimiter!r} is not one character')
    if not self.fields:
      part.fail('expected at least one categorical, multi_valued or numeric')
    for text in self.missing:
      # CSV would split the text; numbers are not compared as text.
      if any(sign in text for sign in (self.delimiter or ',', *'"\r\n')):
        part.fail(
          f'missing: {text!r} has a delimiter, a quote or a line end in it'
        )
      if _is_number(text):
        part.fail(f'missing: {text!r} is a number, expected other text')
    if self.events is not None:
      if self.time is None or self.item is None:
        part.fail('events: needs "time" and "item" in the schema')
      if self.session is None and self.user is None:
        part.fail('events: needs "session" or "user" in the schema')
    self._check_columns(part)
    counts = collections.Counter(f.name.lower() for f in self.fields)
    labels = {task.column: task.name for task in self.tasks}
    for field in self.fields:
      if counts[field.name.lower()] > 1:
        part.fail(f'field {field.name!r} occurs twice; give one another "name"')
      if field.column in labels:
        part.fail(
          f'column {field.column!r} is a feature and the label of'
          f' {labels[field.column]!r}'
        )

  def _check_columns(self, part: part_lib.Part) -> None:
    """Refuses a column that is needed as text and as number."""
    texts = {self.session, self.user, self.item}
    texts |= {
      f.column
      for f in self.fields
      if f.kind != 'numeric' and fields_lib.FROM_TIME not in f.details
    }
    numbers = {self.time, *(task.column for task in self.tasks)} - {None}
    if self.events is not None:
      numbers -= {self.events.column}
    numbers |= {c for task in self.tasks for c in task.weights}
    numbers |= {f.column for f in self.fields if f.kind == 'numeric'}
    for column in sorted(numbers & (texts - {None})):
      part.fail(
        f'column {column!r} is named as a key or category and as a number,'
        ' time, weight or label; expected one of the two'
      )


def _is_number(text: str) -> bool:
  try:
    return not math.isnan(float(text))
  except ValueError:
    return False
