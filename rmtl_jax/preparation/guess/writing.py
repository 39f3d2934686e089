"""The schema's JSON, and what to say beside it."""

from __future__ import annotations

import functools
import json
import pathlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.preparation.guess import (
  events,
  features,
  key_names,
  keys,
  label_names,
  labels,
  schema_names,
  time_forms,
  time_names,
  two_valued,
  words,
)
from rmtl_jax.preparation.guess import facts as facts_lib
from rmtl_jax.preparation.guess import sample as sample_lib
from rmtl_jax.preparation.raw import folders

# Of an object in the schema.
_LONGEST_LINE = 70
# Columns that a line names, and texts of a column that may hold answers.
_MOST_SHOWN, _MOST_ANSWERS = 20, 30
# What rows without a user or a session need.
_OF_USER = (
  'a user or a session: leave them out, give each a name of its own, or name'
)
# Of lists of what was shown or what happened.
_may_be_rows = words.any_of('impression impressions events items shown slate')
# The key that says when labels are known.
_KNOWN = 'known_after_seconds'
# From how many days on the hour and the weekday tell something.
_LEAST_DAYS = {'hour': 2, 'weekday': 14}


def schema(
  sample: sample_lib.Sample,
  facts: Sequence[facts_lib.Facts],
  roles: Mapping[str, keys.Key],
  time: time_forms.Time | None,
  tasks: Sequence[labels.Label],
  fields: Mapping[str, features.Feature],
  happened: events.Events | None,
) -> dict[str, Any]:
  """The JSON object, its keys in the order of the documentation."""
  record: dict[str, Any] = {
    role: roles[role].column
    for role in ('session', 'user', 'item')
    if role in roles
  }
  if time:
    record['time'] = {'column': time.column, **time.form}
  as_fields = [roles[role].column for role in ('user', 'item') if role in roles]
  record |= _fields(as_fields, fields)
  # A later time may tell what it is later than.
  if time and not time_names.is_later(time.column):
    made = _from_time(facts, time)
    record |= {'from_time': made} if made else {}
  if tasks:
    task_names = schema_names.of_tasks([task.column for task in tasks])
    entries = [task.entry(task_names) for task in tasks]
    if time and 'user' in roles:
      for task, entry in zip(tasks, entries, strict=True):
        is_answer = label_names.is_answer(entry.get('column', ''))
        if labels.is_rating(task.facts) or (is_answer and 'kind' not in entry):
          entry[_KNOWN] = 0
      entries = _of_high(facts, tasks, task_names) + entries
    record['tasks'] = entries
  elif happened and time and 'item' in roles and {'user', 'session'} & {*roles}:
    record['events'], record['tasks'] = events.declare(happened)
  if sample.delimiter:
    record['delimiter'] = sample.delimiter
  used = {*fields, *(key.column for key in roles.values())}
  used |= {task.column for task in tasks}
  used |= {task.told_by.name for task in tasks if task.told_by}
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


def _of_high(
  facts: Sequence[facts_lib.Facts],
  tasks: Sequence[labels.Label],
  task_names: Mapping[str, str],
) -> list[dict[str, Any]]:
  """The tasks of high numbers, whose rates tell of the numbers too."""
  taken = {one.name.lower() for one in facts}
  found = []
  for task in tasks:
    rated = labels.is_rating(task.facts)
    possible = ['like'] * rated + [f'high_{task_names[task.column]}']
    free = [name for name in possible if name.lower() not in taken]
    if task.high is not None and free:
      entry = {'name': free[0], 'column': task.column, 'at_least': task.high}
      null = task.entry(task_names).get('null')
      entry |= {} if null is None else {'null': null}
      found.append(entry | ({_KNOWN: 0} if rated else {}))
  return found


def text(record: Mapping[str, Any]) -> str:
  """The JSON as people edit it: an entry on a line.

  >>> print(text({'user': 'u', 'numeric': ['a', {'column': 'b'}]}), end='')
  {
    "user": "u",
    "numeric": [
      "a",
      {"column": "b"}
    ]
  }
  """
  lines = []
  line = functools.partial(json.dumps, ensure_ascii=False)
  for key, value in record.items():
    shown = line(value)
    if isinstance(value, list):
      entries = ',\n'.join(f'    {line(entry)}' for entry in value)
      shown = f'[\n{entries}\n  ]'
    elif isinstance(value, dict) and len(shown) > _LONGEST_LINE:
      entries = ',\n'.join(
        f'    {line(k)}: {line(v)}' for k, v in value.items()
      )
      shown = f'{{\n{entries}\n  }}'
    lines.append(f'  {line(key)}: {shown}')
  return '{\n' + ',\n'.join(lines) + '\n}\n'


def _from_time(
  facts: Sequence[facts_lib.Facts], time: time_forms.Time
) -> list[str]:
  """Categories to make of the time, which the log has not and which vary."""
  named = {
    word
    for one in facts
    if one.name != time.column
    for word in words.of(one.name)
  }
  made = []
  if time.is_date and time.has_clock and time.days >= _LEAST_DAYS['hour']:
    made += [] if named & {'hour', 'hourmin'} else ['hour']
  least = _LEAST_DAYS['weekday']
  # The days of four years tell the year.
  if time.is_date and time.days >= least and time.different >= least:
    made += [] if named & {'weekday', 'dow'} else ['weekday']
  return made


