"""The tables of a backtest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rmtl_jax.evaluation import metrics as metrics_lib
from rmtl_jax.report.page import content

Record = Mapping[str, Any]

# How the arms are called, and in which order they stand.
NAMES = {
  'baseline': 'rates',
  'continued': 'continued',
  'scratch': 'from scratch',
}


def shown(record: Record) -> list[Record]:
  """The days that are evaluated: all but day 0."""
  return list(record['days'][1:])


def mean(day: Record, arm: str, task: str, metric: str) -> float | None:
  """A metric of a day, over its seeds; None where no run defines it."""
  values = [
    one[arm]['metrics'][task].get(metric) for one in day['runs'] if arm in one
  ]
  defined = [value for value in values if value is not None]
  return sum(defined) / len(defined) if defined else None


def of_task(record: Record, task: str) -> content.Table:
  """A task's metrics by day, then their means and what going on gains.

  Args:
    record: the content of backtest.json.
    task: its name.
  """
  names = list(record['summary'][task])
  columns = [
    (name, arm)
    for name in names
    for arm in NAMES
    if any(mean(day, arm, task, name) is not None for day in shown(record))
  ]
  header = tuple(
    f'{metrics_lib.describe(name).label}: {NAMES[arm]}' for name, arm in columns
  )
  rows = [
    (
      label(day),
      *(_cell(mean(day, arm, task, name), name) for name, arm in columns),
    )
    for day in shown(record)
  ]
  summary = record['summary'][task]
  means = [_cell(summary[name][arm], name) for name, arm in columns]
  return content.Table(('day', *header), [*rows, ('mean', *means)], 1)


# Columns of a terminal's table: metric, its short name, the arms.
_BRIEF = (
  ('auc', 'AUC', tuple(NAMES)),
  ('logloss', 'logloss', ('continued', 'scratch')),
  ('predicted_over_actual', 'pred/act', ('continued', 'scratch')),
)
_SHORT = {'baseline': 'rates', 'continued': 'going on', 'scratch': 'anew'}


def brief(record: Record, task: str) -> content.Table:
  """As `of_task`, for a terminal: some metrics of a binary task.

  Args:
    record: the content of backtest.json.
    task: its name; of another kind of task the whole table.
  """
  summary = record['summary'][task]
  if not all(name in summary for name, *_ in _BRIEF):
    return of_task(record, task)
  columns = [(name, arm) for name, _, arms in _BRIEF for arm in arms]
  header = [
    f'{short}: {_SHORT[arm]}' for _, short, arms in _BRIEF for arm in arms
  ]
  rows = [
    (
      label(day),
      *(_cell(mean(day, arm, task, name), name) for name, arm in columns),
    )
    for day in shown(record)
  ]
  means = [_cell(summary[name][arm], name) for name, arm in columns]
  return content.Table(('day', *header), [*rows, ('mean', *means)], 1)


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
      label_of = metrics_lib.describe(name).label
      rows.append((task, label_of, f'{one["mean"]:+.4f}', interval, better))
  header = ('task', 'metric', 'difference', '95 % interval', 'better on')
  return content.Table(header, rows, 2)


def of_days(record: Record) -> content.Table:
  """Rows, drift and unseen values of every day."""
  keys = list(shown(record)[0]['drift']['unseen'])
  header = (
    'day',
    'train rows',
    'test rows',
    *(f'unseen {key}' for key in keys),
    'largest PSI',
    'of',
  )
  rows = [
    (
      label(day),
      f'{day["train_rows"]:,}',
      f'{day["rows"]:,}',
      *(f'{day["drift"]["unseen"][key]:.1%}' for key in keys),
      f'{day["drift"]["psi"]:.2f}',
      day['drift']['field'],
    )
    for day in shown(record)
  ]
  return content.Table(header, rows, 1)


def times(record: Record) -> content.Table:
  """Seconds and epochs of both arms, by day, and their sums."""
  header = (
    'day',
    'extend',
    'train: continued',
    'prepare at once',
    'train: from scratch',
    'epochs: continued',
    'epochs: from scratch',
  )
  days = shown(record)
  seconds = [
    (
      day['seconds']['extend'],
      _seconds(day, 'continued'),
      day['seconds']['prepare'],
      _seconds(day, 'scratch'),
    )
    for day in days
  ]
  rows = [
    (
      label(day),
      *(f'{value:.1f}' for value in of),
      _epochs(day, 'continued'),
      _epochs(day, 'scratch'),
    )
    for day, of in zip(days, seconds, strict=True)
  ]
  total = [f'{sum(column):.1f}' for column in zip(*seconds, strict=True)]
  blank = (content.NOTHING,) * 2
  return content.Table(header, [*rows, ('sum', *total, *blank)], 1)


def label(day: Record) -> str:
  """The day's date, with the hour where it begins within a day."""
  date, hour = day['since'].split('T')
  return date if hour == '00:00:00.000' else f'{date} {hour[:5]}'


def _cell(value: float | None, metric: str) -> str:
  return content.number(value, metrics_lib.describe(metric).form)


def _seconds(day: Record, arm: str) -> float:
  return sum(one[arm]['seconds'] for one in day['runs']) / len(day['runs'])


def _epochs(day: Record, arm: str) -> str:
  """The epochs of stage 1 that were kept, of every seed and member."""
  found = []
  for one in day['runs']:
    kept = one[arm]['epochs']['pretrain']
    found += kept if isinstance(kept, list) else [kept]
  return ', '.join(map(str, found))
