import numpy as np

from benchmarks import paired
from rmtl_jax.evaluation import labelled


def rows(labels, weights=None):
  labels = np.array(labels, np.float32)[:, None]
  session = np.arange(len(labels))
  return labelled.Labelled(labels, session, ['click'], weights=weights)


def column(*values):
  return np.array(values)[:, None]


def test_the_gain_is_the_mean_over_seeds():
  right, wrong = column(0.9, 0.8, 0.2, 0.1), column(0.1, 0.2, 0.8, 0.9)
  found = paired.difference(
    [right, wrong], [wrong, wrong], rows([1, 1, 0, 0]), 0
  )
  assert found['auc'] == [1.0, 0.0]
  assert found['other'] == [0.0, 0.0]
  assert found['gain'] == 0.5
  # Every resample with both labels has the same AUCs.
  assert found['interval'] == [0.5, 0.5]
  assert (found['positives'], found['rows']) == (2, 4)


def test_rows_of_no_weight_do_not_count():
  found = paired.difference(
    [column(0.9, 0.8, 0.1, 0.2)],
    [column(0.9, 0.1, 0.8, 0.2)],
    rows([1, 1, 0, 0], column(1.0, 1.0, 0.0, 1.0)),
    0,
  )
  assert (found['auc'], found['other']) == ([1.0], [0.5])
  assert (found['positives'], found['rows']) == (2, 3)


def test_equal_models_are_not_told_apart():
  generator = np.random.default_rng(0)
  scores = generator.uniform(size=(400, 1))
  labels = generator.uniform(size=400) < scores[:, 0]
  found = paired.difference([scores], [scores], rows(labels), 0)
  assert found['gain'] == 0.0
  assert found['interval'] == [0.0, 0.0]
  assert paired.verdict(0.0, found['interval']) == 'not told apart'


def test_the_interval_of_noise_holds_0_and_that_of_a_gain_does_not():
  generator = np.random.default_rng(1)
  truth = generator.uniform(size=(2000, 1))
  labels = generator.uniform(size=2000) < truth[:, 0]
  noisy = truth + generator.normal(size=truth.shape)
  low, high = paired.difference([truth], [noisy], rows(labels), 0)['interval']
  assert 0.0 < low < high
  alike = [truth + 0.1 * generator.normal(size=truth.shape) for _ in range(2)]
  low, high = paired.difference(alike[:1], alike[1:], rows(labels), 0)[
    'interval'
  ]
  assert low < 0.0 < high


def test_one_label_gives_no_interval():
  found = paired.difference(
    [column(0.5, 0.6)], [column(0.5, 0.4)], rows([0, 0]), 0
  )
  assert found['gain'] is None
  assert found['interval'] is None
  line = paired.row({'data': 'mine', 'task': 'click', **found})
  assert line == {
    'data': 'mine',
    'task': 'click',
    'positives': '0',
    'LightGBM': '-',
    'recommended': '-',
    'gain': '-',
    'interval': '-',
    'verdict': 'unknown',
  }


def test_verdicts():
  assert paired.verdict(0.02, [0.01, 0.03]) == 'ahead'
  assert paired.verdict(-0.02, [-0.03, -0.01]) == 'behind by more than 0.002'
  assert paired.verdict(-0.02, [-0.03, -0.001]) == 'behind'
  assert paired.verdict(-0.02, [-0.05, 0.01]) == 'behind, by chance or not'
  assert paired.verdict(-0.001, [-0.05, 0.05]) == 'not told apart'
