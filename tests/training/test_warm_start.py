"""Runs that start from another's models, on data of grown vocabularies."""

import functools
import json

import pytest

from rmtl_jax import cli, run, types
from rmtl_jax.config import values as config_values
from rmtl_jax.runtime import progress, writers
from tests import next_day, paper, signals, tiny

pytestmark = pytest.mark.slow

QUIET = progress.Progress(quiet=True)
CONFIG = config_values.from_dict(
  {
    'backbone': 'shared_bottom',
    'ensemble': 2,
    'variants': 'network.ignore=user;',
    'network': {'embedding_dim': 4, 'bottom_units': [6], 'tower_units': [4]},
    'batch': {'lanes': 4, 'lane_length': 8, 'steps_per_dispatch': 4},
    'pretrain': {'max_epochs': 2, 'learning_rate': 0.01},
    'critic': {
      'max_passes': 2,
      'stopping': 'return_error',
      'initial_value': 'mean_return',
    },
    'finetune': {'max_epochs': 1},
    'control': False,
    'weighting': {'name': 'advantage'},
    'evaluation': {'bootstrap': 0},
  },
  paper.PAPER,
)
FROZEN = {
  'pretrain.learning_rate': 0.0,
  'critic.learning_rate': 0.0,
  'finetune.learning_rate': 0.0,
}


@pytest.fixture(scope='module')
def places(tmp_path_factory):
  root = tmp_path_factory.mktemp('days')
  manifest = tiny.write_prepared(root / 'monday', sessions=60)
  next_day.write_vocabulary(root / 'monday', next_day.values(manifest))
  next_day.write(root / 'monday', root / 'tuesday')
  run.train(CONFIG, root / 'run', root / 'monday', live=QUIET)
  return root


def _next(places, path, settings=None, **more):
  config = config_values.with_settings(CONFIG, settings or {})
  return run.train(
    config,
    path,
    places / 'tuesday',
    live=QUIET,
    start_from=places / 'run',
    **more,
  )


@pytest.fixture(scope='module')
def started(places, tmp_path_factory):
  path = tmp_path_factory.mktemp('started') / 'run'
  return path, _next(places, path)


def test_it_begins_as_the_other_ended(places, tmp_path):
  """Rows of known values alone, and steps that change nothing."""
  record = _next(places, tmp_path / 'run', FROZEN)
  before = json.loads((places / 'run' / 'metrics.json').read_text())
  assert record['best_epoch']['pretrain'] == [0, 0]
  for stage in ('pretrain', 'finetune'):
    for task in tiny.TASKS:
      for name in ('auc', 'logloss'):
        found = record['stages'][stage][task][name]
        assert found == pytest.approx(
          before['stages']['pretrain'][task][name], abs=2e-6
        )
  history = writers.read_history(tmp_path / 'run' / 'members' / '0')
  error = [
    h['validation_return_error'] for h in history if h['stage'] == 'critic'
  ]
  old = writers.read_history(places / 'run' / 'members' / '0')
  kept = min(
    h['validation_return_error'] for h in old if h['stage'] == 'critic'
  )
  assert error[0] == pytest.approx(kept, rel=1e-4)


def test_a_killed_one_ends_as_an_undisturbed_one(started, places, tmp_path):
  record, interruptions = signals.train_in_pieces(
    functools.partial(_next, places, tmp_path / 'run'), lambda n: 3 + 4 * n
  )
  assert interruptions >= 2
  assert signals.without_times(record) == signals.without_times(started[1])


def test_another_start_in_the_same_directory_is_refused(started, places):
  config, data = CONFIG, places / 'tuesday'
  with pytest.raises(
    types.InputError, match=r'this run started from .*run, not'
  ):
    run.train(config, started[0], data, live=QUIET, start_from=places / 'other')
  with pytest.raises(types.InputError, match='started from scratch, not from'):
    run.train(
      config,
      places / 'run',
      places / 'monday',
      live=QUIET,
      start_from=started[0],
    )


@pytest.mark.parametrize(
  ('settings', 'match'),
  [
    ({'backbone': 'mmoe'}, "backbone='shared_bottom', not 'mmoe'"),
    ({'network.embedding_dim': 8}, 'network.embedding_dim=4, not 8'),
    ({'ensemble': 3}, 'config.ensemble=2, not 3'),
    ({'variants': ''}, "network.ignore='user', not ''"),
    ({'weighting.name': 'critic'}, "weighting.name='advantage', not 'critic'"),
    ({'critic.head': 'linear'}, "critic.head='neg_softplus', not 'linear'"),
  ],
)
def test_other_networks_are_refused(places, tmp_path, settings, match):
  with pytest.raises(types.InputError, match=match):
    _next(places, tmp_path / 'run', settings)
  assert not (tmp_path / 'run').exists()


def test_the_command_takes_the_settings_of_its_start(places, tmp_path, capsys):
  start = ['rmtl', 'train', f'--start_from={places / "run"}']
  more = [f'--workdir={tmp_path / "run"}', '--stage=pretrain']
  assert cli.main([*start, *more]) == 2
  assert '--data_dir: is needed with --start_from' in capsys.readouterr().err
  more += [f'--data_dir={places / "tuesday"}', '--config.pretrain.max_epochs=1']
  assert cli.main([*start, *more]) == 0
  config = json.loads((tmp_path / 'run' / 'config.json').read_text())['config']
  assert config['pretrain']['max_epochs'] == 1
  network = config_values.from_dict(config, paper.PAPER).network
  assert network == CONFIG.network
  assert 'Started from' in capsys.readouterr().out
