"""Memory and log files over hundreds of evaluations and saves."""

from __future__ import annotations

import pathlib

import numpy as np
import pytest

from rmtl_jax import run
from rmtl_jax.config import values as config_values
from rmtl_jax.runtime import progress
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
  """Notes the memory after every epoch."""

  def __init__(self):
    super().__init__(quiet=True)
    self.seen: list[float] = []

  def finish(self, summary, label='', note=''):
    self.seen.append(_resident())
    super().finish(summary, label, note)


@pytest.mark.long
def test_memory_and_logs_stay_small(tmp_path):
  tiny.write_prepared(tmp_path / 'data', sessions=300)
  watch = _Watch()
  path = tmp_path / 'run'
  run.train(
    CONFIG,
    path,
    tmp_path / 'data',
    ('pretrain',),
    watch,
    keep_checkpoints=True,
  )
  assert len(watch.seen) == EPOCHS
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
  # Over 200 more. 50 kB a save are TensorStore's: KvStore.Spec.to_json(), which
  # Orbax asks of every array, keeps 257 bytes (0.1.86).
  assert end - settled < 15.0
  assert len(kept) == 2 and len(board) == 1
  assert lines.stat().st_size < 1000 * EPOCHS
  assert board[0].stat().st_size < 2000 * EPOCHS
