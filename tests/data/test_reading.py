"""Who reads prepared data keeps it in place, and sees when it is not."""

from __future__ import annotations

import errno
import fcntl
import os
import pathlib
import signal
import subprocess
import sys

import pytest

from rmtl_jax import types
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.data import manifest_file, reading
from tests import tiny
from tests.preparation import raw_files

ROOT = pathlib.Path(__file__).parents[2]
READER = """
import sys
from rmtl_jax.data import reading
with getattr(reading, sys.argv[1])(sys.argv[2]):
  print('holds it', flush=True)
  sys.stdin.read()
"""


@pytest.fixture
def other():
  """Starts processes that hold DATA until the test ends."""
  started = []

  def start(how, data):
    process = subprocess.Popen(
      [sys.executable, '-c', READER, how, str(data)],
      env={**os.environ, 'PYTHONPATH': str(ROOT)},
      stdin=subprocess.PIPE,
      stdout=subprocess.PIPE,
      text=True,
    )
    started.append(process)
    assert process.stdout is not None
    assert process.stdout.readline() == 'holds it\n'
    return process

  yield start
  for process in started:
    process.kill()
    process.communicate()


def overwrite(tmp_path, lines=40):
  raw_files.run_table(tmp_path, raw_files.table_lines(lines), overwrite=True)


def test_data_that_is_read_is_not_replaced(tmp_path, other):
  overwrite(tmp_path)
  reader = other('shared_lock', tmp_path / 'out')
  second = other('shared_lock', tmp_path / 'out')
  for process in (reader, second):
    line = raw_files.fails(
      tmp_path, lambda: overwrite(tmp_path), f'{tmp_path / "out"}: is in use by'
    )
    # The system lists its locks, oldest first or not.
    assert any(
      f'process {p.pid} ({sys.executable}' in line for p in (reader, second)
    )
    process.send_signal(signal.SIGKILL)
    process.wait()
  overwrite(tmp_path, 20)
  assert manifest_file.read(tmp_path / 'out').splits['train'].rows == 12


def test_data_that_is_replaced_is_not_read(tmp_path, other):
  overwrite(tmp_path)
  writer = other('exclusive_lock', tmp_path / 'out')
  told = f'out: is being replaced by process {writer.pid}'
  with (
    pytest.raises(types.InputError, match=told),
    reading.shared_lock(tmp_path / 'out'),
  ):
    pass
  raw_files.fails(tmp_path, lambda: overwrite(tmp_path), 'is in use by process')


def test_a_lock_on_data_that_is_gone_is_none(tmp_path, monkeypatch):
  """The data are replaced between a reader's opening and its lock."""
  overwrite(tmp_path)
  locks, flock = [], fcntl.flock

  def late(file, kind):
    locks.append(os.fstat(file).st_ino)
    if len(locks) == 1:
      (tmp_path / 'new').write_bytes(
        (tmp_path / 'out/manifest.json').read_bytes()
      )
      (tmp_path / 'new').rename(tmp_path / 'out/manifest.json')
    flock(file, kind)

  monkeypatch.setattr(fcntl, 'flock', late)
  with reading.shared_lock(tmp_path / 'out'):
    now = os.stat(tmp_path / 'out/manifest.json').st_ino
    assert len(locks) == 2 and locks[-1] == now != locks[0]


def test_data_that_nobody_may_write_to(tmp_path, monkeypatch, other):
  overwrite(tmp_path)
  opened, path_open = [], os.open

  def denied(path, flags, *args, **options):
    """As on a mount that is read-only; who runs the tests may be root."""
    opened.append(flags)
    if str(path).endswith('manifest.json') and flags & (
      os.O_RDWR | os.O_WRONLY
    ):
      raise OSError(errno.EROFS, 'Read-only file system')
    return path_open(path, flags, *args, **options)

  monkeypatch.setattr(os, 'open', denied)
  with (
    reading.shared_lock(tmp_path / 'out'),
    reading.shared_lock(tmp_path / 'out'),
  ):
    assert opened == [os.O_RDONLY] * 2
    with (
      pytest.raises(types.InputError, match='in use'),
      reading.exclusive_lock(tmp_path / 'out'),
    ):
      pass
  with reading.exclusive_lock(tmp_path / 'out'):
    pass


@pytest.mark.parametrize('error', [errno.ENOLCK, errno.ENOTSUP, errno.EBADF])
def test_without_locks_data_is_read(tmp_path, monkeypatch, error):
  overwrite(tmp_path)

  def flock(file, kind):
    raise OSError(error, os.strerror(error))

  monkeypatch.setattr(fcntl, 'flock', flock)
  with (
    reading.shared_lock(tmp_path / 'out'),
    reading.exclusive_lock(tmp_path / 'out'),
  ):
    pass
  with reading.shared_lock(tmp_path / 'nowhere'):
    pass


def test_another_process_is_named_as_far_as_the_system_tells(
  tmp_path, monkeypatch
):
  overwrite(tmp_path)
  (tmp_path / 'locks').write_text('1: POSIX ADVISORY\nnothing\n')
  for path in (tmp_path / 'locks', tmp_path / 'none'):
    monkeypatch.setattr(reading, '_LOCKS', path)
    with (
      reading.shared_lock(tmp_path / 'out'),
      pytest.raises(types.InputError, match='is in use by another process, so'),
      reading.exclusive_lock(tmp_path / 'out'),
    ):
      pass


def test_files_that_change_are_named(tmp_path):
  manifest = tiny.write_prepared(tmp_path)
  snapshot = reading.Snapshot(tmp_path, manifest)
  old = snapshot.digests()
  assert list(old) == [f'{s}/part-00000.parquet' for s in manifest_lib.SPLITS]
  part = tmp_path / 'validation/part-00000.parquet'
  before = part.stat()
  data = bytearray(part.read_bytes())
  data[100] ^= 1
  part.write_bytes(data)
  for _ in range(2):
    with pytest.raises(types.InputError) as caught:
      snapshot.digests()
    assert str(caught.value).startswith(
      f'{part}: the data were replaced while they were read'
    )
    part.unlink(missing_ok=True)
  # Of the same size and time it is found by what it holds.
  part.write_bytes(data)
  os.utime(part, ns=(before.st_atime_ns, before.st_mtime_ns))
  snapshot.check()
  with pytest.raises(types.InputError) as caught:
    reading.compare_digests(tmp_path, old, snapshot.digests(), 'RUN')
  assert str(caught.value).startswith(
    f'{part}: the data were replaced since RUN began'
  )
  reading.compare_digests(tmp_path, {}, snapshot.digests(), 'RUN')
