"""Searches on tiny data, and the guard against luck by hand."""

import json
import math
import shutil

import pytest

from rmtl_jax import types
from rmtl_jax.config import values as config_values
from rmtl_jax.evaluation import validation_monitor
from rmtl_jax.runtime import progress
from rmtl_jax.studies import tuning
from rmtl_jax.training import epoch_loop
from tests import tiny
from tests.studies import test_comparing

pytestmark = pytest.mark.slow

# Slower than what learns best, so that trials can gain.
CONFIG = config_values.with_settings(
  test_comparing.CONFIG, {'pretrain.learning_rate': 1e-5}
)
QUIET = progress.Progress(quiet=True)


RATE = 'pretrain.learning_rate=1e-6:0.05:log'


def tune(path, data_dir, search=RATE, config=CONFIG, stop=lambda: 0, **more):
  options = {'trials': 3, 'seeds': (5,), 'confirm': 0, **more}
  return tuning.tune(path, data_dir, search, config, QUIET, stop, **options)


@pytest.fixture(scope='module')
def data_dir(tmp_path_factory):
  """Prepared data whose test split is not there: nothing may read it."""
  path = tmp_path_factory.mktemp('data')
  tiny.write_prepared(path)
  shutil.rmtree(path / 'test')
  return path


@pytest.fixture(scope='module')
def tuned(tmp_path_factory, data_dir):
  path = tmp_path_factory.mktemp('tuning')
  return path, tune(path, data_dir)


def test_the_best_trial_is_kept(tuned):
  path, record = tuned
  assert json.loads((path / 'tuning.json').read_text()) == record
  trials = record['trials']
  assert len(trials) == 4 and trials[0]['settings'] == {}
  assert record['best'] == max(trials, key=lambda t: t['validation_auc'])
  rates = {t['settings'].get('pretrain.learning_rate') for t in trials}
  assert len(rates) == 4
  assert all(1e-6 <= rate <= 0.05 for rate in rates - {None})


def test_a_space_that_the_data_forbid_leaves_no_search(tmp_path, data_dir):
  space = 'network.crosses=|user*itme'
  with pytest.raises(types.InputError, match=r"crosses=.*'itme' is no"):
    tune(tmp_path / 'new', data_dir, space)
  assert not (tmp_path / 'new').exists()


def test_an_interrupted_search_ends_as_an_undisturbed_one(
  tmp_path, data_dir, tuned
):
  stops = 0
  while True:
    try:
      stop = test_comparing.StopAfter(20 + 20 * stops)
      again = tune(tmp_path, data_dir, stop=stop)
      break
    except epoch_loop.Interrupted:
      stops += 1
  assert stops >= 1
  assert again == tuned[1]


def test_trials_that_diverge_or_fall_behind_are_pruned(tmp_path, data_dir):
  rates = '1e-9|2e-9|0.03|0.02|0.04|2e9'
  options = {
    'search': f'pretrain.learning_rate={rates}',
    'seeds': (5, 7),
    'trials': 10,
  }
  record = tune(tmp_path, data_dir, **options)
  seeds = {
    trial['settings']['pretrain.learning_rate']: len(trial['by_seed'])
    for trial in record['trials'][1:]
  }
  assert record['best']['settings']['pretrain.learning_rate'] >= 0.02
  for trial in record['trials'][1:]:
    assert trial['pruned'] == (len(trial['by_seed']) < 2)
    if trial['settings']['pretrain.learning_rate'] == 2e9:
      assert trial['by_seed'] == []
  assert set(seeds.values()) <= {0, 1, 2}
  # A second start finds all of it.
  assert tune(tmp_path, data_dir, **options) == record


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
  found = tuning.candidates(trials, 9, validation_monitor.AUC)
  assert [t['settings'] for t in found] == [{'a': 3}, {'a': 5}, {'a': 1}]
  assert tuning.candidates(trials, 1, validation_monitor.AUC) == found[:1]
  assert tuning.candidates(trials[:1], 3, validation_monitor.AUC) == []


BASE = [0.700, 0.710, 0.690, 0.704]


def shifted(*gains):
  """Values that differ from BASE by so much."""
  return [value + gain for value, gain in zip(BASE, gains, strict=True)]


def test_a_gain_beyond_seed_noise_is_chosen():
  runs = shifted(0.010, 0.014, 0.012, 0.012)
  record = tuning.decide(BASE, [({'a': 1}, runs)], validation_monitor.AUC)
  assert not record['base_kept'] and record['chosen'] == {'a': 1}
  base, entry = record['confirmed']
  assert base['settings'] == {} and base['gain'] == 0.0
  assert entry['gain'] == pytest.approx(0.012)
  # Deviations -2, 2, 0, 0: variance 8 / 3, over 4 seeds 2 / 3 (in 1e-6).
  assert entry['standard_error'] == pytest.approx(1e-3 * math.sqrt(2 / 3))
  assert entry['by_seed'] == pytest.approx([0.710, 0.724, 0.702, 0.716])
  assert entry['passes']


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
  record = tuning.decide(
    BASE, [({'a': 1}, shifted(*gains))], validation_monitor.AUC
  )
  assert record['base_kept'] and record['chosen'] == {}
  assert not any(entry['passes'] for entry in record['confirmed'])


def test_logloss_that_falls_is_a_gain():
  trials = [
    {'settings': {'a': i}, 'validation_logloss': value, 'pruned': False}
    for i, value in enumerate([0.90, 0.91, 0.88, 0.89])
  ]
  found = tuning.candidates(trials, 9, validation_monitor.LOGLOSS)
  assert [t['settings'] for t in found] == [{'a': 2}, {'a': 3}]
  record = tuning.decide(
    [0.90, 0.90],
    [({'a': 2}, [0.88, 0.88]), ({'a': 3}, [0.91, 0.91])],
    validation_monitor.LOGLOSS,
  )
  better, worse = record['confirmed'][1:]
  assert better['gain'] == pytest.approx(0.02) and better['passes']
  assert worse['gain'] == pytest.approx(-0.01) and not worse['passes']
  assert record['chosen'] == {'a': 2}
