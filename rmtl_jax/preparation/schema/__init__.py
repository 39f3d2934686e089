"""The JSON schema of a user's own table, for the source `table`.

    {
      "session": "visit_id",
      "user": "customer",
      "item": "article",
      "time": {"column": "shown_at", "unit": "ms"},
      "categorical": [
        "customer",
        "article",
        "page",
        {"column": "Shop Department", "name": "department"}
      ],
      "multi_valued": [{"column": "tags", "separator": "|"}],
      "numeric": [
        {"column": "price", "transform": "log1p"},
        {"column": "age", "transform": "bins", "bins": 10},
        "discount"
      ],
      "tasks": [
        {"name": "click", "column": "clicked", "known_after_seconds": 0},
        {"name": "conversion", "column": "bought", "after": "click"}
      ],
      "delimiter": ",",
      "missing": ["NULL", "N/A"]
    }

`session`, `user`, `item`, `time`, `delimiter`, `missing` and any kind
of field can be left out. docs/your_data.md explains every key;
rmtl_jax.preparation.schema.raw_tables those of several files. In short:

- Rows of one `session`, whose ids are unique over the whole log, are a session;
  without it rows of one `user` up to a gap above the idle time; without a user
  or a time each row. Rows of a session without a time keep the file's order.
- `name` is the column's unless given; an entry that needs no more than its
  column is that column's name alone.
- `after` names the task that a positive implies; `known_after_seconds` is the
  delay after its row at which a label is known at the latest. A label that is
  unknown before the end of its split is not observed there; without the key all
  are, and as-of features count labels after the idle timeout.
"""

from __future__ import annotations

import pathlib
from typing import Any

from rmtl_jax import json_files
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.preparation.raw import times
from rmtl_jax.preparation.schema import (
  clocks,
  events,
  fields,
  nulls,
  raw_tables,
  schema_checks,
  task_entries,
)
from rmtl_jax.preparation.schema import part as part_lib
from rmtl_jax.preparation.schema.table_schema import TableSchema as TableSchema

_KEYS = (
  *('session', 'user', 'item', 'time', 'categorical', 'multi_valued'),
  *('numeric', 'from_time', 'tasks', 'events', 'weight'),
  *('delimiter', 'missing', 'keep_duplicates', *raw_tables.KEYS),
)


def read(path: pathlib.Path) -> TableSchema:
  """Reads a schema file.

  Raises:
    types.InputError: no such file, not JSON, or a key that is missing, unknown
      or contradicts another; names the key.
  """
  return parse(read_record(path), str(path))


def read_record(path: pathlib.Path) -> Any:
  """The decoded JSON of a schema file, with the text of its SQL file.

  Raises:
    types.InputError: no such file, or not JSON.
  """
  return raw_tables.with_statement(json_files.read(path), path.parent)


def parse(record: Any, path: str = 'schema') -> TableSchema:
  """Turns the decoded JSON into a TableSchema.

  Raises:
    types.InputError: as for `read`.
  """
  part = part_lib.Part(record, path)
  part.known(_KEYS)
  tables = raw_tables.parse_raw(part)
  time = part.group('time') if 'time' in part.record else None
  if time is not None:
    time.known(('column', 'any_dates', *clocks.KEYS))
  column = None if time is None else time.text('column')
  clock = times.Time() if time is None else clocks.parse_clock(time)
  of_events = events.parse_events(part)
  schema = TableSchema(
    time=column,
    fields=fields.parse_fields(part, column),
    tasks=task_entries.parse_tasks(part, clock, of_events),
    events=of_events,
    session=nulls.parse_role(part, 'session'),
    user=nulls.parse_role(part, 'user'),
    item=nulls.parse_role(part, 'item'),
    delimiter=part.optional('delimiter') or '',
    missing=part.texts('missing'),
    nulls=nulls.parse_nulls(part),
    weight=part.optional('weight'),
    clock=clock,
    any_dates=time is not None and time.flag('any_dates'),
    keep_duplicates=part.flag('keep_duplicates'),
    raw={k: part.record[k] for k in raw_tables.KEYS if k in part.record},
    tables=tables,
  )
  schema_checks.check(schema, part)
  return schema


def schema_of_manifest(manifest: manifest_lib.Manifest) -> TableSchema | None:
  """The schema that data were prepared with; None for other sources.

  Raises:
    types.InputError: as for `parse`.
  """
  if 'schema' not in manifest.options:
    return None
  return parse(manifest.options['schema'], 'manifest.json: options: schema')
