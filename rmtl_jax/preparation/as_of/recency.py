"""How long ago a row's user had a positive of a task, as known before the row.

Only tasks with a label time can be used (see feedback.py): a positive counts
from when it was known, strictly before the row's own time, in whatever session.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rmtl_jax.preparation import source, sql

GROUP = 'recency'


def _name(task: source.SourceTask) -> str:
  return f'user_{task.name}_gap'


def details(
  tasks: Sequence[source.SourceTask],
) -> dict[str, dict[str, Any]]:
  """The features: details for the manifest, by name."""
  return {
    _name(task): {'key': 'user', 'task': task.name}
    for task in tasks
    if task.has_label_time
  }


def features_sql(keyed: str, tasks: Sequence[source.SourceTask]) -> str:
  """SQL of `row_id` and the ms since a user's last positive was known, by task.

  NULL where no positive is known.

  Args:
    keyed: table with `row_id`, `timestamp`, `user` and the columns of
      labels.label_and_time_columns.
    tasks: the reader's; at least one has a label time.
  """
  numbers = source.with_label_time(tasks)
  nothing = 'CAST(NULL AS BIGINT)'
  # A positive is an event of its own, which rows see from the ms after it is
  # known, as in feedback.past_sql.
  none = ''.join(f', {nothing} AS k_{i}' for i in numbers)
  parts = [
    f'SELECT row_id, "user", timestamp AS time{none} FROM {keyed}'
    ' WHERE row_id >= 0'
  ]
  for i in numbers:
    known = f'greatest(timestamp, t_{i})'
    times = ''.join(f', {known if i == j else nothing}' for j in numbers)
    parts.append(
      f'SELECT {nothing}, "user", {known} + 1{times} FROM {keyed}'
      f' WHERE y_{i} = 1 AND "user" IS NOT NULL'
    )
  gaps = ', '.join(
    f'CAST(time - max(k_{i}) OVER past AS DOUBLE) AS'
    f' {sql.quote(_name(tasks[i]))}'
    for i in numbers
  )
  return (
    f'SELECT * FROM (SELECT row_id, {gaps} FROM ({" UNION ALL ".join(parts)})'
    ' WINDOW past AS (PARTITION BY "user" ORDER BY time))'
    ' WHERE row_id IS NOT NULL'
  )
