"""The guess itself: from a log to a schema, with a reason for every column."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from rmtl_jax import types
from rmtl_jax.preparation import given_splits
from rmtl_jax.preparation.guess import (
  events,
  features,
  key_names,
  keys,
  label_times,
  leaks,
  panels,
  time_names,
  times,
  two_valued,
  writing,
)
from rmtl_jax.preparation.guess import facts as facts_lib
from rmtl_jax.preparation.guess import labels as labels_lib
from rmtl_jax.preparation.guess import sample as sample_lib

ROWS = 100_000


@dataclasses.dataclass(frozen=True)
class ColumnGuess:
  """What a column was taken for.

  Attributes:
    name: of the column.
    role: `user`, `item`, `session`, `time`, `label`, `event`,
      `category`, `number`, `list`, `leak` or `left out`.
    why: in words.
    kind: of its values: `number`, `bool`, `time`, `list`, `text`,
      `structs` (lists of them), `other`.
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
    any_dates: whether times are none since 1970, or before the year 2000.
    split_column: the column by which the log is split, or ''.
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
  split_column: str = ''
  problem: str = ''


def guess(
  log: str | os.PathLike[str],
  rows: int = ROWS,
  delimiter: str = '',
  labels: Collection[str] = (),
) -> Guess:
  """`guess_schema`; where it finds no label, `problem` says so.

  Raises:
    types.InputError: no such files, or empty, unreadable or headerless ones, or
      no such labels.
  """
  log = pathlib.Path(log)
  sample = sample_lib.read(log, rows, delimiter)
  facts = facts_lib.find(sample, log)
  two_valued.check_given(facts, labels)
  others = [one for one in facts if one.name not in labels]
  by_names = keys.by_names(sample, others)
  time, other_times = times.find(others, by_names)
  may_be_times: list[str] = []
  panel = None
  if time is None or time_names.is_later(time.column):
    unnamed, may_be_times = times.by_values(others, by_names)
    if time and unnamed and times.outdoes(unnamed, time):
      other_times = times.because_of(unnamed, time, other_times)
      time = None
    time = time or unnamed
  if time is None:
    if rows == ROWS and panels.needs_all(sample, others, by_names):
      return guess(log, sample_lib.ALL_ROWS, delimiter, labels)
    may_be_times = may_be_times or times.may_be(others)
    panel = panels.find(sample, others, by_names)
    time = panel.time if panel else None
  all_times = {*other_times, *([time.column] if time else [])}
  row_time = time.column if time else None
  roles = keys.find(sample, others, by_names, row_time, all_times)
  if panel and not {'user', 'item'} & {*by_names}:
    roles['user'] = panel.key
  # {column: (role, why)} of all that is no feature.
  not_used = _named(others) | other_times
  found = {
    **{name: ('left out', why) for name, why in not_used.items()},
    **{key.column: (role, key.why) for role, key in roles.items()},
    **({time.column: ('time', time.why)} if time else {}),
  }
  taken = {*found}
  happened = events.find(sample, facts)
  given = {one.name: one for one in facts if one.name in labels}
  timed = label_times.alone(facts, time, labels) if labels else []
  given |= {one.name: one for one in timed}
  two_valued.check_times(given)
  may_be = [given.get(one.name, one) for one in facts]
  may_be_number = happened is None or not happened.are_known
  tasks, no_tasks = labels_lib.find(
    may_be, roles, found, labels, may_be_number=may_be_number
  )
  # That somebody clicked comes before how long they stayed.
  is_other = any(
    task.kind == 'binary' or labels_lib.is_rating(task.facts) for task in tasks
  )
  if not (is_other or labels or happened) and (
    timed := label_times.alone(facts, time)
  ):
    tasks, _ = labels_lib.find(timed, roles, ())
    _, no_tasks = labels_lib.find(may_be, roles, found, may_be_number=False)
  tasks = [
    task._replace(told_by=task.facts) if task.facts.timed else task
    for task in tasks
  ]
  found |= {name: ('left out', why) for name, why in no_tasks.items()}
  found |= {task.column: ('label', task.why) for task in tasks}
  taken_by = {n for n, (role, _) in found.items() if role != 'left out'}
  told = label_times.find(facts, time, tasks, taken_by)
  soon = {name: one.facts for name, one in told.items() if one.is_soon}
  tasks = [
    task._replace(told_by=soon.get(task.column, task.told_by)) for task in tasks
  ]
  for name, one in soon.items():
    found[one.name] = 'label', f'the time at which {name} became 1'
  may_leak = [
    one
    for one in facts
    if one.name not in found or found[one.name][0] == 'left out'
  ]
  for name, why in leaks.find(may_leak, tasks).items():
    # An answer that tells another is no task beside it.
    said = found.get(name, ('', ''))[1]
    said = f'; {said}' if said and '--label' not in said else ''
    found[name] = 'leak', why + said
  for name, one in told.items():
    column = one.facts.name
    if not one.is_soon and column in found:
      role, why = found[column]
      why += (
        f'; as "time_column" of {name} it may tell when, but many come late'
      )
      found[column] = role, why
  for name, why in leaks.of_whole_sessions(facts, roles).items():
    found.setdefault(name, ('left out', why))
  happened = None if tasks else happened
  if happened:
    found[happened.column] = 'event', f'what happened: {happened.listed()}'
    for name, why in events.of_some(sample, facts, happened).items():
      found[name] = 'leak', why
  fields = {
    one.name: features.guess(one) for one in facts if one.name not in found
  }
  for name, why in keys.refused(facts).items():
    if name in fields:
      fields[name] = fields[name].because(why)
  schema = writing.schema(sample, facts, roles, time, tasks, fields, happened)
  return Guess(
    log=log,
    schema=schema,
    columns=tuple(_column(one, found, fields) for one in facts),
    rows=sample.rows,
    log_rows=sample.log_rows,
    is_whole=sample.is_whole,
    notes=tuple(
      writing.notes(sample, facts, roles, time, tasks, schema, may_be_times)
    ),
    any_dates=time is not None and time.needs_any_dates,
    split_column=_split_column(sample, facts),
    problem=times.fault(log, sample, facts, time)
    or writing.problem(log, sample, facts, taken, happened, schema),
  )


