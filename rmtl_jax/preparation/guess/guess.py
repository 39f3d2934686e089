"""The guess itself: from a log to a schema, with a reason for every column."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

from rmtl_jax import types
from rmtl_jax.preparation.guess import events, features, keys, labels, leaks
from rmtl_jax.preparation.guess import facts as facts_lib
from rmtl_jax.preparation.guess import names
from rmtl_jax.preparation.guess import sample as sample_lib
from rmtl_jax.preparation.guess import times

ROWS = 100_000


@dataclasses.dataclass(frozen=True)
class ColumnGuess:
  """What a column was taken for.

  Attributes:
    name: of the column.
    role: `user`, `item`, `session`, `domain`, `time`, `label`, `event`,
      `category`, `number`, `list`, `leak` or `left out`.
    why: in words.
    kind: of its values: `number`, `bool`, `time`, `list`, `text`, `other`.
    distinct: different values in the sample.
    missing: share of rows without a value.
  """

  name: str
  role: str
  why: str
  kind: str
  distinct: int
  missing: float


@dataclasses.dataclass(frozen=True)
class Guess:
  """A schema that was guessed.

  Attributes:
    log: where the rows came from.
    schema: the JSON object; without "tasks" where there is no label.
    columns: what each was taken for, in order.
    rows: of the sample.
    log_rows: of the log, an estimate unless `is_whole`.
    is_whole: whether the sample is the log.
    notes: what a person should know, one sentence each.
    any_dates: whether times are none since 1970.
    problem: why `rmtl prepare` could not use the schema; '' if it can.
  """

  log: pathlib.Path
  schema: dict[str, Any]
  columns: tuple[ColumnGuess, ...]
  rows: int
  log_rows: int
  is_whole: bool
  notes: tuple[str, ...] = ()
  any_dates: bool = False
  problem: str = ''


def guess(
  log: str | os.PathLike[str], rows: int = ROWS, delimiter: str = ''
) -> Guess:
  """Guesses the schema of a log for source `table`, and says why.

  Args:
    log: a CSV or Parquet file, or a directory of such.
    rows: how many rows to read, about, from all over the log.
    delimiter: between a CSV file's values; empty: found in the header.

  Raises:
    types.InputError: no such files, or empty, unreadable or headerless ones.
  """
  log = pathlib.Path(log)
  sample = sample_lib.read(log, rows, delimiter)
  facts = facts_lib.find(sample)
  roles = keys.find(sample, facts)
  time, other_times = times.find(sample, facts)
  found: dict[str, tuple[str, str]] = {
    key.column: (role, key.why) for role, key in roles.items()
  }
  if time:
    found[time.column] = 'time', time.why
  found = {n: ('left out', why) for n, why in other_times.items()} | found
  found |= {
    one.name: ('left out', _SPECIAL[special])
    for one in facts
    if one.name not in found and (special := _special(one))
  }
  tasks, no_tasks = labels.find(sample, facts, roles, found)
  found |= {n: ('left out', why) for n, why in no_tasks.items()}
  found |= {task.column: ('label', task.why) for task in tasks}
  free = [
    one
    for one in facts
    if one.name not in found or one.name in (*no_tasks, *other_times)
  ]
  for name, why in leaks.find(sample, free, tasks).items():
    said = f'; {found[name][1]}' if name in found else ''
    found[name] = 'leak', why + said
  happened = None if tasks else events.find(sample, facts)
  if happened:
    found[happened.column] = 'event', 'what happened: a row is an event'
    for name, why in events.of_some(sample, facts, happened).items():
      found[name] = 'leak', why
  fields = {
    one.name: features.guess(sample, one)
    for one in facts
    if one.name not in found
  }
  return Guess(
    log=log,
    schema=_schema(sample, facts, roles, time, tasks, fields),
    columns=tuple(_column(one, found, fields) for one in facts),
    rows=sample.rows,
    log_rows=sample.log_rows,
    is_whole=sample.is_whole,
    notes=tuple(_notes(sample, roles, time, tasks)),
    any_dates=time is not None and not time.is_date,
    problem=_problem(log, sample, happened, tasks),
  )


def guess_schema(
  log: str | os.PathLike[str], rows: int = ROWS, delimiter: str = ''
) -> Guess:
  """Guesses the schema of a raw log, as `rmtl init` does.

  Args:
    log: a CSV or Parquet file, or a directory of such.
    rows: how many rows to read, about, from all over the log.
    delimiter: between a CSV file's values; empty: found in the header.

  Returns:
    `schema`, to be written as JSON for source `table`, and `columns`, what
    each column was taken for and why.

  Raises:
    types.InputError: no such files, empty, unreadable or headerless ones, or
      nothing that looks like a label.
  """
  found = guess(log, rows, delimiter)
  if found.problem:
    raise types.InputError(found.problem)
  return found


_SPECIAL = {
  'weight': (
    'named like the weight of a row; "weight": "NAME" in the schema makes it'
    ' one'
  ),
  'split': (
    'named like a split of the rows; `rmtl prepare` can take it by a flag'
  ),
}


def _special(facts: facts_lib.Facts) -> str:
  """`weight` or `split` of a column that is named like that, or ''."""
  if names.rank(facts.name, 'weight') is not None and facts.kind == 'number':
    return 'weight' if facts.least >= 0 else ''
  is_split = names.rank(facts.name, 'split') is not None
  return 'split' if is_split and facts.distinct <= 10 else ''


_ROLES = {
  'categorical': 'category',
  'numeric': 'number',
  'multi_valued': 'list',
  '': 'left out',
}


def _column(
  facts: facts_lib.Facts,
  found: Mapping[str, tuple[str, str]],
  fields: Mapping[str, features.Feature],
) -> ColumnGuess:
  if facts.name in found:
    role, why = found[facts.name]
  else:
    role, why = _ROLES[fields[facts.name].kind], fields[facts.name].why
  if facts.nothing:
    why += f'; {", ".join(facts.nothing)} stands for nothing'
  return ColumnGuess(
    facts.name, role, why, facts.kind, facts.distinct, facts.missing
  )


def _schema(
  sample: sample_lib.Sample,
  facts: Sequence[facts_lib.Facts],
  roles: Mapping[str, keys.Key],
  time: times.Time | None,
  tasks: Sequence[labels.Label],
  fields: Mapping[str, features.Feature],
) -> dict[str, Any]:
  """The JSON object, its keys in the order of the documentation."""
  record: dict[str, Any] = {
    role: roles[role].column
    for role in ('session', 'user', 'item', 'domain')
    if role in roles
  }
  if time:
    record['time'] = {'column': time.column, 'unit': time.unit}
  as_fields = [
    roles[role].column for role in ('user', 'item', 'domain') if role in roles
  ]
  of_kind: dict[str, list[Any]] = {
    'categorical': [_entry(column) for column in as_fields],
    'multi_valued': [],
    'numeric': [],
  }
  separators = {one.name: one.separator for one in facts}
  for column, field in fields.items():
    more = {}
    if field.kind == 'multi_valued' and separators[column]:
      more['separator'] = separators[column]
    if field.transform == 'log1p':
      more['transform'] = field.transform
    if field.kind:
      of_kind[field.kind].append(_entry(column, **more))
  record |= {kind: entries for kind, entries in of_kind.items() if entries}
  if tasks:
    names_of = {task.column: task.name for task in tasks}
    record['tasks'] = [task.entry(names_of) for task in tasks]
  if sample.delimiter not in ('', ','):
    record['delimiter'] = sample.delimiter
  used = {*as_fields, *fields, *(task.column for task in tasks)}
  nothing = sorted(
    {
      text
      for one, kind in zip(facts, sample.kinds, strict=True)
      if one.name in used and kind == 'text'
      for text in one.nothing
    }
  )
  if nothing:
    record['missing'] = nothing
  return record


def _entry(column: str, **more: Any) -> Any:
  """A field in a schema; its name alone if that says all."""
  name = re.sub(r'[^A-Za-z0-9_.-]+', '_', column)
  name = re.sub(r'^[^A-Za-z0-9_]+', '', name)[:100] or 'field'
  if name == column and not more:
    return column
  return {'column': column, **({'name': name} if name != column else {}), **more}


def _problem(
  log: pathlib.Path,
  sample: sample_lib.Sample,
  happened: events.Events | None,
  tasks: Sequence[labels.Label],
) -> str:
  """Why `rmtl prepare` could not use the schema, in one line, or ''."""
  known = events.source_of(sample.names)
  if happened:
    read = (
      f'; `rmtl prepare --source={known}` reads it'
      if known
      else '; write a row per impression, or declare its "events" in the schema'
    )
    return (
      f'{log}: a log of events, not of impressions: {happened.text()}, and no'
      f' column is a label{read}'
    )
  if not tasks:
    return (
      f'{log}: no column looks like a label: none holds 0 and 1 and is named'
      ' like an answer, or stands last'
    )
  return ''


def _notes(
  sample: sample_lib.Sample,
  roles: Mapping[str, keys.Key],
  time: times.Time | None,
  tasks: Sequence[labels.Label],
) -> list[str]:
  """What a person should know, in sentences."""
  notes = []
  known = events.source_of(sample.names)
  if known and tasks:
    notes.append(
      f'The columns are those of a log that `rmtl prepare --source={known}`'
      ' reads, with the tables beside it.'
    )
  if 'session' in roles:
    notes.append(f'Sessions: the rows of one {roles["session"].column}.')
  elif 'user' in roles and time:
    notes.append(
      f'Sessions: rows of one {roles["user"].column}, until a gap above'
      ' --idle_minutes (30).'
    )
  else:
    notes.append(
      'Neither a session nor a user with times: every row is a session of its'
      ' own, and critics have no future to foresee.'
    )
  if time is None:
    notes.append(
      'No time of the rows: splits are drawn at random, and there are no as-of'
      ' features.'
    )
  elif not time.is_date:
    notes.append(
      f'{time.column} counts from the beginning of the log, so `rmtl prepare`'
      ' needs --any_dates.'
    )
  if tasks and time:
    notes.append(
      'If labels become known late, say so: "known_after_seconds" in a task.'
    )
  return notes
