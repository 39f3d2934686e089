"""The guess: from a log to a schema, with a reason for every column."""

from __future__ import annotations

import dataclasses
import difflib
import json
import os
import pathlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from rmtl_jax import types
from rmtl_jax.data import tables
from rmtl_jax.preparation import schema as schema_lib
from rmtl_jax.preparation.guess import facts as facts_lib
from rmtl_jax.preparation.guess import guess_labels as labels
from rmtl_jax.preparation.guess import roles, words
from rmtl_jax.preparation.guess import sample as sample_lib

ROWS = 100_000
_KINDS = {
  'categorical': 'category',
  'numeric': 'number',
  'multi_valued': 'list',
  '': 'left out',
}


@dataclasses.dataclass(frozen=True)
class ColumnGuess:
  """The guessed role of a column.

  Attributes:
    name: of the column.
    role: `user`, `item`, `session`, `time`, `label`, `event`, `category`,
      `number`, `list` or `left out`.
    why: in words.
    distinct: different values in the sample.
    missing: share of rows without a value.
  """

  name: str
  role: str
  why: str
  distinct: int
  missing: float


@dataclasses.dataclass(frozen=True)
class Guess:
  """A schema that was guessed.

  Attributes:
    schema: the JSON object; without "tasks" where there is no label.
    columns: what each was taken for, in order.
    rows: of the sample.
    is_whole: whether the sample is the log.
    notes: remarks for the user, one sentence each; the first ones name a
      user, an item or a time that was not found.
    problem: why `rmtl prepare` could not use the schema; '' if it can.
  """

  schema: dict[str, Any]
  columns: tuple[ColumnGuess, ...]
  rows: int
  is_whole: bool
  notes: tuple[str, ...] = ()
  problem: str = ''


def guess(
  sample: sample_lib.Sample,
  given_labels: Collection[str] = (),
  given: Mapping[str, str | None] | None = None,
  exclude: Collection[str] = (),
) -> Guess:
  """Guesses the schema of a sample; `problem` names what it lacks.

  Args:
    sample: rows of the log.
    given_labels: columns that are the labels; empty: guessed.
    given: columns by role (`user`, `item`, `session`, `time`); None: there is
      none. Roles that are not in it are guessed.
    exclude: columns that are no features.

  Raises:
    types.InputError: no such labels, or labels with other than two values.
  """
  given = given or {}
  kinds = zip(sample.names, sample.kinds, strict=True)
  facts = [facts_lib.of_column(sample, *column) for column in kinds]
  check_columns('label', given_labels, sample.names)
  # {column: (role, why)}
  found: dict[str, tuple[str, str]] = {
    name: ('left out', 'excluded') for name in exclude
  }
  rest = [one for one in facts if one.name not in {*found, *given_labels}]
  time = roles.find_time(rest, given)
  if time is not None:
    found[time[0].name] = 'time', time[1]
  keys = roles.find_keys([one for one in rest if one.name not in found], given)
  found |= {one.name: (role, why) for role, (one, why) in keys.items()}
  events = None if given_labels else labels.find_events(rest)
  free = [one for one in facts if one.name not in found]
  tasks = [] if events else labels.find(free, given_labels)
  entries, reasons = labels.entries(tasks)
  for one, reason in zip(tasks, reasons, strict=True):
    found[one.facts.name] = 'label', one.why + reason
  if events:
    found[events[0]['column']] = 'event', events[1]
    entries = [{'name': name} for name in events[0]['labels']]
  for one in facts:
    if one.kind == 'time' or (
      one.unit and words.time_rank(one.name) is not None
    ):
      found.setdefault(one.name, ('left out', 'a time of something else'))
  rest = [one for one in facts if one.name not in found]
  for name, why in labels.left_out(rest, tasks).items():
    found[name] = 'left out', why
  fields = {
    one.name: roles.field_of(one) for one in facts if one.name not in found
  }
  schema = _schema(facts, keys, time, fields, events and events[0], entries)
  if sample.delimiter:
    schema['delimiter'] = sample.delimiter
  columns = tuple(_column(one, found, fields) for one in facts)
  return Guess(
    schema,
    columns,
    sample.rows,
    sample.is_whole,
    tuple(_notes(keys, time)),
    problem=_problem(schema, facts),
  )


def check_columns(
  what: str, columns: Iterable[Any], names: Sequence[str]
) -> None:
  """Refuses columns that a table lacks.

  Raises:
    types.InputError: names them, and columns that are written like the first.
  """
  missing = [str(column) for column in columns if column not in names]
  if missing:
    near = difflib.get_close_matches(missing[0], names, n=2)
    hint = f' (did you mean {" or ".join(map(repr, near))}?)' if near else ''
    listed = ', '.join(f'{name!r:.80}' for name in missing)
    column = 'columns' if len(missing) > 1 else 'column'
    raise types.InputError(
      f'{what}: the table has no {column} {listed}{hint}; it has'
      f' {", ".join(names):.500}'
    )


