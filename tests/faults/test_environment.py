"""Full streams, full disks and a signal while data are prepared."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from rmtl_jax import cli
from tests.faults import runs

PREPARE = 'prepare --source=simulated --simulated_rows=300 --data_dir=out'


@pytest.mark.slow
def test_a_stream_that_is_full_loses_no_work(tmp_path):
  with open('/dev/full', 'w') as full:
    done = subprocess.run(
      [sys.executable, '-m', 'rmtl_jax', *PREPARE.split()],
      cwd=tmp_path,
      env={**os.environ, 'PYTHONPATH': str(runs.ROOT), 'PYTHONUNBUFFERED': ''},
      stdout=full,
      stderr=subprocess.PIPE,
      text=True,
    )
  assert done.returncode == 1
  assert done.stderr == 'rmtl: standard output: No space left on device\n'
  assert (tmp_path / 'out' / 'manifest.json').is_file()


@pytest.mark.slow
def test_a_full_disk_in_prepare(tmp_path, capsys):
  with runs.small_disk(tmp_path / 'disk', '64k') as disk:
    argv = PREPARE.replace('=out', f'={disk}/data').replace('=300', '=9000')
    assert cli.main(['rmtl', *argv.split()]) == 1
    error = capsys.readouterr().err
    assert error.startswith('rmtl: ') and error.count('\n') == 1, error
    assert 'No space left on device' in error and str(disk) in error
    assert not list(disk.iterdir())


@pytest.mark.slow
def test_sigterm_in_prepare_leaves_nothing(tmp_path):
  process = subprocess.Popen(
    [
      *(sys.executable, '-m', 'rmtl_jax'),
      *PREPARE.replace('=300', '=3000000').split(),
    ],
    cwd=tmp_path,
    env={**os.environ, 'PYTHONPATH': str(runs.ROOT)},
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )
  assert runs.wait_until(lambda: list(tmp_path.iterdir()), process)
  process.send_signal(signal.SIGTERM)
  out, error = process.communicate(timeout=60)
  assert process.returncode == 143, error
  assert error.startswith('rmtl: ended by SIGTERM') and error.count('\n') == 1
  assert not out and not list(tmp_path.iterdir())
