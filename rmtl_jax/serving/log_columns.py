"""The raw columns of rows that the past is computed from."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import pyarrow as pa

from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.preparation import ranks, source, sources
from rmtl_jax.preparation import schema as schema_lib
from rmtl_jax.preparation.as_of import tastes as asof_tastes
from rmtl_jax.preparation.raw import readings, times
from rmtl_jax.preparation.schema import log_entries
from rmtl_jax.serving import raw_fields


@dataclasses.dataclass(frozen=True)
class LogSchema:
  """The raw columns of time, keys, item and labels.

  Attributes:
    time: column of the time, or None.
    clock: the form of the time.
    session: column of session ids, or None.
    user: column of users, or None.
    item: column of items, or None.
    item_field: the categorical field of the item, or None.
    tasks: labels that as-of features read, as the source declares them.
    labels: a raw column per task: 0 and 1, or times if the task is `timed`.
    optional: whether one of `session` and `user` may be missing.
    missing: values that mean missing, by column; nothing elsewhere.
    events: meaning of the log's events; None if its rows are impressions.
    any_dates: whether times may lie before the year 2000, as in the run's data.
    tastes: columns of the fields that `tastes` is made by, by field.
    lists: those of these fields that have lists.
  """

  time: str | None
  clock: times.Time
  session: str | None
  user: str | None
  item: str | None
  item_field: str | None
  tasks: tuple[source.SourceTask, ...]
  labels: tuple[str, ...]
  optional: bool = False
  missing: Mapping[str, readings.Missing] = dataclasses.field(
    default_factory=dict
  )
  events: log_entries.Events | None = None
  any_dates: bool = True
  tastes: Mapping[str, str] = dataclasses.field(default_factory=dict)
  lists: Mapping[str, source.SourceField] = dataclasses.field(
    default_factory=dict
  )

  def missing_in(self, column: str) -> readings.Missing:
    """Values that mean missing in a column."""
    return self.missing.get(column, readings.Missing())

  def event_column(self, schema: pa.Schema) -> str | None:
    """The column of events, if the log has events and the rows do."""
    events = self.events
    return events.column if events and events.column in schema.names else None

  def label_columns(self, schema: pa.Schema) -> list[str]:
    """The columns of rows' labels."""
    if self.events is None:
      return list(self.labels)
    given = any(label in schema.names for label in self.labels)
    if given and self.events.column not in schema.names:
      return list(self.labels)
    return [
      self.events.column,
      *(
        label
        for task, label in zip(self.tasks, self.labels, strict=True)
        if task.name not in self.events.labels
      ),
    ]

  def keys(self, schema: pa.Schema) -> dict[str, str]:
    """The columns of session and user that are there, by role."""
    roles = {'session': self.session, 'user': self.user}
    return {
      role: column
      for role, column in roles.items()
      if column is not None and column in schema.names
    }


def make_log_schema(manifest: manifest_lib.Manifest) -> LogSchema:
  """The columns of a run's raw rows.

  The schema names them for source `table`. Rows of other sources have a column
  per field, `session_id` or the user or both, `timestamp` (ms), and a label per
  task; or `t_<task>` (ms, empty without such an event) for timed tasks. So do
  rows of a log of events, unless they have its column of events.

  Raises:
    types.InputError: the manifest has no usable schema.
  """
  # Data of another engine may have such times and do not record it.
  any_dates = manifest.options.get('any_dates') is not False
  tasted = asof_tastes.recorded(manifest.fields)
  found = [
    raw_fields.source_field(field, manifest)
    for field in manifest.fields
    if field.name in tasted
  ]
  tastes = {field.name: field.column for field in found}
  lists = {field.name: field for field in found if field.has_own_lists}
  if manifest.source == 'table' or 'schema' in manifest.options:
    where = 'manifest.json: options: schema'
    schema = schema_lib.parse(manifest.options.get('schema'), where)
    keys = (schema.time, schema.session, schema.user, schema.item)
    columns = [column for column in keys if column is not None]
    columns += [task.column for task in schema.tasks]
    columns += tastes.values()
    if schema.events is not None:
      columns.append(schema.events.column)
    tasks = source.rated(ranks.recorded(manifest.options, schema.tasks))
    return LogSchema(
      time=schema.time,
      clock=schema.clock,
      session=schema.session,
      user=schema.user,
      item=schema.item,
      item_field=manifest.item_field,
      tasks=tasks,
      labels=tuple(
        f't_{task.name}' if task.timed and task.clock is None else task.column
        for task in tasks
      ),
      events=schema.events,
      missing={column: schema.missing_in(column) for column in columns},
      any_dates=any_dates,
      tastes=tastes,
      lists=lists,
    )
  record = sources.RECORDS.get(manifest.source)
  # Other programs may have written the data.
  tasks = (record.tasks if record else ()) or tuple(
    source.SourceTask(t.name, t.after, kind=t.kind) for t in manifest.tasks
  )
  tasks = source.rated(ranks.recorded(manifest.options, tasks))
  return LogSchema(
    time='timestamp',
    clock=times.Time(),
    session='session_id',
    user=manifest.user_field or 'user_id',
    item=manifest.item_field,
    item_field=manifest.item_field,
    tasks=tasks,
    labels=tuple(f't_{t.name}' if t.timed else t.name for t in tasks),
    optional=True,
    any_dates=any_dates,
    tastes=tastes,
    lists=lists,
  )


def outcome_columns(manifest: manifest_lib.Manifest) -> frozenset[str]:
  """The raw columns of the labels of all tasks, counted or not.

  Raises:
    types.InputError: as for `make_log_schema`.
  """
  schema = schema_lib.schema_of_manifest(manifest)
  columns = [task.column for task in schema.tasks] if schema else []
  names = [task.name for task in manifest.tasks]
  log_schema = make_log_schema(manifest)
  # Its kind distinguishes an event from others of the same time.
  kinds = [log_schema.events.column] if log_schema.events else []
  found = (*log_schema.labels, *(columns if schema else names))
  return frozenset(found).difference(kinds)


def label_reading(
  log_schema: LogSchema, task: source.SourceTask
) -> readings.Reading:
  """How the column of a task is read."""
  missing = log_schema.missing_in(task.column)
  if task.clock is not None:
    return readings.of_time(task.column, task.clock, missing)
  if task.timed:
    return readings.of_number(task.column, missing)
  return readings.of_label(task, missing)
