"""The labels of a schema."""

from __future__ import annotations

from typing import Any

from rmtl_jax.config import kinds
from rmtl_jax.preparation import source
from rmtl_jax.preparation.raw import times
from rmtl_jax.preparation.schema import events as events_lib
from rmtl_jax.preparation.schema import label_entries as labels_lib
from rmtl_jax.preparation.schema import part as part_lib

_TASK_KEYS = (
  *labels_lib.KEYS,
  'name',
  'after',
  'kind',
  'loss',
  'levels',
  'only_after',
  'weight',
  'negatives_kept',
)


def parse_tasks(
  part: part_lib.Part, clock: times.Time, events: events_lib.Events | None
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
    column, settings = labels_lib.parse_labels(
      entry, of_kind['kind'], clock, events
    )
    name, after = entry.name(column), entry.optional('after')
    if name.lower() in taken:
      entry.fail(f'task {name!r} occurs twice')
    taken.add(name.lower())
    if after is not None and after not in tasks:
      entry.fail(f'after: {after!r} is not a task listed before')
    only_after = entry.flag('only_after')
    weights = part.optional('weight'), entry.optional('weight')
    tasks[name] = source.SourceTask(
      name,
      after,
      column,
      only_after=only_after,
      weights=tuple(w for w in weights if w is not None),
      negatives_kept=entry.share('negatives_kept'),
      **of_kind,
      **settings,
    )
    _check(entry, tasks[name], tasks.get(after or ''))
    if tasks[name].negatives_kept is not None:
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


def _kind(entry: part_lib.Part) -> dict[str, Any]:
  """The kind of a task's entry, as arguments of a SourceTask."""
  kind = entry.text('kind', kinds.BINARY, kinds.KINDS)
  possible = kinds.losses_of(kind)
  loss = entry.text('loss', possible[0], possible)
  settings = kinds.LOSSES.find(loss).settings
  entry.known((*_TASK_KEYS, *settings))
  given = {key: entry.positive(key) for key in settings if key in entry.record}
  levels: tuple[int, ...] = ()
  if 'levels' in entry.record:
    if kind != kinds.ORDINAL:
      entry.fail('levels: only an ordinal task has levels')
    levels = entry.levels('levels')
  return {
    'kind': kind,
    'loss': loss,
    'settings': tuple(given.items()),
    'levels': levels,
  }
