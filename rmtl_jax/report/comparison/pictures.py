"""The pictures of `rmtl compare`; curves.py beside this file has the lines.

Functions that draw return a figure, or None where the results lack its data.
"""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.figure
import numpy as np

from rmtl_jax.evaluation import comparison
from rmtl_jax.evaluation import registry as metric_registry
from rmtl_jax.report import pictures, plain
from rmtl_jax.report.comparison import curves, tables
from rmtl_jax.report.page import panels

Record = Mapping[str, Any]
Results = Record
Figure = matplotlib.figure.Figure

_GREY = '#767676'
# The axis ends at these quantiles: else one extreme row would set its scale.
_CENTRAL = (0.002, 0.998)
_CELLS = 240


@plain.figures()
def draw(results: Results, directory: pathlib.Path) -> list[str]:
  """Writes a comparison's pictures, NAME.png; returns their names."""
  directory.mkdir(parents=True, exist_ok=True)
  drawn = figures(results)
  for name, figure in drawn.items():
    pictures.save(figure, directory / f'{name}.png')
  return list(drawn)


def figures(results: Results) -> dict[str, Figure]:
  """Draws all pictures; those without data are left out."""
  drawn = {
    'differences': differences(results),
    'weights': curves.weights(results),
    'q_values': q_values(results),
    'learning': curves.learning(results),
  }
  return {name: figure for name, figure in drawn.items() if figure is not None}


def differences(results: Results) -> Figure | None:
  """Draws AUC minus each control: a column per control, a row per task.

  Every control has its own scale, because a method is often farther from the
  pre-trained model than from the other controls.
  """
  records = [
    d
    for d in results['differences']
    if d['metric'] in metric_registry.RANKING and d['mean'] is not None
  ]
  if not records:
    return None
  roles = tables.control_roles(results)
  columns = list(
    dict.fromkeys(roles[d['method'], d['control']] for d in records)
  )
  methods = list(dict.fromkeys(d['method'] for d in records))
  tasks = results['tasks']
  figure = Figure(
    figsize=(
      1.0 + curves.label_width(methods) + 2.7 * len(columns),
      1.3 + len(tasks) * (1.1 + 0.34 * len(methods)),
    ),
    layout='constrained',
  )
  grid = figure.subplots(
    len(tasks), len(columns), squeeze=False, sharey=True, sharex='col'
  )
  for axes_row, task in zip(grid, tasks, strict=True):
    for axes, column in zip(axes_row, columns, strict=True):
      for d in records:
        role = roles[d['method'], d['control']]
        if d['task'] == task and role == column:
          _difference(axes, -methods.index(d['method']), d)
      _difference_axes(axes, f'{task}: minus {column}', methods)
  figure.supxlabel(
    'AUC difference, 1e-4. Thick: t interval over seeds; thin: bootstrap over'
    ' sessions.\nHollow grey: the t interval includes 0 (or one seed).'
    f' Dashed: the {comparison.MIN_EFFECT / tables.UNIT:g} that a claim needs.',
    fontsize=10,
  )
  return figure


def _difference(axes: Any, y: int, record: Record) -> None:
  """Draws one method against one control at height y."""
  low, high = record['low'], record['high']
  is_clear = low is not None and not low <= 0.0 <= high
  colour = _GREY
  if is_clear:
    colour = pictures.COLOURS[0 if record['mean'] > 0.0 else 1]
  if record['bootstrap']:
    ends = [v / tables.UNIT for v in record['bootstrap']]
    axes.plot(ends, [y - 0.22] * 2, color=colour, linewidth=1.0, marker='|')
  if low is not None:
    ends = [low / tables.UNIT, high / tables.UNIT]
    axes.plot(ends, [y, y], color=colour, linewidth=3.5)
  axes.plot(
    record['mean'] / tables.UNIT,
    y,
    marker='o',
    markersize=7,
    color=colour,
    markerfacecolor=colour if is_clear else 'white',
  )


def _difference_axes(axes: Any, title: str, methods: Sequence[str]) -> None:
  axes.axvline(0.0, color='black', linewidth=1.0, zorder=0)
  least = comparison.MIN_EFFECT / tables.UNIT
  axes.axvline(least, color='black', linewidth=1.0, linestyle='--', zorder=0)
  panels.label_rows(axes, methods)
  axes.grid(axis='x', alpha=0.3)
  axes.tick_params(labelbottom=True)
  axes.set_title(title, fontsize=11)


def q_values(results: Results) -> Figure | None:
  """Draws the distribution of Q over rows, seeds pooled, a ridge per critic."""
  labels = tables.critics_by_label(results)
  if not labels:
    return None
  tasks = results['tasks']
  width = 1.2 + curves.label_width(labels) + 4.2 * len(tasks)
  figure = Figure(
    figsize=(width, 1.6 + 0.6 * len(labels)), layout='constrained'
  )
  grid = figure.subplots(1, len(tasks), squeeze=False, sharey=True)[0]
  for k, (axes, task) in enumerate(zip(grid, tasks, strict=True)):
    pooled = {
      label: [r['curves']['q_histogram'][task] for r in records]
      for label, records in labels.items()
    }
    ends = np.array([_quantiles(h) for of in pooled.values() for h in of])
    # Cells that cover the central rows of every histogram.
    edges = np.linspace(ends[:, 0].min(), ends[:, 1].max(), _CELLS + 1)
    for i, histograms in enumerate(pooled.values()):
      heights = _pooled(histograms, edges)
      axes.stairs(
        0.85 * heights / max(heights.max(), 1e-300) - i,
        edges,
        baseline=-i,
        fill=True,
        color=pictures.COLOURS[k % len(pictures.COLOURS)],
        alpha=0.75,
      )
      axes.axhline(-i, color='black', linewidth=0.6)
    axes.set_yticks([-i for i in range(len(pooled))], list(pooled))
    axes.set_ylim(-len(pooled) + 0.8, 1.0)
    axes.set_title(task)
    axes.set_xlabel('Q(s, pi(s)), nats')
    axes.grid(axis='x', alpha=0.3)
  figure.suptitle(
    'Q of the validation rows, seeds pooled; each scaled to its own peak',
    fontsize=11,
  )
  return figure


def _quantiles(histogram: Record) -> np.ndarray:
  """Interpolates the central quantiles, rows spread evenly within a bin."""
  counts = np.asarray(histogram['counts'], np.float64)
  shares = np.append(0.0, np.cumsum(counts)) / counts.sum()
  return np.interp(_CENTRAL, shares, histogram['edges'])


def _pooled(histograms: Sequence[Record], edges: np.ndarray) -> np.ndarray:
  """Sums the histograms on common cells.

  Critics of different seeds have bins of their own, so each one's cumulative
  counts are interpolated at the common edges.
  """
  total = np.zeros(len(edges) - 1)
  for histogram in histograms:
    rows = np.append(0.0, np.cumsum(histogram['counts']))
    total += np.diff(np.interp(edges, histogram['edges'], rows))
  return total
