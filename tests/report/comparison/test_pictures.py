import matplotlib.figure
import matplotlib.image
import numpy as np
import pytest

from rmtl_jax.report.comparison import curves, pictures
from tests.report.comparison import example


def panel(figure, title):
  (axes,) = (a for a in figure.axes if a.get_title() == title)
  return axes


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


def test_stage_three_shows_the_gain_since_its_start():
  results = example.build(seeds=2, tasks=('click',))
  for run in results['runs']:
    if run['method'] == 'ple+critic':
      start = 0.5 + 0.2 * run['seed']
      gain = 1e-3 * (1 + run['seed'])
      run['validation_auc'] = [start, start + gain, None]
  figure = curves.learning(results)
  axes = panel(figure, 'stage 3, ple')
  (line,) = (a for a in axes.lines if a.get_label() == 'ple+critic')
  np.testing.assert_allclose(line.get_xdata(), [0, 1])
  np.testing.assert_allclose(line.get_ydata(), [0.0, 15.0])
