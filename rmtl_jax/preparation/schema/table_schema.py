"""The columns of a user's own table, as the schema file has them."""

from __future__ import annotations

import dataclasses
from typing import Any

from rmtl_jax.config import kinds
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.preparation import source
from rmtl_jax.preparation.raw import readings, times
from rmtl_jax.preparation.schema import (
  clocks,
  events,
  fields,
  label_entries,
  nulls,
  raw_tables,
  vocabularies,
)


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
    weight: column of the weight of a row's every label, or None.
    nulls: values that mean a missing value, by column.
    events: meaning of the log's events; None if its rows are impressions.
    clock: the form of the time, and the zone of hour and weekday.
    any_dates: whether times may lie before the year 2000.
    keep_duplicates: whether equal rows of one time are several impressions.
    raw: the keys of the JSON that `tables` is made of.
    tables: raw files by table, the log first; () if the rows are the files'.
  """

  time: str | None
  fields: tuple[source.SourceField, ...]
  tasks: tuple[source.SourceTask, ...]
  session: str | None = None
  user: str | None = None
  item: str | None = None
  delimiter: str = ''
  missing: tuple[str, ...] = ()
  weight: str | None = None
  nulls: dict[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
  events: events.Events | None = None
  clock: times.Time = dataclasses.field(default_factory=times.Time)
  any_dates: bool = False
  keep_duplicates: bool = False
  raw: dict[str, Any] = dataclasses.field(default_factory=dict)
  tables: tuple[raw_tables.TableFiles, ...] = ()

  def to_dict(self) -> dict[str, Any]:
    """The JSON that `parse` turns into this schema."""
    record: dict[str, Any] = self.raw | {
      'tasks': [
        {'name': t.name}
        | label_entries.label_entries(t, self.nulls, self.clock)
        | ({'after': t.after} if t.after is not None else {})
        | _kind_entries(t)
        | _rows_of(t, self.weight)
        for t in self.tasks
      ],
    }
    if self.time is not None:
      clock = clocks.clock_entries(self.clock, times.Time())
      any_dates = {'any_dates': True} if self.any_dates else {}
      record['time'] = {'column': self.time} | clock | any_dates
    columns = {part.column for part in (*self.fields, *self.tasks)}
    for role in ('session', 'user', 'item', 'weight'):
      column = getattr(self, role)
      if column is not None:
        null = nulls.null_entry(self.nulls, column)
        alone = null and column not in columns
        record[role] = {'column': column} | null if alone else column
    if self.events is not None:
      record[events.KEY] = self.events.to_dict()
    if self.delimiter:
      record['delimiter'] = self.delimiter
    if self.missing:
      record['missing'] = list(self.missing)
    if self.keep_duplicates:
      record['keep_duplicates'] = True
    for kind in manifest_lib.KINDS:
      record[kind] = [
        self._field_entry(f)
        for f in self.fields
        if f.kind == kind and fields.FROM_TIME not in f.details
      ]
    parts = [f.name for f in self.fields if fields.FROM_TIME in f.details]
    if parts:
      record[fields.FROM_TIME] = parts
    return record

  def _field_entry(self, field: source.SourceField) -> dict[str, Any]:
    return _entry(field) | nulls.null_entry(self.nulls, field.column)

  @property
  def unit(self) -> str:
    """Unit of the time, one of times.UNITS."""
    return self.clock.unit

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
      and fields.FROM_TIME not in field.details
    ]
    return names[0] if names else None


def _entry(field: source.SourceField) -> dict[str, Any]:
  entry: dict[str, Any] = {'name': field.name, 'column': field.column}
  if field.transform:
    entry['transform'] = field.transform
  if field.bins:
    entry['bins'] = field.bins
  return entry | vocabularies.entries(field) | field.details


def _kind_entries(task: source.SourceTask) -> dict[str, Any]:
  if task.kind == kinds.BINARY and task.loss == kinds.losses_of(task.kind)[0]:
    return {}
  levels = {'levels': list(task.levels)} if task.levels else {}
  return {'kind': task.kind, 'loss': task.loss} | dict(task.settings) | levels


def _rows_of(task: source.SourceTask, shared: str | None) -> dict[str, Any]:
  """The keys of a task on counting and weighting rows."""
  entry: dict[str, Any] = {}
  if task.only_after:
    entry['only_after'] = True
  own = task.weights[int(shared is not None) :]
  if own:
    entry['weight'] = own[0]
  if task.negatives_kept is not None:
    entry['negatives_kept'] = task.negatives_kept
  return entry
