"""SQL of labels: given as 0 or 1, or as times that the split's end censors."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from rmtl_jax.preparation import sessions, source, sql


@dataclasses.dataclass(frozen=True)
class LabelColumn:
  """A task's label over a reader's rows.

  Attributes:
    name: the label's column.
    value: SQL of the label, FLOAT, 0 or 1.
    time: SQL of the time, ms, at which a positive becomes known; empty if
      unknown.
  """

  name: str
  value: str
  time: str = ''


def label_columns(
  tasks: Sequence[source.SourceTask],
  boundaries: tuple[int | None, int | None],
  split: str,
) -> list[LabelColumn]:
  """Labels in the order of tasks; events from the split's end on don't count.

  An event of a task makes the tasks that it implies positive too.

  Args:
    tasks: the reader's, parents before children.
    boundaries: as in sessions.RowPlaces.
    split: SQL of the row's split.
  """
  # From the last task of the funnel back, so that a task has the event times of
  # all tasks that imply it when its turn comes.
  first: dict[str, list[str]] = {task.name: [] for task in tasks}
  found = []
  for task in reversed(tasks):
    column = f'y_{task.name}'
    if not task.timed:
      value = f'CAST({sql.quote(column)} AS FLOAT)'
      delay = task.known_after_ms
      time = '' if delay is None else f'timestamp + {delay}'
      found.append(LabelColumn(column, value, time))
      continue
    first[task.name].append(sql.quote(f't_{task.name}'))
    if task.after is not None:
      first[task.after] += first[task.name]
    time = f'least({", ".join(first[task.name])})'
    end = sessions.split_end_sql(split, boundaries)
    value = f'CAST(coalesce({time} < {end}, false) AS FLOAT)'
    found.append(LabelColumn(column, value, time))
  return found[::-1]


def label_and_time_columns(
  tasks: Sequence[source.SourceTask],
  boundaries: tuple[int | None, int | None],
  split: str,
  has_labels: str = '',
) -> list[str]:
  """SQL of each task's label `y_<i>` and its time `t_<i>` (ms or NULL).

  Args:
    tasks: the reader's.
    boundaries: as in sessions.RowPlaces; no label looks past its split.
    split: SQL of the row's split.
    has_labels: SQL of whether a row has labels; where it has none they are
      NULL. Empty if all rows have.
  """
  found = []
  for i, label in enumerate(label_columns(tasks, boundaries, split)):
    value = (
      f'CASE WHEN {has_labels} THEN {label.value} END'
      if has_labels
      else label.value
    )
    found.append(f'CAST({value} AS BIGINT) AS y_{i}')
    found.append(f'{label.time or "NULL::BIGINT"} AS t_{i}')
  return found
