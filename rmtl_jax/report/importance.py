"""Permutation importance as a table, a picture, a CSV file and a chapter."""

from __future__ import annotations

import csv
import io
import pathlib
from collections.abc import Mapping
from typing import Any

import matplotlib.figure
import rich.table

from rmtl_jax import durable, types
from rmtl_jax.evaluation import registry as metric_registry
from rmtl_jax.report import pictures, plain, tables
from rmtl_jax.report.page import content, panels, vector

Record = Mapping[str, Any]

# Parts of a picture and of what a terminal shows; other tables have all.
_MOST_SHOWN = 25
_KEY = (
  'By how much a metric gets worse when the values of a field are handed to'
  ' other rows: of AUC a fall, of logloss or an error a rise; 0 where nothing'
  ' is lost. A field that is constant within every session is exchanged between'
  ' sessions, any other between rows.',
  'Fields that say the same stand in for each other, so that each alone seems'
  ' to matter little: a group is exchanged as one. What a field alone would be'
  ' worth, or a model trained without it, is another question'
  ' (config.network.ignore).',
)


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


def table(record: Record, task: str) -> content.Table:
  """A row per part: what is exchanged between what, and what is lost."""
  shown = _metrics(record, task)
  rows = [
    (
      _label(part),
      part['between'],
      *(_cell(part['tasks'][task], one) for one in shown),
    )
    for part in in_order(record, task)
  ]
  header = ('field', 'between', *(one.label for one in shown))
  return content.Table(header, rows, 2)


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


def _draw(axes: Any, record: Record, task: str) -> str:
  """Points with intervals, the most important on top; what they say."""
  parts = in_order(record, task)[:_MOST_SHOWN]
  first, spoken = _metrics(record, task)[0], []
  for i, part in enumerate(parts):
    of = part['tasks'][task]
    value = of[first.name]
    if value is None:
      continue
    is_field = _label(part) == part['name']
    panels.interval(
      axes,
      -i,
      value,
      of[f'{first.name}_interval'],
      fmt='o' if is_field else 's',
      color=pictures.COLOURS[0 if is_field else 1],
      capsize=3,
    )
    spoken.append(f'{_label(part)} {value:{first.form}}')
  axes.axvline(0.0, color='#767676', linestyle=':')
  panels.label_rows(axes, [types.one_line(_label(p)) for p in parts])
  axes.set_xlabel(f'{first.label} lost')
  axes.grid(axis='x', alpha=0.4)
  return '; '.join(spoken)


def _height(record: Record) -> float:
  return 1.1 + 0.24 * min(len(record['parts']), _MOST_SHOWN)


@plain.figures()
def overview(record: Record, path: pathlib.Path) -> None:
  """Draws a panel per task into one PNG; its directory is created."""
  tasks = record['tasks']
  figure = matplotlib.figure.Figure(
    figsize=(5.2 * len(tasks), 0.6 + _height(record)), layout='constrained'
  )
  grid = figure.subplots(1, len(tasks), squeeze=False)[0]
  for axes, task in zip(grid, tasks, strict=True):
    _draw(axes, record, task)
    axes.set_title(types.one_line(task))
  has_groups = any(_label(p) != p['name'] for p in record['parts'])
  figure.suptitle(
    f'Permutation importance in {types.one_line(record["name"])},'
    f' {record["split"]} split, {_permutations(record)}'
    + ('; squares are groups' if has_groups else '')
  )
  path.parent.mkdir(parents=True, exist_ok=True)
  pictures.save(figure, path)


def write(record: Record, path: pathlib.Path) -> None:
  """Writes RUN/importance.csv and RUN/report/importance.png."""
  picture = path / 'report' / 'importance.png'
  with durable.name_errors(picture):
    overview(record, picture)
  durable.write_text(path / 'importance.csv', csv_text(record))


def section(record: Record | None) -> content.Section | None:
  """The chapter of a run's page; None before `rmtl importance` has run."""
  if record is None:
    return None
  drawn: list[content.Picture] = []
  grids: list[content.Grid] = []
  for i, task in enumerate(record['tasks']):
    figure, axes = panels.figure((panels.SIZE[0], _height(record)))
    spoken = _draw(axes, record, task)
    drawn.append(
      vector.picture(
        f'importance-{i + 1}',
        figure,
        f'{_metrics(record, task)[0].label} of {task} lost without a field',
        f'Points with intervals: {spoken}.',
      )
    )
    grids.append(
      content.Grid(
        f'{task}: what is lost without a field', table(record, task), ('field',)
      )
    )
  return content.Section(
    'Importance',
    [
      content.Items([*_KEY, *sentences(record)]),
      content.Pictures(drawn),
      content.Folded(f'{len(record["parts"])} fields and groups', grids),
    ],
  )
