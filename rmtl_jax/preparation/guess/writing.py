"""The schema's JSON, and what to say beside it."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.preparation.guess import (
  events,
  features,
  keys,
  labels,
  names,
  times,
)
from rmtl_jax.preparation.guess import facts as facts_lib
from rmtl_jax.preparation.guess import sample as sample_lib


def schema(
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
  record |= _fields(facts, as_fields, fields)
  if tasks:
    task_names = names.of_tasks([task.column for task in tasks])
    record['tasks'] = [task.entry(task_names) for task in tasks]
  if sample.delimiter:
    record['delimiter'] = sample.delimiter
  used = {*fields, *(key.column for key in roles.values())}
  used |= {task.column for task in tasks}
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


def _fields(
  facts: Sequence[facts_lib.Facts],
  keys_: Sequence[str],
  fields: Mapping[str, features.Feature],
) -> dict[str, list[Any]]:
  """Entries of the fields by kind; a name alone where that says all.

  Args:
    facts: of all columns.
    keys_: columns that are categorical, whatever else they are.
    fields: the other columns.
  """
  kinds = {column: 'categorical' for column in keys_}
  kinds |= {column: field.kind for column, field in fields.items()}
  separators = {one.name: one.separator for one in facts}
  field_names = names.unique(column for column, kind in kinds.items() if kind)
  found: dict[str, list[Any]] = {kind: [] for kind in manifest_lib.KINDS}
  for column, name in field_names.items():
    entry = {'column': column}
    if name != column:
      entry['name'] = name
    if separators[column]:
      entry['separator'] = separators[column]
    if column in fields and fields[column].transform == 'log1p':
      entry['transform'] = 'log1p'
    found[kinds[column]].append(column if len(entry) == 1 else entry)
  return {kind: entries for kind, entries in found.items() if entries}


def problem(
  log: pathlib.Path,
  sample: sample_lib.Sample,
  happened: events.Events | None,
  record: Mapping[str, Any],
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
  if 'tasks' not in record:
    return (
      f'{log}: no column looks like a label: none holds 0 and 1 and is named'
      ' like an answer, or stands last'
    )
  if not record.keys() & set(manifest_lib.KINDS):
    return f'{log}: no column is left that a model could learn from'
  return ''


def notes(
  sample: sample_lib.Sample,
  roles: Mapping[str, keys.Key],
  time: times.Time | None,
  tasks: Sequence[labels.Label],
) -> list[str]:
  """What a person should know, in sentences."""
  found = []
  known = events.source_of(sample.names)
  if known and tasks:
    found.append(
      f'The columns are those of a log that `rmtl prepare --source={known}`'
      ' reads, with the tables beside it.'
    )
  if 'session' in roles:
    found.append(f'Sessions: the rows of one {roles["session"].column}.')
  elif 'user' in roles:
    gap = ', until a gap above --idle_minutes (30)' if time else ''
    found.append(f'Sessions: rows of one {roles["user"].column}{gap}.')
  else:
    found.append(
      'Neither a session nor a user: every row is a session of its own, and'
      ' critics have no future to foresee.'
    )
  if time is None:
    found.append(
      'No time of the rows: splits are drawn at random, and there are no as-of'
      ' features.'
    )
  elif not time.is_date:
    found.append(
      f'{time.column} counts from the beginning of the log, so `rmtl prepare`'
      ' needs --any_dates.'
    )
  if tasks and time:
    found.append(
      'If labels become known late, say so: "known_after_seconds" in a task.'
    )
  return found