def guess_schema(
  log: str | os.PathLike[str],
  rows: int = ROWS,
  delimiter: str = '',
  labels: Collection[str] = (),
) -> Guess:
  """Guesses the schema of a raw log, as `rmtl init` does.

  Args:
    log: a CSV or Parquet file, or a directory of such.
    rows: how many rows to read, about, from all over the log.
    delimiter: between a CSV file's values; empty: found in the header.
    labels: columns that are the labels, whatever their names; empty: guessed.

  Returns:
    `schema`, to be written as JSON for source `table`, and `columns`, what
    each column was taken for and why.

  Raises:
    types.InputError: no such files, empty, unreadable or headerless ones, no
      such labels, or nothing that looks like a label.
  """
  found = guess(log, rows, delimiter, labels)
  if found.problem:
    raise types.InputError(found.problem)
  return found


_LEFT_OUT = {
  'weight': 'named like the weight of a row; "weight" in the schema says so',
  'split': 'named like a split; `rmtl prepare` can split the rows by it',
}
_MOST_SPLITS = 10


def _named(facts: Sequence[facts_lib.Facts]) -> dict[str, str]:
  """Why columns with the name of a weight or of a split are no features."""
  found = {}
  for one in facts:
    fits = {
      'weight': one.kind == 'number' and one.least >= 0,
      'split': one.distinct <= _MOST_SPLITS,
    }
    for role, why in _LEFT_OUT.items():
      if fits[role] and key_names.rank(one.name, role) is not None:
        found[one.name] = why
  return found


def _split_column(
  sample: sample_lib.Sample, facts: Sequence[facts_lib.Facts]
) -> str:
  """The column that says train and test in words that prepare knows."""
  known = {v for values in given_splits.VALUES.values() for v in values}
  for one in facts:
    if key_names.rank(one.name, 'split') is None or one.distinct > _MOST_SPLITS:
      continue
    rows = sample.fetch(f'DISTINCT {one.text}')
    if {'train', 'test'} <= {row[0] for row in rows} <= known:
      return one.name
  return ''


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
    listed = dict.fromkeys(text.strip() or 'blank' for text in facts.nothing)
    why += f'; {", ".join(listed)} stands for nothing'
  return ColumnGuess(
    facts.name, role, why, facts.kind, facts.distinct, facts.missing
  )
