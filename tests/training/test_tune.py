"""Searches on tiny data."""

import json
import shutil
import sys

import pytest

from rmtl_jax import config as config_lib
from rmtl_jax import config_flags, types
from rmtl_jax.report import tuning
from rmtl_jax.training import progress, search, trainer, tune
from tests import tiny
from tests.training import test_compare

CONFIG = test_compare.CONFIG
QUIET = progress.Progress(quiet=True)


def wanted(*texts, **more):
  space = tuple(search.parse(text, CONFIG) for text in texts)
  return tune.Search(space, **{'trials': 3, 'seeds': (5,), **more})


RATE = wanted('pretrain.learning_rate=1e-6:0.05:log')


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
  return path, tune.tune(CONFIG, RATE, path, data_dir, QUIET)


def test_the_best_trial_is_kept(tuned):
  path, record = tuned
  assert json.loads((path / 'tuning.json').read_text()) == record
  trials = record['trials']
  assert len(trials) == 4 and trials[0]['settings'] == {}
  assert record['best'] == max(trials, key=lambda t: t['validation_auc'])
  rates = {t['settings'].get('pretrain.learning_rate') for t in trials}
  assert len(rates) == 4
  assert all(1e-6 <= rate <= 0.05 for rate in rates - {None})


def test_the_best_settings_are_a_config(tuned):
  path, record = tuned
  config = config_flags.load(str(path / 'best.json'))
  best = record['best']['settings']
  rate = best.get('pretrain.learning_rate', CONFIG.pretrain.learning_rate)
  assert config.pretrain.learning_rate == rate
  assert config.network == CONFIG.network


def test_a_search_goes_on_where_it_stopped(tmp_path, data_dir, tuned):
  stops = 0
  while True:
    try:
      stop = test_compare.StopAfter(20 + 20 * stops)
      again = tune.tune(CONFIG, RATE, tmp_path, data_dir, QUIET, stop)
      break
    except trainer.Interrupted:
      stops += 1
  assert stops >= 1
  assert again == tuned[1]


def test_more_trials_go_on_from_the_finished_ones(tuned, data_dir):
  path, record = tuned
  more = tune.tune(CONFIG, RATE._replace(trials=4), path, data_dir, QUIET)
  assert more['trials'][:4] == record['trials']
  assert len(more['trials']) == 5


def test_stage_3_is_searched_after_the_other_two(tmp_path, data_dir):
  space = wanted(
    'finetune.learning_rate=1e-4:1e-2:log',
    'weighting.lambda_=0.1:1.0',
    stage='finetune',
    trials=2,
  )
  record = tune.tune(CONFIG, space, tmp_path, data_dir, QUIET)
  assert record['method'].startswith('mmoe+critic')
  assert 'learning_rate' not in record['method']
  for trial in record['trials'][1:]:
    assert set(trial['settings']) == {
      'finetune.learning_rate',
      'weighting.lambda_',
    }
  # Epoch 0 is a candidate, so that no trial is worse than stage 1.
  first = json.loads((tmp_path / 'trials' / 'mmoe' / '5.json').read_text())
  assert record['best']['validation_auc'] >= max(first['validation_auc'])


def test_the_report_says_what_to_do_next(tuned):
  _, record = tuned
  better = {
    **record,
    'best': {**record['best'], 'settings': {'network.dropout': 0.1}},
    'method': 'mmoe:network.dropout=0.1',
  }
  text = tuning.text(better)
  assert '(as given)' in text
  assert 'rmtl compare --methods=mmoe:network.dropout=0.1 --seeds=100,' in text
  unbeaten = {**record, 'best': record['trials'][0]}
  assert 'No trial was better' in tuning.text(unbeaten)


def test_optuna_is_an_extra(tmp_path, data_dir, monkeypatch):
  monkeypatch.setitem(sys.modules, 'optuna', None)
  with pytest.raises(types.InputError, match=r"pip install 'rmtl-jax\[tune\]'"):
    tune.tune(config_lib.Config(), RATE, tmp_path, data_dir, QUIET)
