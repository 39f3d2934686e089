"""The pictures of a run's page.

`record` is the content of metrics.json, `history` the lines of metrics.jsonl.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import matplotlib.figure

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


def learning(record: Record, history: Sequence[Record]) -> pages.Picture:
  """The monitored validation figure by epoch."""
  alt = 'A line per stage and member.'
  return _panel(_curves, 'Learning curves', alt, record, history)


def weights(record: Record) -> pages.Picture:
  """The mean weight by row of a session."""
  alt = 'The mean weight by row of a session.'
  return _panel(_weights, 'Weights', alt, record)


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


def _curves(axes: Any, record: Record, history: Sequence[Record]) -> None:
  """Draws the monitored value over the epochs of each actor stage."""
  monitor, lines = validation_lines(history, record['tasks'])
  names = verdict.stage_names(record)
  for (stage, member), points in lines.items():
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
  axes.set_xlabel('epoch of the stage')
  axes.set_ylabel(monitor.long)
  axes.set_title('Learning curves')
  axes.xaxis.get_major_locator().set_params(integer=True)
  axes.grid(alpha=0.3)
  if axes.has_data():
    axes.legend(fontsize=9)


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


def _calibration(axes: Any, points: Sequence[Record], kind: str) -> None:
  predicted, actual = (
    [point[key] for point in points] for key in ('predicted', 'actual')
  )
  top = max(*predicted, *actual)
  axes.plot([0, top], [0, top], color=pages.GREY, linestyle=':', label='ideal')
  axes.plot(
    predicted,
    actual,
    marker='o',
    markersize=4.5,
    color=pages.COLOURS[0],
    label='predictions',
  )
  is_binary = kind == kinds.BINARY
  axes.set_xlabel(f'mean {"probability" if is_binary else "prediction"}')
  axes.set_ylabel('share of positives' if is_binary else 'mean label')
  axes.grid(alpha=0.3)
  axes.legend()
