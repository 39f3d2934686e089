"""Who reads prepared data keeps it in place, and sees when it is not."""

from __future__ import annotations

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
    raw_files.fails(
      tmp_path, lambda: overwrite(tmp_path), f'{tmp_path / "out"}: is in use by'
    )
    process.send_signal(signal.SIGKILL)
    process.wait()
  overwrite(tmp_path, 20)
  assert manifest_file.read(tmp_path / 'out').splits['train'].rows == 12


def test_data_that_is_replaced_is_not_read(tmp_path, other):
  overwrite(tmp_path)
  other('exclusive_lock', tmp_path / 'out')
  told = 'out: is being replaced by another process'
  with (
    pytest.raises(types.InputError, match=told),
    reading.shared_lock(tmp_path / 'out'),
  ):
    pass
  raw_files.fails(tmp_path, lambda: overwrite(tmp_path), 'is in use by another')


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
