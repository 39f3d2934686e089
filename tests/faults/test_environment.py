"""Odd places to run in: streams, users, mounts, encodings, full disks."""

from __future__ import annotations

import os
import pathlib
import signal
import subprocess
import sys

import pytest

from rmtl_jax import cli
from tests.faults import runs

PREPARE = 'prepare --source=simulated --simulated_rows=300 --data_dir=out'


def _shell(
  place: pathlib.Path, command: str, redirected: str = '', **environment: str
) -> tuple[int, str, str]:
  """(exit code, standard output, standard error) of `rmtl COMMAND`."""
  done = subprocess.run(
    ['bash', '-c', f'"{sys.executable}" -m rmtl_jax {command} {redirected}'],
    cwd=place,
    env={**os.environ, 'PYTHONPATH': str(runs.ROOT), **environment},
    capture_output=True,
    timeout=120,
  )
  return done.returncode, *(
    text.decode(errors='replace') for text in (done.stdout, done.stderr)
  )


# How streams are redirected: exit code of a command that works, what is said.
STREAMS = {
  'output full': ('>/dev/full', 1, 'standard output: No space left on device'),
  'nobody reads': (
    '> >(exec true) ; sleep 0; exit $?',
    None,
    'standard output: Broken pipe',
  ),
}


@pytest.mark.slow
@pytest.mark.parametrize('name', STREAMS)
def test_streams_that_nobody_reads_lose_no_work(tmp_path, name):
  redirected, wanted, said = STREAMS[name]
  code, _, error = _shell(tmp_path, PREPARE, redirected, PYTHONUNBUFFERED='')
  assert 'Traceback' not in error and 'Exception ignored' not in error
  if wanted is not None:
    assert code == wanted, error
    assert error == (f'rmtl: {said}\n' if said else '')
  else:  # whether the reader has left in time is a matter of luck
    assert code in (0, 1) and (not code or error == f'rmtl: {said}\n')
  assert (tmp_path / 'out' / 'manifest.json').is_file()


@pytest.mark.slow
@pytest.mark.parametrize('size', ['16k', '64k', '128k'])
def test_a_full_disk_in_prepare(tmp_path, capsys, size):
  with runs.small_disk(tmp_path / 'disk', size) as disk:
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
