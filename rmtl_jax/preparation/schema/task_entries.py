"""The labels of a schema: columns of labels, or of the times of events."""

from __future__ import annotations

import sys
from typing import Any

from rmtl_jax.config import kinds
from rmtl_jax.preparation import source
from rmtl_jax.preparation.raw import times
from rmtl_jax.preparation.schema import log_entries
from rmtl_jax.preparation.schema import part as part_lib

# Keys that say how a column's values are labels.
_OF_COLUMN = (
  *('column', 'positive', 'negative', 'at_least', 'null'),
  'known_after_seconds',
)
_KEYS = (
  *(*_OF_COLUMN, 'time_column', 'within_seconds', 'name', 'after', 'kind'),
  *('loss', 'levels', 'only_after', 'weight', 'negatives_kept'),
)
_NULLS = 'refused', log_entries.NOT_OBSERVED
_LONGEST_S = 10**9


def parse_tasks(
  part: part_lib.Part, clock: times.Time, events: log_entries.Events | None
) -> tuple[source.SourceTask, ...]:
  """The tasks, parents before children.

  Args:
    clock: the form of the time of rows.
    events: meaning of the log's events, if it has such.

  Raises:
    types.InputError: no task, or a key of one that is missing, unknown, wrong
      or contradicts another.
  """
  tasks: dict[str, source.SourceTask] = {}
  taken: set[str] = set()  # case does not count in SQL
  sampled_by = ''
  for entry in part.entries('tasks'):
    of_kind = _kind(entry)
    column, settings = _labels(entry, of_kind['kind'], clock, events)
    name, after = entry.name(column), entry.optional('after')
    if name.lower() in taken:
      entry.fail(f'task {name!r} occurs twice')
    taken.add(name.lower())
    if after is not None and after not in tasks:
      entry.fail(f'after: {after!r} is not a task listed before')
    weights = part.optional('weight'), entry.optional('weight')
    rate = entry.number(
      'negatives_kept', lambda n: 0 < n <= 1, 'a rate above 0, at most 1'
    )
    task = source.SourceTask(
      name,
      after,
      column,
      only_after=entry.flag('only_after'),
      weights=tuple(w for w in weights if w is not None),
      negatives_kept=None if rate == 1 else rate,
      **of_kind,
      **settings,
    )
    _check(entry, task, tasks.get(after or ''))
    tasks[name] = task
    if task.negatives_kept is not None:
      if sampled_by:
        entry.fail(
          f'negatives_kept: {sampled_by!r} has it too; rows are sampled by one'
          ' task (a "weight" of 1 / rate serves other samples)'
        )
      sampled_by = name
  if not tasks:
    part.fail('tasks: expected at least one')
  if sampled_by and source.delayed(tuple(tasks.values())):
    part.fail('tasks: within_seconds and negatives_kept exclude each other')
  for name in events.labels if events else ():
    if name not in tasks:
      part.fail(f'events: labels: {name!r} is none of the tasks')
  return tuple(tasks.values())


def _check(
  entry: part_lib.Part,
  task: source.SourceTask,
  parent: source.SourceTask | None,
) -> None:
  """Refuses keys of a task that contradict one another."""
  if parent is not None and parent.kind != kinds.BINARY:
    entry.fail(f'after: {parent.name!r} is not binary, so nothing implies it')
  if parent is not None and not task.only_after:
    if task.kind == kinds.ORDINAL:
      entry.fail('after: an ordinal task implies no other (see only_after)')
    if parent.timed and not task.timed:
      entry.fail(
        f'after: the labels of {parent.name!r} are times, and those of'
        f" {task.name!r} are not, so at a split's end one may be known without"
        ' the other'
      )
  if task.only_after and parent is None:
    entry.fail('only_after: expected "after" with it, the task before')
  if task.within_ms is not None and (task.weights or task.only_after):
    entry.fail('within_seconds: excludes weight and only_after')
  if task.negatives_kept and task.kind != kinds.BINARY:
    entry.fail('negatives_kept: only a binary task has negatives')
  if task.positive or task.negative or task.at_least is not None:
    if task.kind != kinds.BINARY:
      entry.fail('positive, negative, at_least: only of a binary task')
    if task.at_least is not None and (task.positive or task.negative):
      entry.fail('at_least: defines positives; leave positive, negative out')
  if both := sorted({*task.positive} & {*task.negative}):
    entry.fail(f'negative: {both[0]!r} is among "positive" too')


