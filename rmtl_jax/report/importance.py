"""Permutation importance as a table for a terminal and as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from typing import Any

import rich.table

from rmtl_jax.evaluation import registry as metric_registry
from rmtl_jax.report import tables
from rmtl_jax.report.page import content

Record = Mapping[str, Any]

# Parts that a terminal shows; the CSV file has all.
_MOST_SHOWN = 25


def _metrics(record: Record, task: str) -> list[metric_registry.Metric]:
  """The metrics of a task, the one that decides the order first."""
  return [metric_registry.RECORDS[name] for name in record['base'][task]]


def in_order(record: Record, task: str) -> list[Record]:
  """The parts, those first that the task's first metric loses most without."""
  first = next(iter(record['base'][task]))
  return sorted(
    record['parts'],
    key=lambda part: part['tasks'][task][first] or 0.0,
    reverse=True,
  )


def sentences(record: Record) -> list[str]:
  """How the figures came about."""
  what = f'the {record["stage"]} model'
  if record['calibrated']:
    what += ', calibrated'
  rows = f'{record["rows"]:,} {record["split"]} rows'
  if record['rows'] < record['rows_of_split']:
    rows += f' (of {record["rows_of_split"]:,}, whole sessions drawn at random)'
  lines = [
    f'Of {what}, on {rows} of {record["sessions"]:,} sessions;'
    f' {_permutations(record)}, seed {record["seed"]}.'
  ]
  if record['bootstrap']:
    lines.append(
      f'Brackets: {100 * record["confidence"]:g} % intervals by the bootstrap'
      ' over sessions and permutations.'
    )
  unread = [part['name'] for part in record['parts'] if not part['read']]
  if unread:
    lines.append(f'Not read by the model: {", ".join(unread)}.')
  return lines


def _permutations(record: Record) -> str:
  count = record['repeats']
  return f'mean of {count} permutations' if count > 1 else 'one permutation'


def _cell(of: Record, one: metric_registry.Metric, bounds: bool = True) -> str:
  """'0.0123 [0.0101, 0.0145]', or without the interval."""
  value, interval, form = of[one.name], of[f'{one.name}_interval'], one.form
  if value is None:
    return 'undefined'
  if not (interval and bounds):
    return format(value, form)
  low, high = (format(end, form) for end in interval)
  return f'{value:{form}} [{low}, {high}]'


def _label(part: Record) -> str:
  """A field's name; a group's with the number of its fields."""
  if [part['name']] == list(part['fields']):
    return part['name']
  return f'{part["name"]} ({len(part["fields"])} fields)'


def terminal_table(record: Record, task: str) -> rich.table.Table:
  """The first parts of `table`, for 80 columns: one interval is left."""
  measured = _metrics(record, task)
  base = ', '.join(
    f'{one.label}'
    f' {content.number(record["base"][task][one.name], one.form, "undefined")}'
    for one in measured
  )
  parts = in_order(record, task)
  shown = parts[:_MOST_SHOWN]
  rest = len(parts) - len(shown)
  made = tables.boxed(
    f'{task}: what is lost of {base}',
    f'{rest} more are in importance.csv' if rest else None,
  )
  made.padding = (0, 1, 0, 0)
  made.add_column('field', overflow='fold')
  made.add_column('between')
  for one in measured:
    made.add_column(one.label, justify='right', no_wrap=True)
  for part in shown:
    of = part['tasks'][task]
    cells = [_cell(of, one, one is measured[0]) for one in measured]
    made.add_row(_label(part), part['between'], *cells)
  return made


def csv_text(record: Record) -> str:
  """A line per part, task and metric."""
  header = ('name', 'fields', 'between', 'task', 'metric', 'base', 'importance')
  buffer = io.StringIO()
  writer = csv.writer(buffer, lineterminator='\n')
  writer.writerow((*header, 'low', 'high'))
  for part in record['parts']:
    who = part['name'], '+'.join(part['fields']), part['between']
    for task, of in part['tasks'].items():
      for name in record['base'][task]:
        bounds = of[f'{name}_interval'] or ('', '')
        base = record['base'][task][name]
        writer.writerow((*who, task, name, base, of[name], *bounds))
  return buffer.getvalue()
