"""Labels of rows, and from when on they count, as in training.

What rmtl_jax.preparation.labels and rmtl_jax.preparation.as_of.rates say in SQL
of all rows, here of one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rmtl_jax.preparation import source
from rmtl_jax.preparation.as_of import rates

# Label, or its rank, and time at which a positive is known, ms, of each task;
# None: unknown.
Labels = Sequence[Sequence[int | None]]


def sums(tasks: Sequence[source.SourceTask]) -> dict[str, bool]:
  """What counters count: `rows`, and what `told` and `positives` tell.

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
  labels: Labels, tasks: Sequence[source.SourceTask], end: int
) -> Labels:
  """Labels of a row that only sees events before its split's end.

  Args:
    tasks: the log's, parents before children.
    end: ms.
  """
  names = [task.name for task in tasks]
  found: list[tuple[int | None, int | None]] = []
  for task, (label, time) in zip(tasks, labels, strict=True):
    if task.timed and label == 1 and (time is None or time >= end):
      label = 0
    if task.only_after and task.after is not None:
      parent = found[names.index(task.after)][0]
      label = label if parent == 1 else None
    found.append((label, time))
  return found


def tells(labels: Labels, tasks: Sequence[source.SourceTask]) -> bool:
  """Whether a row's labels tell later rows of its session something."""
  return any(
    label == 1 or (label is not None and task.is_ranked)
    for task, (label, _) in zip(tasks, labels, strict=False)
  )


def counts(labels: Labels, tasks: Sequence[source.SourceTask]) -> bool:
  """Whether a row counts in rates."""
  given = [label is not None for label, _ in labels]
  return any(given) if rates.apart(tasks) else all(given)


def told(
  labels: Labels, tasks: Sequence[source.SourceTask], known: int
) -> Iterator[tuple[str, int, int]]:
  """What a row adds to rates: (count, ms from which on, how much).

  Counts are `n`, the rows, `s0`, ... the positives of each task or their ranks,
  and `n0`, ... the rows of a task that has its own (see rates.events_sql).

  Args:
    known: when the row's session has rested.
  """
  if not counts(labels, tasks):
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
