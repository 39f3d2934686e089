"""The overview picture that ends a run."""

from __future__ import annotations

import io
import math
import pathlib
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.figure
import numpy as np

from rmtl_jax import durable
from rmtl_jax.evaluation import monitor as monitor_lib
from rmtl_jax.evaluation import registry as metric_registry
from rmtl_jax.report import models, plain, tables
from rmtl_jax.report.page import panels
from rmtl_jax.results import verdict

Record = Mapping[str, Any]

# Okabe and Ito's palette: told apart by most colour-blind readers.
COLOURS = ('#0072B2', '#D55E00', '#009E73', '#CC79A7', '#E69F00', '#56B4E9')
STYLES = ('-', '--', ':')
ACTOR_STAGES = ('pretrain', 'constant', 'finetune')
# Characters of the legend of tasks on one line, and for each mark in it.
_LEGEND, _MARK = 50, 8


@plain.figures()
def overview(
  record: Record, history: Sequence[Record], path: pathlib.Path
) -> None:
  """Draws AUCs, learning curves, weights and Q-values into one PNG.

  Args:
    record: the content of metrics.json.
    history: one record per epoch, the lines of metrics.jsonl.
    path: the PNG; its directory is created.
  """
  figure = matplotlib.figure.Figure(figsize=(12, 8), layout='constrained')
  axes = figure.subplots(2, 2)
  _aucs(axes[0, 0], record)
  _curves(axes[0, 1], record, history)
  _weights(axes[1, 0], record)
  _q_values(axes[1, 1], record)
  title = (
    f'{record["backbone"]}, {record["weighting"]} weighting,'
    f' {record["split"]} split, {tables.seed_text(record)}'
  )
  figure.suptitle('\n'.join(filter(None, (title, verdict.headline(record)))))
  path.parent.mkdir(parents=True, exist_ok=True)
  save(figure, path)


def save(figure: matplotlib.figure.Figure, path: pathlib.Path) -> None:
  """Writes a PNG atomically."""
  buffer = io.BytesIO()
  with warnings.catch_warnings():
    # Names may be of any script; what no font has is shown as a box.
    warnings.filterwarnings('ignore', 'Glyph .* missing')
    figure.savefig(buffer, format='png', dpi=110)
  durable.write_bytes(path, buffer.getvalue())


def _aucs(axes: Any, record: Record) -> None:
  """Draws the AUC of every model with its interval, one group per task."""
  rows, names = models.models(record), {}
  for k, task in enumerate(record['tasks']):
    for i, row in enumerate(rows):
      values = row.metrics[task]
      name = metric_registry.ranking_of(values)
      value = values[name]
      if value is None:
        continue
      names[metric_registry.describe(name).label] = True
      panels.interval(
        axes,
        -(i + 0.15 * k),
        value,
        values.get(f'{name}_interval'),
        fmt='o',
        color=COLOURS[k % len(COLOURS)],
        label=plain.legend(task) if i == 0 else None,
        capsize=3,
      )
  axes.set_yticks([-i for i in range(len(rows))], [row.folded for row in rows])
  shown = ' or '.join(names) or 'AUC'
  axes.set_xlabel(f'{shown} with session-bootstrap interval')
  axes.set_title('How well each model ranks')
  _legend_above(axes, record['tasks'], len(rows))
  axes.grid(axis='x', alpha=0.3)


