"""Pruned runs: what is dropped, what is refused, what stays the same."""

import dataclasses
import io
import shutil

import pytest

from rmtl_jax import run, types
from rmtl_jax.config import values as config_values
from rmtl_jax.config import variants
from rmtl_jax.results import evaluate
from rmtl_jax.runtime import checkpoints, progress, workdir
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
def test_a_pruned_ensemble_evaluates_and_is_finished(kept, copied):
  path = copied / 'run'
  before = evaluate.evaluate(path)
  assert states(path) == [f'members/{m}/checkpoints/state' for m in (0, 1)]
  expected = sum(prune.size(path / state) for state in states(path))
  found = prune.prune(path)
  assert found.before - found.after == expected
  assert found.after == prune.size(path)
  # Beside the parameters that are kept, Adam's moments are.
  assert expected > 0.4 * found.before
  assert states(path) == []
  assert same(evaluate.evaluate(path), before)
  # The same command trains nothing.
  told = io.StringIO()
  live = progress.Progress(told)
  again = run.train(CONFIG, path, copied / 'data', live=live)
  assert same(again, kept[1])
  assert 'epoch' not in told.getvalue()
  assert states(path) == []
  assert prune.prune(path).before == prune.size(path)


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


@pytest.mark.slow
def test_a_stage_in_training_keeps_what_it_goes_on_from(copied):
  path = copied / 'run' / 'members' / '0'
  shutil.rmtree(path / 'checkpoints' / 'constant')
  one = workdir.read(path)
  assert prune.in_training(one) == 'finetune'
  bare = dataclasses.replace(
    one, config=dataclasses.replace(one.config, control=False)
  )
  assert prune.in_training(bare) == ''
  with pytest.raises(types.InputError, match='stage finetune is not finished'):
    prune.prune(path)
  prune.drop(one)
  assert (path / 'checkpoints' / 'state').is_dir()
  # Of an ensemble nothing is dropped while a member is in training.
  with pytest.raises(types.InputError, match='members/0: stage finetune'):
    prune.prune(copied / 'run')
  assert len(states(copied)) == 2


@pytest.mark.slow
def test_a_damaged_stage_is_named_and_nothing_dropped(copied):
  path = copied / 'run' / 'members' / '0'
  (record,) = path.glob('checkpoints/critic/*/record/metadata')
  record.write_text('{}')
  with pytest.raises(checkpoints.Damaged, match='checkpoints/critic/0'):
    prune.prune(path)
  assert states(path)


@pytest.mark.slow
def test_a_disk_that_refuses_does_not_fail_a_finished_run(copied, monkeypatch):
  def refuse(run):
    raise OSError(30, 'Read-only file system', 'state')

  monkeypatch.setattr(prune, 'drop', refuse)
  told = io.StringIO()
  path = copied / 'run' / 'members' / '0'
  config = variants.member_configs(CONFIG)[0]
  run.train(config, path, copied / 'data', live=progress.Progress(told))
  assert 'WARNING: old checkpoints stay: ' in told.getvalue()
