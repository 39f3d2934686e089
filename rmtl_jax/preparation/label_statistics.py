"""Statistics of the labels of train rows, by which losses are normalised."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

from rmtl_jax import types
from rmtl_jax.config import kinds
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.preparation import label_sql, source, sql


def tasks(
  connection: sql.Connection,
  table: str,
  found: Sequence[source.SourceTask],
  where: str,
) -> tuple[manifest_lib.Task, ...]:
  """The manifest's tasks, with levels and statistics.

  Args:
    table: with `split` (0 is train), a column `y_<task>` per task and
      `w_<task>` of those that have weights.
    where: the log, for errors.

  Raises:
    types.InputError: labels that a loss can't learn from.
  """
  weighted = label_sql.weighted(found)
  return tuple(
    _task(connection, table, task, where, task.name in weighted)
    for task in found
  )


def _task(
  connection: sql.Connection,
  table: str,
  task: source.SourceTask,
  where: str,
  is_weighted: bool,
) -> manifest_lib.Task:
  made = manifest_lib.Task(
    task.name,
    task.after,
    task.kind,
    task.loss,
    dict(task.settings),
    weighted=is_weighted,
    only_after=task.only_after,
    negatives_kept=task.negatives_kept,
    within_seconds=task.within_ms and task.within_ms / 1000,
  )
  if task.kind == kinds.BINARY:
    return made
  if is_weighted:  # the label of other rows is 0, whatever it would have been
    seen = sql.quote(f'w_{task.name}')
    table = f'(FROM {table} WHERE {seen} > 0)'
  column = sql.quote(f'y_{task.name}')
  what = f'{where}: column {task.column or task.name!r}'
  y = f'CAST({column} AS DOUBLE)'
  mean, deviation, least, largest, zeros = sql.fetch_row(
    connection,
    f'SELECT favg({y}), stddev_pop({y}), min({y}), max({y}),'
    f' avg(CAST({y} = 0 AS INT)) FROM {table} WHERE split = 0',
  )
  if mean is None:
    raise types.InputError(
      f'{what}: no label of task {task.name!r} is observed in train rows'
    )
  statistics: dict[str, Any] = {'mean': mean, 'deviation': deviation}
  levels = task.levels
  if task.kind == kinds.ORDINAL:
    counts = dict(
      connection.execute(
        f'SELECT CAST({column} AS BIGINT), count(*) FILTER (WHERE split = 0)'
        f' FROM {table} GROUP BY 1'
      ).fetchall()
    )
    levels = levels or tuple(sorted(counts))
    if not 2 <= len(levels) <= kinds.MOST_LEVELS:
      raise types.InputError(
        f'{what}: found {len(levels)} levels, expected 2 to {kinds.MOST_LEVELS}'
        f' (task {task.name!r} is ordinal)'
      )
    rows = sum(counts.values())
    statistics['shares'] = [counts.get(n, 0) / rows for n in levels]
  else:
    statistics |= {'zeros': zeros, 'least': least, 'largest': largest}
    statistics |= _of_logarithms(connection, table, y, mean)
    if kinds.LOSSES.find(task.loss).labels != 'any' and not mean > 0:
      raise types.InputError(
        f'{what}: is 0 in all train rows, expected some above 0 (loss'
        f' {task.loss})'
      )
  return dataclasses.replace(
    made,
    levels=levels,
    statistics={name: _rounded(value) for name, value in statistics.items()},
  )


def _of_logarithms(
  connection: sql.Connection, table: str, y: str, mean: float
) -> dict[str, float]:
  """Of labels above 0; zeros where there are none, or some below 0."""
  unit = f'avg({y} * ln({y} / {mean!r}))' if mean > 0 else '0.0'
  log_mean, log_deviation, positive, rows = sql.fetch_row(
    connection,
    f'SELECT avg(ln({y})), stddev_pop(ln({y})), count(*), {unit}'
    f' FROM {table} WHERE split = 0 AND {y} > 0',
  )
  every = sql.count_rows(connection, table, 'split = 0')
  return {
    'log_mean': log_mean or 0.0,
    'log_deviation': log_deviation or 0.0,
    'deviance': (rows or 0.0) * positive / every,
  }


def _rounded(value: Any) -> Any:
  """Twelve digits: sums depend on the order of rows beyond them."""
  if isinstance(value, list):
    return [_rounded(one) for one in value]
  value = float(value)
  return float(f'{value:.12g}') if math.isfinite(value) else 0.0
