"""The planted family's knobs, and what the sweep writes of them."""

from __future__ import annotations

import numpy as np
import pytest

from experiments.planted import family, sweep


@pytest.mark.parametrize(
  ('shift', 'expected'),
  [
    (0.0, (2400, 30)),
    (1.0, (1200, 100)),
    (0.5, (1800, 65)),
    (-1.0, (3300, 2)),
    (-0.5, (2850, 16)),
  ],
)
def test_sessions_after_train_by_hand(shift, expected):
  assert family.sessions(shift) == expected


def test_the_shares_that_the_docs_name():
  def share(sessions):
    rows = np.array(sessions) * (family.ROWS_OF_E, family.ROWS_OF_H)
    return rows[1] / rows.sum()

  before, after = share(family.TRAIN), share(family.sessions(1.0))
  assert (round(before, 2), round(after, 2)) == (0.27, 0.71)
  ratio = (after / before) / ((1 - after) / (1 - before))
  assert ratio == pytest.approx(6.7, abs=0.05)


def test_directions_by_hand():
  np.testing.assert_allclose(
    family.directions(90.0), [[1, 0], [0, 1]], atol=1e-12
  )
  np.testing.assert_allclose(
    family.directions(60.0), [[1, 0], [0.5, 0.75**0.5]], atol=1e-12
  )


def test_every_curve_passes_where_the_effect_is_largest():
  for curve in sweep.points().values():
    assert sweep.Point(family.HELPS) in [point for _, point in curve]
    assert len({point.name for _, point in curve}) == len(curve)


def test_the_table_and_the_picture_show_every_point():
  def row(**changes):
    figures = {
      f'{part}_{control}': value
      for control in sweep.CONTROLS
      for part, value in (('over', 0.0123), ('error', 0.0004))
    }
    knobs = {'angle': 90.0, 'shift': 1.0, 'embedding_dim': 1}
    return {**knobs, 'r2': 0.25, 'passes': True, **figures, **changes}

  rows = [row(), row(shift=0.0, passes=False, over_constant=-0.001)]
  lines = sweep.table(rows).splitlines()
  assert len(lines) == 4
  assert lines[2].startswith('| 90 | 1 | 1 | 0.25 | +123 ± 4 |')
  assert '| -10 ± 4 |' in lines[3] and lines[3].endswith('| no |')
  figure = sweep.picture({'shift': [(0.0, rows[1]), (1.0, rows[0])]})
  (axes,) = figure.axes
  assert axes.get_xlabel() == 'shift'
  assert [t.get_text() for t in axes.get_legend().get_texts()] == [
    'minus constant',
    'minus q_shuffled',
  ]