def _kind(entry: part_lib.Part) -> dict[str, Any]:
  """The kind of a task's entry, as arguments of a SourceTask."""
  kind = entry.text('kind', kinds.BINARY, kinds.KINDS)
  possible = kinds.losses_of(kind)
  loss = entry.text('loss', possible[0], possible)
  settings = kinds.LOSSES.find(loss).settings
  entry.known((*_KEYS, *settings))
  given = {
    key: entry.number(
      key, lambda n: 0 < n <= sys.float_info.max, 'a number above 0'
    )
    for key in settings
  }
  levels = entry.record.get('levels')
  if levels is not None:
    if kind != kinds.ORDINAL:
      entry.fail('levels: only an ordinal task has levels')
    most = kinds.MOST_LEVELS
    right = (
      isinstance(levels, list)
      and all(type(n) is int for n in levels)
      and 2 <= len(levels) <= most
      and sorted(set(levels)) == levels
    )
    expected = f'2 to {most} increasing whole numbers'
    entry.expect(right, 'levels', levels, expected)
  return {
    'kind': kind,
    'loss': loss,
    'settings': tuple((k, v) for k, v in given.items() if v is not None),
    'levels': tuple(levels or ()),
  }


def _labels(
  entry: part_lib.Part,
  kind: str,
  clock: times.Time,
  events: log_entries.Events | None,
) -> tuple[str, dict[str, Any]]:
  """A task's column, and how it has labels, as arguments of a SourceTask."""
  within = _milliseconds(entry, 'within_seconds')
  by_events = events is not None and entry.optional('name') in events.labels
  if by_events or 'time_column' in entry.record:
    giver = 'events' if by_events else 'time_column'
    for key in (*_OF_COLUMN, *(('time_column',) if by_events else ())):
      if key in entry.record:
        entry.fail(f'{key}: {giver} gives the labels, so leave it out')
    if kind != kinds.BINARY:
      entry.fail(f'kind: {giver} gives times, which only a binary task has')
    if within == 0:
      entry.fail('within_seconds: expected more than 0')
    timed: dict[str, Any] = {'timed': True, 'within_ms': within}
    if events is not None and by_events:
      return events.column, timed
    part = entry.group('time_column')
    part.known(('column', 'null', *log_entries.CLOCK))
    of_events = log_entries.parse_clock(part, clock)
    return part.text('column'), timed | {'clock': of_events}
  if within is not None:
    entry.fail(
      'within_seconds: needs the time of the event: give time_column, or labels'
      ' under "events"'
    )
  is_list = isinstance(entry.record.get('null'), list)
  null = '' if is_list else entry.text('null', 'refused', _NULLS)
  return entry.text('column'), {
    'known_after_ms': _milliseconds(entry, 'known_after_seconds'),
    'positive': entry.texts('positive', empty=True),
    'negative': entry.texts('negative', empty=True),
    'at_least': entry.number(
      'at_least', lambda n: abs(n) <= sys.float_info.max, 'a finite number'
    ),
    'nullable': is_list or null == log_entries.NOT_OBSERVED,
  }


def _milliseconds(entry: part_lib.Part, key: str) -> int | None:
  """A duration in seconds as ms, or None."""
  expected = f'a number from 0 to {_LONGEST_S}'
  seconds = entry.number(key, lambda n: 0 <= n <= _LONGEST_S, expected)
  return None if seconds is None else round(seconds * 1000)
