"""Pictures of one panel, small enough for a phone."""

from __future__ import annotations

from typing import Any

import matplotlib.figure

SIZE = (4.8, 3.5)
# Characters of a legend on one line, 8 for each mark.
_LEGEND = 66


def figure(
  size: tuple[float, float] = SIZE,
) -> tuple[matplotlib.figure.Figure, Any]:
  """A figure and its axes."""
  made = matplotlib.figure.Figure(figsize=size, layout='constrained')
  return made, made.subplots()


def finish(axes: Any, x: str, y: str, whole: bool | None = True) -> None:
  """Adds labels, a grid, and a legend above the axes.

  Args:
    axes: with all that is drawn.
    x: label of the axis.
    y: label of the axis.
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
