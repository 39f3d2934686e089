"""The JSON schema of a user's own table, for the source `table`.

    {
      "session": "visit_id",
      "user": "customer",
      "item": "article",
      "domain": "page",
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

`session` names the column of session ids, unique over the whole log. Without it
(or where it is empty) rows of one `user` form sessions that end with a gap
above the idle time; without a user or a time a row is a session of its own.
Rows of a session without a time keep the order of the file. `time.unit` is
`ms`, `s` or `us` since 1970, or `iso` for text such as `2024-05-01 12:30:00`
(UTC unless it says otherwise) and for Parquet's own times. A field's `name` is its column's unless given. `separator`
splits text; Parquet lists need none. `transform` is `standard` (the default),
`log1p` or `bins`. Labels of a binary task are 0 or 1; `kind`
(`binary`, `regression` or `ordinal`), `loss` and its settings say what else a
task may be (docs/task_kinds.md): `{"name": "watch", "column": "seconds",
"kind": "regression", "loss": "huber", "delta": 30}`. `levels` lists those of an
ordinal label, which are else found in the log. `after` names the task that a
positive implies; `known_after_seconds` is the delay after its row at which a
label is known at the latest: as-of features of group `feedback` need it, and a
label of train and validation that is unknown before its split's end is not
observed. Without it all are, and labels count after the idle timeout. `domain`
names the column of the domain (scenario) that a row is of, a categorical field:
the backbones pepnet and star need it.

What a row says of a task (docs/rows.md): `"null": "not_observed"` takes empty
labels, of rows that don't count for the task; `"only_after": true` judges the
task on the positives of `after` alone; `weight`, of a task or of all beside
`tasks`, names a column of weights >= 0; `negatives_kept` is the rate at which
the task's negatives were kept when the log was sampled.
`missing` lists texts that mean a missing value, as empty text does, in columns
of text and among the values of a multi-valued field. `session`, `user`, `item`,
`domain`, `time`, `delimiter`, `missing` and any kind of field can be left out.
"""

from __future__ import annotations

import pathlib
from typing import Any

from rmtl_jax import json_files
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.preparation.schema import checks, fields, tasks
from rmtl_jax.preparation.schema import part as part_lib
from rmtl_jax.preparation.schema.table_schema import UNITS as UNITS
from rmtl_jax.preparation.schema.table_schema import TableSchema as TableSchema

_KEYS = (
  'session',
  'user',
  'item',
  'domain',
  'time',
  'categorical',
  'multi_valued',
  'numeric',
  'tasks',
  'weight',
  'delimiter',
  'missing',
)


def read(path: pathlib.Path) -> TableSchema:
  """Reads a schema file.

  Raises:
    types.InputError: no such file, not JSON, or a key that is missing, unknown
      or contradicts another; names the key.
  """
  return parse(json_files.read(path), str(path))


def parse(record: Any, path: str = 'schema') -> TableSchema:
  """Turns the decoded JSON into a TableSchema.

  Args:
    record: as in the module's docstring.
    path: what to call it in errors.

  Raises:
    types.InputError: as for `read`.
  """
  part = part_lib.Part(record, path)
  part.known(_KEYS)
  time = part.group('time') if 'time' in part.record else None
  if time is not None:
    time.known(('column', 'unit'))
  schema = TableSchema(
    time=None if time is None else time.text('column'),
    unit='ms' if time is None else time.text('unit', 'ms', UNITS),
    fields=tuple(
      field
      for kind in manifest_lib.KINDS
      for field in fields.parse_fields(part, kind)
    ),
    tasks=tasks.parse_tasks(part),
    session=part.optional('session'),
    user=part.optional('user'),
    item=part.optional('item'),
    domain=part.optional('domain'),
    delimiter=part.text('delimiter', ','),
    missing=part.texts('missing'),
    weight=part.optional('weight'),
  )
  checks.check(schema, part)
  return schema


def schema_of_manifest(manifest: manifest_lib.Manifest) -> TableSchema | None:
  """The schema that data were prepared with; None for other sources.

  Raises:
    types.InputError: as for `parse`.
  """
  if manifest.source != 'table' or 'schema' not in manifest.options:
    return None
  return parse(manifest.options['schema'], 'manifest.json: options: schema')
