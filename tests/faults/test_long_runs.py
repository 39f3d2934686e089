"""Memory and log files over hundreds of evaluations and saves."""

from __future__ import annotations

import pathlib

import jax
import numpy as np
import pytest

from rmtl_jax import run
from rmtl_jax.config import values as config_values
from rmtl_jax.runtime import progress
from rmtl_jax.training import saved
from tests import test_run, tiny

EPOCHS = 310
CONFIG = config_values.from_dict(
  {
    'pretrain': {
      'max_epochs': EPOCHS,
      'patience': EPOCHS,
      'learning_rate': 1e-4,
    }
  },
  test_run.CONFIG,
)


def _resident() -> float:
  """Memory of this process, MB."""
  pages = int(pathlib.Path('/proc/self/statm').read_text().split()[1])
  return pages * 4096 / 1e6


class _Watch(progress.Progress):
  """Notes the memory and the number of arrays after every epoch."""

  def __init__(self):
    super().__init__(quiet=True)
    self.seen: list[float] = []
    self.arrays: list[int] = []

  def finish(self, summary, label='', note=''):
    self.seen.append(_resident())
    self.arrays.append(len(jax.live_arrays()))
    super().finish(summary, label, note)


def _train(tmp_path: pathlib.Path, minutes: float) -> _Watch:
  """Memory after every epoch of a run, of which no array is left over."""
  tiny.write_prepared(tmp_path / 'data', sessions=300)
  watch = _Watch()
  run.train(
    config_values.from_dict({'checkpoint_minutes': minutes}, CONFIG),
    tmp_path / 'run',
    tmp_path / 'data',
    ('pretrain',),
    watch,
    keep_checkpoints=True,
  )
  assert len(watch.seen) == EPOCHS
  assert max(watch.arrays[-20:]) <= max(watch.arrays[:20])
  return watch


@pytest.mark.long
def test_memory_stays_as_it_is_without_saves(tmp_path, monkeypatch):
  monkeypatch.setattr(saved, '_SECONDS_TO_SPARE', 1e9)
  watch = _train(tmp_path, 1e9)
  seen = np.array(watch.seen)
  settled, end = np.mean(seen[90:110]), np.mean(seen[-20:])
  # Without what an allocator asks for once.
  steady = 10 * np.median(seen[120:] - seen[100:-20])
  print(
    f'\n{EPOCHS} evaluations: {settled:.1f} MB after 100, {end:.1f} MB at the'
    f' end; steadily {steady:.2f} MB in 200'
  )
  assert end - settled < 15.0 and steady < 2.0


@pytest.mark.long
def test_memory_and_logs_stay_small(tmp_path):
  watch, path = _train(tmp_path, 0.0), tmp_path / 'run'
  # By then the allocator has the pieces that saving threads ask for.
  settled, end = np.mean(watch.seen[90:110]), np.mean(watch.seen[-20:])
  lines = path / 'metrics.jsonl'
  board = list((path / 'tensorboard').iterdir())
  kept = [p.name for p in (path / 'checkpoints/state').iterdir()]
  record = path / 'checkpoints/state' / kept[0] / 'record/metadata'
  print(
    f'\n{EPOCHS} evaluations and saves: {watch.seen[0]:.0f} MB after the first,'
    f' {settled:.0f} MB after 100, {end:.0f} MB at the end; per epoch'
    f' metrics.jsonl {lines.stat().st_size / EPOCHS:.0f} bytes, TensorBoard'
    f' {board[0].stat().st_size / EPOCHS:.0f}, the checkpoint record'
    f' {record.stat().st_size / EPOCHS:.0f}'
  )
  # Over 200 more, each of two checkpoints, the stage's of 48 arrays and Adam's
  # moments of 23. What Orbax calls of TensorStore (0.1.86) keeps 65 kB of them,
  # 13 MB: KvStore.Spec.to_json() 257 bytes, twice for every array, and
  # experimental_collect_matching_metrics() 7 kB, twice for every checkpoint.
  # The rest is pieces that saving threads ask for.
  assert end - settled < 25.0
  assert len(kept) == 2 and len(board) == 1
  assert lines.stat().st_size < 1000 * EPOCHS
  assert board[0].stat().st_size < 2000 * EPOCHS
