"""The shape of a log's state, and when its labels count, as in training.

rmtl_jax.preparation.label_sql and rmtl_jax.preparation.as_of.rates do in SQL
for all rows what is done here for one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import TypeAlias

from rmtl_jax import types
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.preparation import source
from rmtl_jax.preparation.as_of import rates
from rmtl_jax.preparation.schema import log_entries
from rmtl_jax.serving import log_columns, row_past

_FOREVER = 2**63 - 1
# Of what is described, the values at which ranks of labels begin.
RANKS = 'ranks'
# Label, or its rank, and time at which a positive is known, ms, of each task;
# None: unknown.
Labels: TypeAlias = Sequence[Sequence[int | None]]


@dataclasses.dataclass(frozen=True)
class Shape:
  """The properties of a log that its state depends on.

  Attributes:
    tasks: the log's, parents before children.
    idle_ms: the longest gap within a visit.
    boundaries: starts of the first validation and first test session, ms.
    columns: names of the raw columns.
    events: in a log of events what their kinds mean; None of a log of rows.
    tastes: names of the fields that `tastes` is made by.
    lists: those of these fields that have lists.
  """

  tasks: tuple[source.SourceTask, ...]
  idle_ms: int
  boundaries: tuple[int | None, int | None]
  columns: tuple[str | None, ...]
  events: log_entries.Events | None = None
  tastes: tuple[str, ...] = ()
  lists: tuple[str, ...] = ()

  def split_end(self, start: int) -> int:
    """When the split of a session ends, ms.

    Args:
      start: of the session, ms.
    """
    for boundary in self.boundaries:
      if boundary is not None and start < boundary:
        return boundary
    return _FOREVER

  def described(self) -> dict[str, object]:
    """Properties that must not change while a state is in use."""
    found: dict[str, object] = {
      'columns': list(self.columns),
      'tasks': [task.name for task in self.tasks],
      'labels': [
        [
          task.after,
          task.timed,
          task.known_after_ms,
          task.within_ms,
          [*task.positive],
          [*task.negative],
          task.nullable,
          task.only_after,
          *([] if task.at_least is None else [task.at_least]),
        ]
        for task in self.tasks
      ],
      'idle_ms': self.idle_ms,
    }
    if ranks := {t.name: list(t.edges) for t in self.tasks if t.edges}:
      found[RANKS] = ranks
    if self.events is not None:
      found['events'] = [
        self.events.column,
        [*self.events.impressions],
        {task: [*kinds] for task, kinds in self.events.labels.items()},
      ]
    if self.tastes:
      found['tastes'] = list(self.tastes)
    if self.lists:
      found['lists'] = list(self.lists)
    return found


def of_manifest(manifest: manifest_lib.Manifest) -> Shape:
  """The shape of a model's log.

  Raises:
    types.InputError: no state can be kept for it.
  """
  schema = log_columns.make_log_schema(manifest)
  if schema.time is None:
    raise types.InputError('--state: the log has no time')
  splits = manifest.splits
  return Shape(
    schema.tasks,
    row_past.idle_ms(manifest),
    (splits['train'].end_ms, splits['validation'].end_ms),
    (schema.time, schema.session, schema.user, schema.item, *schema.labels),
    schema.events,
    tuple(schema.tastes),
    tuple(schema.lists),
  )


def sums(tasks: Sequence[source.SourceTask]) -> dict[str, bool]:
  """Names of counters: `rows`, and those of `told` and `positives`.

  With whether the last time of it is asked.
  """
  dated = ['rows', *(f'k{i}' for i, t in enumerate(tasks) if _is_dated(t))]
  places = range(len(tasks))
  others = ['n', *(f's{i}' for i in places)]
  others += [f'n{i}' for i in rates.apart(tasks)]
  return dict.fromkeys(dated, True) | dict.fromkeys(others, False)


def _is_dated(task: source.SourceTask) -> bool:
  return task.has_label_time and not task.is_ranked


def censored(
  labels: Labels, tasks: Sequence[source.SourceTask], start: int, end: int
) -> Labels:
  """Labels of a row that only sees events in time, before its split's end.

  Args:
    tasks: the log's, parents before children.
    start: time of the row, ms.
    end: ms.
  """
  names = [task.name for task in tasks]
  found: list[tuple[int | None, int | None]] = []
  for task, (label, time) in zip(tasks, labels, strict=True):
    if task.timed and label == 1:
      last = start + (_FOREVER if task.within_ms is None else task.within_ms)
      if time is None or time >= end or time > last:
        label = 0
    if task.only_after and task.after is not None:
      parent = found[names.index(task.after)][0]
      label = label if parent == 1 else None
    found.append((label, time))
  return found


def tells(labels: Labels, tasks: Sequence[source.SourceTask]) -> bool:
  """Whether a row's labels are features of later rows of its session."""
  return any(
    label == 1 or (label is not None and task.is_ranked)
    for task, (label, _) in zip(tasks, labels, strict=False)
  )


def told(
  labels: Labels, tasks: Sequence[source.SourceTask], known: int
) -> Iterator[tuple[str, int, int]]:
  """Additions of a row to rates: (count, ms from which on, how much).

  Counts are `n`, the rows, `s0`, ... the positives of each task or their ranks,
  and `n0`, ... the rows of a task that has its own (see rates.events_sql).

  Args:
    known: when the row's session has rested.
  """
  given = [label is not None for label, _ in labels]
  if not (any(given) if rates.apart(tasks) else all(given)):
    return
  yield 'n', known, 1
  for i, (label, time) in enumerate(labels):
    if label == 1 and not tasks[i].is_ranked:
      yield f's{i}', _later(known, time), 1
  for i in rates.apart(tasks):
    label, time = labels[i]
    judged = _judged(labels, tasks, i, known)
    if tasks[i].is_ranked:
      if label is not None:
        yield f's{i}', _later(judged, time), label
        yield f'n{i}', _later(judged, time), 1
    elif label == 1:
      yield f'n{i}', min(judged, _later(known, time)), 1
    elif label == 0:
      yield f'n{i}', judged, 1


def positives(
  labels: Labels, tasks: Sequence[source.SourceTask], time: int
) -> Iterator[tuple[str, int]]:
  """A row's positives of tasks with a label time: (count, ms when known).

  As rmtl_jax.preparation.as_of.recency has them.
  """
  for i, ((label, when), task) in enumerate(zip(labels, tasks, strict=True)):
    if label == 1 and _is_dated(task):
      yield f'k{i}', _later(time, when)


def _judged(
  labels: Labels, tasks: Sequence[source.SourceTask], number: int, known: int
) -> int:
  """When a row is known to count for a task, ms."""
  names = [task.name for task in tasks]
  task = tasks[number]
  while task.only_after and task.after is not None:
    parent = names.index(task.after)
    task = tasks[parent]
    known = _later(known, labels[parent][1])
  return known


def _later(known: int, time: int | None) -> int:
  return known if time is None else max(known, time)


def rows_count(tasks: Sequence[source.SourceTask], number: int) -> str:
  """Which count is a task's rows."""
  return f'n{number}' if number in rates.apart(tasks) else 'n'
