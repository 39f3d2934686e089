"""A run with damaged checkpoints."""

from __future__ import annotations

import shutil

import pytest

from rmtl_jax import cli, run
from rmtl_jax.runtime import progress, writers
from tests import signals, tiny


def _flip_a_bit(path):
  content = bytearray(path.read_bytes())
  if content:
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


@pytest.mark.slow
def test_damaged_stages_are_trained_again(
  paper_run, data_dir, tmp_path, capsys
):
  stages = ['pretrain', 'constant']
  path = shutil.copytree(paper_run[0], tmp_path / 'run')
  for stage in stages:
    for file in (path / 'checkpoints' / stage).rglob('record/*'):
      _flip_a_bit(file)
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