def _fields(
  keys_: Sequence[str], fields: Mapping[str, features.Feature]
) -> dict[str, list[Any]]:
  """Entries of keys and fields by kind; a name alone where that says all."""
  kinds = {column: 'categorical' for column in keys_}
  kinds |= {column: field.kind for column, field in fields.items()}
  field_names = schema_names.unique(
    column for column, kind in kinds.items() if kind
  )
  found: dict[str, list[Any]] = {kind: [] for kind in manifest_lib.KINDS}
  for column, name in field_names.items():
    entry: dict[str, Any] = {'column': column}
    if name != column:
      entry['name'] = name
    if column in fields:
      entry |= fields[column].more
    found[kinds[column]].append(column if len(entry) == 1 else entry)
  return {kind: entries for kind, entries in found.items() if entries}


def problem(
  log: pathlib.Path,
  sample: sample_lib.Sample,
  facts: Sequence[facts_lib.Facts],
  taken: Collection[str],
  happened: events.Events | None,
  record: Mapping[str, Any],
) -> str:
  """Why `rmtl prepare` could not use the schema, in one line, or ''."""
  if happened and 'events' not in record:
    known = events.source_of(sample.names)
    read = f'; `rmtl prepare --source={known}` reads it' if known else ''
    return (
      f'{log}: a log of events, not of impressions: {happened.text()}; expected'
      f' columns named like an item, a time, and a user or session{read}'
    )
  if 'tasks' not in record:
    return (
      f'{log}: no column looks like a label: none holds two values and is'
      ' named like an answer, or stands last;'
      f' {two_valued.candidates(facts, taken)}'
      f'{_others_may_be(facts)}{_may_be_lists(facts)}'
      f'{_some_have(sample) or _taken_alone(facts, record)}'
      f'{_of_one_column(sample)}'
    )
  if not record.keys() & set(manifest_lib.KINDS):
    return f'{log}: no column is left that a model could learn from'
  return ''


def _others_may_be(facts: Sequence[facts_lib.Facts]) -> str:
  """Says which columns of several texts may hold answers."""
  found = ''
  for one in facts:
    is_type = words.of(one.name) == ['type'] and one.is_key
    if not (one.kind == 'text' or is_type) or not (
      2 < one.distinct <= _MOST_ANSWERS
    ):
      continue
    if is_type:
      found += f'; {one.name} may say what happened: call it event_type'
    elif key_names.rank(one.name, 'event') is not None:
      found += (
        f'; {one.name} may say what happened, which "events" in a schema'
        ' declares'
      )
    elif label_names.may_be_answer(one.name):
      found += (
        f'; {one.name} holds {one.distinct} texts: as 0 and 1, or by "positive"'
        ' in a task, it is a label'
      )
  return found


def _may_be_lists(facts: Sequence[facts_lib.Facts]) -> str:
  """Says which columns may be lists of what should be rows."""
  found = [
    one.name
    for one in facts
    if one.kind == 'structs'
    or (
      one.kind in ('list', 'other')
      and (
        _may_be_rows(one.name)
        or time_names.is_time(one.name)
        or key_names.rank(one.name, 'item') is not None
      )
    )
  ]
  if not found:
    return ''
  shown = ', '.join(found[:_MOST_SHOWN])
  return f'; {shown} may be lists of rows: {folders.FORMS} parts them'


def _taken_alone(
  facts: Sequence[facts_lib.Facts], record: Mapping[str, Any]
) -> str:
  """Says how a log without a label gets one, if it has what was taken alone."""
  is_log = 'item' in record and {'user', 'session'} & {*record}
  if not is_log or _others_may_be(facts) or _may_be_lists(facts):
    return ''
  return (
    '; if its rows are what was taken alone, as purchases,'
    f' {folders.FORMS} draws others beside them'
  )


def _of_one_column(sample: sample_lib.Sample) -> str:
  """Says what parts the values of a file that seems to have one column."""
  if len(sample.names) > 1:
    return ''
  return (
    '; its one column may be several: --delimiter names the sign between'
    f' them, {folders.FORMS} reads signs such as ::'
  )


def _some_have(sample: sample_lib.Sample) -> str:
  """Says which columns were not looked at, as some files lack them."""
  if not sample.partial:
    return ''
  shown = ', '.join(sample.partial[:_MOST_SHOWN])
  return (
    f'; columns that only some of its files have: {shown}; {folders.FORMS}'
    ' joins tables'
  )


def _without_key(
  facts: Sequence[facts_lib.Facts], key: str, remedy: str
) -> list[str]:
  """Says that some rows lack a key without which none is taken."""
  one = next(one for one in facts if one.name == key)
  if one.filled == one.rows:
    return []
  return [
    f'{one.missing:.1%} of the rows have no {key}, and `rmtl prepare` takes no'
    f' row without {remedy}.'
  ]


