"""Training from disk beside training from memory, and reading alone.

    python -m benchmarks.streaming --output=benchmarks/results/streaming.json

Stage 1 of some backbones on benchmarks/workload.py's log, epochs of both kinds
in turn. Then reading alone: a larger log in a process of its own, every batch
of an epoch made and thrown away; its resident memory is looked at after each
tenth of the epoch, when it should stand still.
"""

from __future__ import annotations

import json
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any

import jax
from absl import app, flags

from benchmarks import machine, workload
from rmtl_jax import config as config_lib
from rmtl_jax.data import batches, manifest_file
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.training import actor_stage, feed, trainer
from rmtl_jax.training import splits as splits_lib

_OUTPUT = flags.DEFINE_string('output', '', 'JSON file; none if empty.')
_ROWS = flags.DEFINE_integer('rows', 400_000, 'Rows of an epoch of training.')
_READ_ROWS = flags.DEFINE_integer('read_rows', 10_000_000, 'Rows to read.')
_REPETITIONS = flags.DEFINE_integer('repetitions', 3, 'Pairs of epochs.')
_BACKBONES = flags.DEFINE_list('backbones', ['esmm', 'ple'], 'Which.')
_CHILD = flags.DEFINE_string('child', '', 'Internal: DATA to read.')
_TENTHS = 10


def _config(source: str, backbone: str = 'esmm') -> config_lib.Config:
  batch = config_lib.BatchConfig(input=source)
  return config_lib.Config(backbone=backbone, batch=batch)


class Trainer:
  """Stage 1 of one backbone, from memory or from disk."""

  def __init__(
    self,
    log: workload.Workload,
    path: pathlib.Path,
    manifest: manifest_lib.Manifest,
    config: config_lib.Config,
  ):
    self.config = config
    split = splits_lib.read(path, manifest, 'train', config.batch)
    self.context = workload.context(log, config, split)
    arm = actor_stage.pretrain(self.context).arms['pretrain']
    self._loop, self._state = arm.program, arm.state
    self._epoch = 0

  def __call__(self) -> Any:
    """One epoch."""
    self._epoch += 1
    self._state, _ = trainer.run_epoch(
      self._loop,
      self._state,
      feed.dispatches(
        self.context.train,
        self.context.epoch('pretrain', self._epoch),
        self.config.batch.steps_per_dispatch,
      ),
      self.context.key('pretrain'),
      workload.QUIET,
    )
    return self._state


def train(path: pathlib.Path, backbone: str) -> dict[str, Any]:
  """Rows per second of both kinds, in turn, and their ratio."""
  log = workload.Workload(rows=_ROWS.value)
  manifest = workload.write(log, path)
  runs = {
    source: Trainer(log, path, manifest, _config(source, backbone))
    for source in ('resident', 'streaming')
  }
  times = machine.interleaved(runs, _REPETITIONS.value)
  ratios = [a / b for a, b in zip(*times.values(), strict=True)]
  rates = {
    name: log.rows / statistics.median(found) for name, found in times.items()
  }
  return {'backbone': backbone, **rates, 'ratio': statistics.median(ratios)}


def child(path: pathlib.Path) -> None:
  """Checks and reads a log; prints seconds and memory as JSON."""
  manifest = manifest_file.read(path)
  config = _config('streaming').batch
  begin = time.perf_counter()
  split = splits_lib.read(path, manifest, 'train', config)
  checked = time.perf_counter() - begin
  epoch = batches.Epoch(split.host.starts, (0, 1), 1, config)
  size = config.steps_per_dispatch
  dispatches = -(-epoch.steps // size)
  memory, begin = [], time.perf_counter()
  for number, one in enumerate(feed.dispatches(split, epoch, size)):
    jax.block_until_ready(one.columns)
    if (number + 1) * _TENTHS // dispatches > len(memory):
      memory.append(_resident_mebibytes())
  seconds = time.perf_counter() - begin
  used = resource.getrusage(resource.RUSAGE_SELF)
  print(
    json.dumps(
      {
        'checked rows/s': split.host.rows / checked,
        'read rows/s': split.host.rows / seconds,
        'core seconds per million rows': (used.ru_utime + used.ru_stime)
        / split.host.rows
        * 1e6,
        'MiB after each tenth': memory,
      }
    )
  )


def _resident_mebibytes() -> float:
  pages = int(pathlib.Path('/proc/self/statm').read_text().split()[1])
  return pages * resource.getpagesize() / 2**20


def read(path: pathlib.Path) -> dict[str, Any]:
  """What reading alone reaches, in a process of its own."""
  log = workload.Workload(rows=_READ_ROWS.value)
  manifest_file.write(workload.write(log, path), path)
  found = subprocess.run(
    [sys.executable, __file__, f'--child={path}'],
    check=True,
    capture_output=True,
    text=True,
    env={**os.environ, 'PYTHONPATH': str(pathlib.Path(__file__).parents[1])},
  )
  size = sum(f.stat().st_size for f in path.rglob('*.parquet'))
  return {
    'rows': log.rows,
    'Parquet bytes per row': size / log.rows,
    **json.loads(found.stdout.splitlines()[-1]),
  }


def main(argv: list[str]) -> None:
  """Prints the tables, writes the file."""
  del argv
  if _CHILD.value:
    child(pathlib.Path(_CHILD.value))
    return
  with tempfile.TemporaryDirectory() as place:
    root = pathlib.Path(place)
    training = [train(root / name, name) for name in _BACKBONES.value]
    print(machine.table(training))
    reading = read(root / 'read')
  for name, value in reading.items():
    print(f'{name}: {value}')
  machine.write(
    _OUTPUT.value,
    {
      'benchmark': 'streaming',
      'unit': 'rows/s',
      'load': os.getloadavg()[0],
      'rows': _ROWS.value,
      'training': training,
      'reading': reading,
    },
  )


if __name__ == '__main__':
  app.run(main)
