"""Pictures of one panel, small enough for a phone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import matplotlib.figure

from rmtl_jax import types

SIZE = (4.8, 3.5)
# The least drift that is drawn, on a logarithmic axis.
_LEAST_DRIFT = 1e-3
# Characters of a legend on one line, 8 for each mark.
_LEGEND = 66


def figure(
  size: tuple[float, float] = SIZE,
) -> tuple[matplotlib.figure.Figure, Any]:
  """A figure and its axes."""
  made = matplotlib.figure.Figure(figsize=size, layout='constrained')
  return made, made.subplots()


def drifts(
  names: Sequence[str],
  series: Iterable[tuple[str, str, str, Sequence[float]]],
  limits: Iterable[float],
) -> matplotlib.figure.Figure:
  """Draws how far fields drift from train, a line per field.

  Args:
    series: (label, marker, colour, population stability index per field).
    limits: where dotted lines stand.
  """
  made, axes = figure((6.4, 1.3 + 0.26 * max(len(names), 1)))
  places = range(0, -len(names), -1)
  for label, marker, colour, values in series:
    shown = [max(value, _LEAST_DRIFT) for value in values]
    axes.plot(
      shown, places, linestyle='', marker=marker, color=colour, label=label
    )
  for limit in limits:
    axes.axvline(max(limit, _LEAST_DRIFT), color='#767676', linestyle=':')
  axes.set_xscale('log')
  axes.xaxis.set_major_formatter('{x:g}')
  axes.set_xlim(left=0.8 * _LEAST_DRIFT)
  label_rows(axes, list(map(types.one_line, names)))
  finish(axes, 'population stability index against train', '', None)
  return made


def interval(
  axes: Any,
  y: float,
  value: float,
  bounds: Sequence[float] | None,
  **style: Any,
) -> None:
  """Draws a point at a height, with its interval if it has one."""
  low, high = bounds or (value, value)
  spread = [[max(value - low, 0.0)], [max(high - value, 0.0)]]
  axes.errorbar(value, y, xerr=spread, **style)


def label_rows(axes: Any, labels: Sequence[str]) -> None:
  """Labels the rows of a picture, which are at heights 0, -1, ..."""
  axes.set_yticks([-i for i in range(len(labels))], labels)
  axes.set_ylim(-len(labels) + 0.4, 0.6)


def finish(axes: Any, x: str, y: str, whole: bool | None = True) -> None:
  """Adds labels, a grid, and a legend above the axes.

  Args:
    whole: whether ticks of x are whole numbers; None leaves them as they are.
  """
  axes.set_xlabel(x)
  axes.set_ylabel(y)
  if whole is not None:
    axes.xaxis.get_major_locator().set_params(nbins=6, integer=whole)
  axes.grid(alpha=0.4)
  longest = max(map(len, axes.get_legend_handles_labels()[1]), default=0)
  axes.legend(
    loc='lower left',
    bbox_to_anchor=(0.0, 1.0),
    # As many as fit beside each other.
    ncols=min(max(_LEGEND // (longest + 8), 1), 3),
    frameon=False,
    borderaxespad=0.2,
    columnspacing=1.2,
  )
