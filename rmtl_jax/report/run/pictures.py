"""The pictures of a run's page, one panel each, so that they fit a phone.

`record` is the result of results/report_record.gather. Every function returns
None where the record lacks what the picture shows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from rmtl_jax.config import kinds
from rmtl_jax.evaluation import registry as metric_registry
from rmtl_jax.report import models, pictures
from rmtl_jax.report.page import content, panels, vector

Record = Mapping[str, Any]

_MARKERS = ('o', 's', '^', 'D', 'v', 'P')
_DASHES = ('-', '--', '-.', ':')


def auc(record: Record, task: str) -> content.Picture | None:
  """Draws the AUC of every model with its interval."""
  metrics, found = record['metrics'], []
  for row in models.models(metrics):
    name = metric_registry.ranking_of(row.metrics[task])
    if row.metrics[task][name] is not None:
      found.append((row, name))
  if not found:
    return None
  figure, axes = panels.figure((panels.SIZE[0], 1.1 + 0.42 * len(found)))
  spoken = []
  for i, (row, name) in enumerate(found):
    value = row.metrics[task][name]
    is_own = row.kind == models.TRAINED
    panels.interval(
      axes,
      -i,
      value,
      row.metrics[task].get(f'{name}_interval'),
      fmt='o' if is_own else 'D',
      color=pictures.COLOURS[0] if is_own else '#767676',
      capsize=4,
    )
    spoken.append(f'{row.label} {value:.4f}')
  panels.label_rows(axes, [row.folded for row, _ in found])
  label = metric_registry.describe(found[0][1]).label
  axes.set_xlabel(label)
  axes.grid(axis='x', alpha=0.4)
  return vector.picture(
    _name(record, 'auc', task),
    figure,
    f'{label} of {task}, {metrics["split"]} split',
    'Points with bootstrap intervals over sessions: ' + '; '.join(spoken) + '.',
  )


def learning(
  record: Record, title: str, stages: Sequence[str]
) -> content.Picture | None:
  """Draws what is monitored over epochs, a line per stage and member."""
  metrics = record['metrics']
  monitor, all_lines = pictures.validation_lines(
    record['history'], metrics['tasks']
  )
  names = models.stage_names(metrics)
  lines, spoken = {}, []
  for (stage, member), points in all_lines.items():
    if stage not in stages:
      continue
    # Fine-tuning may keep epoch 0, so the pre-trained model is a point too.
    before = all_lines.get(('pretrain', member))
    if stage != 'pretrain' and before:
      kept = pictures.kept_point(metrics, member, before)
      if kept:
        points = [(0, kept[1]), *points]
    of = '' if member is None else f' of member {member + 1}'
    best = monitor.best(value for _, value in points)
    spoken.append(f'{names[stage]}{of}: best epoch at {best:.4f}')
    lines[stage, member] = points
  if not lines:
    return None
  figure, axes = panels.figure()
  _plot(axes, lines, names)
  panels.finish(axes, 'epoch of the stage', f'mean validation {monitor.word}')
  return vector.picture(
    title.lower().replace(' ', '_'),
    figure,
    f'{title}: {monitor.long}',
    '; '.join(spoken) + '.',
  )


def _plot(
  axes: Any,
  lines: Mapping[tuple[str, Any], Sequence[tuple[int, float]]],
  labels: Mapping[str, str],
) -> None:
  """Draws lines by (name, member); a name's members share style and label.

  `labels` are of all names that there can be, and decide the styles' order.
  """
  drawn = set()
  for (name, member), points in lines.items():
    i = list(labels).index(name)
    axes.plot(
      *zip(*points, strict=True),
      marker=_MARKERS[i],
      linestyle=_DASHES[i],
      color=pictures.COLOURS[i],
      label=None if name in drawn else labels[name],
      alpha=1.0 if member is None else 0.6,
    )
    drawn.add(name)
    if member is not None and len(drawn) == 1:
      axes.annotate(
        f'member {member + 1}',
        points[-1],
        xytext=(0, 5),
        textcoords='offset points',
        ha='right',
        fontsize='x-small',
      )


def td_error(record: Record) -> content.Picture | None:
  """Draws the critics' errors, pass by pass."""
  kinds = {
    'td_error': 'train TD error',
    'validation_td_error': 'validation TD error',
    'validation_return_error': 'validation return error',
  }
  of_critics = [
    entry for entry in record['history'] if entry['stage'] == 'critic'
  ]
  lines = _lines(of_critics, kinds)
  words = 'pass of stage 2', 'mean squared error'
  title = "The critics' errors in stage 2"
  return _by_epoch('td_error', title, lines, kinds, words, '.4g')


def _lines(
  entries: Iterable[Record], keys: Iterable[str]
) -> dict[tuple[str, Any], list[tuple[int, float]]]:
  """Figures of a history over epochs, by their name and the member."""
  lines: dict[tuple[str, Any], list[tuple[int, float]]] = {}
  for entry in entries:
    for key in keys:
      if entry.get(key) is not None:
        point = entry['epoch'], entry[key]
        lines.setdefault((key, entry.get('member')), []).append(point)
  return lines