def _legend_above(axes: Any, tasks: Sequence[str], rows: int) -> None:
  """Adds a legend of tasks with room of its own, so that it hides no interval.

  Rows of the models are at heights 0, -1, ...
  """
  columns = max(1, _LEGEND // (max(map(len, tasks)) + _MARK))
  lines = math.ceil(len(tasks) / columns)
  share = min(0.06 + 0.07 * lines, 0.6)
  bottom, top = 0.4 - rows - 0.15 * len(tasks), 0.4
  axes.set_ylim(bottom, top + (top - bottom) * share / (1.0 - share))
  axes.legend(loc='upper right', ncols=columns)


def _curves(axes: Any, record: Record, history: Sequence[Record]) -> None:
  """Draws what is monitored over the epochs of each actor stage.

  Stage 3 starts where it took over, at the epoch of stage 1 that was kept.
  """
  monitor, lines = validation_lines(history, record['tasks'])
  names = models.stage_names(record)
  for i, stage in enumerate(ACTOR_STAGES):
    own = [key for key in lines if key[0] == stage]
    for number, (_, member) in enumerate(own):
      points, before = lines[stage, member], lines.get(('pretrain', member))
      if stage != 'pretrain' and before:
        kept = kept_point(record, member, before)
        if kept:
          points = [kept, *((kept[0] + x, y) for x, y in points)]
      axes.plot(
        *zip(*points, strict=True),
        marker='o',
        markersize=4,
        label=_label(names[stage], member, record),
        color=COLOURS[i],
        linestyle=STYLES[number % len(STYLES)],
        alpha=1.0 if len(own) == 1 else 0.7,
      )
  axes.set_xlabel('epoch; stage 3 follows the kept one')
  axes.set_ylabel(monitor.long)
  axes.set_title('Learning curves')
  axes.xaxis.get_major_locator().set_params(integer=True)
  axes.grid(alpha=0.3)
  if axes.has_data():
    axes.legend(loc='upper left', bbox_to_anchor=(1.01, 1.0), frameon=False)


def kept_point(
  record: Record,
  member: int | None,
  points: Sequence[tuple[int, float]],
) -> tuple[int, float] | None:
  """The point of the epoch of stage 1 that was kept.

  Args:
    record: the content of metrics.json.
    member: of an ensemble, from 0 on, or None.
    points: (epoch, value) of stage 1.

  Returns:
    None where what stage 1 started with was kept: it has no record.
  """
  best = record['best_epoch']['pretrain']
  epoch = best[member or 0] if isinstance(best, list) else best
  return next((point for point in points if point[0] == epoch), None)


def _label(name: str, member: int | None, record: Record) -> str:
  """A line's name; members of large ensembles share one."""
  if member is None or record['ensemble'] > len(STYLES):
    return '' if member else name
  return f'{name}, member {member + 1}'


def validation_lines(
  history: Sequence[Record], tasks: Sequence[str]
) -> tuple[monitor_lib.Monitor, dict[tuple[str, Any], list[tuple[int, float]]]]:
  """What stages stop on, and its (epoch, mean over tasks) by stage and member.

  Tasks without an AUC are left out of the mean, and epochs without any task
  out of the line. The member is None where the run is no ensemble.
  """
  monitor = monitor_lib.of_history(history)
  lines: dict[tuple[str, Any], list[tuple[int, float]]] = {}
  for entry in history:
    if monitor is monitor_lib.AUC:
      values = [entry.get(f'validation_auc_{task}') for task in tasks]
    else:
      values = [entry.get(monitor.figure)]
    mean = monitor_lib.mean(values)
    if entry['stage'] in ACTOR_STAGES and mean is not None:
      point = entry['epoch'], mean
      lines.setdefault((entry['stage'], entry.get('member')), []).append(point)
  return monitor, lines


def _weights(axes: Any, record: Record) -> None:
  """Draws the mean weight by row of the session."""
  axes.set_xlabel('row of the session (first = 1)')
  axes.set_ylabel('mean weight, validation rows')
  curves = record.get('curves', {}).get('weight_by_step')
  # Records of earlier versions hold RMTL's weights without a word.
  label = record.get('curves', {}).get('weights', 'RMTL: weights 1 - lambda Q')
  axes.set_title(f'{label[0].upper()}{label[1:]},\nby row of the session')
  if not curves:
    _no_critics(axes)
    return
  for k, (task, values) in enumerate(curves.items()):
    axes.plot(
      range(1, len(values) + 1),
      values,
      marker='.',
      label=plain.legend(task),
      color=COLOURS[k % len(COLOURS)],
    )
  axes.xaxis.get_major_locator().set_params(integer=True)
  axes.grid(alpha=0.3)
  axes.legend()


def _q_values(axes: Any, record: Record) -> None:
  """Draws the distribution of Q(s, pi(s)) per task."""
  axes.set_title('What the critics expect: Q(s, pi(s))')
  axes.set_xlabel('Q, nats')
  axes.set_ylabel('share of validation rows')
  histograms = record.get('curves', {}).get('q_histogram')
  if not histograms:
    _no_critics(axes)
    return
  for k, (task, histogram) in enumerate(histograms.items()):
    counts = np.asarray(histogram['counts'], float)
    axes.stairs(
      counts / counts.sum(),
      histogram['edges'],
      label=plain.legend(task),
      color=COLOURS[k % len(COLOURS)],
      fill=True,
      alpha=0.5,
    )
  axes.legend()


def _no_critics(axes: Any) -> None:
  axes.text(
    0.5, 0.5, 'no critics in this run', ha='center', transform=axes.transAxes
  )
