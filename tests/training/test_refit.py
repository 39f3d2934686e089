"""Stage 1 again, with validation rows among those of train."""

from __future__ import annotations

import json
import shutil

import pytest

from rmtl_jax import cli, run
from rmtl_jax.config import values as config_values
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.results import figures, run_record
from rmtl_jax.runtime import progress, workdir, writers
from tests import paper, tiny

pytestmark = pytest.mark.slow

QUIET = progress.Progress(quiet=True)
CONFIG = config_values.from_dict(
  {
    'backbone': 'shared_bottom',
    'control': False,
    'network': {'embedding_dim': 4, 'bottom_units': [6], 'tower_units': [4]},
    'batch': {'lanes': 4, 'lane_length': 8, 'steps_per_dispatch': 4},
    'pretrain': {'max_epochs': 4, 'learning_rate': 0.05, 'patience': 2},
    'evaluation': {'bootstrap': 0},
  },
  paper.PAPER,
)
# A member that keeps an epoch, and one that has none.
SEVERAL = config_values.with_settings(
  CONFIG,
  {
    'ensemble': 2,
    'variants': 'network.ignore=user;backbone=lightgbm',
    'evaluation.monitor': 'logloss',
  },
)


@pytest.fixture(scope='module')
def data_dir(tmp_path_factory):
  path = tmp_path_factory.mktemp('data') / 'data'
  tiny.write_prepared(path)
  return path


@pytest.fixture(scope='module')
def first(tmp_path_factory, data_dir):
  path = tmp_path_factory.mktemp('first') / 'run'
  return path, run.train(CONFIG, path, data_dir, ('pretrain',), QUIET)


@pytest.fixture(scope='module')
def several(tmp_path_factory, data_dir):
  path = tmp_path_factory.mktemp('several') / 'run'
  return path, run.train(SEVERAL, path, data_dir, ('pretrain',), QUIET)


def again(source, path, **keys):
  data = workdir.read(source).data_dir
  return run.refit(source, path, data, QUIET, **keys)


def losses(path):
  return [entry['loss'] for entry in writers.read_history(path)]


def test_it_trains_as_a_run_on_both_splits_would(
  first, data_dir, tmp_path, monkeypatch
):
  """Of data whose train rows are those of both, for the same epochs."""
  source, record = first
  # It has no early stopping to warn of.
  monkeypatch.setattr(figures, 'one_class_warnings', lambda *rows: ['it stops'])
  found = again(source, tmp_path / 'again')
  epochs = record['best_epoch']['pretrain']
  assert 1 <= epochs < 4  # it stopped after its best one
  assert found['best_epoch']['pretrain'] == epochs
  assert found['refit_of'] == {'run': str(source), 'epochs': [epochs]}
  assert 'it stops' not in found['warnings']

  both = tmp_path / 'both'
  shutil.copytree(data_dir, both)
  file = both / 'manifest.json'
  content = json.loads(file.read_text())
  train, validation = (
    content['splits'][name] for name in manifest_lib.SPLITS[:2]
  )
  for name in ('rows', 'sessions'):
    train[name] += validation[name]
  train['files'] += validation['files']
  for task in tiny.TASKS:
    train['positives'][task] += validation['positives'][task]
  file.write_text(json.dumps(content))
  plain = config_values.with_settings(CONFIG, {'pretrain.max_epochs': epochs})
  run.train(plain, tmp_path / 'plain', both, ('pretrain',), QUIET)
  assert losses(tmp_path / 'again') == losses(tmp_path / 'plain')
  # What validation says of it would be no news, and is not there.
  (entry, *_) = writers.read_history(tmp_path / 'again')
  assert not [name for name in entry if name.startswith('validation')]


@pytest.fixture(scope='module')
def refitted(several, tmp_path_factory):
  """A refit of `several`, from a copy that is gone since."""
  root = tmp_path_factory.mktemp('refitted')
  shutil.copytree(several[0], root / 'source')
  record = again(root / 'source', root / 'again')
  shutil.rmtree(root / 'source')
  return root / 'again', record


def test_weights_and_calibration_stay(several, refitted, tmp_path):
  _, record = several
  path, found = shutil.copytree(refitted[0], tmp_path / 'again'), refitted[1]
  assert record['best_epoch']['pretrain'][1] == 1  # trees have no more
  assert found['best_epoch'] == record['best_epoch']
  name = 'member_weights'
  assert found[name] == {'pretrain': record[name]['pretrain']}
  maps = [one['calibration']['pretrain'] for one in (record, found)]
  assert maps[0] == maps[1]
  assert maps[0]['click']['kind'] != 'none'
  assert found['stages'] != record['stages']
  # Nothing is fitted anew where metrics.json is not there yet.
  known = run_record.evaluate(path)
  expected = {name: found[name] for name in found.keys() & known}
  (path / 'metrics.json').unlink()
  restored = run_record.evaluate(path)
  for name in ('stages', 'calibration', 'member_weights'):
    assert restored[name] == expected[name]


def test_the_command(first, tmp_path, capsys):
  source, _ = first
  path = tmp_path / 'again'
  line = ['rmtl', 'refit', f'--workdir={path}']
  assert cli.main(line) == 2
  assert '--run: is needed' in capsys.readouterr().err
  assert cli.main([*line, f'--run={tmp_path}/no']) == 2
  assert 'no: not found' in capsys.readouterr().err and not path.exists()
  assert cli.main([*line, f'--run={source}']) == 0
  shown = capsys.readouterr().out
  assert 'with the rows of validation among those of train' in ' '.join(
    shown.split()
  )
  assert f'next: rmtl export --workdir={path}' in shown
