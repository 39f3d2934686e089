"""Ranks of labels that are numbers or levels, for as-of features.

A rank is the share of train's labels that are less, and half of those that are
equal, in parts of PARTS: a whole number, which adds up to the same sum in any
order, of one scale whatever the number's. So rates of positives and mean ranks
are computed alike.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from rmtl_jax import types
from rmtl_jax.preparation import source, sql

# A power of two: sums of ranks over it are exact.
PARTS = 16
# Of prepared data, by task.
OPTION = 'rank_edges'
_LARGEST = 1e39  # of float32


def rank_sql(value: str, edges: Sequence[float]) -> str:
  """SQL of a value's rank, the number of edges up to it; NULL of NULL.

  Args:
    value: SQL of the label.
    edges: increasing; some may be equal.
  """
  highest = {edge: number for number, edge in enumerate(edges, 1)}
  cases = [
    f'WHEN {value} >= {sql.float_literal(edge)} THEN {number}'
    for edge, number in sorted(highest.items(), reverse=True)
  ]
  cases.append(f'WHEN {value} IS NOT NULL THEN 0')
  return f'CASE {" ".join(cases)} END'


def edges_sql(relation: str, value: str, where: str) -> str:
  """SQL of a row with the edges of a column's ranks, NULL for those above all.

  Edge n is the least value that has at least n - 1/2 of PARTS below it, where
  half of the equal ones count.

  Args:
    relation: of rows.
    value: the column.
    where: SQL of the train rows that know it.
  """
  # Of whole numbers: the same in any engine.
  edges = ', '.join(
    f'min(v) FILTER (WHERE {PARTS} * below >= {2 * n - 1} * n)'
    for n in range(1, PARTS + 1)
  )
  counts = (
    f'SELECT {value} AS v, count(*) AS c FROM {relation}'
    f' WHERE {value} IS NOT NULL AND {where} GROUP BY {value}'
  )
  return (
    f'SELECT {edges} FROM (SELECT v,'
    ' CAST(2 * sum(c) OVER (ORDER BY v) - c AS BIGINT) AS below,'
    f' CAST(sum(c) OVER () AS BIGINT) AS n FROM ({counts}))'
  )


def edges_of(row: Sequence[float | None]) -> tuple[float, ...]:
  """The edges, of the row of `edges_sql`."""
  return tuple(float(edge) for edge in row if edge is not None)


def declare(
  rows: source.SourceTable, edges: Mapping[str, Sequence[float]]
) -> source.SourceTable:
  """Adds edges to the tasks and, as far as there are some, to the options."""
  tasks = source.with_edges(rows.tasks, edges)
  known = {name: [*of_task] for name, of_task in edges.items() if of_task}
  options = rows.options | ({OPTION: known} if known else {})
  return dataclasses.replace(rows, tasks=tasks, options=options)


def recorded(
  options: Mapping[str, Any], tasks: Sequence[source.SourceTask]
) -> tuple[source.SourceTask, ...]:
  """The tasks with the edges that prepared data record; () where they don't.

  Args:
    options: of a manifest, which anybody may have written.
    tasks: of its log.

  Raises:
    types.InputError: edges that are none.
  """
  found = options.get(OPTION, {})
  if not isinstance(found, dict) or not all(map(_are_edges, found.values())):
    raise types.InputError(
      f'manifest.json: options: {OPTION}: expected up to {PARTS} increasing'
      ' numbers of each task; prepare the data again'
    )
  return source.with_edges(tasks, found)


def _are_edges(found: Any) -> bool:
  return (
    isinstance(found, list)
    and 0 < len(found) <= PARTS
    and all(type(n) in (int, float) and abs(n) < _LARGEST for n in found)
    and found == sorted(found)
  )
