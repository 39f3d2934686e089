"""The pictures of a run's page.

`record` is the content of metrics.json, `history` the lines of metrics.jsonl.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import matplotlib.figure
import numpy as np

from rmtl_jax.config import kinds
from rmtl_jax.evaluation import metric_registry, validation_monitor
from rmtl_jax.report import pages
from rmtl_jax.results import verdict

Record = Mapping[str, Any]

_STYLES = ('-', '--', ':')
_STAGES = ('pretrain', 'constant', 'finetune')
_SIZE = (5.6, 3.9)


def _panel(
  draw: Callable[..., None], title: str, alt: str, *args: Any
) -> pages.Picture:
  figure = matplotlib.figure.Figure(figsize=_SIZE, layout='constrained')
  draw(figure.subplots(), *args)
  return pages.picture(figure, title, alt)


def auc(record: Record, rows: Sequence[Any]) -> pages.Picture:
  """The AUC of every model with its interval."""
  alt = 'Points with intervals; the tables below have the figures.'
  return _panel(_aucs, 'AUC of the models', alt, record, rows)


def learning(record: Record, history: Sequence[Record]) -> pages.Picture:
  """The monitored validation figure by epoch."""
  alt = 'A line per stage and member; the table below has the figures.'
  return _panel(_curves, 'Learning curves', alt, record, history)


def critics(record: Record) -> list[pages.Picture]:
  """Weights over the session, and the distribution of Q."""
  return [
    _panel(_weights, 'Weights', 'The mean weight by row of a session.', record),
    _panel(_q_values, 'Q(s, pi(s))', 'A histogram per task.', record),
  ]


def calibration(record: Record) -> list[pages.Picture]:
  """Mean prediction against mean label by bin, a picture per task."""
  return [
    _panel(
      _calibration,
      f'Calibration of {task}, {record["split"]} split',
      f'{len(points)} bins.',
      points,
      metric_registry.kind_of(next(iter(record['stages'].values()))[task]),
    )
    for task, points in record.get('reliability', {}).items()
    if points
  ]


def _aucs(axes: Any, record: Record, rows: Sequence[Any]) -> None:
  """Draws the AUC of every model with its interval, a colour per task."""
  tasks, labels = record['tasks'], {}
  for k, task in enumerate(tasks):
    for i, row in enumerate(rows):
      values = row.metrics[task]
      name = metric_registry.ranking_of(values)
      if values[name] is None:
        continue
      labels[metric_registry.describe(name).label] = True
      low, high = values.get(f'{name}_interval') or (values[name],) * 2
      spread = [
        [max(values[name] - low, 0.0)],
        [max(high - values[name], 0.0)],
      ]
      axes.errorbar(
        values[name],
        -(i + 0.15 * k),
        xerr=spread,
        fmt='o',
        color=pages.COLOURS[k % len(pages.COLOURS)],
        label=pages.legend(task) if i == 0 else None,
        capsize=3,
      )
  names = [
    ' =\n'.join(row.names) + (f'\n({row.note})' if row.note else '')
    for row in rows
  ]
  axes.set_yticks([-i for i in range(len(rows))], names)
  axes.set_xlabel(f'{" or ".join(labels) or "AUC"}, session-bootstrap interval')
  axes.set_title('How well each model ranks')
  # The legend has a row below the models.
  axes.set_ylim(-len(rows) - 0.5, 0.5)
  axes.grid(axis='x', alpha=0.3)
  if axes.has_data():
    axes.legend(loc='lower left', ncols=min(len(tasks), 2), fontsize=9)


def _curves(axes: Any, record: Record, history: Sequence[Record]) -> None:
  """Draws the monitored value over the epochs of each actor stage.

  Stage 3 starts where it took over, at the epoch of stage 1 that was kept.
  """
  monitor, lines = validation_lines(history, record['tasks'])
  names = verdict.stage_names(record)
  for (stage, member), points in lines.items():
    before = lines.get(('pretrain', member))
    if stage != 'pretrain' and before:
      kept = kept_point(record, member, before)
      if kept:
        points = [kept, *((kept[0] + x, y) for x, y in points)]
    axes.plot(
      *zip(*points, strict=True),
      marker='o',
      markersize=4,
      # Members have one entry of the legend.
      label='' if member else names[stage],
      color=pages.COLOURS[_STAGES.index(stage)],
      linestyle=_STYLES[(member or 0) % len(_STYLES)],
      alpha=1.0 if member is None else 0.7,
    )
  axes.set_xlabel('epoch; stage 3 follows the kept one')
  axes.set_ylabel(monitor.long)
  axes.set_title('Learning curves')
  axes.xaxis.get_major_locator().set_params(integer=True)
  axes.grid(alpha=0.3)
  if axes.has_data():
    axes.legend(fontsize=9)


def kept_point(
  record: Record,
  member: int | None,
  points: Sequence[tuple[int, float]],
) -> tuple[int, float] | None:
  """The point of the epoch of stage 1 that was kept.

  Args:
    member: of an ensemble, from 0 on, or None.
    points: (epoch, value) of stage 1.

  Returns:
    None where what stage 1 started with was kept: it has no record.
  """
  best = record['best_epoch']['pretrain']
  epoch = best[member or 0] if isinstance(best, list) else best
  return next((point for point in points if point[0] == epoch), None)


def validation_lines(
  history: Sequence[Record], tasks: Sequence[str]
) -> tuple[
  validation_monitor.Monitor, dict[tuple[str, Any], list[tuple[int, float]]]
]:
  """The monitored metric, and (epoch, mean over tasks) by stage and member.

  Tasks without an AUC are left out of the mean, and epochs without any task
  out of the line. The member is None where the run is no ensemble.
  """
  monitor = validation_monitor.of_history(history)
  lines: dict[tuple[str, Any], list[tuple[int, float]]] = {}
  for entry in history:
    if monitor is validation_monitor.AUC:
      values = [entry.get(f'validation_auc_{task}') for task in tasks]
    else:
      values = [entry.get(monitor.figure)]
    mean = validation_monitor.mean(values)
    if entry['stage'] in _STAGES and mean is not None:
      point = entry['epoch'], mean
      lines.setdefault((entry['stage'], entry.get('member')), []).append(point)
  return monitor, lines


def _weights(axes: Any, record: Record) -> None:
  """Draws the mean weight by row of the session."""
  axes.set_xlabel('row of the session (first = 1)')
  axes.set_ylabel('mean weight, validation rows')
  axes.set_title("RMTL's weights 1 - lambda Q")
  for k, (task, values) in enumerate(
    record['curves']['weight_by_step'].items()
  ):
    axes.plot(
      range(1, len(values) + 1),
      values,
      marker='.',
      label=pages.legend(task),
      color=pages.COLOURS[k % len(pages.COLOURS)],
    )
  axes.xaxis.get_major_locator().set_params(integer=True)
  axes.grid(alpha=0.3)
  axes.legend()


def _q_values(axes: Any, record: Record) -> None:
  """Draws the distribution of Q(s, pi(s)) per task."""
  axes.set_title('Values of the critics: Q(s, pi(s))')
  axes.set_xlabel('Q, nats')
  axes.set_ylabel('share of validation rows')
  for k, (task, of) in enumerate(record['curves']['q_histogram'].items()):
    counts = np.asarray(of['counts'], float)
    axes.stairs(
      counts / max(counts.sum(), 1.0),
      of['edges'],
      label=pages.legend(task),
      color=pages.COLOURS[k % len(pages.COLOURS)],
      fill=True,
      alpha=0.5,
    )
  axes.legend()


def _calibration(axes: Any, points: Sequence[Record], kind: str) -> None:
  top = max(max(point['predicted'], point['high']) for point in points)
  axes.plot([0, top], [0, top], color=pages.GREY, linestyle=':', label='ideal')
  actual, low, high = (
    np.array([point[key] for point in points])
    for key in ('actual', 'low', 'high')
  )
  axes.errorbar(
    [point['predicted'] for point in points],
    actual,
    yerr=[np.maximum(actual - low, 0.0), np.maximum(high - actual, 0.0)],
    marker='o',
    markersize=4.5,
    linewidth=1.2,
    color=pages.COLOURS[0],
    label='predictions',
  )
  is_binary = kind == kinds.BINARY
  axes.set_xlabel(f'mean {"probability" if is_binary else "prediction"}')
  axes.set_ylabel('share of positives' if is_binary else 'mean label')
  axes.grid(alpha=0.3)
  axes.legend()
