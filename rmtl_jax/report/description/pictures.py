"""The pictures of a description, one panel each.

`record` is the result of preparation/description/describe.describe.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import matplotlib.dates
import numpy as np

from rmtl_jax.config import kinds
from rmtl_jax.preparation.description import drift
from rmtl_jax.report import pictures
from rmtl_jax.report.description import tables
from rmtl_jax.report.page import content, panels, vector

Record = Mapping[str, Any]

MOST_FIELDS = 25
_MARKERS = ('o', 's', 'D')
_MS_PER_DAY = 86_400_000
_WORDS = {
  60_000: 'minute',
  3_600_000: 'hour',
  _MS_PER_DAY: 'day',
  7 * _MS_PER_DAY: 'week',
}


def rate(record: Record, place: int) -> content.Picture | None:
  """Draws a label's rate, or mean, over time.

  Args:
    place: of the task, from 0.
  """
  if record['over_time']['span_ms'] is None:
    return None
  task = record['tasks'][place]
  is_rate = task['kind'] == kinds.BINARY
  figure, axes = panels.figure()
  middle = record['over_time']['span_ms'] / 2
  spoken = []
  for i, name in enumerate(tables.SPLITS):
    points = record['over_time']['points'][name]
    shown = [p for p in points if p['mean'][task['name']] is not None]
    scale = 100 if is_rate else 1
    axes.plot(
      [_day(p['ms'] + middle) for p in shown],
      [scale * p['mean'][task['name']] for p in shown],
      color=pictures.COLOURS[i],
      marker=_MARKERS[i],
      markersize=3,
      label=name,
    )
    whole = tables.label(tables.mean(points, task['name']), task['kind'])
    spoken.append(f'{name} {whole}')
  what = f'{"rate, %" if is_rate else "mean"} per {_span(record)}'
  _finish_dates(record, axes, what)
  return vector.picture(
    f'rate-{place + 1}',
    figure,
    f'{task["name"]} over time',
    f'A line per split; {"; ".join(spoken)}.',
  )


def rows(record: Record) -> content.Picture | None:
  """Draws the rows of every split over time."""
  if record['over_time']['span_ms'] is None:
    return None
  width = record['over_time']['span_ms'] / _MS_PER_DAY
  figure, axes = panels.figure()
  for i, name in enumerate(tables.SPLITS):
    points = record['over_time']['points'][name]
    axes.bar(
      [_day(p['ms']) for p in points],
      [p['rows'] for p in points],
      width,
      align='edge',
      color=pictures.COLOURS[i],
      alpha=0.6,
      label=name,
    )
  _finish_dates(record, axes, f'rows per {_span(record)}')
  spoken = '; '.join(
    f'{name} {split["rows"]:,} rows' for name, split in record['splits'].items()
  )
  return vector.picture('rows', figure, 'Rows over time', f'Bars; {spoken}.')


def _day(ms: float) -> float:
  return ms / _MS_PER_DAY


def _span(record: Record) -> str:
  """The span of a point, in words: `hour`, `5 minutes`."""
  span = record['over_time']['span_ms']
  unit = max((u for u in _WORDS if span % u == 0), default=0)
  if not unit:
    return f'{span:,} ms'
  count = span // unit
  return _WORDS[unit] if count == 1 else f'{count} {_WORDS[unit]}s'


def _finish_dates(record: Record, axes: Any, y: str) -> None:
  """Adds labels, dates, and lines where a split ends."""
  for split in record['splits'].values():
    if split['end_ms'] is not None:
      axes.axvline(_day(split['end_ms']), color='#767676', linestyle=':')
  locator = matplotlib.dates.AutoDateLocator(maxticks=6)
  axes.xaxis.set_major_locator(locator)
  axes.xaxis.set_major_formatter(matplotlib.dates.ConciseDateFormatter(locator))
  axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
  panels.finish(axes, 'time, UTC', y, None)


def drifts(record: Record) -> content.Picture:
  """Draws the drift of the fields that drift most."""
  shown = tables.worst_first(record['fields'])[:MOST_FIELDS]
  figure = panels.drifts(
    [field['name'] for field in shown],
    [
      (name, _MARKERS[i], pictures.COLOURS[i], [f['psi'][name] for f in shown])
      for i, name in enumerate(drift.OTHERS, 1)
    ],
    [drift.ALIKE, drift.DIFFERENT],
  )
  spoken = '; '.join(
    f'{field["name"]} {field["psi"]["test"]:.3f}' for field in shown
  )
  return vector.picture(
    'drift',
    figure,
    'Drift of fields; dotted at 0.1 and 0.25',
    f'Points per split. Test: {spoken}.',
  )


def session_lengths(record: Record) -> content.Picture:
  """Draws the share of sessions with at least so many rows."""
  figure, axes = panels.figure()
  spoken = []
  for i, (name, of) in enumerate(record['session_lengths'].items()):
    share = np.array(of['longer']) / of['longer'][0]
    axes.plot(
      np.arange(1, len(share) + 1),
      100 * share,
      color=pictures.COLOURS[i],
      marker=_MARKERS[i],
      markersize=3,
      label=name,
    )
    spoken.append(f'{name}: mean {of["mean"]:.2f}, longest {of["longest"]:,}')
  axes.set_yscale('log')
  axes.yaxis.set_major_formatter('{x:g}')
  panels.finish(axes, 'rows of a session, at least', 'share of sessions, %')
  return vector.picture(
    'sessions',
    figure,
    'Lengths of sessions',
    f'A line per split; {"; ".join(spoken)}.',
  )
