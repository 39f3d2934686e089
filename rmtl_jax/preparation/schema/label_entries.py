"""Where a task of a schema has its labels: in a column, or as times."""

from __future__ import annotations

from typing import Any

from rmtl_jax.config import kinds
from rmtl_jax.preparation import source
from rmtl_jax.preparation.raw import times
from rmtl_jax.preparation.schema import clocks, nulls
from rmtl_jax.preparation.schema import events as events_lib
from rmtl_jax.preparation.schema import part as part_lib

KEYS = (
  *('column', 'time_column', 'positive', 'negative', 'at_least', 'null'),
  *('known_after_seconds', 'within_seconds'),
)
# Keys that a time column replaces.
_OF_TIMES = ('time_column', 'within_seconds')
_OF_LABELS = tuple(key for key in KEYS if key not in _OF_TIMES)


def parse_labels(
  entry: part_lib.Part,
  kind: str,
  clock: times.Time,
  events: events_lib.Events | None,
) -> tuple[str, dict[str, Any]]:
  """Reads the keys of a task's label column.

  Args:
    clock: the form of the time of rows.
    events: meaning of the log's events, if it has such.

  Returns:
    The column of the log, which is the task's name unless it has another, and
    further arguments of a SourceTask.

  Raises:
    types.InputError: a key that is missing, wrong or contradicts another.
  """
  if events and entry.optional('name') in events.labels:
    _refuse(
      entry, kind, (*_OF_LABELS, 'time_column'), 'events gives its labels'
    )
    return events.column, {'timed': True, 'within_ms': _within(entry)}
  if 'time_column' in entry.record:
    _refuse(entry, kind, _OF_LABELS, 'time_column gives its labels')
    # A text stands for the object's `column`.
    given = entry.record['time_column']
    record = {'column': given} if isinstance(given, str) else given
    part = entry.child('time_column', record)
    part.known(('column', 'null', *clocks.KEYS))
    own = clocks.parse_clock(part, clock)
    return part.text('column'), {
      'timed': True,
      'clock': own,
      'within_ms': _within(entry),
    }
  if 'within_seconds' in entry.record:
    entry.fail(
      'within_seconds: needs the time of the event: give time_column, or labels'
      ' under "events"'
    )
  seconds = entry.seconds('known_after_seconds')
  positive, negative = _words(entry, kind)
  return entry.text('column'), {
    'known_after_ms': None if seconds is None else round(seconds * 1000),
    'positive': positive,
    'negative': negative,
    'at_least': _least(entry, kind),
    'nullable': nulls.is_nullable(entry),
  }


def label_entries(
  task: source.SourceTask,
  nulls_of: dict[str, tuple[str, ...]],
  clock: times.Time,
) -> dict[str, Any]:
  """The keys that `parse_labels` reads; `clock` is the form of rows' times."""
  null = nulls.null_entry(nulls_of, task.column)
  within: dict[str, Any] = {}
  if task.within_ms is not None:
    within = {'within_seconds': task.within_ms / 1000}
  if task.clock is not None:
    own = clocks.clock_entries(task.clock, clock)
    return {'time_column': {'column': task.column} | own | null} | within
  if task.timed:
    return within
  after = task.known_after_ms
  words = {'positive': task.positive, 'negative': task.negative}
  return {
    'column': task.column,
    **({} if after is None else {'known_after_seconds': after / 1000}),
    **{key: list(texts) for key, texts in words.items() if texts},
    **({} if task.at_least is None else {'at_least': task.at_least}),
    **({'null': nulls.NOT_OBSERVED} if task.nullable else {}),
    **null,
  }


def _within(entry: part_lib.Part) -> int | None:
  """The delay, ms, after which a label is final; None if it always is."""
  seconds = entry.seconds('within_seconds')
  if seconds is None:
    return None
  if not seconds:
    entry.fail('within_seconds: expected more than 0')
  return round(seconds * 1000)


def _refuse(
  entry: part_lib.Part, kind: str, keys: tuple[str, ...], why: str
) -> None:
  for key in keys:
    if key in entry.record:
      entry.fail(f'{key}: {why}, so leave it out')
  if kind != kinds.BINARY:
    entry.fail(f'kind: {why}, as times, which only a binary task can have')


def _words(
  entry: part_lib.Part, kind: str
) -> tuple[tuple[str, ...], tuple[str, ...]]:
  """The texts that are positive and negative labels."""
  positive, negative = (
    entry.texts(key, empty=True) for key in ('positive', 'negative')
  )
  if (positive or negative) and kind != kinds.BINARY:
    entry.fail('positive: only the labels of a binary task are words')
  if both := sorted({*positive} & {*negative}):
    entry.fail(f'negative: {both[0]!r} is among "positive" too')
  return positive, negative


def _least(entry: part_lib.Part, kind: str) -> float | None:
  """The number from which on a label is positive, if one is given."""
  if 'at_least' not in entry.record:
    return None
  if kind != kinds.BINARY:
    entry.fail('at_least: only the labels of a binary task begin at a number')
  for key in ('positive', 'negative'):
    if key in entry.record:
      entry.fail(f'{key}: at_least defines positives, so leave it out')
  return entry.finite('at_least')
