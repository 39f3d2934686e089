import itertools

import matplotlib.figure
import matplotlib.image
import numpy as np
import pytest
from matplotlib.backends import backend_agg

from rmtl_jax.report.comparison import curves, pictures
from tests.report.comparison import example

LONG = [
  f'ple+critic:critic.discount={gamma}:weighting.lambda_={lambda_}'
  for gamma in (0.0, 0.5, 0.9, 0.95, 0.99)
  for lambda_ in (0.1, 0.3, 0.5, 0.7, 1.0)
]


def drawn(figure):
  """Lays the figure out, as saving it would; gives its renderer."""
  assert isinstance(figure, matplotlib.figure.Figure)
  canvas = backend_agg.FigureCanvasAgg(figure)
  canvas.draw()
  return canvas.get_renderer()


def labels(axes):
  """Tick labels that are seen: an axis keeps some beyond its limits."""
  found = []
  for axis in (axes.xaxis, axes.yaxis):
    low, high = sorted(axis.get_view_interval())
    for tick in axis.get_major_ticks():
      text = tick.label1
      if low <= tick.get_loc() <= high and text.get_visible():
        found.append(text)
  return found


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


def test_what_has_nothing_to_show_is_skipped(tmp_path):
  results = example.build(seeds=2, with_critics=False)
  results['differences'] = []
  assert pictures.draw(results, tmp_path) == ['learning']
  for run in results['runs']:
    run['validation_auc'] = []
  assert pictures.draw(results, tmp_path / 'none') == []
  assert list((tmp_path / 'none').iterdir()) == []


@pytest.mark.parametrize(
  'judged',
  [
    ('ple+critic', 'esmm+critic', 'mmoe+critic'),
    pytest.param(LONG, marks=pytest.mark.slow),
  ],
)
def test_labels_do_not_overlap(judged):
  results = example.build(seeds=2, judged=judged, replicates=50)
  for draw in (
    pictures.differences,
    pictures.q_values,
    curves.weights,
    curves.learning,
  ):
    figure = draw(results)
    renderer = drawn(figure)
    for axes in figure.axes:
      boxes = [t.get_window_extent(renderer) for t in labels(axes)]
      boxes.append(axes.title.get_window_extent(renderer))
      for first, second in itertools.combinations(boxes, 2):
        assert not first.overlaps(second), draw.__name__
      assert all(box.x0 >= -1.0 and box.y0 >= -1.0 for box in boxes)
    titles = [a.title.get_window_extent(renderer) for a in figure.axes]
    for first, second in itertools.combinations(titles, 2):
      assert not first.overlaps(second), draw.__name__


def test_legends_stay_inside_the_picture():
  results = example.build(seeds=2, judged=LONG, replicates=0)
  learning = curves.learning(results)
  weights = curves.weights(results)
  for figure, legend in (
    (learning, learning.axes[-1].get_legend()),
    (weights, weights.legends[0]),
  ):
    box = legend.get_window_extent(drawn(figure))
    assert figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1
    assert figure.bbox.y0 <= box.y0 and box.y1 <= figure.bbox.y1


def test_every_line_of_a_panel_differs():
  results = example.build(seeds=2, judged=LONG, replicates=0)
  figure = curves.learning(results)
  axes = panel(figure, 'stage 3, ple')
  lines = [a for a in axes.lines if not a.get_label().startswith('_')]
  looks = {(a.get_color(), a.get_linestyle(), a.get_marker()) for a in lines}
  assert len(looks) == len(lines) == 28


def test_a_difference_that_includes_zero_is_hollow():
  results = example.build(seeds=2, tasks=('click',), replicates=0)
  for d, (mean, low, high) in zip(
    (d for d in results['differences'] if d['metric'] == 'auc'),
    [(1e-3, 5e-4, 2e-3), (1e-4, -1e-4, 3e-4), (-1e-3, -2e-3, -5e-4)] * 2,
    strict=False,
  ):
    d.update(mean=mean, low=low, high=high)
  figure = pictures.differences(results)
  fills, means = [], []
  for axes in figure.axes[:3]:
    (mark,) = (a for a in axes.lines if a.get_marker() == 'o')
    fills.append(mark.get_markerfacecolor())
    means.append(mark.get_xdata()[0])
  np.testing.assert_allclose(means, [10.0, 1.0, -10.0])
  assert fills[1] == 'white' and fills[0] != fills[2]
  assert 'white' not in (fills[0], fills[2])


