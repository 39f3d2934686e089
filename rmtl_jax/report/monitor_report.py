"""The result of `rmtl monitor` as text.

`record` is the result of serving/monitoring/judge.monitor.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rmtl_jax.evaluation import metric_registry
from rmtl_jax.report import pages

Record = Mapping[str, Any]
Table = pages.Table

# Fields that a terminal shows; monitor.json has all.
_MOST_SHOWN = 20
_ALARM = 'ALARM'
_KEY = (
  'Drift is the population stability index of the log against the train rows;'
  " chance is what it would be without drift, test what the run's own test"
  ' rows have. Unseen: values that are missing, have no row of their own in'
  ' the vocabulary or are in no train row. No figure: too few independent rows'
  ' to tell.'
)


def headline(record: Record) -> str:
  """The outcome, in one sentence."""
  count = len(record['alarms'])
  model = f'the {record["stage"]} model of {record["name"]}'
  rows = f'{record["rows"]:,} rows of {record["log"]}'
  if not count:
    return f'No alarm: {rows} do not differ from the data of {model}.'
  s = '' if count == 1 else 's'
  return f'{count} alarm{s} in {rows}, scored by {model}.'


def _remarks(record: Record) -> list[str]:
  """How the comparison was made."""
  limits = ', '.join(f'{k} {v:g}' for k, v in record['thresholds'].items())
  lines = [
    f'Thresholds: {limits}. An alarm is also more than chance would make: with'
    f" probability {record['level']:g} there is any in a log like the run's"
    ' data.'
  ]
  if record['clusters'] is not None:
    lines.append(
      'Rows of one user or session count as dependent; there are'
      f' {record["clusters"]:,} of these.'
    )
  if record['absent']:
    lines.append(
      f'Not in the log, and not compared: {len(record["absent"])} as-of'
      ' features, which rmtl predict --history computes and does not write.'
    )
  if not record['labels']:
    lines.append('The log has no labels, so there are no metrics.')
  return lines


def _fields(record: Record) -> Table:
  """A row per field, those with alarms first, then the largest drift."""
  rows = [
    (
      of['name'],
      *(pages.number(of[key], '.3f') for key in ('psi', 'chance', 'test')),
      pages.number(of['unseen'].get('live'), '.1%'),
      pages.number(of['unseen'].get('train'), '.1%'),
      f'{of["missing"]:.1%}',
      _ALARM if of['alarms'] else '',
    )
    for of in sorted(
      record['fields'],
      key=lambda of: (bool(of['alarms']), of['psi'] or 0.0),
      reverse=True,
    )
  ]
  header = (
    *('field', 'drift', 'chance', 'drift: test', 'unseen', 'unseen: train'),
    *('missing', ''),
  )
  return Table(header, rows, title='Fields, the worst first')


def _predictions(record: Record) -> Table:
  """A row per task: mean and drift of its predictions."""
  rows = [
    (
      of['task'],
      f'{of["mean"]:.4f}',
      *(pages.number(of[key], '.3f') for key in ('psi', 'chance')),
      _ALARM if of['alarms'] else '',
    )
    for of in record['predictions']
  ]
  header = ('predictions', 'mean', 'drift from test', 'chance', '')
  return Table(header, rows, title='Predictions against those of the test rows')


def _labels(record: Record) -> Table:
  """A row per task and metric, of live rows and of the test rows."""
  rows = []
  for of in record['labels']:
    for name, value in of['metrics'].items():
      one = metric_registry.describe(name)
      about = f'{of["task"]}: {one.label}'
      rows.append(
        (
          of['task'],
          one.label,
          pages.number(value, one.form, 'undefined'),
          pages.number(of['test'].get(name), one.form, 'undefined'),
          f'{of["rows"]:,}',
          f'{of["positives"]:,}',
          _ALARM if any(a.startswith(about) for a in of['alarms']) else '',
        )
      )
  header = ('labels', 'metric', 'live', 'test', 'rows', 'positives', '')
  return Table(header, rows, 2, 'Metrics of rows with labels')


def text(record: Record) -> str:
  """The tables in 80 columns, and notable findings."""
  fields = _fields(record)
  tables = [
    fields._replace(rows=fields.rows[:_MOST_SHOWN]),
    _predictions(record),
    _labels(record),
  ]
  sentences = [
    _KEY,
    *_remarks(record),
    *(f'ALARM: {alarm}' for alarm in record['alarms']),
    headline(record),
  ]
  parts = [pages.text(table) for table in tables if table.rows]
  return '\n'.join([*parts, *map(pages.wrapped, sentences)])
