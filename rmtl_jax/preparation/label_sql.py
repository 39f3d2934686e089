"""SQL of labels: given as 0 or 1, or as times that the split's end censors."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.preparation import ranks, sessionize, source, sql

# The column of a row's age at its split's end.
AGE = 'age'


@dataclasses.dataclass(frozen=True)
class LabelColumn:
  """A task's label over a reader's rows.

  Attributes:
    name: the label's column.
    value: SQL of the label, FLOAT, 0 or 1; 0 where it is not observed.
    time: SQL of the time, ms, at which a positive becomes known; empty if
      unknown.
    raw: SQL of the label before its split's end is asked; NULL or any value
      where the log does not have it.
    observed: SQL of whether the log has the label; empty if it always has.
    weight: SQL of the row's weight, FLOAT, 0 where the label is not observed;
      empty where every row of the task counts 1.
  """

  name: str
  value: str
  time: str = ''
  raw: str = ''
  observed: str = ''
  weight: str = ''


def weighted(tasks: Sequence[source.SourceTask]) -> list[str]:
  """Names of the tasks with a column of weights in prepared data."""
  return [
    task.name
    for task in tasks
    if task.may_lack_label
    or task.within_ms is not None
    or task.weights
    or _sampled_by(task, tasks)
    or any(t == task or t.negatives_kept is not None for t in late(tasks))
  ]


def late(tasks: Sequence[source.SourceTask]) -> list[source.SourceTask]:
  """The tasks with labels that are unknown for some kept rows of a split."""
  earliest = source.fastest(tasks).delay_ms
  return [task for task in tasks if (task.known_after_ms or 0) > earliest]


def _sampled_by(
  task: source.SourceTask, tasks: Sequence[source.SourceTask]
) -> source.SourceTask | None:
  """The task by which rows were sampled, if its rate weights this one."""
  names = [t.name for t in tasks]
  sampling = manifest_lib.sampling(tasks)
  if sampling is None or sampling.corrected[names.index(task.name)]:
    return None
  return tasks[sampling.task]


def label_columns(
  tasks: Sequence[source.SourceTask],
  boundaries: sessionize.Boundaries,
  split: str,
) -> list[LabelColumn]:
  """Labels in the order of tasks; events from the split's end on don't count.

  An event of a task makes the tasks that it implies positive too. A label that
  is known only at its split's end or later has weight 0, a positive too: of
  rows so young, positives alone would be known.

  Args:
    tasks: the reader's, parents before children.
    split: SQL of the row's split.
  """
  # From the last task of the funnel back, so that a task has the event times of
  # all tasks that imply it when its turn comes.
  first: dict[str, list[str]] = {task.name: [] for task in tasks}
  end = sessionize.split_end_sql(split, boundaries)
  found = []
  for task in reversed(tasks):
    column = f'y_{task.name}'
    if not task.timed:
      value = f'CAST({sql.quote(column)} AS FLOAT)'
      delay = task.known_after_ms
      time = '' if delay is None else f'timestamp + {delay}'
      found.append(LabelColumn(column, value, time, value))
      continue
    first[task.name].append(sql.quote(f't_{task.name}'))
    if task.after is not None:
      first[task.after] += first[task.name]
    time = f'least({", ".join(first[task.name])})'
    if task.within_ms is not None:
      soon = f'{time} - timestamp <= {task.within_ms}'
      time = f'CASE WHEN {soon} THEN {time} END'
    value = f'CAST(coalesce({time} < {end}, false) AS FLOAT)'
    found.append(LabelColumn(column, value, time, value))
  return _weighed(tasks, found[::-1], end)


def _weighed(
  tasks: Sequence[source.SourceTask], labels: Sequence[LabelColumn], end: str
) -> list[LabelColumn]:
  """The labels with `observed` and `weight`, and 0 where the weight is 0."""
  by_name = {label.name.removeprefix('y_'): label for label in labels}
  for task in tasks:
    label = by_name[task.name]
    conditions = [f'{label.raw} IS NOT NULL'] if task.nullable else []
    if task.only_after and task.after is not None:
      parent = by_name[task.after]
      conditions += [c for c in (parent.observed,) if c]
      conditions.append(f'coalesce({parent.raw} = 1, false)')
    observed = ' AND '.join(conditions)
    by_name[task.name] = dataclasses.replace(label, observed=observed)
  has_weight = weighted(tasks)
  for task in tasks:
    if task.name in has_weight:
      weight = _weight(task, tasks, by_name, end)
      label = by_name[task.name]
      zero = 'CAST(0 AS FLOAT)'
      by_name[task.name] = dataclasses.replace(
        label,
        value=f'CASE WHEN {weight} > 0 THEN {label.raw} ELSE {zero} END',
        weight=weight,
      )
  return list(by_name.values())


def _weight(
  task: source.SourceTask,
  tasks: Sequence[source.SourceTask],
  labels: dict[str, LabelColumn],
  end: str,
) -> str:
  """SQL of a task's weight of a row, FLOAT."""
  conditions = [labels[task.name].observed or 'true']
  if task.within_ms is not None:
    conditions.append(f'timestamp + {task.within_ms} < {end}')
  # Whether a row is one of those that were sampled tells the label of the task
  # by which they were, so it must be known for every task.
  for one in late(tasks):
    asked = one.negatives_kept is not None or one == task
    if asked or _is_judged_on(task, one, tasks):
      conditions.append(f'timestamp + {one.known_after_ms} < {end}')
  factors = [sql.quote(f'v_{column}') for column in task.weights]
  sampled = _sampled_by(task, tasks)
  if sampled is not None:
    label = labels[sampled.name]
    negative = f'coalesce({label.raw} = 0, false)'
    if label.observed:
      negative += f' AND {label.observed}'
    kept = sql.float_literal(1.0 / (sampled.negatives_kept or 1.0))
    factors.append(f'CASE WHEN {negative} THEN {kept} ELSE 1 END')
  product = ' * '.join(factors) or '1'
  return (
    f'CAST(CASE WHEN {" AND ".join(conditions)} THEN {product} ELSE 0 END'
    ' AS FLOAT)'
  )


