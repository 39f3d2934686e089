"""Whole comparisons on tiny data: pairing, going on, refusals."""

import dataclasses
import json
import signal

import numpy as np
import pytest

from rmtl_jax import types
from rmtl_jax.config import values as config_values
from rmtl_jax.runtime import progress
from rmtl_jax.studies import comparing
from rmtl_jax.training import epoch_loop
from tests import paper

pytestmark = pytest.mark.slow

METHODS = ('shared_bottom+critic', 'shared_bottom+critic@esmm', 'esmm')
CONFIG = config_values.from_dict(
  {
    'network': {
      'embedding_dim': 4,
      'bottom_units': [8],
      'tower_units': [6],
    },
    'batch': {'lanes': 4, 'lane_length': 8, 'steps_per_dispatch': 8},
    'pretrain': {'max_epochs': 12, 'learning_rate': 0.03, 'patience': 1},
    'critic': {'max_passes': 3, 'in_finetune': 'frozen'},
    'finetune': {'max_epochs': 2},
    'evaluation': {'bootstrap': 20},
    'compare': {
      'methods': list(METHODS),
      'seeds': [5, 7],
      'learning_rates': [1e-2, 1e-3],
      'tuning_seeds': 1,
    },
  },
  paper.PAPER,
)
QUIET = progress.Progress(quiet=True)


def compare(config, path, data_dir, interrupted=lambda: 0):
  return comparing.compare(
    path, data_dir, config=config, live=QUIET, interrupted=interrupted
  )


def changed(**changes):
  return dataclasses.replace(
    CONFIG, compare=dataclasses.replace(CONFIG.compare, **changes)
  )


@pytest.fixture(scope='module')
def compared(tmp_path_factory, data_dir):
  path = tmp_path_factory.mktemp('comparison')
  return path, compare(CONFIG, path, data_dir)


def timeless(results):
  skipped = ('seconds', 'config', 'commit')
  return {k: v for k, v in results.items() if k not in skipped}


def runs_of(results, method):
  return [run for run in results['runs'] if run['method'] == method]


def test_results_hold_every_run(compared):
  path, results = compared
  assert json.loads((path / 'results.json').read_text()) == json.loads(
    json.dumps(results)
  )
  assert [m['name'] for m in results['methods']] == [
    'shared_bottom',
    'shared_bottom+constant',
    'shared_bottom+constant_mean',
    'shared_bottom+q_shuffled',
    'shared_bottom+constant_mean@esmm',
    'shared_bottom+q_shuffled@esmm',
    'shared_bottom+critic',
    'shared_bottom+critic@esmm',
    'esmm',
  ]
  for method in results['methods']:
    runs = runs_of(results, method['name'])
    assert [run['seed'] for run in runs] == [5, 7]
    for run in runs:
      assert run['learning_rate'] == method['learning_rate']
      assert 0 < run['metrics']['click']['auc'] < 1
  assert {c['critic'] for c in results['critics']} == {'shared_bottom', 'esmm'}
  assert len(results['critics']) == 4
  assert results['oracle']['click']['auc'] > 0.5
  assert results['baseline']['click']['auc'] > 0.4
  assert results['seconds']['pretrain'] > 0


def test_methods_start_from_one_stage_1_and_train_equally_long(compared):
  _, results = compared
  before = {
    run['seed']: run['validation_auc']
    for run in runs_of(results, 'shared_bottom')
  }
  for method in results['methods']:
    if method['weighting']:
      for run in runs_of(results, method['name']):
        assert run['epochs'] == 2
        # Epoch 0 is the pre-trained model, at its best.
        kept = run['validation_auc']
        assert kept >= before[run['seed']] - 1e-12
        assert run['best_epoch'] or kept == before[run['seed']]


def test_learning_rates_are_chosen_on_validation(compared):
  _, results = compared
  for method in results['methods']:
    tried = {
      entry['learning_rate']: entry['validation_auc']
      for entry in results['tuning']
      if entry['method'] == method['name']
    }
    if method['weighting']:
      assert list(tried) == [1e-2, 1e-3]
      assert tried[method['learning_rate']] == max(tried.values())
    else:
      assert not tried and method['learning_rate'] is None


