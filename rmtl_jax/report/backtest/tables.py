"""The tables of a backtest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rmtl_jax.evaluation import registry as metric_registry
from rmtl_jax.report.page import content
from rmtl_jax.studies.backtest import backtest

Record = Mapping[str, Any]

# How the arms are called, and in which order they stand.
NAMES = {
  'baseline': 'rates',
  'continued': 'continued',
  'scratch': 'from scratch',
  'oracle': 'true probabilities',
}


def shown(record: Record) -> list[Record]:
  """The days that are evaluated: all but day 0."""
  return list(record['days'][1:])


def of_task(record: Record, task: str) -> content.Table:
  """A task's metrics by day, then their means and what going on gains."""
  return _by_day(record, task, tuple(NAMES), {}, NAMES)


def _by_day(
  record: Record,
  task: str,
  arms: Sequence[str],
  metrics: Mapping[str, str],
  names: Mapping[str, str],
) -> content.Table:
  """A row per day and one of means, a column per metric and arm with figures.

  All arms have the first metric, `arms` the others; `metrics` and `names` are
  what the header calls metrics, if not by their label, and arms.
  """
  summary = record['summary'][task]
  columns = [
    (name, arm)
    for i, name in enumerate(summary)
    for arm in (arms if i else NAMES)
    if summary[name][arm] is not None
  ]
  header = [
    f'{metrics.get(name) or metric_registry.describe(name).label}: {names[arm]}'
    for name, arm in columns
  ]
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
  return content.Table(('day', *header), [*rows, ('mean', *means)], 1)


# Names in a terminal's table.
_SHORT_METRICS = {'predicted_over_actual': 'pred/act'}
_SHORT_NAMES = {
  'baseline': 'rates',
  'continued': 'going on',
  'scratch': 'anew',
  'oracle': 'truth',
}


def brief(record: Record, task: str) -> content.Table:
  """As `of_task`, for a terminal: rates and truth by the first metric alone."""
  arms = ('continued', 'scratch')
  return _by_day(record, task, arms, _SHORT_METRICS, _SHORT_NAMES)


def differences(record: Record) -> content.Table:
  """Continued minus from scratch, by task and metric, over the days."""
  rows = []
  for task, by_metric in record['summary'].items():
    for name, found in by_metric.items():
      one = found['difference']
      if one is None:
        continue
      interval = content.NOTHING
      if one['low'] is not None:
        interval = f'{one["low"]:+.4f} to {one["high"]:+.4f}'
      better = content.NOTHING
      if one['better'] is not None:
        better = f'{one["better"]} of {one["days"]}'
      label_of = metric_registry.describe(name).label
      rows.append((task, label_of, f'{one["mean"]:+.4f}', interval, better))
  header = ('task', 'metric', 'difference', '95 % interval', 'better on')
  return content.Table(header, rows, 2)


def of_days(record: Record) -> content.Table:
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
  return content.Table(header, rows, 2)


def times(record: Record) -> content.Table:
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
  return content.Table(header, [*rows, ('sum', *total)], 1)


def label(day: Record) -> str:
  """The day's date, with the hour where it begins within a day."""
  date, hour = day['since'].split('T')
  return date if hour == '00:00:00.000' else f'{date} {hour[:5]}'


def _cell(value: float | None, metric: str) -> str:
  return content.number(value, metric_registry.describe(metric).form)
