"""The page of a backtest: what going on gains and costs, day by day."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rmtl_jax.evaluation import registry as metric_registry
from rmtl_jax.report import pictures
from rmtl_jax.report import tables as report_tables
from rmtl_jax.report.backtest import tables
from rmtl_jax.report.page import content, panels, sections, vector
from rmtl_jax.studies.backtest import backtest

Record = Mapping[str, Any]

_LEGEND = (
  'Continued: the model of the day before goes on, on data to which the day was'
  ' added. From scratch: a new model on the same window, prepared anew. Both'
  " are evaluated on the day's rows, which neither has seen; those of the day"
  ' before stop their stages. Rates: of users and items, no network.'
)
_ORACLE = (
  'True probabilities: those with which the sessions were simulated; no model'
  ' can be better but by chance.'
)
_TIMES = (
  'Seconds. Extend: the day was added to the data of the day before. Prepare at'
  ' once: the same window from the raw log. Training: the passes of all stages'
  ' and members over the train rows, compilations included; means over seeds.'
  ' The runs that go on come first and compile programs that the others find'
  ' ready, so passes compare better than seconds on a small log.'
)
_STYLES = {'baseline': ':', 'continued': '-', 'scratch': '--', 'oracle': ':'}


@vector.style()
def build(record: Record, name: str) -> content.Page:
  """Builds the page."""
  options = record['options']
  seeds = ', '.join(map(str, options['seeds']))
  has_oracle = 'oracle' in record['days'][1]['mean']
  lead = [
    *(content.Text(line, strong=True) for line in headline(record)),
    content.Text(f'{_LEGEND} {_ORACLE}' if has_oracle else _LEGEND),
    content.Text(
      f'{options["days"]} days of {options["step"]}, seeds {seeds}, stages'
      f' {", ".join(options["stages"])}.'
    ),
  ]
  chapters = [
    content.Section(
      'Gain',
      [
        content.Grid(
          f'Continued minus from scratch; the interval is {over(record)}',
          tables.differences(record),
        )
      ],
    ),
    *(_task(record, task) for task in record['tasks']),
    content.Section('Days', [content.Grid('Days', tables.of_days(record))]),
    content.Section(
      'Time',
      [content.Text(_TIMES), content.Grid('Seconds', tables.times(record))],
    ),
    sections.provenance(record),
  ]
  return content.Page(f'Backtest {name}', lead, chapters)


def text(record: Record) -> str:
  """The tables in 80 columns, and what came out."""
  plain, days = report_tables.plain, tables.of_days(record)
  parts = [
    plain(days, 'Days', numbers=('day',)),
    *(plain(tables.brief(record, task), task) for task in record['tasks']),
    plain(tables.differences(record), 'Continued minus from scratch'),
    plain(tables.times(record), 'Seconds'),
  ]
  lines = map(report_tables.wrapped, headline(record))
  return '\n'.join([*parts, *lines])


def headline(record: Record) -> list[str]:
  """What came out, a sentence per task that has a ranking metric."""
  lines = []
  for task, by_metric in record['summary'].items():
    name = metric_registry.ranking_of(by_metric)
    one = by_metric.get(name, {}).get('difference')
    if one is None:
      continue
    label = metric_registry.describe(name).label
    clear = one['low'] is not None and not one['low'] <= 0.0 <= one['high']
    interval = ''
    if one['low'] is not None:
      interval = f' ({one["low"]:+.4f} to {one["high"]:+.4f} {over(record)})'
    lines.append(
      f'{task}: going on gives {one["mean"]:+.4f} {label} against starting'
      f' anew{interval}{"" if clear else ", which is no clear difference"}.'
    )
  return lines


def over(record: Record) -> str:
  """What the intervals of differences are over."""
  several = len(record['options']['seeds']) > 1
  return 'over days and seeds' if several else 'over days'


def _task(record: Record, task: str) -> content.Section:
  drawn = [
    _picture(record, task, name)
    for name in record['summary'][task]
    if record['summary'][task][name]['continued'] is not None
  ]
  grid = content.Grid(f'{task}, by day', tables.of_task(record, task))
  return content.Section(task, [content.Pictures(drawn), grid])


def _picture(record: Record, task: str, metric: str) -> content.Picture:
  """A metric by day, a line for each arm."""
  figure, axes = panels.figure()
  days = tables.shown(record)
  spoken = []
  for i, (arm, name) in enumerate(tables.NAMES.items()):
    values = [backtest.of_day(day, arm, task, metric) for day in days]
    points = [(n, v) for n, v in enumerate(values, 1) if v is not None]
    if not points:
      continue
    axes.plot(
      *zip(*points, strict=True),
      _STYLES[arm],
      marker='o',
      markersize=4,
      color=pictures.COLOURS[i],
      label=name,
    )
    spoken.append(f'{name} {", ".join(f"{v:.4f}" for _, v in points)}')
  label = metric_registry.describe(metric).label
  panels.finish(axes, 'day', label)
  return vector.picture(
    f'{metric}-{record["tasks"].index(task)}',
    figure,
    f'{label} of {task} by day',
    '; '.join(spoken) + '.',
  )
