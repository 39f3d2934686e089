"""The guard against luck, by hand."""

import math

import pytest

from rmtl_jax.evaluation import monitor
from rmtl_jax.studies.tuning import confirmation

pytestmark = pytest.mark.slow

Validated = confirmation.Validated


def trial(value, settings, pruned=False):
  return {'settings': settings, 'validation_auc': value, 'pruned': pruned}


def test_candidates_are_the_best_trials_that_beat_the_settings_given():
  trials = [
    trial(0.70, {}),
    trial(0.71, {'a': 1}),
    trial(0.69, {'a': 2}),
    trial(0.73, {'a': 3}),
    trial(0.99, {'a': 4}, pruned=True),
    trial(0.73, {'a': 3}),
    trial(0.72, {'a': 5}),
    trial(0.75, {}),
    trial(0.70, {'a': 6}),
  ]
  found = confirmation.candidates(trials, 9)
  assert [t['settings'] for t in found] == [{'a': 3}, {'a': 5}, {'a': 1}]
  assert confirmation.candidates(trials, 1) == found[:1]
  assert confirmation.candidates(trials[:1], 3) == []


def test_paired_by_hand():
  # Differences 1, 2, 3, 6: mean 3, variance (4 + 1 + 0 + 9) / 3 = 14 / 3.
  mean, error = confirmation.paired([1.0, 2.0, 3.0, 6.0])
  assert mean == 3.0
  assert error == pytest.approx(math.sqrt(14 / 3 / 4))


BASE = [
  Validated(0.700),
  Validated(0.710),
  Validated(0.690),
  Validated(0.704),
]


def shifted(*gains, halves=None):
  """Runs that differ from BASE by so much."""
  return [
    Validated(run.value + gain, halves or run.halves)
    for run, gain in zip(BASE, gains, strict=True)
  ]


def test_a_gain_beyond_seed_noise_is_chosen():
  record = confirmation.decide(
    BASE, [({'a': 1}, shifted(0.010, 0.014, 0.012, 0.012))]
  )
  assert not record['base_kept'] and record['chosen'] == {'a': 1}
  base, entry = record['confirmed']
  assert base['settings'] == {} and base['gain'] == 0.0
  assert entry['gain'] == pytest.approx(0.012)
  # Deviations -2, 2, 0, 0: variance 8 / 3, over 4 seeds 2 / 3 (in 1e-6).
  assert entry['standard_error'] == pytest.approx(1e-3 * math.sqrt(2 / 3))
  assert entry['by_seed'] == pytest.approx([0.710, 0.724, 0.702, 0.716])
  assert entry['halves'] == [] and entry['passes']


@pytest.mark.parametrize(
  'gains',
  [
    # Mean 1, standard error sqrt(68 / 3 / 4) = 2.4 (in 1e-3).
    (0.003, -0.005, 0.006, 0.000),
    # Nothing, without any noise.
    (0.0, 0.0, 0.0, 0.0),
    # A clear loss.
    (-0.01, -0.011, -0.01, -0.009),
  ],
)
def test_noise_is_not_chosen(gains):
  record = confirmation.decide(BASE, [({'a': 1}, shifted(*gains))])
  assert record['base_kept'] and record['chosen'] == {}
  assert not any(entry['passes'] for entry in record['confirmed'])


@pytest.mark.parametrize(
  ('later', 'passes'),
  [
    ((0.002, 0.004, 0.002, 0.004), True),
    # -1, standard error 1 / 2 sqrt(12 / 3) = 1: not clearly a loss.
    ((-0.004, 0.000, 0.000, 0.000), True),
    ((-0.002, -0.003, -0.002, -0.003), False),
  ],
)
def test_a_gain_in_one_half_alone_is_not_chosen(later, passes):
  base = [Validated(0.7, (0.6, 0.8))] * 4
  own = [Validated(0.71, (0.62, 0.8 + gain)) for gain in later]
  record = confirmation.decide(base, [({'a': 1}, own)])
  entry = record['confirmed'][1]
  assert entry['halves'][0]['gain'] == pytest.approx(0.02)
  assert entry['halves'][1]['gain'] == pytest.approx(sum(later) / 4)
  assert entry['passes'] is passes


def test_logloss_that_falls_is_a_gain():
  trials = [
    {'settings': {'a': i}, 'validation_logloss': value, 'pruned': False}
    for i, value in enumerate([0.90, 0.91, 0.88, 0.89])
  ]
  found = confirmation.candidates(trials, 9, monitor.LOGLOSS)
  assert [t['settings'] for t in found] == [{'a': 2}, {'a': 3}]
  record = confirmation.decide(
    [Validated(0.90, (0.8, 1.0))] * 2,
    [
      ({'a': 2}, [Validated(0.88, (0.79, 0.97))] * 2),
      ({'a': 3}, [Validated(0.91, (0.81, 1.01))] * 2),
    ],
    monitor.LOGLOSS,
  )
  better, worse = record['confirmed'][1:]
  assert better['gain'] == pytest.approx(0.02) and better['passes']
  assert [half['gain'] for half in better['halves']] == [
    pytest.approx(0.01),
    pytest.approx(0.03),
  ]
  assert worse['gain'] == pytest.approx(-0.01) and not worse['passes']
  assert record['chosen'] == {'a': 2}
