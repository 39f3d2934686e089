"""Damage in every file of a checkpoint, and what becomes of the run."""

from __future__ import annotations

import logging
import pathlib
import random
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rmtl_jax import cli, run
from rmtl_jax.runtime import checkpoints, progress, writers
from tests import signals, tiny

TREE = {
  'network': {'kernel': np.random.default_rng(0).normal(size=(40, 30))},
  'step': np.int32(7),
}


def _tree(step):
  return jax.tree.map(lambda x: jnp.asarray(x + step), TREE)


@pytest.fixture(scope='module')
def pair(tmp_path_factory):
  """A directory with the checkpoints 1 and 2."""
  path = tmp_path_factory.mktemp('pair')
  store = checkpoints.Store(path)
  for step in (1, 2):
    store.save(step, _tree(step), {'epoch': step, 'note': 'x' * 50})
  store.close()
  return path


def files(path: pathlib.Path) -> list[pathlib.Path]:
  return sorted(p for p in path.rglob('*') if p.is_file())


def flip(path, rng):
  content = bytearray(path.read_bytes())
  if content:
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    path.write_bytes(bytes(content))


def truncate(path, rng):
  path.write_bytes(path.read_bytes()[: rng.randrange(path.stat().st_size + 1)])


def empty(path, rng):
  del rng
  path.write_bytes(b'')


def delete(path, rng):
  del rng
  path.unlink()


def garble(path, rng):
  path.write_bytes(rng.randbytes(path.stat().st_size))


DAMAGES = (flip, truncate, empty, delete, garble)


def _check(path: pathlib.Path, caplog: pytest.LogCaptureFixture) -> bool:
  """Whether the damage mattered; what is restored is what was saved."""
  caplog.clear()
  store = checkpoints.Store(path)
  restored = store.restore(lambda record: _tree(0))
  store.close()
  assert restored is not None
  assert restored.record['epoch'] == restored.step
  jax.tree.map(
    np.testing.assert_array_equal, restored.arrays, _tree(restored.step)
  )
  if restored.step == 2:
    return False
  warnings = [r for r in caplog.records if r.levelno == logging.WARNING]
  assert any(str(path / '2') in r.getMessage() for r in warnings)
  assert all('\n' not in r.getMessage() for r in warnings)
  return True


@pytest.mark.slow
@pytest.mark.parametrize('damage', DAMAGES, ids=lambda d: d.__name__)
def test_damage_in_any_file(tmp_path, pair, caplog, damage):
  rng = random.Random(0)
  # Without its digests a checkpoint counts as unfinished.
  names = [
    p.relative_to(pair)
    for p in files(pair / '2')
    if p.name != checkpoints.DIGESTS
  ]
  assert len(names) > 8
  mattered = 0
  for i, name in enumerate(names):
    copy = tmp_path / str(i)
    shutil.copytree(pair, copy)
    damage(copy / name, rng)
    mattered += _check(copy, caplog)
  assert mattered >= len(names) - 1  # an empty file may stay as it is


@pytest.mark.slow
def test_what_is_saved_after_a_fall_back_replaces_the_damaged(tmp_path, pair):
  """Orbax skips, without a word, a save whose number is not the newest."""
  copy = tmp_path / 'copy'
  shutil.copytree(pair, copy)
  empty(copy / '2/record/metadata', None)
  (copy / '3.orbax-checkpoint-tmp').mkdir()  # of a process that was killed
  store = checkpoints.Store(copy)
  restored = store.restore(lambda record: _tree(0))
  assert restored is not None and restored.step == 1
  store.save(2, _tree(20), {'epoch': 20})
  store.close()
  assert sorted(p.name for p in copy.iterdir()) == ['1', '2']
  again = checkpoints.Store(copy).restore(lambda record: _tree(0))
  assert again is not None and again.record['epoch'] == 20


def _damaged_copy(paper_run, tmp_path, *stages):
  shutil.copytree(paper_run[0], tmp_path / 'run')
  for stage in stages:
    for file in files(tmp_path / 'run/checkpoints' / stage):
      if file.parent.name == 'record':
        flip(file, random.Random(3))
  return tmp_path / 'run'


@pytest.mark.slow
def test_damaged_stages_are_trained_again(
  paper_run, data_dir, tmp_path, capsys
):
  stages = ['pretrain', 'constant']
  path = _damaged_copy(paper_run, tmp_path, *stages)
  assert cli.main(['rmtl', 'evaluate', f'--workdir={path}']) == 2
  error = capsys.readouterr().err.splitlines()[-1]
  assert error.startswith('rmtl: ') and f'checkpoints/{stages[0]}/' in error
  again = run.train(tiny.CONFIG, path, data_dir, live=progress.Progress())
  out = ' '.join(''.join(capsys.readouterr()).split())
  for stage in stages:
    assert f'checkpoints/{stage}/' in out and 'trained again' in out
  assert signals.without_times(again) == signals.without_times(paper_run[1])
  assert _history(path) == _history(paper_run[0])


def _history(path):
  return [signals.without_times(entry) for entry in writers.read_history(path)]
