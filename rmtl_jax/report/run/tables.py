"""The tables of a run's page, as cells of plain text.

`record` is the result of results/report_record.gather.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import Any

from rmtl_jax.evaluation import monitor as monitor_lib
from rmtl_jax.evaluation import registry as metric_registry
from rmtl_jax.report import models
from rmtl_jax.report import tables as report_tables
from rmtl_jax.report.page import content
from rmtl_jax.results import verdict

Record = Mapping[str, Any]
Table = content.Table

_CRITIC = (
  ('r2', 'R2 of Q', '.3f'),
  ('mean_q', 'mean Q', '.3f'),
  ('std_q', 'sd Q', '.3f'),
  ('mean_return', 'mean return', '.3f'),
  ('std_return', 'sd return', '.3f'),
  ('loss_correlation', 'corr(-Q, own loss)', '.3f'),
  ('remaining_correlation', 'corr(-Q, rows left)', '.3f'),
  ('zero_share', 'dead share', '.1%'),
)


def fields(record: Record) -> Table:
  """Kind and vocabulary size of every field."""
  rows = [
    (name, kind, f'{size:,}' if size else content.NOTHING)
    for name, kind, size in record['data']['fields']
  ]
  return Table(('field', 'kind', 'vocabulary rows'), rows, 2)


def short(record: Record) -> Table:
  """The table that ends `rmtl train`: two metrics of every model and task."""
  tasks = record['metrics']['tasks']
  found = models.models(record['metrics'])
  columns = {task: report_tables.columns_of(found, task) for task in tasks}
  rows = [
    (
      row.label,
      *(
        cell
        for task, shown in columns.items()
        for cell in report_tables.cells_of(row, task, shown)
      ),
    )
    for row in found
  ]
  header = [f'{task} {one.label}' for task in tasks for one in columns[task]]
  return Table(('model', *header), rows, 1)


def ranking(record: Record, task: str) -> Table:
  """The metrics that are compared, of every model, with intervals."""
  return _by_model(record, task, True, _with_interval)


def further(record: Record, task: str) -> Table:
  """What practitioners read besides."""
  return _by_model(
    record,
    task,
    False,
    lambda values, name, form: content.number(values.get(name), form),
  )


def _by_model(
  record: Record, task: str, compared: bool, cell: Callable[..., str]
) -> Table:
  """A task's metrics, compared or not, a row per model.

  cell(a model's values, name and form of a metric) gives the text.
  """
  rows_of = models.models(record['metrics'])
  known = itertools.chain(*(row.metrics[task] for row in rows_of))
  shown = metric_registry.known(known, compared)
  rows = [
    (row.label, *(cell(row.metrics[task], one.name, one.form) for one in shown))
    for row in rows_of
  ]
  return Table(('model', *(one.label for one in shown)), rows, 1)


def differences(record: Record) -> Table:
  """RMTL minus the control and minus the pre-trained model, paired by row.

  First at the same number of epochs, then as early stopping kept them; models
  that are the same have no difference to show.
  """
  metrics = record['metrics']
  names, kept = models.stage_names(metrics), ', as kept'
  found = []
  if 'finetuned_at' in metrics:
    last = metrics['finetuned_at']
    note = f', after {verdict.count(last["epoch"])}'
    found += [(key, note, of) for key, of in last['difference'].items()]
  found += [
    (key, kept, of)
    for key, of in metrics.get('difference', {}).items()
    if not models.same(metrics, *key.split('_minus_'))
  ]
  known = itertools.chain(*(of[task] for *_, of in found for task in of))
  shown = metric_registry.known(known, compared=True)
  rows = []
  for key, note, of in found:
    first, second = key.split('_minus_')
    for task in metrics['tasks']:
      # The models after the last epoch have no calibration.
      cells = [
        _with_interval(of[task], one.name, f'+{one.form}')
        if note == kept or one.better == 'higher'
        else content.NOTHING
        for one in shown
      ]
      what = f'{names[first]} minus {names[second]}{note}'
      rows.append((what, task, *cells))
  header = ('difference', 'task', *(one.label for one in shown))
  return Table(header, rows, 2)


def epochs(record: Record) -> Table:
  """Losses, validation figures, TD error and time of every epoch and pass."""
  tasks = record['metrics']['tasks']
  monitor = monitor_lib.of_history(record['history'])
  has_mean = monitor is not monitor_lib.AUC
  has_members = any('member' in entry for entry in record['history'])
  rows = []
  for entry in record['history']:
    rows.append(
      (
        entry['stage'],
        *([str(entry['member'] + 1)] if has_members else []),
        str(entry['epoch']),
        content.number(entry.get('loss'), '.4f'),
        *(
          content.number(entry.get(f'validation_auc_{t}'), '.4f') for t in tasks
        ),
        *(
          [content.number(entry.get(monitor.figure), '.4f')] if has_mean else []
        ),
        content.number(entry.get('td_error'), '.4g'),
        content.number(
          entry.get(
            'validation_td_error', entry.get('validation_return_error')
          ),
          '.4g',
        ),
        content.number(entry.get('seconds'), '.1f'),
      )
    )
  header = (
    'stage',
    *(('member',) if has_members else ()),
    'epoch',
    'loss',
    *(f'validation AUC {task}' for task in tasks),
    *([f'validation {monitor.word}'] if has_mean else []),
    'TD error',
    'validation error of Q',
    'seconds',
  )
  return Table(header, rows, 1)


def applied_weights(record: Record) -> Table:
  """Mean and deviation of the weights in each epoch of stage 3."""
  tasks = record['metrics']['tasks']
  rows = []
  for entry in record['history']:
    if entry['stage'] != 'finetune' or f'weight_mean_{tasks[0]}' not in entry:
      continue
    of = f', member {entry["member"] + 1}' if 'member' in entry else ''
    cells = [
      f'{entry[f"weight_mean_{task}"]:.3f} ±'
      f' {entry[f"weight_deviation_{task}"]:.3f}'
      for task in tasks
    ]
    rows.append((f'{entry["epoch"]}{of}', *cells))
  return Table(('epoch', *tasks), rows, 1)


def critics(record: Record) -> Table:
  """Statistics of each task's critic on the validation rows."""
  statistics = record['metrics']['critic']
  rows = []
  for task in record['metrics']['tasks']:
    cells = [
      content.number(statistics.get(key, {}).get(task), form)
      for key, _, form in _CRITIC
    ]
    state = [
      word
      for word in ('collapsed', 'diverged')
      if statistics.get(word, {}).get(task)
    ]
    rows.append((task, ' and '.join(state) or 'sound', *cells))
  return Table(
    ('critic of', 'state', *(label for _, label, _ in _CRITIC)), rows, 2
  )


def _with_interval(values: Record, key: str, form: str = '.4f') -> str:
  value, interval = values.get(key), values.get(f'{key}_interval')
  if key not in values:
    return content.NOTHING
  if value is None:
    return 'undefined'
  if not interval:
    return format(value, form)
  low, high = (format(end, form) for end in interval)
  return f'{value:{form}} ({low} to {high})'
