"""The text of `rmtl backtest`: tables by day, and the gain of warm starts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from rmtl_jax.evaluation import metric_registry
from rmtl_jax.report import pages
from rmtl_jax.studies import backtesting

Record = Mapping[str, Any]

# The names of the arms, in the order of the columns.
_NAMES = {
  'baseline': 'rates',
  'continued': 'continued',
  'scratch': 'from scratch',
  'oracle': 'truth',
}
_COSTS = ('seconds', 'passes')


def text(record: Record) -> str:
  """The tables in 80 columns; the last has the result."""
  parts = [
    _days(record),
    *(_metrics(record, task) for task in record['tasks']),
    _times(record),
    _differences(record),
  ]
  return '\n'.join(map(pages.text, parts))


def _metrics(record: Record, task: str) -> pages.Table:
  """A row per day and one of means, a column per metric and arm.

  Rates and true probabilities have columns of the first metric alone.
  """
  summary = record['summary'][task]
  columns = [
    (name, arm)
    for i, name in enumerate(summary)
    for arm in (backtesting.ARMS if i else _NAMES)
    if summary[name][arm] is not None
  ]

  def cell(value: float | None, name: str) -> str:
    return pages.number(value, metric_registry.describe(name).form)

  rows = [
    (
      _label(day),
      *(
        cell(backtesting.of_day(day, arm, task, name), name)
        for name, arm in columns
      ),
    )
    for day in record['days'][1:]
  ]
  means = [cell(summary[name][arm], name) for name, arm in columns]
  header = [
    f'{metric_registry.describe(name).label}: {_NAMES[arm]}'
    for name, arm in columns
  ]
  return pages.Table(('day', *header), [*rows, ('mean', *means)], title=task)


def _differences(record: Record) -> pages.Table:
  """Continued minus from scratch, by task and metric, over the days."""
  rows = []
  for task, by_metric in record['summary'].items():
    for name, found in by_metric.items():
      one = found['difference']
      if one is None:
        continue
      interval, better = pages.NOTHING, pages.NOTHING
      if one['low'] is not None:
        interval = f'{one["low"]:+.4f} to {one["high"]:+.4f}'
      if one['better'] is not None:
        better = f'{one["better"]} of {one["days"]}'
      label = metric_registry.describe(name).label
      rows.append((task, label, f'{one["mean"]:+.4f}', interval, better))
  header = ('task', 'metric', 'difference', '95 % interval', 'better on')
  return pages.Table(header, rows, 2, 'Continued minus from scratch')


def _days(record: Record) -> pages.Table:
  """Rows of every day."""
  rows = [
    (_label(day), f'{day["train_rows"]:,}', f'{day["rows"]:,}')
    for day in record['days'][1:]
  ]
  return pages.Table(('day', 'train rows', 'test rows'), rows, 1, 'Days')


def _times(record: Record) -> pages.Table:
  """Seconds and passes of both arms, by day, and their sums."""
  days = record['days'][1:]
  costs = [
    [
      np.mean([one[arm][what] for one in day['runs']])
      for what in _COSTS
      for arm in backtesting.ARMS
    ]
    for day in days
  ]
  rows = [
    (_label(day), *(f'{value:.1f}' for value in of))
    for day, of in zip(days, costs, strict=True)
  ]
  total = [f'{sum(column):.1f}' for column in zip(*costs, strict=True)]
  header = (
    'day',
    *(f'{what}: {_NAMES[arm]}' for what in _COSTS for arm in backtesting.ARMS),
  )
  return pages.Table(header, [*rows, ('sum', *total)], title='Costs')


def _label(day: Record) -> str:
  """The day's date, with the hour where it begins within a day."""
  date, hour = day['since'].split('T')
  return date if hour == '00:00:00.000' else f'{date} {hour[:5]}'