def test_differences_are_of_paired_seeds(compared):
  _, results = compared
  assert len(results['differences']) == 2 * 4 * 2 * 4
  for record in results['differences']:
    values = [
      [
        run['metrics'][record['task']][record['metric']]
        for run in runs_of(results, record[side])
      ]
      for side in ('method', 'control')
    ]
    expected = np.mean(np.subtract(*values))
    assert record['mean'] == pytest.approx(expected, abs=1e-12)
    assert record['pairs'] == 2 and record['p'] is None
    low, high = record['bootstrap']
    assert low <= high
  assert all(v['passes'] is None for v in results['verdicts'])


class StopAfter:
  """Says SIGTERM after some calls: an interruption between dispatches."""

  def __init__(self, calls):
    self.calls = calls

  def __call__(self):
    self.calls -= 1
    return signal.SIGTERM if self.calls < 0 else 0


def test_an_interrupted_comparison_ends_as_an_undisturbed_one(
  tmp_path, data_dir, compared, monkeypatch
):
  # Every epoch is saved, so that stages resume from their middle too.
  monkeypatch.setattr('rmtl_jax.training.epoch_loop._SECONDS_TO_SPARE', 0.0)
  _, results = compared
  stops = 0
  while True:
    try:
      again = compare(CONFIG, tmp_path, data_dir, StopAfter(12 + 30 * stops))
      break
    except epoch_loop.Interrupted:
      stops += 1
      assert not (tmp_path / 'results.json').exists()
  assert stops >= 3
  assert timeless(again) == timeless(results)
  assert not list((tmp_path / 'unfinished').iterdir())


def test_more_seeds_and_methods_train_only_what_is_missing(
  compared, data_dir, tmp_path
):
  path, results = compared
  more = changed(seeds=(5, 7, 9), methods=(*METHODS, 'esmm+constant'))
  files = {f: f.stat().st_mtime_ns for f in path.glob('runs/**/*.json')}
  again = compare(more, path, data_dir)
  for file, time in files.items():
    assert file.stat().st_mtime_ns == time
  assert again['seeds'] == [5, 7, 9]
  assert len(runs_of(again, 'esmm+constant')) == 3
  for run in results['runs']:
    assert run in again['runs']


def test_other_settings_are_refused(compared, data_dir):
  path, _ = compared
  other = dataclasses.replace(
    CONFIG, finetune=dataclasses.replace(CONFIG.finetune, max_epochs=3)
  )
  with pytest.raises(types.InputError, match=r'finetune\.max_epochs=2, not 3'):
    compare(other, path, data_dir)


def test_an_unconverged_stage_1_is_refused(tmp_path, data_dir):
  short = dataclasses.replace(
    changed(methods=('esmm',), seeds=(3,)),
    pretrain=paper.pretrain(max_epochs=2, patience=1),
  )
  with pytest.raises(
    types.InputError, match='stage 1 of esmm, seed 3, has not converged in 2'
  ):
    compare(short, tmp_path, data_dir)
  assert not list(tmp_path.glob('runs/**/*.json'))


def test_an_ensemble_against_the_single_model(tmp_path, data_dir):
  """Paired by seed, also after an interruption; nothing else is kept of it."""
  config = changed(methods=('shared_bottom:ensemble=2',))
  stop = iter([0] * 40 + [signal.SIGTERM] * 5)
  with pytest.raises(epoch_loop.Interrupted):
    compare(config, tmp_path, data_dir, lambda: next(stop))
  results = compare(config, tmp_path, data_dir)
  assert [m['name'] for m in results['methods']] == [
    'shared_bottom',
    'shared_bottom:ensemble=2',
  ]
  runs = runs_of(results, 'shared_bottom:ensemble=2')
  assert [run['seed'] for run in runs] == [5, 7]
  for run, single in zip(runs, runs_of(results, 'shared_bottom'), strict=True):
    assert run['best_epoch'] >= 1
    assert run['metrics']['click']['auc'] != single['metrics']['click']['auc']
  kept = [path.name for path in (tmp_path / 'models').iterdir()]
  assert kept == ['shared_bottom']
  assert not list((tmp_path / 'unfinished').glob('*'))
