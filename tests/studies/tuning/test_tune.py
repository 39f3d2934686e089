"""Searches on tiny data."""

import json
import shutil

import pytest

from rmtl_jax import types
from rmtl_jax.config import values as config_values
from rmtl_jax.runtime import progress
from rmtl_jax.studies.tuning import search, tune
from rmtl_jax.training import fit
from tests import tiny
from tests.studies.comparison import test_compare

pytestmark = pytest.mark.slow

# Slower than what learns best, so that trials can gain.
CONFIG = config_values.with_settings(
  test_compare.CONFIG, {'pretrain.learning_rate': 1e-5}
)
QUIET = progress.Progress(quiet=True)


def wanted(*texts, **more):
  space = tuple(search.parse(text, CONFIG) for text in texts)
  return tune.Options(
    space, **{'trials': 3, 'seeds': (5,), 'confirm': 0, **more}
  )


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


@pytest.mark.parametrize(
  ('texts', 'told'),
  [
    (
      (
        'pretrain.balancing.name=equal|gradnorm',
        'pretrain.balancing.alpha=1:2',
      ),
      r'--search: pretrain.balancing.alpha=1.0: config.pretrain.balancing'
      '.alpha: equal does not have it',
    ),
    (
      ('network.embedding_adam=dense|rows', 'network.crosses=|user*item'),
      r'--search: network.embedding_adam=rows and network.crosses=user\*item: ',
    ),
    (('batch.lanes=4:8',), '--search: batch.lanes=5: config.batch.readers: 4'),
    (('network.crosses=|user*itme',), "network.crosses=.*'itme' is no"),
  ],
)
def test_a_space_that_settings_or_data_forbid_leaves_no_search(
  tmp_path, data_dir, texts, told
):
  config = config_values.with_settings(
    CONFIG, {'batch.lanes': 8, 'batch.readers': 4}
  )
  with pytest.raises(types.InputError, match=told):
    tune.tune(config, wanted(*texts), tmp_path / 'new', data_dir, QUIET)
  assert not (tmp_path / 'new').exists()


def test_a_search_goes_on_where_it_stopped(tmp_path, data_dir, tuned):
  stops = 0
  while True:
    try:
      stop = test_compare.StopAfter(20 + 20 * stops)
      again = tune.tune(CONFIG, RATE, tmp_path, data_dir, QUIET, stop)
      break
    except fit.Interrupted:
      stops += 1
  assert stops >= 1
  assert again == tuned[1]


def test_lost_trials_are_spared_their_other_seeds(
  tmp_path, data_dir, monkeypatch
):
  space = wanted('pretrain.learning_rate=1e-9|0.03|2e9', seeds=(5, 7), trials=8)
  said = []
  live = progress.Progress(quiet=True)
  monkeypatch.setattr(live, 'say', said.append)
  record = tune.tune(CONFIG, space, tmp_path, data_dir, live)
  tried = {
    trial['settings']['pretrain.learning_rate']: trial
    for trial in record['trials'][1:]
  }
  runs = {rate: len(trial['by_seed']) for rate, trial in tried.items()}
  assert runs == {1e-9: 1, 0.03: 2, 2e9: 0}
  assert {rate for rate in tried if tried[rate]['pruned']} == {1e-9, 2e9}
  assert record['best'] == tried[0.03]
  lines = [line for line in said if line.startswith('trial ')]
  assert len(lines) == 8 and any('the others are spared' in x for x in lines)
  assert all('at most' in line and 'left' in line for line in lines[:-1])
  # Started again it meets its own files, and decides alike.
  assert tune.tune(CONFIG, space, tmp_path, data_dir, QUIET) == record


def test_a_database_gets_every_trial_once(tmp_path, data_dir, tuned):
  optuna = pytest.importorskip('optuna')
  url = f'sqlite:///{tmp_path / "trials.db"}'
  options = RATE._replace(storage=url)
  path = shutil.copytree(tuned[0], tmp_path / 'tuning')
  # With a copy and without, and started again, the search is the same.
  for _ in range(2):
    assert tune.tune(CONFIG, options, path, data_dir, QUIET) == tuned[1]
  (name,) = optuna.get_all_study_names(url)
  assert name == str(path.resolve())
  study = optuna.load_study(study_name=name, storage=url)
  trials = tuned[1]['trials']
  assert [t.user_attrs['number'] for t in study.trials] == [0, 1, 2, 3]
  assert [t.user_attrs['settings'] for t in study.trials] == [
    t['settings'] for t in trials
  ]
  assert [t.value for t in study.trials] == [
    t['validation_auc'] for t in trials
  ]
  assert study.trials[0].params == {}
  assert all('pretrain.learning_rate' in t.params for t in study.trials[1:])
  # Numbers of another search mean other settings.
  other = options._replace(sampler_seed=1, trials=1)
  tune.tune(CONFIG, other, path, data_dir, QUIET)
  again = optuna.load_study(study_name=name, storage=url)
  assert [t.user_attrs['number'] for t in again.trials] == [0, 1]
