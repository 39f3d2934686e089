"""The record of `rmtl describe`."""

from __future__ import annotations

import contextlib
import os
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.data import manifest_file, reading
from rmtl_jax.preparation import counts, sql
from rmtl_jax.preparation.description import drift, look_ahead

Record = dict[str, Any]

# Seconds after a row: an hour, a day, a week.
_LATENESS = (3_600, 86_400, 604_800)
_QUANTILES = {'median': 0.5, 'p90': 0.9, 'p99': 0.99, 'longest': 1.0}


def describe(
  data_dir: str | os.PathLike[str],
  progress: Callable[[str, float], None] = lambda label, fraction: None,
) -> Record:
  """Counts, rates, drift and lengths of sessions in prepared data.

  DuckDB reads the columns one by one from the files, so data may be larger than
  memory.

  Args:
    progress: called with a label and the fraction done.

  Returns:
    `name` and `source`; `tasks` (`name`, `kind`); `splits` {split: `rows`,
    `sessions`}; `times` {split: [first, last], ms}; `label_means` {split:
    {task: mean of the observed labels, or None}}; `session_lengths` {split:
    {`mean`, `median`, `p90`, `p99`, `longest`}}; `together` and `lateness` (see
    below); `fields` (see drift.of_fields); `look_ahead` (see look_ahead.py).

  Raises:
    types.InputError: no prepared data, or a damaged file.
  """
  directory = pathlib.Path(data_dir)
  with contextlib.ExitStack() as stack:
    stack.enter_context(reading.shared_lock(directory))
    connection = stack.enter_context(sql.connect())
    manifest = manifest_file.read(directory)
    stack.enter_context(sql.translate_errors())
    stack.enter_context(sql.name_errors(directory, 'not readable'))
    rows = {
      name: stack.enter_context(
        sql.scan_files([directory / file for file in split.files], 'parquet')
      )
      for name, split in manifest.splits.items()
    }
    progress('labels', 0.0)
    tasks = manifest.tasks
    names = [task.name for task in tasks]
    means = ', '.join(f'avg({_label(task)})' for task in tasks)
    ends = 'min(timestamp)::BIGINT, max(timestamp)::BIGINT'

    def of_splits(columns: str) -> dict[str, tuple[Any, ...]]:
      return {
        name: sql.fetch_row(connection, f'SELECT {columns} FROM {relation}')
        for name, relation in rows.items()
      }

    return {
      'name': directory.resolve().name,
      'source': manifest.source,
      'tasks': [{'name': t.name, 'kind': t.kind} for t in tasks],
      'splits': {
        name: {'rows': split.rows, 'sessions': split.sessions}
        for name, split in manifest.splits.items()
      },
      'times': {name: [*found] for name, found in of_splits(ends).items()},
      'label_means': {
        name: dict(zip(names, found, strict=True))
        for name, found in of_splits(means).items()
      },
      'together': _together(connection, rows['train'], tasks),
      'lateness': _lateness(connection, rows['train'], tasks),
      'look_ahead': look_ahead.explained(connection, rows, manifest),
      'session_lengths': {
        name: counts.session_rows(connection, relation, _QUANTILES)
        for name, relation in rows.items()
      },
      'fields': drift.of_fields(connection, rows, manifest, progress),
    }


def _together(
  connection: sql.Connection, train: str, tasks: Sequence[manifest_lib.Task]
) -> Record:
  """How labels of train rows go together.

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


def _lateness(
  connection: sql.Connection, train: str, tasks: Sequence[manifest_lib.Task]
) -> list[Record]:
  """How late labels become final, of tasks with a horizon.

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
    known = ', '.join(
      f'avg(CAST({delay} <= {seconds} AS INT))'
      f' FILTER ({final} AND NOT isnan({delay}))'
      for seconds in _LATENESS
    )
    young, *shares = sql.fetch_row(
      connection, f'SELECT avg(CAST(NOT {final} AS INT)), {known} FROM {train}'
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
