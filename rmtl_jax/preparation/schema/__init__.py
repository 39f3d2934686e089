"""The JSON schema of a user's own table; docs/your_data.md has every key.

    {
      "user": "customer",
      "item": "article",
      "time": {"column": "shown_at", "unit": "ms"},
      "categorical": ["customer", "article", "page"],
      "multi_valued": [{"column": "tags", "separator": "|"}],
      "numeric": [{"column": "price", "transform": "log1p"}],
      "tasks": [
        {"name": "click", "column": "clicked", "known_after_seconds": 0},
        {"name": "conversion", "column": "bought", "after": "click"}
      ]
    }

An entry that needs no more than its column is that column's name alone; `name`
is the column's unless given.
"""

from __future__ import annotations

import pathlib
from typing import Any

from rmtl_jax import json_files
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.preparation.raw import times
from rmtl_jax.preparation.schema import (
  fields,
  log_entries,
  raw_tables,
  task_entries,
)
from rmtl_jax.preparation.schema import part as part_lib
from rmtl_jax.preparation.schema.table_schema import TableSchema as TableSchema

_KEYS = (
  *('session', 'user', 'item', 'time', 'categorical', 'multi_valued'),
  *('numeric', fields.FROM_TIME, 'tasks', 'events', 'weight'),
  *('delimiter', 'missing', 'keep_duplicates', *raw_tables.KEYS),
)


def read(path: pathlib.Path) -> TableSchema:
  """Reads a schema file.

  Raises:
    types.InputError: no such file, not JSON, or a key that is missing, unknown
      or contradicts another; names the key.
  """
  record = raw_tables.with_statement(json_files.read(path), path.parent)
  return parse(record, str(path))


def parse(record: Any, path: str = 'schema') -> TableSchema:
  """Turns the decoded JSON into a TableSchema.

  Raises:
    types.InputError: as for `read`.
  """
  part = part_lib.Part(record, path)
  part.known(_KEYS)
  tables = raw_tables.parse_raw(part)
  column, any_dates, clock = None, False, times.Time()
  if 'time' in part.record:
    time = part.group('time')
    time.known(('column', 'any_dates', *log_entries.CLOCK))
    column, any_dates = time.text('column'), time.flag('any_dates')
    clock = log_entries.parse_clock(time)
  events = log_entries.parse_events(part)
  schema = TableSchema(
    time=column,
    fields=fields.parse_fields(part, column),
    tasks=task_entries.parse_tasks(part, clock, events),
    session=log_entries.parse_role(part, 'session'),
    user=log_entries.parse_role(part, 'user'),
    item=log_entries.parse_role(part, 'item'),
    delimiter=part.optional('delimiter') or '',
    missing=part.texts('missing'),
    nulls=log_entries.parse_nulls(part),
    events=events,
    clock=clock,
    any_dates=any_dates,
    keep_duplicates=part.flag('keep_duplicates'),
    tables=tables,
    record=record,
  )
  schema.check(part)
  return schema


def schema_of_manifest(manifest: manifest_lib.Manifest) -> TableSchema | None:
  """The schema that data were prepared with; None for other sources.

  Raises:
    types.InputError: as for `parse`.
  """
  if 'schema' not in manifest.options:
    return None
  return parse(manifest.options['schema'], 'manifest.json: options: schema')
