"""Pruned runs: what is dropped, what is refused, what stays the same."""

import dataclasses
import shutil

import pytest

from rmtl_jax import run
from rmtl_jax.config import values as config_values
from rmtl_jax.results import evaluate
from rmtl_jax.training import prune
from tests import signals, test_run, tiny

CONFIG = config_values.from_dict(
  {
    'ensemble': 2,
    'pretrain': {'max_epochs': 1},
    'critic': {'max_passes': 1, 'min_passes': 1},
    'finetune': {'max_epochs': 1},
    'checkpoint_minutes': 0.0,
  },
  test_run.CONFIG,
)


@pytest.fixture(scope='module')
def kept(tmp_path_factory):
  """An ensemble with all of its checkpoints, and its metrics."""
  path = tmp_path_factory.mktemp('kept')
  tiny.write_prepared(path / 'data')
  record = run.train(
    CONFIG,
    path / 'run',
    path / 'data',
    live=test_run.QUIET,
    keep_checkpoints=True,
  )
  return path, record


@pytest.fixture
def copied(kept, tmp_path):
  shutil.copytree(kept[0], tmp_path / 'copy')
  return tmp_path / 'copy'


def states(path):
  return sorted(str(p.relative_to(path)) for p in path.rglob('state'))


def same(one, other):
  one, other = (
    signals.without_times(record) | {'split': ''} for record in (one, other)
  )
  return one == other


def test_a_pruned_stage_evaluates(tmp_path):
  tiny.write_prepared(tmp_path / 'data')
  path = tmp_path / 'run'
  run.train(
    dataclasses.replace(CONFIG, ensemble=1),
    path,
    tmp_path / 'data',
    ['pretrain'],
    live=test_run.QUIET,
    keep_checkpoints=True,
  )
  before = evaluate.evaluate(path)
  assert states(path) == ['checkpoints/state']
  expected = prune.size(path / 'checkpoints' / 'state')
  found = prune.prune(path)
  assert found.before - found.after == expected > 0
  assert states(path) == []
  assert same(evaluate.evaluate(path), before)


@pytest.mark.slow
def test_a_run_that_was_killed_while_pruned_is_whole(copied, monkeypatch):
  path = copied / 'run' / 'members' / '0'
  expected = evaluate.evaluate(path)

  def killed(path):
    (next(path.glob('*/commit_success.txt'))).unlink()
    raise KeyboardInterrupt

  with monkeypatch.context() as patch:
    patch.setattr(shutil, 'rmtree', killed)
    with pytest.raises(KeyboardInterrupt):
      prune.prune(path)
  assert not (path / 'checkpoints' / 'state').exists()
  assert (path / 'checkpoints' / '.state.removed').is_dir()
  assert same(evaluate.evaluate(path), expected)
  prune.prune(path)
  models = {'pretrain', 'critic', 'constant', 'finetune'}
  names = {entry.name for entry in (path / 'checkpoints').iterdir()}
  assert names == {*models, 'pretrain_moments', 'critic_moments'}
  prune.prune(path, keep_moments=False)
  names = {entry.name for entry in (path / 'checkpoints').iterdir()}
  assert names == models
