"""The labels of a schema."""

from __future__ import annotations

from typing import Any

from rmtl_jax.config import kinds
from rmtl_jax.preparation import source
from rmtl_jax.preparation.schema import nulls
from rmtl_jax.preparation.schema import part as part_lib

_TASK_KEYS = (
  'column',
  'name',
  'after',
  'known_after_seconds',
  'kind',
  'loss',
  'levels',
  'positive',
  'negative',
  'null',
  'only_after',
  'weight',
  'negatives_kept',
)


def parse_tasks(part: part_lib.Part) -> tuple[source.SourceTask, ...]:
  """The tasks, parents before children.

  Args:
    part: the schema.

  Raises:
    types.InputError: no task, or a key of one that is missing, unknown, wrong
      or contradicts another.
  """
  tasks: dict[str, source.SourceTask] = {}
  taken: set[str] = set()  # case does not count in SQL
  sampled_by = ''
  for entry in part.entries('tasks'):
    of_kind = _kind(entry)
    column = entry.text('column')
    name, after = entry.name(column), entry.optional('after')
    if name.lower() in taken:
      entry.fail(f'task {name!r} stands twice')
    taken.add(name.lower())
    if after is not None and after not in tasks:
      entry.fail(f'after: {after!r} is not a task listed before')
    if after is not None and tasks[after].kind != kinds.BINARY:
      entry.fail(f'after: {after!r} is not binary, so nothing implies it')
    only_after = entry.flag('only_after')
    is_ordinal = of_kind['kind'] == kinds.ORDINAL
    if after is not None and is_ordinal and not only_after:
      entry.fail('after: an ordinal task implies no other (see only_after)')
    seconds = entry.seconds('known_after_seconds')
    known_ms = None if seconds is None else round(seconds * 1000)
    weights = part.optional('weight'), entry.optional('weight')
    positive, negative = _words(entry, of_kind['kind'])
    tasks[name] = source.SourceTask(
      name,
      after,
      column,
      known_after_ms=known_ms,
      positive=positive,
      negative=negative,
      nullable=nulls.is_nullable(entry),
      only_after=only_after,
      weights=tuple(w for w in weights if w is not None),
      negatives_kept=entry.share('negatives_kept'),
      **of_kind,
    )
    if tasks[name].only_after and after is None:
      entry.fail('only_after: expected "after" beside it, the task before')
    if tasks[name].negatives_kept and of_kind['kind'] != kinds.BINARY:
      entry.fail('negatives_kept: only a binary task has negatives')
    if tasks[name].negatives_kept is not None:
      if sampled_by:
        entry.fail(
          f'negatives_kept: {sampled_by!r} has it too; rows are sampled by one'
          ' task (a "weight" of 1 / rate serves other samples)'
        )
      sampled_by = name
  if not tasks:
    part.fail('tasks: expected at least one')
  return tuple(tasks.values())


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


def _kind(entry: part_lib.Part) -> dict[str, Any]:
  """What a task's entry says of its kind, as arguments of a SourceTask."""
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
