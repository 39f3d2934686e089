"""Real processes: signals, a kill, two at once, a full disk."""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal

import jax.numpy as jnp
import pytest

from rmtl_jax.runtime import checkpoints
from tests import tiny
from tests.faults import runs

# One stage of which an epoch has dozens of dispatches.
FLAGS = (
  '--stage=pretrain',
  '--preset=paper',
  '--config.backbone=shared_bottom',
  '--config.batch.lanes=1',
  '--config.batch.lane_length=8',
  '--config.batch.steps_per_dispatch=1',
  '--config.pretrain.max_epochs=3',
  '--config.pretrain.patience=99',
  '--config.checkpoint_minutes=0',
  *runs.SMALL,
)


def _finish(path, data) -> str:
  """Trains until the end in a process; returns what it said."""
  process = runs.start(path, f'--data_dir={data}', *FLAGS)
  _, error = process.communicate()
  return error if process.returncode else ''


@pytest.fixture(scope='module')
def undisturbed(tmp_path_factory):
  """A directory with the data and a run of one stage."""
  path = tmp_path_factory.mktemp('undisturbed')
  tiny.write_prepared(path / 'data', sessions=80)
  assert not _finish(path / 'run', path / 'data')
  return path


def _stopped(path, data, number, seen) -> tuple[int, str]:
  """The exit code and words of a process that gets a signal in a save."""
  process = runs.start(path, f'--data_dir={data}', *FLAGS)
  assert runs.wait_until(
    lambda: len(runs.saved(path)) > seen and runs.partial(path), process, 120.0
  )
  process.send_signal(number)
  _, error = process.communicate(timeout=60)
  return process.returncode, error.strip().splitlines()[-1] if error else ''


@pytest.mark.slow
def test_stopped_killed_and_locked_out_a_run_ends_as_it_would_have(
  tmp_path, undisturbed
):
  """SIGTERM in the first epochs, SIGKILL in a save, then the rest."""
  path, data = tmp_path / 'run', undisturbed / 'data'
  code, line = _stopped(path, data, signal.SIGTERM, 0)
  assert code == 143
  assert line.startswith('rmtl: interrupted by signal 15; start the same')
  done = len(runs.saved(path))
  assert done >= 1 and not runs.partial(path)

  process = runs.start(path, f'--data_dir={data}', *FLAGS)
  assert runs.wait_until(lambda: runs.partial(path), process)
  process.send_signal(signal.SIGSTOP)  # holds the lock, changes nothing
  assert 'another process is working in' in _finish(path, data)
  process.send_signal(signal.SIGKILL)
  process.communicate()

  # The lock is free again; what the kill had left half-written is gone.
  assert not _finish(path, data)
  assert not runs.partial(path)
  assert runs.outcome(path) == runs.outcome(undisturbed / 'run')


def _fill(path: pathlib.Path, leave: int) -> None:
  """Writes a file that leaves so many bytes of the disk."""
  ballast = path / 'ballast'
  with contextlib.suppress(OSError), ballast.open('wb', buffering=0) as file:
    while True:
      file.write(b'x' * 4096)
  os.truncate(ballast, ballast.stat().st_size - leave)


@pytest.mark.slow
def test_a_full_disk_leaves_the_last_checkpoint_sound(tmp_path):
  tree = {'w': jnp.arange(50_000.0)}
  with runs.small_disk(tmp_path / 'disk', '2m') as disk:
    store = checkpoints.Store(disk / 'state')
    store.save(1, tree, {'epoch': 1})
    store.wait()
    _fill(disk, 20_000)
    with pytest.raises(OSError, match=r'could not be saved \(No space left'):
      store.save(2, tree, {'epoch': 2})
      store.wait()
    with contextlib.suppress(OSError):  # where the save was not waited for
      store.close()
    (disk / 'ballast').unlink()
    again = checkpoints.Store(disk / 'state')
    restored = again.restore(lambda record: tree)
    assert restored is not None and restored.record['epoch'] == 1
    again.save(2, tree, {'epoch': 2})
    again.close()
    assert sorted(p.name for p in (disk / 'state').iterdir()) == ['1', '2']