def _told_by_other_rows(
  roles: Mapping[str, keys.Key],
  time: time_forms.Time | None,
  tasks: Sequence[labels.Label],
) -> list[str]:
  """Says which labels are one for all rows of a user, or of a session."""
  if 'user' not in roles:
    return []
  remedies = {'user': '--split_by=user'}
  if time:  # of which there are rates of labels before a row
    views = 'views,' if 'item' in roles else ''
    without_rates = f'--as_of=gap,position,{views}counts, without rates,'
    remedies['user'] += f' and {without_rates}'
    remedies['session'] = without_rates
  found = {
    task.column: f'{task.column} is the same in all rows of each'
    f' {roles[role].column}, so other rows tell it:'
    f' {remedies[role]} keeps it from a model.'
    for role in ('session', 'user')
    if role in roles and role in remedies
    for task in tasks
    if task.kind == 'binary'
    and two_valued.is_same_for(task.facts, roles[role].column)
  }
  return [*found.values()]


def notes(
  sample: sample_lib.Sample,
  facts: Sequence[facts_lib.Facts],
  roles: Mapping[str, keys.Key],
  time: time_forms.Time | None,
  tasks: Sequence[labels.Label],
  record: Mapping[str, Any],
  may_be_times: Sequence[str] = (),
) -> list[str]:
  """What a person should know, in sentences.

  Args:
    roles: keys by role.
    may_be_times: columns that may be the time, where none was taken.
  """
  found = []
  if 'events' in record:
    shown = ', '.join(record['events']['impressions'])
    found.append(
      'A log of events, not of impressions: a row will be a pair of session and'
      f' item with an event {shown}, its labels the other events of the pair.'
    )
    item = roles['item'].column
    found += _without_key(facts, item, 'an item here: leave them out')
  known = events.source_of(sample.names)
  if known:
    found.append(
      f'The columns are those of a log that `rmtl prepare --source={known}`'
      ' reads, with the tables beside it.'
    )
  if 'session' in roles:
    session = roles['session'].column
    found.append(f'Sessions: the rows of one {session}.')
    if 'user' not in roles:
      found += _without_key(facts, session, f'{_OF_USER} a user')
  elif 'user' in roles and time:
    found.append(
      f'Sessions: rows of one {roles["user"].column}, until a gap above'
      ' --idle_minutes (30).'
    )
    user = roles['user'].column
    found += _without_key(facts, user, f'{_OF_USER} a session')
  else:
    found.append(
      'No session, and no user with a time: every row is a session of its own,'
      ' and critics have no future to foresee.'
    )
  if sample.faulty:
    found.append(
      f'Rows with more or fewer values than the header: {sample.faulty:,};'
      ' `rmtl prepare` will name the first.'
    )
  if sample.partial:
    found.append(
      f'Columns that not all files have, left out: {", ".join(sample.partial)}.'
    )
  if time is None:
    found.append(
      'No time of the rows: sessions are drawn for the splits, and no feature'
      ' tells what came before a row.'
    )
    if parts := time_names.parts_of_date(one.name for one in facts):
      found.append(
        f'{", ".join(parts)} may be the parts of a date: a column that joins'
        ' them, as 2024-05-01, is read as the time.'
      )
    if may_be_times:
      found.append(
        f'Columns that may be it, of which none was taken:'
        f' {", ".join(may_be_times)}; "time" in the schema says which.'
      )
  elif not time_names.may_be_time(time.column):
    found.append(f'The time is {time.column} by its values: {time.why}.')
  elif time_names.is_later(time.column):
    found.append(
      f'{time.column} may be later than its row, by its name; "time" in the'
      ' schema says which column is the time.'
    )
  if time and not time.is_date:
    counts = 'counts from the beginning of the log'
    if time.form.get('unit') == 'd':
      counts = 'is read as days'
    found.append(
      f'{time.column} {counts}, so `rmtl prepare` needs --any_dates.'
    )
  elif time and time.is_old:
    found.append(
      f'{time.column} begins before the year 2000, so `rmtl prepare` needs'
      ' --any_dates.'
    )
  if 'from_time' in record:
    found.append(
      f'Categories made of the time: {" and ".join(record["from_time"])}.'
    )
  found += _told_by_other_rows(roles, time, tasks)
  declared = record.get('tasks', ())
  for task in declared:
    if 'at_least' in task:
      found.append(
        f'{task["name"]}: {task["column"]} of {task["at_least"]:g} and more, a'
        ' second task of the column. Drop the one that is not wanted.'
      )
  for task in declared:
    if 'time_column' in task:
      found.append(
        f'{task["name"]}: 1 where {task["time_column"]["column"]} tells when,'
        " and known from then on; what comes after its split's end is 0 there."
      )
  known = [task['column'] for task in declared if task.get(_KNOWN) == 0]
  if known:
    found.append(f'{known[0]}: taken as known with its row ("{_KNOWN}").')
  elif time and any(task.told_by is None for task in tasks):
    found.append(
      f'When labels are known, "{_KNOWN}" in a task says: 0 for ratings and'
      ' answers, which then tell of the same session too; more where they come'
      ' late.'
    )
  return found
