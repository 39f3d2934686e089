"""The curves of `rmtl compare`: weights over the session, learning by epoch.

Public functions return a figure, or None where the results lack its data.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import matplotlib.figure
import numpy as np

from rmtl_jax.evaluation import comparison
from rmtl_jax.evaluation import monitor as monitor_lib
from rmtl_jax.report import pictures
from rmtl_jax.report.comparison import tables

Results = Mapping[str, Any]
Figure = matplotlib.figure.Figure
Curve = Sequence[float | None]

_DASHES = ('-', '--', ':', '-.')
_MARKERS = ('.', 's')
_FIRST = 'stage 1'


def weights(results: Results) -> Figure | None:
  """Draws mean weight by position in the session, one line per critic."""
  labels = tables.critics_by_label(results)
  if not labels:
    return None
  tasks = results['tasks']
  figure = Figure(
    figsize=(
      1.2 + label_width(labels) + 4.2 * len(tasks),
      max(4.0, 1.0 + 0.24 * len(labels)),
    ),
    layout='constrained',
  )
  grid = figure.subplots(1, len(tasks), squeeze=False)[0]
  for axes, task in zip(grid, tasks, strict=True):
    for style, (label, records) in zip(_styles(), labels.items(), strict=False):
      curves = [r['curves']['weight_by_step'][task] for r in records]
      mean, error, _ = _over_seeds(curves)
      rows = np.arange(1, len(mean) + 1)
      _line(axes, rows, mean, error, label, style, len(labels))
    axes.set_title(task)
    axes.set_xlabel('row of the session (first = 1)')
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.grid(alpha=0.3)
  grid[0].set_ylabel(
    'mean weight 1 - lambda Q\n(band: standard error over seeds)'
  )
  handles, names = grid[0].get_legend_handles_labels()
  figure.legend(
    handles,
    names,
    title='critic of',
    loc='outside right upper',
    fontsize=9,
    frameon=False,
  )
  return figure


def label_width(labels: Iterable[str]) -> float:
  """Inches of the longest label."""
  return 0.085 * max(map(len, labels))


def learning(results: Results) -> Figure | None:
  """Draws what is monitored by epoch: stage 1, then stage 3 by backbone.

  Stage 3 shows the gain since its start, because methods of one seed start
  from the same parameters and seeds differ by more than methods do.
  """
  monitor = monitor_lib.of_record(results)
  panels: dict[str, dict[str, list[Curve]]] = {}
  for method in tables.by_backbone(results):
    curves = [
      _gain(run[monitor.figure]) if method['weighting'] else run[monitor.figure]
      for run in results['runs']
      if run['method'] == method['name']
      and run.get(monitor.figure)
      # Members of an ensemble end at different epochs: there is no one curve.
      and 'ensemble' not in run
    ]
    title = _FIRST
    if method['weighting']:
      title = f'stage 3, {method["backbone"]}'
    if curves:
      panels.setdefault(title, {})[method['name']] = curves
  if not panels:
    return None
  order = sorted(panels, key=lambda title: title != _FIRST)
  heights = [max(3.2, 0.25 * len(panels[title]) + 0.6) for title in order]
  longest = max(len(name) for names in panels.values() for name in names)
  figure = Figure(
    figsize=(7.5 + 0.09 * longest, sum(heights)), layout='constrained'
  )
  grid = figure.subplots(
    len(order), 1, squeeze=False, gridspec_kw={'height_ratios': heights}
  )[:, 0]
  for axes, title in zip(grid, order, strict=True):
    _learning_panel(axes, title, panels[title], monitor)
  grid[-1].set_xlabel(
    'epoch (bands: ± standard error over seeds; crosses: not every seed)'
  )
  return figure


def _gain(curve: Curve) -> Curve:
  """Subtracts epoch 0, in units of 1e-4."""
  start = curve[0]
  return [
    None if start is None or value is None else (value - start) / tables.UNIT
    for value in curve
  ]


def _learning_panel(
  axes: Any,
  title: str,
  curves_by_name: Mapping[str, list[Curve]],
  monitor: monitor_lib.Monitor,
) -> None:
  """Draws a panel; lines end where fewer than half of the seeds go on.

  Crosses mark epochs that some seeds did not reach: their mean is over fewer
  seeds, and steps of the line there may come from who is missing.
  """
  first = 1 if title == _FIRST else 0
  count = len(curves_by_name)
  for style, (name, curves) in zip(
    _styles(), curves_by_name.items(), strict=False
  ):
    mean, error, seeds = _over_seeds(curves)
    use = np.flatnonzero(2 * seeds >= len(curves))
    _line(axes, use + first, mean[use], error[use], name, style, count)
    fewer = use[seeds[use] < len(curves)]
    axes.plot(
      fewer + first, mean[fewer], 'x', color=style['color'], markersize=7
    )
  axes.set_title(title)
  axes.set_ylabel(
    f'mean validation {monitor.word}'
    if first
    else f'validation {monitor.word} minus epoch 0, 1e-4'
  )
  axes.xaxis.get_major_locator().set_params(integer=True)
  axes.grid(alpha=0.3)
  axes.legend(
    loc='upper left', bbox_to_anchor=(1.01, 1.0), fontsize=9, frameon=False
  )


def _over_seeds(
  curves: Sequence[Curve],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Averages curves of unequal length.

  Returns:
    Mean, standard error (0 for one seed) and number of seeds, f64[E] each.
  """
  columns = list(itertools.zip_longest(*curves))
  records = [comparison.mean_and_error(column) for column in columns]
  return (
    np.array([np.nan if r['n'] == 0 else r['mean'] for r in records]),
    np.array([r['standard_error'] or 0.0 for r in records]),
    np.array([r['n'] for r in records]),
  )


def _styles() -> Iterator[dict[str, Any]]:
  """Cycles through 48 styles: colours first, then dashes, then markers."""
  for marker, dash, colour in itertools.cycle(
    itertools.product(_MARKERS, _DASHES, pictures.COLOURS)
  ):
    yield {'color': colour, 'linestyle': dash, 'marker': marker}


def _line(
  axes: Any,
  x: np.ndarray,
  mean: np.ndarray,
  error: np.ndarray,
  label: str,
  style: dict[str, Any],
  lines: int,
) -> None:
  """Draws a line with its band, which is fainter the more lines there are."""
  axes.plot(x, mean, label=label, markersize=5, **style)
  axes.fill_between(
    x,
    mean - error,
    mean + error,
    color=style['color'],
    alpha=min(0.2, 1.0 / lines),
    linewidth=0,
  )
