"""Permutation importance as tables for a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rmtl_jax.evaluation import metric_registry
from rmtl_jax.report import pages

Record = Mapping[str, Any]

# Parts that a terminal shows; importance.json has all.
_MOST_SHOWN = 25


def text(record: Record) -> str:
  """A table per task, and how the figures were measured."""
  parts = [pages.text(_table(record, task)) for task in record['tasks']]
  return '\n'.join([*parts, *map(pages.wrapped, _sentences(record))])


def _table(record: Record, task: str) -> pages.Table:
  """Losses of each metric; the first one decides the order."""
  shown = [metric_registry.RECORDS[name] for name in record['base'][task]]
  parts = sorted(
    record['parts'],
    key=lambda part: part['tasks'][task][shown[0].name] or 0.0,
    reverse=True,
  )
  rows = []
  for part in parts[:_MOST_SHOWN]:
    of, fields = part['tasks'][task], len(part['fields'])
    name = part['name'] + (f' ({fields} fields)' if fields > 1 else '')
    cells = [
      # One interval has room in 80 columns.
      pages.interval(
        of[one.name],
        of[f'{one.name}_interval'] if one is shown[0] else None,
        one.form,
      )
      for one in shown
    ]
    rows.append((name, part['between'], *cells))
  base = ', '.join(
    f'{one.label}'
    f' {pages.number(record["base"][task][one.name], one.form, "undefined")}'
    for one in shown
  )
  title = f'{task}: loss in {base}'
  if len(parts) > _MOST_SHOWN:
    title += f' (first {_MOST_SHOWN} of {len(parts)})'
  header = ('field', 'between', *(one.label for one in shown))
  return pages.Table(header, rows, 2, title)


def _sentences(record: Record) -> list[str]:
  rows = f'{record["rows"]:,} {record["split"]} rows'
  if record['rows'] < record['rows_of_split']:
    rows += f' (the first of {record["rows_of_split"]:,})'
  lines = [
    f'Of the {record["stage"]} model, on {rows} of {record["sessions"]:,}'
    f' sessions; mean of {record["repeats"]} permutations, seed'
    f' {record["seed"]}.'
  ]
  if record['bootstrap']:
    lines.append(
      f'Brackets: {100 * record["confidence"]:g} % intervals by the bootstrap'
      ' over sessions and permutations.'
    )
  return lines
