"""Times, label rates, and lengths of sessions."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.preparation import counts, sql
from rmtl_jax.preparation.description import described_splits

Record = dict[str, Any]

# Seconds after a row: an hour, a day, a week.
_LATENESS = (3_600, 86_400, 604_800)
_QUANTILES = {'median': 0.5, 'p90': 0.9, 'p99': 0.99, 'longest': 1.0}


def times(
  connection: sql.Connection, data_dir: pathlib.Path, rows: Mapping[str, str]
) -> dict[str, list[int]]:
  """First and last time of every split, ms.

  Args:
    data_dir: DATA, for errors.
    rows: SQL of the rows of every split.

  Raises:
    types.InputError: a split without a time.
  """
  return {
    name: _ends(connection, data_dir / name, of) for name, of in rows.items()
  }


def label_means(
  connection: sql.Connection,
  rows: Mapping[str, str],
  tasks: Sequence[manifest_lib.Task],
) -> dict[str, dict[str, float | None]]:
  """{split: {task: mean of the observed labels}}, None without any.

  Args:
    rows: SQL of the rows of every split.
  """
  means = ', '.join(f'avg({_label(task)})' for task in tasks)
  names = [task.name for task in tasks]
  return {
    name: dict(
      zip(
        names,
        sql.fetch_row(connection, f'SELECT {means} FROM {relation}'),
        strict=True,
      )
    )
    for name, relation in rows.items()
  }


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
    raise described_splits.broken(
      where, 'timestamp', 'no value in a row, or no rows'
    )
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

  Args:
    rows: SQL of the rows of every split.

  Returns:
    {split: {'mean', 'median', 'p90', 'p99', 'longest'}}.
  """
  return {
    name: counts.session_rows(connection, relation, _QUANTILES)
    for name, relation in rows.items()
  }


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
