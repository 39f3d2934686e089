"""When does critic weighting help? One knob of the planted family at a time.

    python -m experiments.planted.sweep --workdir=runs/planted \\
      --output=experiments/results/planted

Every point is a comparison of its own: RMTL against its four controls, 16
paired seeds, tiny networks. Interrupt it and start it again: finished points
are read, not trained. About a minute and a half a point on a CPU core.
"""

from __future__ import annotations

import csv
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import matplotlib.figure
from absl import app, flags, logging

from experiments.planted import family
from rmtl_jax.runtime import progress
from rmtl_jax.studies import comparing
from rmtl_jax.weighting import weighting_registry

_WORKDIR = flags.DEFINE_string('workdir', 'runs/planted', 'Data and runs.')
_OUTPUT = flags.DEFINE_string('output', '', 'Table and picture; none if empty.')
_SEEDS = flags.DEFINE_integer('seeds', 16, 'Paired seeds of a point.')

METHOD = 'shared_bottom+critic'
_GREY = '#767676'


class Point(NamedTuple):
  """A data set of the family, and the network that meets it.

  Attributes:
    knobs: of the data.
    embedding_dim: of the network.
  """

  knobs: family.Knobs
  embedding_dim: int = 1

  @property
  def name(self) -> str:
    """A folder's."""
    return (
      f'angle{self.knobs.angle:g}_shift{self.knobs.shift:g}'
      f'_dim{self.embedding_dim}'
    )


def points() -> dict[str, list[tuple[float, Point]]]:
  """Per knob, (its value, point), the other knobs where the effect is large."""
  k = family.Knobs
  return {
    'angle between the kinds (degrees)': [
      (angle, Point(k(angle=angle))) for angle in (0.0, 30.0, 60.0, 90.0)
    ],
    'shift of their shares after train': [
      (shift, Point(k(shift=shift))) for shift in (-1.0, 0.0, 0.5, 1.0)
    ],
    'embedding dimension of the network': [
      (dim, Point(k(), dim)) for dim in (1, 2)
    ],
  }


def measure(point: Point, workdir: pathlib.Path, seeds: int) -> dict[str, Any]:
  """One row of the table: RMTL's test AUC minus that of each control."""
  path = workdir / point.name
  if not (path / 'data' / 'manifest.json').exists():
    family.write_prepared(path / 'data', point.knobs)
  results = comparing.compare(
    path / 'comparison',
    path / 'data',
    config=family.config(
      point.embedding_dim, methods=(METHOD,), seeds=tuple(range(seeds))
    ),
    live=progress.Progress(brief=True),
  )
  row: dict[str, Any] = {
    'angle': point.knobs.angle,
    'shift': point.knobs.shift,
    'embedding_dim': point.embedding_dim,
    'seeds': seeds,
    'r2': sum(r['statistics']['r2']['click'] for r in results['critics'])
    / len(results['critics']),
    'passes': results['verdicts'][0]['passes'],
  }
  for record in results['differences']:
    if record['metric'] == 'auc':
      control = record['control'].partition('+')[2] or 'pretrained'
      row[f'over_{control}'] = record['mean']
      row[f'error_{control}'] = record['standard_error']
  return row


CONTROLS = ('pretrained', *weighting_registry.CONTROLS)


def table(rows: Sequence[dict[str, Any]]) -> str:
  """Markdown: a row per point, gains in units of 1e-4 AUC."""
  lines = [
    "| angle | shift | dimension | critics' R2 | minus "
    + ' | minus '.join(CONTROLS)
    + ' | passes |',
    '|---' * (5 + len(CONTROLS)) + '|',
  ]
  for row in rows:
    gains = ' | '.join(
      f'{1e4 * row[f"over_{c}"]:+.0f} ± {1e4 * row[f"error_{c}"]:.0f}'
      for c in CONTROLS
    )
    lines.append(
      f'| {row["angle"]:g} | {row["shift"]:g} | {row["embedding_dim"]} |'
      f' {row["r2"]:.2f} | {gains} | {"yes" if row["passes"] else "no"} |'
    )
  return '\n'.join(lines) + '\n'


def picture(
  curves: dict[str, list[tuple[float, dict[str, Any]]]],
) -> matplotlib.figure.Figure:
  """The gain over constant weights against each knob, with error bars."""
  figure = matplotlib.figure.Figure(figsize=(10, 3.4), layout='constrained')
  axes = figure.subplots(1, len(curves), sharey=True, squeeze=False)[0]
  for ax, (knob, curve) in zip(axes, curves.items(), strict=True):
    values = [value for value, _ in curve]
    ax.axhline(0.0, color=_GREY, linewidth=0.8)
    for control, style in (('constant', 'o-'), ('q_shuffled', 's--')):
      ax.errorbar(
        values,
        [row[f'over_{control}'] for _, row in curve],
        [2 * row[f'error_{control}'] for _, row in curve],
        fmt=style,
        capsize=3,
        label=f'minus {control}',
      )
    ax.set_xlabel(knob)
    ax.set_xticks(values)
  axes[0].set_ylabel("RMTL's gain in test AUC")
  axes[0].legend(frameon=False)
  return figure


def _each(
  curves: dict[str, list[tuple[float, dict[str, Any]]]],
) -> Iterator[dict[str, Any]]:
  """Every point once: the knobs' curves share some."""
  seen = set()
  for curve in curves.values():
    for _, row in curve:
      key = (row['angle'], row['shift'], row['embedding_dim'])
      if key not in seen:
        seen.add(key)
        yield row


def main(argv: Sequence[str]) -> None:
  """Measures every point, then writes what was asked for."""
  del argv
  logging.set_verbosity(logging.WARNING)
  workdir = pathlib.Path(_WORKDIR.value)
  curves = {
    knob: [
      (value, measure(point, workdir, _SEEDS.value)) for value, point in curve
    ]
    for knob, curve in points().items()
  }
  rows = list(_each(curves))
  print(table(rows))
  if _OUTPUT.value:
    output = pathlib.Path(_OUTPUT.value)
    output.mkdir(parents=True, exist_ok=True)
    (output / 'gains.md').write_text(table(rows), encoding='utf-8')
    with (output / 'gains.csv').open('w', encoding='utf-8', newline='') as file:
      writer = csv.DictWriter(file, list(rows[0]))
      writer.writeheader()
      writer.writerows(rows)
    picture(curves).savefig(output / 'gains.png', dpi=110)


if __name__ == '__main__':
  app.run(main)
