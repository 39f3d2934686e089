"""What `rmtl monitor` found, as text and as a page.

`record` is the result of serving/monitoring/judge.monitor.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rmtl_jax.evaluation import registry as metric_registry
from rmtl_jax.report import pictures
from rmtl_jax.report import tables as report_tables
from rmtl_jax.report.page import content, panels, vector

Record = Mapping[str, Any]

# Fields that a terminal and a picture show.
_MOST_SHOWN = 20
_ALARM = 'ALARM'
_MOST_NAMES = 3
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
    return f'No alarm: {rows} are as {model} knows them.'
  s = '' if count == 1 else 's'
  return f'{count} alarm{s} in {rows}, scored by {model}.'


def remarks(record: Record) -> list[str]:
  """How the comparison was made."""
  limits = ', '.join(f'{k} {v:g}' for k, v in record['thresholds'].items())
  lines = [
    f'Thresholds: {limits}. An alarm is also more than chance would make: with'
    f" probability {record['level']:g} there is any in a log like the run's"
    ' data.'
  ]
  if record['clusters'] is not None:
    lines.append(
      f'Rows of one user or session count as dependent; there are'
      f' {record["clusters"]:,} of these.'
    )
  else:
    lines.append(
      'The log has no user or session, so rows count as independent.'
    )
  if record['absent']:
    names = ', '.join(record['absent'][:_MOST_NAMES])
    more = ', ...' if len(record['absent']) > _MOST_NAMES else ''
    lines.append(
      f'Not in the log, and not compared: {len(record["absent"])} as-of'
      f' features ({names}{more}), which rmtl predict --history computes and'
      ' does not write.'
    )
  if record['untrained_as_seen']:
    lines.append(
      'An earlier version trained the run: values that rmtl prepare --extend'
      ' gave an id and that no train row has count as seen, so the share of'
      ' unseen values may seem to rise. The command that trained the run, run'
      ' again, counts them as unseen.'
    )
  apart = [of['name'] for of in record['fields'] if not of['judged']]
  if apart:
    lines.append(
      f'Parts of the time, whose drift raises no alarm: {", ".join(apart)}.'
    )
  if not record['labels']:
    lines.append('The log has no labels, so there are no metrics.')
  return lines


def fields(record: Record) -> content.Table:
  """A row per field, those with alarms first, then the largest drift."""
  rows = [
    (
      of['name'],
      _number(of['psi']),
      _number(of['chance']),
      _number(of['test']),
      content.number(of['unseen'].get('live'), '.1%'),
      content.number(of['unseen'].get('train'), '.1%'),
      f'{of["missing"]:.1%}',
      _ALARM if of['alarms'] else '',
    )
    for of in _worst_first(record)
  ]
  header = (
    *('field', 'drift', 'chance', 'drift: test', 'unseen', 'unseen: train'),
    *('missing', ''),
  )
  return content.Table(header, rows, 1)


def predictions(record: Record) -> content.Table:
  """A row per task: mean and drift of its predictions."""
  rows = [
    (
      of['task'],
      f'{of["mean"]:.4f}',
      _number(of['psi']),
      _number(of['chance']),
      _ALARM if of['alarms'] else '',
    )
    for of in record['predictions']
  ]
  return content.Table(
    ('predictions', 'mean', 'drift from test', 'chance', ''), rows, 1
  )


def labels(record: Record) -> content.Table:
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
          content.number(value, one.form, 'undefined'),
          content.number(of['test'].get(name), one.form, 'undefined'),
          f'{of["rows"]:,}',
          f'{of["positives"]:,}',
          _ALARM if any(a.startswith(about) for a in of['alarms']) else '',
        )
      )
  header = ('labels', 'metric', 'live', 'test', 'rows', 'positives', '')
  return content.Table(header, rows, 2)


def text(record: Record) -> str:
  """The tables in 80 columns, and what stands out."""
  of_fields = fields(record)
  parts = [of_fields.first(_MOST_SHOWN), predictions(record)]
  if record['labels']:
    parts.append(labels(record))
  lines = list(map(report_tables.plain, parts))
  rest = len(of_fields.rows) - _MOST_SHOWN
  if rest > 0:
    lines[0] += f'{rest} more fields are on the page\n'
  sentences = [
    _KEY,
    *remarks(record),
    *(f'ALARM: {alarm}' for alarm in record['alarms']),
    headline(record),
  ]
  return '\n'.join([*lines, *map(report_tables.wrapped, sentences)])


@vector.style()
def build(record: Record) -> content.Page:
  """Builds the page."""
  lead: list[content.Block] = [content.Text(headline(record), True)]
  if record['alarms']:
    lead.append(content.Alert(record['alarms']))
  lead.append(content.Items(remarks(record)))
  sections = [
    content.Section(
      'Fields',
      [
        content.Text(_KEY),
        content.Pictures([_drifts(record)]),
        content.Grid('Worst first', fields(record), ('field',)),
      ],
    ),
    content.Section(
      'Predictions',
      [
        content.Pictures(
          [_distribution(of, i) for i, of in enumerate(record['predictions'])]
        ),
        content.Grid('Against the test rows', predictions(record)),
      ],
    ),
  ]
  if record['labels']:
    grid = content.Grid('Where labels have come', labels(record))
    sections.append(content.Section('Metrics', [grid]))
  return content.Page(f'Live rows of {record["name"]}', lead, sections)


def _number(value: float | None) -> str:
  return content.number(value, '.3f')


def _worst_first(record: Record) -> Sequence[Record]:
  return sorted(
    record['fields'],
    key=lambda of: (bool(of['alarms']), of['psi'] or 0.0),
    reverse=True,
  )


def _drifts(record: Record) -> content.Picture:
  """Draws the fields that drift most, live and on the test rows."""
  shown = _worst_first(record)[:_MOST_SHOWN]
  kinds = (
    ('psi', 'log', 'o'),
    ('chance', 'chance', '|'),
    ('test', 'test', 's'),
  )
  figure = panels.drifts(
    [of['name'] for of in shown],
    [
      # Too few rows tell some fields' index: these have no point.
      (
        name,
        marker,
        colour,
        [math.nan if of[key] is None else of[key] for of in shown],
      )
      for (key, name, marker), colour in zip(
        kinds, pictures.COLOURS, strict=False
      )
    ],
    [record['thresholds']['psi']],
  )
  spoken = '; '.join(f'{of["name"]} {_number(of["psi"])}' for of in shown)
  return vector.picture(
    'live-drift',
    figure,
    'Drift of fields; dotted at the threshold',
    f'Points per field. Log: {spoken}.',
  )


def _distribution(of: Record, number: int) -> content.Picture:
  """Draws the share of predictions between the deciles of the test rows."""
  figure, axes = panels.figure()
  places = np.arange(len(of['shares']))
  for i, (key, name) in enumerate((('live', 'log'), ('shares', 'test rows'))):
    axes.bar(
      places + 0.4 * i,
      [100 * share for share in of[key]],
      0.4,
      align='edge',
      color=pictures.COLOURS[i],
      label=name,
    )
  axes.set_xticks(
    places[1:], [f'{edge:.3g}' for edge in of['edges']], rotation=45
  )
  panels.finish(axes, 'prediction', 'share of rows, %', None)
  return vector.picture(
    f'predictions-{number + 1}',
    figure,
    f'Predictions of {of["task"]}',
    f'Bars between the deciles of the test rows; mean {of["mean"]:.4f}, drift'
    f' {_number(of["psi"])}.',
  )
