import matplotlib.figure
import matplotlib.image
import numpy as np
import pytest

from rmtl_jax.report.comparison import pictures
from tests.report.comparison import example


def test_every_picture_is_written(tmp_path):
  results = example.build(seeds=3)
  names = pictures.draw(results, tmp_path / 'pictures')
  assert names == ['differences', 'weights', 'q_values', 'learning']
  for name in names:
    image = matplotlib.image.imread(tmp_path / 'pictures' / f'{name}.png')
    assert image[..., :3].std() > 0.05  # not one colour


def test_pooled_histograms_keep_the_rows():
  results = example.build(seeds=2, tasks=('click',))
  for critic, edges in zip(
    results['critics'], ([-2.0, -1.0, 0.0], [-4.0, -3.0, -2.0]), strict=True
  ):
    histogram = {'edges': edges, 'counts': [10, 30]}
    critic['curves']['q_histogram']['click'] = histogram
  (axes,) = pictures.q_values(results).axes
  (stairs,) = axes.patches
  heights, edges, _ = stairs.get_data()
  middles = (edges[1:] + edges[:-1]) / 2.0
  assert edges[0] == pytest.approx(-4.0, abs=0.02)
  assert edges[-1] == pytest.approx(0.0, abs=0.02)
  # Four bins of width 1 hold 10, 30, 10 and 30 rows; the peak is 0.85 high.
  for middle, height in ((-3.5, 1), (-2.5, 3), (-1.5, 1), (-0.5, 3)):
    near = np.argmin(np.abs(middles - middle))
    assert heights[near] == pytest.approx(0.85 * height / 3.0)
