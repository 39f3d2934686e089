"""What `rmtl backtest` prints: tables by day, and what going on gains."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rmtl_jax.evaluation import registry as metric_registry
from rmtl_jax.report import pages
from rmtl_jax.studies.backtest import backtest

Record = Mapping[str, Any]

# How the arms are called, and in which order they stand.
NAMES = {
  'baseline': 'rates',
  'continued': 'going on',
  'scratch': 'anew',
  'oracle': 'truth',
}


def text(record: Record) -> str:
  """The tables in 80 columns, and what came out."""
  days = of_days(record)
  parts = [
    pages.plain(days, 'Days', numbers=('day',)),
    *(pages.plain(brief(record, task), task) for task in record['tasks']),
    pages.plain(differences(record), 'Continued minus from scratch'),
    pages.plain(times(record), 'Seconds'),
  ]
  lines = map(pages.wrapped, headline(record))
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
      interval = f' ({one["low"]:+.4f} to {one["high"]:+.4f} {_over(record)})'
    lines.append(
      f'{task}: going on gives {one["mean"]:+.4f} {label} against starting'
      f' anew{interval}{"" if clear else ", which is no clear difference"}.'
    )
  return lines


def _over(record: Record) -> str:
  """What the intervals of differences are over."""
  several = len(record['options']['seeds']) > 1
  return 'over days and seeds' if several else 'over days'


def shown(record: Record) -> list[Record]:
  """The days that are evaluated: all but day 0."""
  return list(record['days'][1:])


def brief(record: Record, task: str) -> pages.Table:
  """A row per day and one of means, a column per metric and arm with figures.

  Rates and true probabilities stand in the first metric's columns alone.
  """
  summary = record['summary'][task]
  columns = [
    (name, arm)
    for i, name in enumerate(summary)
    for arm in (('continued', 'scratch') if i else NAMES)
    if summary[name][arm] is not None
  ]
  header = [f'{_label(name)}: {NAMES[arm]}' for name, arm in columns]
  rows = [
    (
      label(day),
      *(
        _cell(backtest.of_day(day, arm, task, name), name)
        for name, arm in columns
      ),
    )
    for day in shown(record)
  ]
  means = [_cell(summary[name][arm], name) for name, arm in columns]
  return pages.Table(('day', *header), [*rows, ('mean', *means)], 1)


def _label(name: str) -> str:
  short = {'predicted_over_actual': 'pred/act'}
  return short.get(name) or metric_registry.describe(name).label


def differences(record: Record) -> pages.Table:
  """Continued minus from scratch, by task and metric, over the days."""
  rows = []
  for task, by_metric in record['summary'].items():
    for name, found in by_metric.items():
      one = found['difference']
      if one is None:
        continue
      interval = pages.NOTHING
      if one['low'] is not None:
        interval = f'{one["low"]:+.4f} to {one["high"]:+.4f}'
      better = pages.NOTHING
      if one['better'] is not None:
        better = f'{one["better"]} of {one["days"]}'
      label_of = metric_registry.describe(name).label
      rows.append((task, label_of, f'{one["mean"]:+.4f}', interval, better))
  header = ('task', 'metric', 'difference', '95 % interval', 'better on')
  return pages.Table(header, rows, 2)


def of_days(record: Record) -> pages.Table:
  """Rows, drift and unseen values of every day."""
  keys = list(shown(record)[0]['drift']['unseen'])
  unseen = [f'unseen {key}' for key in keys]
  header = ('day', 'drifts most', 'PSI', 'train rows', 'test rows', *unseen)
  rows = [
    (
      label(day),
      day['drift']['field'],
      f'{day["drift"]["psi"]:.2f}',
      f'{day["train_rows"]:,}',
      f'{day["rows"]:,}',
      *(f'{day["drift"]["unseen"][key]:.1%}' for key in keys),
    )
    for day in shown(record)
  ]
  return pages.Table(header, rows, 2)


def times(record: Record) -> pages.Table:
  """Seconds and passes of both arms, by day, and their sums."""
  header = (
    'day',
    'extend',
    'train: continued',
    'prepare at once',
    'train: from scratch',
    'passes: continued',
    'passes: from scratch',
  )
  days = shown(record)
  costs = [
    (
      day['seconds']['extend'],
      day['mean']['continued']['seconds'],
      day['seconds']['prepare'],
      day['mean']['scratch']['seconds'],
      day['mean']['continued']['passes'],
      day['mean']['scratch']['passes'],
    )
    for day in days
  ]
  rows = [
    (label(day), *(f'{value:.1f}' for value in of))
    for day, of in zip(days, costs, strict=True)
  ]
  total = [f'{sum(column):.1f}' for column in zip(*costs, strict=True)]
  return pages.Table(header, [*rows, ('sum', *total)], 1)


def label(day: Record) -> str:
  """The day's date, with the hour where it begins within a day."""
  date, hour = day['since'].split('T')
  return date if hour == '00:00:00.000' else f'{date} {hour[:5]}'


def _cell(value: float | None, metric: str) -> str:
  return pages.number(value, metric_registry.describe(metric).form)
