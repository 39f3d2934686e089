"""Label rates over time and with each other, and lengths of sessions."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.preparation import sql
from rmtl_jax.preparation.description import splits

Record = dict[str, Any]

_MINUTE, _HOUR, _DAY = 60_000, 3_600_000, 86_400_000
# Spans of time that people count in, ms, and most points of a curve.
SPANS = (
  *(1, 10, 100, 1000, 10_000),
  *(_MINUTE, 5 * _MINUTE, 15 * _MINUTE),
  *(_HOUR, 3 * _HOUR, 6 * _HOUR, 12 * _HOUR),
  *(_DAY, 7 * _DAY, 28 * _DAY, 364 * _DAY),
)
_MOST_POINTS = 60
# Seconds after a row: an hour, a day, a week.
_LATENESS = (3_600, 86_400, 604_800)
# In percent.
_QUANTILES = {'median': 50, 'p90': 90, 'p99': 99}


def over_time(
  connection: sql.Connection,
  data_dir: pathlib.Path,
  rows: Mapping[str, str],
  tasks: Sequence[manifest_lib.Task],
) -> Record:
  """Rows and label means of every split, in spans of time.

  Args:
    data_dir: DATA, for errors.
    rows: SQL of the rows of every split.

  Returns:
    `span_ms`, None where all rows have one time; `ends` {split: [first, last
    ms]}; `points` {split: list of
    {'ms' (the span's start), 'rows', 'observed' {task: labels}, 'mean' {task:
    their mean, None without any}}}.

  Raises:
    types.InputError: a split without a time.
  """
  ends = {
    name: _ends(connection, data_dir / name, of) for name, of in rows.items()
  }
  first = min(low for low, _ in ends.values())
  last = max(high for _, high in ends.values())
  span = next(
    (s for s in SPANS if (last - first) / s <= _MOST_POINTS), SPANS[-1]
  )
  labels = ', '.join(
    f'count({_label(task)}), avg({_label(task)})' for task in tasks
  )
  names = [task.name for task in tasks]
  points = {}
  for name, relation in rows.items():
    # Division rounds towards 0, so it starts from the first span.
    start = first // span * span
    found = connection.execute(
      f'SELECT (CAST(timestamp AS BIGINT) - {start}) // {span} AS place,'
      f' count(*), {labels} FROM {relation} GROUP BY place ORDER BY place'
    ).fetchall()
    points[name] = [
      {
        'ms': start + place * span,
        'rows': count,
        'observed': dict(zip(names, labels_of[::2], strict=True)),
        'mean': dict(zip(names, labels_of[1::2], strict=True)),
      }
      for place, count, *labels_of in found
    ]
  span_ms = None if first == last else span
  return {'span_ms': span_ms, 'ends': ends, 'points': points}


def _ends(
  connection: sql.Connection, where: pathlib.Path, relation: str
) -> list[int]:
  """The first and the last time of a split."""
  time = 'CAST(timestamp AS BIGINT)'
  first, last, times, rows = sql.fetch_row(
    connection,
    f'SELECT min({time}), max({time}), count({time}), count(*) FROM {relation}',
  )
  if times < max(rows, 1):
    raise splits.broken(where, 'timestamp', 'no value in a row, or no rows')
  return [first, last]


def together(
  connection: sql.Connection, train: str, tasks: Sequence[manifest_lib.Task]
) -> Record:
  """How labels of train rows go together.

  Args:
    train: SQL of the rows.
    tasks: K tasks.

  Returns:
    `correlation` [K][K], Pearson's (of two binary labels phi), and `given`
    [K][K], the mean of the second label where the first is not 0; None where
    it is not defined.
  """
  labels = [_label(task) for task in tasks]
  pairs = [(a, b) for a in labels for b in labels]
  cells = [f'corr({a}, {b})' for a, b in pairs]
  cells += [f'avg({b}) FILTER ({a} <> 0)' for a, b in pairs]
  found = sql.fetch_row(connection, f'SELECT {", ".join(cells)} FROM {train}')
  values = [None if v is None or np.isnan(v) else float(v) for v in found]
  k = len(tasks)
  table = [values[i : i + k] for i in range(0, len(values), k)]
  return {'correlation': table[:k], 'given': table[k:]}


def session_lengths(
  connection: sql.Connection, rows: Mapping[str, str]
) -> dict[str, Record]:
  """Rows of a session in every split.

  The place of a row in its session tells: as many rows are at place k as
  sessions are longer than k.

  Args:
    rows: SQL of the rows of every split.

  Returns:
    {split: {'mean', 'median', 'p90', 'p99', 'longest', 'longer' (sessions of
    at least 1, 2, ... rows)}}.
  """
  found = {}
  for name, relation in rows.items():
    longer = np.array(
      connection.execute(
        f'SELECT count(*) FROM {relation} GROUP BY step ORDER BY step'
      ).fetchall()
    )[:, 0]
    sessions = longer[0]
    # The least length that at least this share of sessions don't exceed, in
    # whole numbers: (1 - 0.9) 10 is below 1.
    quantiles = {
      shown: int((100 * longer > (100 - percent) * sessions).sum()) or 1
      for shown, percent in _QUANTILES.items()
    }
    found[name] = {
      'mean': float(longer.sum() / sessions),
      **quantiles,
      'longest': len(longer),
      'longer': longer.tolist(),
    }
  return found


def lateness(
  connection: sql.Connection, train: str, tasks: Sequence[manifest_lib.Task]
) -> list[Record]:
  """How late labels become final, of tasks with a horizon.

  Args:
    train: SQL of the train rows.

  Returns:
    `task`, `within_seconds`, `young`, the share of rows without a final label,
    and `known` {seconds: share of the positives of final rows that came within
    them}.
  """
  found = []
  for task in tasks:
    if task.within_seconds is None:
      continue
    final = f'{sql.quote(f"w_{task.name}")} > 0'
    delay = sql.quote(f'd_{task.name}')
    young, *shares = sql.fetch_row(
      connection,
      f'SELECT avg(CAST(NOT {final} AS INT)), '
      + ', '.join(
        f'avg(CAST({delay} <= {seconds} AS INT))'
        f' FILTER ({final} AND NOT isnan({delay}))'
        for seconds in _LATENESS
      )
      + f' FROM {train}',
    )
    found.append(
      {
        'task': task.name,
        'within_seconds': task.within_seconds,
        'young': young,
        'known': dict(zip(_LATENESS, shares, strict=True)),
      }
    )
  return found


def _label(task: manifest_lib.Task) -> str:
  """SQL of a label; NULL where it is not observed."""
  label = f'CAST({sql.quote(f"y_{task.name}")} AS DOUBLE)'
  if not task.weighted:
    return label
  return f'CASE WHEN {sql.quote(f"w_{task.name}")} > 0 THEN {label} END'
