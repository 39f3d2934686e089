"""The overview picture that ends a run."""

from __future__ import annotations

import io
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.figure
import numpy as np

from rmtl_jax import durable
from rmtl_jax.report import plain, tables

# Okabe and Ito's palette: told apart by most colour-blind readers.
COLOURS = ('#0072B2', '#D55E00', '#009E73', '#CC79A7', '#E69F00', '#56B4E9')
ACTOR_STAGES = ('pretrain', 'constant', 'finetune')


@plain.figures()
def overview(
  record: Mapping[str, Any],
  history: Sequence[Mapping[str, Any]],
  path: pathlib.Path,
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
  figure.suptitle(
    f'{record["backbone"]}, {record["weighting"]} weighting,'
    f' {record["split"]} split, {tables.seed_text(record)}'
  )
  path.parent.mkdir(parents=True, exist_ok=True)
  save(figure, path)


def save(figure: matplotlib.figure.Figure, path: pathlib.Path) -> None:
  """Writes a PNG atomically."""
  buffer = io.BytesIO()
  figure.savefig(buffer, format='png', dpi=110)
  durable.write_bytes(path, buffer.getvalue())


def _aucs(axes: Any, record: Mapping[str, Any]) -> None:
  """Draws the AUC of every model with its interval, one group per task."""
  models = list(tables.rows(record))
  for k, task in enumerate(record['tasks']):
    for i, (_, metrics) in enumerate(models):
      value = metrics[task]['auc']
      if value is None:
        continue
      low, high = metrics[task].get('auc_interval') or (value, value)
      axes.errorbar(
        value,
        -(i + 0.15 * k),
        xerr=[[max(value - low, 0)], [max(high - value, 0)]],
        fmt='o',
        color=COLOURS[k % len(COLOURS)],
        label=task if i == 0 else None,
        capsize=3,
      )
  axes.set_yticks([-i for i in range(len(models))], [m for m, _ in models])
  axes.set_xlabel('AUC with session-bootstrap interval')
  axes.set_title('How well each model ranks')
  axes.legend()
  axes.grid(axis='x', alpha=0.3)


def _curves(
  axes: Any,
  record: Mapping[str, Any],
  history: Sequence[Mapping[str, Any]],
) -> None:
  """Draws mean validation AUC over the epochs of each actor stage."""
  lines = auc_lines(history, record['tasks'])
  for i, stage in enumerate(ACTOR_STAGES):
    own = [points for key, points in lines.items() if key[0] == stage]
    for number, points in enumerate(own):
      axes.plot(
        *zip(*points, strict=True),
        marker='o',
        label=None if number else stage,
        color=COLOURS[i],
        alpha=1.0 if len(own) == 1 else 0.5,
      )
  axes.set_xlabel('epoch of the stage')
  axes.set_ylabel('mean validation AUC over tasks')
  axes.set_title('Learning curves')
  axes.xaxis.get_major_locator().set_params(integer=True)
  axes.grid(alpha=0.3)
  if axes.has_data():
    axes.legend()


def auc_lines(
  history: Sequence[Mapping[str, Any]], tasks: Sequence[str]
) -> dict[tuple[str, Any], list[tuple[int, float]]]:
  """Collects (epoch, mean validation AUC) by actor stage and member.

  Tasks without an AUC are left out of the mean, and epochs without any task
  out of the line. The member is None where the run is no ensemble.

  Args:
    history: one record per epoch.
    tasks: K names.
  """
  lines: dict[tuple[str, Any], list[tuple[int, float]]] = {}
  for entry in history:
    values = [entry.get(f'validation_auc_{task}') for task in tasks]
    defined = [v for v in values if v is not None]
    if entry['stage'] in ACTOR_STAGES and defined:
      point = entry['epoch'], float(np.mean(defined))
      lines.setdefault((entry['stage'], entry.get('member')), []).append(point)
  return lines


def _weights(axes: Any, record: Mapping[str, Any]) -> None:
  """Draws the mean weight 1 - lambda Q over the position in the session."""
  axes.set_title('Weight 1 - lambda Q over the position in the session')
  axes.set_xlabel('row of the session (first = 1)')
  axes.set_ylabel('mean weight, validation rows')
  curves = record.get('curves', {}).get('weight_by_step')
  if not curves:
    _no_critics(axes)
    return
  for k, (task, values) in enumerate(curves.items()):
    axes.plot(
      range(1, len(values) + 1),
      values,
      marker='.',
      label=task,
      color=COLOURS[k % len(COLOURS)],
    )
  axes.xaxis.get_major_locator().set_params(integer=True)
  axes.grid(alpha=0.3)
  axes.legend()


def _q_values(axes: Any, record: Mapping[str, Any]) -> None:
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
      label=task,
      color=COLOURS[k % len(COLOURS)],
      fill=True,
      alpha=0.5,
    )
  axes.legend()


def _no_critics(axes: Any) -> None:
  axes.text(
    0.5, 0.5, 'no critics in this run', ha='center', transform=axes.transAxes
  )
