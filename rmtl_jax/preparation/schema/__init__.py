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
`ms`, `s`, `us` or `ns` since 1970, or `iso` for text such as
`2024-05-01 12:30:00` or `2024-05-01`, and for Parquet's own times and dates.
`time.zone` (`Europe/Berlin`; UTC if not given) is that of text and times that
name none; `time.format` is the pattern of other text, as of `strptime`:
`{"column": "shown_at", "format": "%d.%m.%Y %H:%M"}`. A field's `name` is its
column's unless given. `separator` splits text; Parquet lists need none.
`transform` is `standard` (the default), `log1p` or `bins`. `domain` names the
column of the domain (scenario) that a row is of, a categorical field: the
backbones pepnet and star need it. `"from_time": ["hour", "weekday"]` makes
categories of the time, in its zone.

Labels of a binary task are 0 or 1, or true or false; `"positive": ["yes", "Y"]`
and `negative` list other texts, and one of the two lists alone says that all
else is the other label. `kind` (`binary`, `regression` or `ordinal`), `loss`
and its settings say what else a task may be (docs/task_kinds.md):
`{"name": "watch", "column": "seconds", "kind": "regression", "loss": "huber",
"delta": 30}`. `levels` lists those of an ordinal label, which are else found in
the log. `after` names the task that a positive implies; `known_after_seconds`
is the delay after its row at which a label is known at the latest: as-of
features of group `feedback` need it, and a label of train and validation that
is unknown before its split's end is not observed. Without it all are, and
labels count after the idle timeout.

`time_column` in place of `column` names times at which the task became
positive, empty where it did not, in the form of `time` or, as
`{"column": "bought_at", "unit": "s", "null": ["0"]}`, in one of its own. A log
of events says which are impressions and which are labels; a row is then a
(session, item) pair with an impression, and `tasks` name no columns:
`"events": {"column": "event", "impressions": ["view"], "labels": {"cart":
["addtocart"], "buy": ["transaction"]}, "keep_unviewed": false}`.

What a row says of a task (docs/rows.md): `"null": "not_observed"` takes empty
labels, of rows that don't count for the task; `"only_after": true` judges the
task on the positives of `after` alone; `weight`, of a task or of all beside
`tasks`, names a column of weights >= 0; `negatives_kept` is the rate at which
the task's negatives were kept when the log was sampled; `propensity` names a
column of the probability, in (0, 1], that the row's label is seen (of a task
with `after` that of the parent's positive).

`missing` lists texts that mean a missing value, as empty text does, in columns
of text and among the values of a multi-valued field. `null` of a field, or of
a key that is given as `{"column": "visitor", "null": ["-1"]}`, lists values of
that column alone, which may be numbers; of a task it lists labels that are not
observed. `"missing_indicator": true` adds a field `<name>_missing` to a number,
1 where it is missing, and `"decimal": ","` reads numbers that people wrote,
such as `1.250,50 €` (`"."`: `$1,250.50`). `session`, `user`, `item`, `domain`,
`time`, `delimiter`, `missing` and any kind of field can be left out.
"""

from __future__ import annotations

import pathlib
from typing import Any

from rmtl_jax import json_files
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.preparation.raw import times
from rmtl_jax.preparation.schema import (
  checks,
  clocks,
  events,
  fields,
  nulls,
  tasks,
)
from rmtl_jax.preparation.schema import part as part_lib
from rmtl_jax.preparation.schema.table_schema import UNITS as UNITS
from rmtl_jax.preparation.schema.table_schema import TableSchema as TableSchema

_KEYS = (
  *('session', 'user', 'item', 'domain', 'time', 'categorical', 'multi_valued'),
  *('numeric', 'from_time', 'crossed', 'tasks', 'events', 'weight'),
  *('delimiter', 'missing'),
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

  Raises:
    types.InputError: as for `read`.
  """
  part = part_lib.Part(record, path)
  part.known(_KEYS)
  time = part.group('time') if 'time' in part.record else None
  if time is not None:
    time.known(('column', *clocks.KEYS))
  column = None if time is None else time.text('column')
  clock = times.Time() if time is None else clocks.parse_clock(time)
  of_events = events.parse_events(part)
  schema = TableSchema(
    time=column,
    fields=fields.parse_fields(part, column),
    tasks=tasks.parse_tasks(part, clock, of_events),
    events=of_events,
    session=nulls.parse_role(part, 'session'),
    user=nulls.parse_role(part, 'user'),
    item=nulls.parse_role(part, 'item'),
    domain=part.optional('domain'),
    delimiter=part.optional('delimiter') or '',
    missing=part.texts('missing'),
    nulls=nulls.parse_nulls(part),
    weight=part.optional('weight'),
    clock=clock,
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
