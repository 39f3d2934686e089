"""Odd places to run in: streams, users, mounts, encodings, full disks."""

from __future__ import annotations

import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile

import pytest

from rmtl_jax import cli, partial, types
from rmtl_jax.runtime import programs
from rmtl_jax.serving import past, sinks
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
def test_characters_that_an_encoding_lacks_are_escapes(tmp_path):
  command = PREPARE.replace('=out', '=雪')
  code, out, error = _shell(tmp_path, command, PYTHONIOENCODING='ascii')
  assert (code, error) == (0, '') and 'prepared data: \\u96ea' in out
  code, out, error = _shell(tmp_path, command, PYTHONIOENCODING='ascii')
  assert (code, out) == (2, '') and error.startswith('rmtl: \\u96ea: has')


@pytest.mark.long
def test_the_locale_of_a_bare_container(tmp_path):
  bare = {'LC_ALL': 'C', 'PYTHONUTF8': '0', 'PYTHONCOERCECLOCALE': '0'}
  code, _, error = _shell(tmp_path, PREPARE, **bare)
  assert (code, error) == (0, '')


@pytest.mark.slow
def test_a_user_without_a_home_has_no_cache(monkeypatch):
  def nobody(_):
    raise RuntimeError('Could not determine home directory.')

  monkeypatch.delenv('XDG_CACHE_HOME', raising=False)
  monkeypatch.setattr(pathlib.Path, 'home', classmethod(nobody))
  assert programs.directory() is None


@pytest.mark.slow
@pytest.mark.parametrize('home', ['file', 'read-only'])
def test_a_cache_that_cannot_be_written_is_none(tmp_path, monkeypatch, home):
  if home == 'file':
    (tmp_path / 'cache').touch()
  else:
    monkeypatch.setattr(os, 'access', lambda *_: False)
  monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
  assert programs.directory() is None


def _as_nobody(place: pathlib.Path, *argv: str) -> subprocess.CompletedProcess:
  """A command line of a user whom no file knows, and who has no home."""
  setpriv = shutil.which('setpriv')
  if os.getuid() or setpriv is None:
    pytest.skip('only root with setpriv can become another user')
  caps = '+dac_read_search'  # to read this Python in any place
  return subprocess.run(
    [
      *(setpriv, '--reuid=54321', '--regid=54321', '--clear-groups'),
      *(f'--inh-caps={caps}', f'--ambient-caps={caps}'),
      *(sys.executable, '-m', 'rmtl_jax', *argv),
    ],
    cwd=place,
    env={
      'PATH': os.environ['PATH'],
      'PYTHONPATH': str(runs.ROOT),
      'TMPDIR': str(place),
    },
    capture_output=True,
    text=True,
    timeout=300,
  )


@pytest.mark.slow
def test_a_user_whom_no_file_knows():
  place = pathlib.Path(tempfile.mkdtemp(dir='/tmp'))
  try:
    place.chmod(0o777)
    (place / 'no').mkdir()  # a path that is missing is told before JAX starts
    done = _as_nobody(place, 'evaluate', '--workdir=no')
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith('rmtl: no/config.json: not found')
    done = _as_nobody(place, *PREPARE.split())
    assert done.returncode == 0, done.stderr
    assert done.stderr == '' and (place / 'out' / 'manifest.json').is_file()
  finally:
    shutil.rmtree(place)


@pytest.mark.slow
def test_mounted_targets_are_told_before_the_work(tmp_path, capsys):
  with runs.small_disk(tmp_path / 'disk', '8m') as disk:
    for place in ('disk', 'disk/deep/..'):
      argv = PREPARE.replace('=out', f'={tmp_path}/{place}')
      argv = argv.replace('=300', '=100000000000')  # never begun
      assert cli.main(['rmtl', *argv.split()]) == 2
      line = capsys.readouterr().err
      assert 'is a mount point' in line and line.count('\n') == 1
      (disk / 'deep').mkdir(exist_ok=True)
    # Within it there is room for a directory and one beside it.
    argv = PREPARE.replace('=out', f'={disk}/data')
    assert cli.main(['rmtl', *argv.split()]) == 0


@pytest.mark.slow
def test_a_mounted_file_and_a_part_of_the_same_disk(tmp_path):
  for name in ('file', 'other file.csv'):
    (tmp_path / name).touch()
  target = tmp_path / 'other file.csv'
  command = ['mount', '--bind', str(tmp_path / 'file'), str(target)]
  if subprocess.run(command, capture_output=True).returncode:
    pytest.skip('may not mount')
  try:
    assert partial.is_mount(target) and not partial.is_mount(tmp_path / 'file')
    with (
      pytest.raises(types.InputError, match=r'other file\.csv: is a mount'),
      sinks.open_sink(str(target), past.pa.schema([])),
    ):
      pass
  finally:
    subprocess.run(['umount', str(target)], check=True)


@pytest.mark.slow
def test_a_directory_that_is_read_only(tmp_path):
  disk = tmp_path / 'disk'
  with runs.small_disk(disk, '1m'):
    done = subprocess.run(
      ['mount', '-o', 'remount,ro', str(disk)], capture_output=True
    )
    if done.returncode:
      pytest.skip('may not mount read-only')
    code, _, error = _shell(disk, PREPARE)
    assert code == 2
    assert error == 'rmtl: out: cannot be written: Read-only file system\n'
    elsewhere = PREPARE.replace('=out', f'={tmp_path}/out')
    assert _shell(disk, elsewhere)[0] == 0


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


@pytest.mark.slow
def test_scratch_of_a_predict_that_was_killed_is_swept(tmp_path, monkeypatch):
  monkeypatch.setattr(tempfile, 'tempdir', str(tmp_path))
  dead = tmp_path / '.rmtl-predict.partial-00000000'
  dead.mkdir()
  (dead / 'input.arrow').write_text('rows of somebody')
  with (
    past.scratch_database() as (_, mine),
    past.scratch_database() as (_, other),
  ):
    assert sorted(tmp_path.iterdir()) == sorted([mine, other])
    assert mine.stat().st_mode & 0o777 == 0o700
  assert not list(tmp_path.iterdir())