def _by_epoch(
  name: str,
  title: str,
  lines: Mapping[tuple[str, Any], Sequence[tuple[int, float]]],
  labels: Mapping[str, str],
  words: tuple[str, str],
  form: str,
  zero: bool = False,
) -> content.Picture | None:
  """Draws such lines and says from where to where each of them goes."""
  if not lines:
    return None
  figure, axes = panels.figure()
  if zero:
    axes.axhline(0.0, color='#767676', linestyle=':')
  _plot(axes, lines, labels)
  panels.finish(axes, *words)
  spoken = [
    labels[key]
    + ('' if member is None else f', member {member + 1}')
    + f': from {points[0][1]:{form}} to {points[-1][1]:{form}}'
    for (key, member), points in lines.items()
  ]
  return vector.picture(name, figure, title, '; '.join(spoken) + '.')


def calibration(record: Record, task: str) -> content.Picture | None:
  """Draws mean prediction against mean label, a point per bin."""
  points = record['metrics'].get('reliability', {}).get(task)
  if not points:
    return None
  figure, axes = panels.figure((panels.SIZE[0], 4.2))
  top = max(max(point['predicted'], point['high']) for point in points)
  axes.plot([0, top], [0, top], color='#767676', linestyle=':', label='ideal')
  actual = np.array([p['actual'] for p in points])
  low, high = (np.array([p[end] for p in points]) for end in ('low', 'high'))
  axes.errorbar(
    [p['predicted'] for p in points],
    actual,
    yerr=[np.maximum(actual - low, 0.0), np.maximum(high - actual, 0.0)],
    marker=_MARKERS[0],
    markersize=4.5,
    linewidth=1.2,
    elinewidth=0.8,
    color=pictures.COLOURS[0],
    label='predictions',
  )
  rows = sum(p['rows'] for p in points)
  off = sum(p['rows'] * abs(p['predicted'] - p['actual']) for p in points)
  words = 'mean probability of the bin', 'share of positives'
  if metric_registry.kind_of(_first(record, task)) != kinds.BINARY:
    words = 'mean prediction of the bin', 'mean label'
  panels.finish(axes, *words, False)
  return vector.picture(
    _name(record, 'calibration', task),
    figure,
    f'Calibration of {task}, test split',
    f'{len(points)} bins, mean distance from the diagonal {off / rows:.4f}.',
  )


def _first(record: Record, task: str) -> Record:
  """The task's metrics of the first model."""
  return next(iter(record['metrics']['stages'].values()))[task]


def weights(record: Record, task: str) -> content.Picture | None:
  """Draws the mean weight by the position in the session."""
  curve = record['metrics'].get('curves', {}).get('weight_by_step', {})
  curve = curve.get(task)
  if not curve:
    return None
  figure, axes = panels.figure()
  x, last = np.arange(1, len(curve) + 1), len(curve)
  axes.plot(x, curve, color=pictures.COLOURS[0], marker='o', label='mean')
  panels.finish(axes, 'row of the session (first = 1)', 'weight')
  axes.ticklabel_format(axis='y', useOffset=False)
  return vector.picture(
    _name(record, 'weights', task),
    figure,
    f'Weights of {task} over the session',
    f'Mean weight at row 1: {curve[0]:.3f}; at row {last}: {curve[-1]:.3f}.',
  )


def q_values(record: Record, task: str) -> content.Picture | None:
  """Draws the distribution of Q(s, pi(s)) and the mean realised return."""
  metrics = record['metrics']
  histogram = metrics.get('curves', {}).get('q_histogram', {}).get(task)
  if not histogram:
    return None
  counts = np.asarray(histogram['counts'], float)
  statistics = metrics['critic']
  figure, axes = panels.figure()
  axes.stairs(
    counts / max(counts.sum(), 1.0),
    histogram['edges'],
    fill=True,
    color=pictures.COLOURS[0],
    alpha=0.8,
    label='Q',
  )
  mean = statistics['mean_return'][task]
  axes.axvline(
    mean, color=pictures.COLOURS[1], linestyle='--', label='mean return'
  )
  panels.finish(axes, 'Q(s, pi(s)), nats', 'share of rows', False)
  return vector.picture(
    _name(record, 'q', task),
    figure,
    f'Distribution of Q, {task}',
    f'Q of the validation rows, from {histogram["edges"][0]:.3g} to'
    f' {histogram["edges"][-1]:.3g}, mean'
    f' {statistics["mean_q"][task]:.3g}; the mean return that was realised is'
    f' {mean:.3g}.',
  )


def _name(record: Record, kind: str, task: str) -> str:
  # Not the task's own, which may hold what a file's name can't.
  return f'{kind}-{list(record["metrics"]["tasks"]).index(task) + 1}'


def per_task(
  draw: Any, record: Record, tasks: Sequence[str]
) -> list[content.Pictures]:
  """Draws one picture per task, side by side, where the task has one."""
  return content.side_by_side(draw(record, task) for task in tasks)