def test_the_lines_at_zero_and_at_the_smallest_claim():
  figure = pictures.differences(example.build(seeds=2))
  for axes in figure.axes:
    vertical = [
      a.get_xdata()[0] for a in axes.lines if list(a.get_ydata()) == [0, 1]
    ]
    np.testing.assert_allclose(vertical, [0.0, 5.0])


def test_one_seed_has_a_point_and_no_interval():
  results = example.build(seeds=1, tasks=('click',), replicates=0)
  figure = pictures.differences(results)
  drawn(figure)
  for axes in figure.axes:
    assert len(axes.lines) == 3  # the two lines and the point


def test_weights_are_means_over_seeds():
  results = example.build(seeds=2, tasks=('click',))
  for critic, values in zip(
    results['critics'], ([1.0, 2.0], [2.0, 4.0]), strict=True
  ):
    critic['curves']['weight_by_step']['click'] = values
  (axes,) = curves.weights(results).axes
  np.testing.assert_allclose(axes.lines[0].get_xdata(), [1, 2])
  np.testing.assert_allclose(axes.lines[0].get_ydata(), [1.5, 3.0])
  band = axes.collections[0].get_paths()[0].vertices
  # The error of 2 and 4 is 1: the band at the second row is 2 to 4.
  np.testing.assert_allclose(
    [band[band[:, 0] == 2.0, 1].min(), band[:, 1].max()], [2.0, 4.0]
  )


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


def test_a_critic_of_one_value_is_drawn(tmp_path):
  results = example.build(seeds=1, tasks=('click',))
  counts, edges = np.histogram(np.zeros(50), 40)
  results['critics'][0]['curves']['q_histogram']['click'] = {
    'edges': edges.tolist(),
    'counts': counts.tolist(),
  }
  assert 'q_values' in pictures.draw(results, tmp_path)


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


def test_curves_have_what_is_monitored():
  results = example.build(seeds=2, tasks=('click',))
  results['config'] = {'evaluation': {'monitor': 'logloss'}}
  for run in results['runs']:
    run['validation_logloss'] = [0.9, 0.9 - 1e-3 * (1 + run['seed'])]
  figure = curves.learning(results)
  axes = panel(figure, 'stage 3, ple')
  (line,) = (a for a in axes.lines if a.get_label() == 'ple+critic')
  np.testing.assert_allclose(line.get_ydata(), [0.0, -15.0])
  assert 'logloss' in axes.get_ylabel()


def test_what_starts_from_scratch_has_no_epoch_0():
  name = 'ple+critic:finetune.start=scratch'
  results = example.build(seeds=2, tasks=('click',), judged=(name,))
  for run in results['runs']:
    if run['method'] == name:
      run['validation_auc'] = [0.5 + 0.2 * run['seed'], 0.7]
  figure = curves.learning(results)
  lines = panel(figure, 'from scratch, ple').lines
  (line,) = (a for a in lines if a.get_label() == name)
  np.testing.assert_allclose(line.get_xdata(), [1, 2])
  np.testing.assert_allclose(line.get_ydata(), [0.6, 0.7])


def test_stage_one_is_drawn_while_half_of_the_seeds_run():
  results = example.build(seeds=3, tasks=('click',))
  aucs = iter([[0.5], [0.6, 0.7], [0.7, 0.9, 0.95]])
  for run in results['runs']:
    if run['method'] == 'ple':
      run['validation_auc'] = next(aucs)
  axes = panel(curves.learning(results), 'stage 1')
  line, crosses = axes.lines
  np.testing.assert_allclose(line.get_xdata(), [1, 2])
  np.testing.assert_allclose(line.get_ydata(), [0.6, 0.8])
  np.testing.assert_allclose(crosses.get_xdata(), [2])