def delay_columns(
  tasks: Sequence[source.SourceTask],
  boundaries: sessionize.Boundaries,
  split: str,
) -> dict[str, str]:
  """SQL of what is known of labels that become final late.

  Events after the split's end are kept for train rows up to validation's end,
  because a refit knows them; whether one was seen follows from the age.

  Args:
    split: SQL of the row's split.

  Returns:
    By column: `age`, from the row to its split's end, and of each task with
    `within_ms` `d_<task>`, from the row to its event, NaN for none. FLOAT,
    seconds; none where no label becomes final late.
  """
  late = source.delayed(tasks)
  if not late:
    return {}
  end = sessionize.split_end_sql(split, boundaries)
  found = {AGE: f'CAST(({end} - timestamp) / 1000 AS FLOAT)'}
  known = (boundaries[1], *boundaries[1:])
  end = sessionize.split_end_sql(split, known)
  for task, label in zip(
    tasks, label_columns(tasks, known, split), strict=True
  ):
    if task in late:
      delay = f'greatest({label.time} - timestamp, 0) / 1000'
      seen = f"CASE WHEN {label.time} < {end} THEN {delay} ELSE 'nan' END"
      found[f'd_{task.name}'] = f'CAST({seen} AS FLOAT)'
  return found


def _is_judged_on(
  task: source.SourceTask,
  other: source.SourceTask,
  tasks: Sequence[source.SourceTask],
) -> bool:
  """Whether a task is judged on the other task's positives."""
  while task.only_after:
    task = next(t for t in tasks if t.name == task.after)
    if task == other:
      return True
  return False


def label_and_time_columns(
  tasks: Sequence[source.SourceTask],
  boundaries: sessionize.Boundaries,
  split: str,
  has_labels: str = '',
) -> list[str]:
  """SQL of each task's label `y_<i>` and its time `t_<i>` (ms or NULL).

  A label that the log does not have is NULL. One that is known late counts:
  `t_<i>` says from when on. Of a task with edges it is the label's rank, of
  others that are not binary the label itself, FLOAT.

  Args:
    boundaries: as in sessions.RowPlaces; no label looks past its split.
    split: SQL of the row's split.
    has_labels: SQL of whether a row has labels; where it has none they are
      NULL. Empty if all rows have.
  """
  found = []
  for i, (task, label) in enumerate(
    zip(tasks, label_columns(tasks, boundaries, split), strict=True)
  ):
    asked = ' AND '.join(c for c in (has_labels, label.observed) if c)
    value = f'CASE WHEN {asked} THEN {label.raw} END' if asked else label.raw
    if task.edges:
      value = ranks.rank_sql(value, task.edges)
    kind = 'FLOAT' if task.is_ranked and not task.edges else 'BIGINT'
    found.append(f'CAST({value} AS {kind}) AS y_{i}')
    found.append(f'{label.time or "NULL::BIGINT"} AS t_{i}')
  return found
