"""Which trials are given up, by hand."""

import math

import pytest

from rmtl_jax.evaluation import monitor
from rmtl_jax.studies.tuning import trials

pytestmark = pytest.mark.slow


def test_a_trial_has_the_mean_of_its_seeds():
  assert trials.make_record({'a': 1}, [0.5, 0.7]) == {
    'settings': {'a': 1},
    'validation_auc': pytest.approx(0.6),
    'by_seed': [0.5, 0.7],
    'pruned': False,
  }
  assert trials.make_record({}, [], True)['validation_auc'] == 0.0


def test_a_pruned_trial_is_never_the_best():
  tried = [
    trials.make_record({}, [0.70, 0.60]),
    trials.make_record({'a': 1}, [0.68], pruned=True),
    trials.make_record({'a': 2}, [0.66, 0.62]),
  ]
  assert trials.best(tried) is tried[0]


def test_the_margin_is_three_deviations_of_seeds():
  # Variances 2e-4 (0.70, 0.72) and 8e-4 (0.60, 0.64), mean 5e-4.
  tried = [
    trials.make_record({}, [0.70, 0.72]),
    trials.make_record({'a': 1}, [0.60, 0.64]),
    trials.make_record({'a': 2}, [0.1], pruned=True),
  ]
  assert trials.margin(tried) == pytest.approx(3 * math.sqrt(5e-4))
  assert trials.margin([trials.make_record({}, [0.7])]) == trials.LEAST_MARGIN
  calm = [trials.make_record({}, [0.7, 0.7001])]
  assert trials.margin(calm) == trials.LEAST_MARGIN


@pytest.mark.parametrize(
  ('first', 'lost'), [(0.906, True), (0.904, False), (0.85, False)]
)
def test_low_logloss_is_good(first, lost):
  def record(values, **more):
    return trials.make_record({}, values, monitor=monitor.LOGLOSS, **more)

  tried = [record([0.901, 0.899]), record([0.90, 0.88])]
  assert tried[0]['validation_logloss'] == pytest.approx(0.9)
  assert trials.best(tried, monitor.LOGLOSS) is tried[1]
  tried = [record([0.901, 0.901]), record([0.90, 0.90])]
  assert trials.is_hopeless(first, tried, monitor.LOGLOSS) is lost
  diverged = record([], pruned=True)
  assert diverged['validation_logloss'] > 10