def _schema(
  facts: Sequence[facts_lib.Facts],
  keys: Mapping[str, roles.Role],
  time: roles.Role | None,
  fields: Mapping[str, roles.Feature],
  events: Mapping[str, Any] | None,
  entries: list[dict[str, Any]],
) -> dict[str, Any]:
  schema: dict[str, Any] = {
    role: keys[role][0].name
    for role in ('session', 'user', 'item')
    if role in keys
  }
  if time is not None:
    unit = time[0].unit or 's'
    form = {'format' if unit == facts_lib.DATE else 'unit': unit}
    schema['time'] = {'column': time[0].name, **form}
  ids = [schema[role] for role in ('user', 'item') if role in keys]
  listed: dict[str, list[Any]] = {}
  for one in facts:
    field = fields.get(one.name)
    if one.name in ids:
      field = roles.Feature('categorical', {'column': one.name}, '')
    if field is None or not field.kind:
      continue
    plain = one.name if len(field.entry) == 1 else field.entry
    listed.setdefault(field.kind, []).append(plain)
  schema |= {k: listed[k] for k in list(_KINDS)[:3] if k in listed}
  if time is not None:
    # A date, as 2024-05-01, has no hour.
    (longest,) = time[0].sample.fetch(f'max(len({time[0].text}))')[0]
    is_date = time[0].unit not in facts_lib.UNITS and longest <= 10
    parts = ['weekday'] if is_date else ['hour', 'weekday']
    used = {*ids, *(name for name, one in fields.items() if one.kind)}
    taken = {word for name in used for word in words.words(name)[-1:]}
    if kept := [part for part in parts if part not in taken]:
      schema['from_time'] = kept
  if events:
    schema['events'] = events
  if entries:
    schema['tasks'] = entries
  nothing = sorted({text for one in facts for text in one.nothing})
  if nothing:
    schema['missing'] = nothing
  return schema


def _notes(
  keys: Mapping[str, roles.Role],
  time: roles.Role | None,
) -> list[str]:
  lacking = [role for role in ('user', 'item') if role not in keys]
  notes = []
  if lacking:
    notes.append(
      f'no {" and no ".join(lacking)} was found: there are no features of their'
      ' past; name the columns in the schema if the log has them'
    )
  if time is None:
    notes.append('no time was found: rows are split at random')
  if 'session' not in keys and ('user' not in keys or time is None):
    notes.append('no session was found: each row is a session')
  return notes


def _problem(
  schema: Mapping[str, Any], facts: Sequence[facts_lib.Facts]
) -> str:
  if 'tasks' not in schema:
    two = [one.name for one in facts if one.distinct == 2 or one.is_binary]
    return (
      'no column looks like a label; name it by --label=COLUMN (columns with'
      f' two values: {", ".join(two)[:500] or "none"})'
    )
  try:
    schema_lib.parse(json.loads(json.dumps(schema)))
  except types.InputError as error:
    return str(error)
  return ''


def _column(
  one: facts_lib.Facts,
  found: Mapping[str, tuple[str, str]],
  fields: Mapping[str, roles.Feature],
) -> ColumnGuess:
  if one.name in found:
    role, why = found[one.name]
  else:
    role, why = _KINDS[fields[one.name].kind], fields[one.name].why
  if one.nothing:
    why += f'; {", ".join(one.nothing)} means missing'
  return ColumnGuess(one.name, role, why, one.distinct, one.missing)


def guess_schema(
  log: Any,
  rows: int = ROWS,
  delimiter: str = '',
  labels: Collection[str] = (),
) -> Guess:
  """Guesses the schema of a raw log, as `rmtl init` does.

  Args:
    log: a path (a CSV or Parquet file, or a directory of such), or a table: a
      pandas, Polars or Arrow table, a list of dicts or a dict of columns.
    rows: how many rows of files to read, about.
    delimiter: between a CSV file's values; empty: found in the header.
    labels: columns that are the labels; empty: guessed.

  Returns:
    `schema`, to be written as JSON for source `table`, and `columns`, what
    each column was taken for and why.

  Raises:
    types.InputError: no such files, empty, unreadable or headerless ones, no
      such labels, or nothing that looks like a label.
  """
  if isinstance(log, str | os.PathLike):
    sample = sample_lib.read(pathlib.Path(log), rows, delimiter)
  else:
    stream = tables.open_stream(log)
    sample = sample_lib.of_table(
      pa.Table.from_batches(stream.batches, stream.schema)
    )
  found = guess(sample, labels)
  if found.problem:
    where = log if isinstance(log, str | os.PathLike) else 'table'
    raise types.InputError(f'{where}: {found.problem}')
  return found
