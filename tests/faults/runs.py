"""Real `rmtl train` processes on tiny data, and what they leave."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import pathlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
import pytest

from rmtl_jax.results import trained_ensemble
from rmtl_jax.runtime import workdir, writers
from rmtl_jax.training import models
from tests import signals

ROOT = pathlib.Path(__file__).parents[2]
# Small networks; lanes of few rows, so that an epoch has many dispatches.
SMALL = (
  '--preset=paper',
  '--config.network.embedding_dim=4',
  '--config.network.bottom_units=8,6',
  '--config.network.tower_units=(6,)',
  '--config.network.num_experts=2',
  '--config.network.first_layer=plain',
  '--config.evaluation.bootstrap=10',
  '--nocompilation_cache',  # the tests' own is in the environment
)


def start(path: pathlib.Path, *flags: str) -> subprocess.Popen[str]:
  """`rmtl train --workdir=PATH`, its output in pipes."""
  return subprocess.Popen(
    [sys.executable, '-m', 'rmtl_jax', 'train', f'--workdir={path}', *flags],
    env={**os.environ, 'PYTHONPATH': str(ROOT)},
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )


def wait_until(
  condition: Callable[[], Any],
  process: subprocess.Popen[str],
  seconds: float = 120.0,
  interval: float = 0.002,
) -> bool:
  """Whether it became true before the process ended."""
  end = time.monotonic() + seconds
  while process.poll() is None:
    if condition():
      return True
    assert time.monotonic() < end, 'nothing happened'
    time.sleep(interval)
  return False


@contextlib.contextmanager
def small_disk(path: pathlib.Path, size: str) -> Iterator[pathlib.Path]:
  """A file system of its own."""
  path.mkdir()
  command = ['mount', '-t', 'tmpfs', '-o', f'size={size}', 'tmpfs', str(path)]
  try:
    mounted = subprocess.run(command, capture_output=True).returncode == 0
  except OSError:
    mounted = False
  if not mounted:
    pytest.skip('may not mount a file system')
  try:
    yield path
  finally:
    subprocess.run(['umount', '-l', str(path)], check=True)


def files(path: pathlib.Path) -> set[str]:
  """The names of all files below a directory."""
  return {
    str(file.relative_to(path)) for file in path.rglob('*') if file.is_file()
  }


def saved(path: pathlib.Path) -> set[str]:
  """Whole checkpoints of a run, as STAGE/STEP."""
  return {name for name in _checkpoints(path) if name.rsplit('/')[-1].isdigit()}


def partial(path: pathlib.Path) -> set[str]:
  """Those that are being written, or were when the process ended."""
  return {
    name for name in _checkpoints(path) if '.orbax-checkpoint-tmp' in name
  }


def _checkpoints(path: pathlib.Path) -> set[str]:
  """Entries of the stages' directories, of members' too; some may be gone."""
  found = set()
  members = [f'members/{m}/' for m in _names(path / 'members')]
  for run in ('', *members):
    for stage in _names(path / run / 'checkpoints'):
      for name in _names(path / run / 'checkpoints' / stage):
        found.add(f'{run}{stage}/{name}')
  return found


def _names(path: pathlib.Path) -> list[str]:
  try:
    return os.listdir(path)
  except OSError:
    return []


def outcome(path: pathlib.Path) -> dict[str, Any]:
  """All that a finished run must share with one that was not disturbed."""
  record = json.loads((path / 'metrics.json').read_text())
  history = writers.read_history(path)
  found = workdir.read(path)
  trained = trained_ensemble.restore(
    found, models.Models(found.manifest.feature_spec())
  )
  return {
    'metrics': signals.without_times(record),
    'history': [signals.without_times(entry) for entry in history],
    'parameters': [
      {name: _digests(left.params) for name, left in one.results.items()}
      for one in trained.members
    ],
    'best_epochs': {name: trained.best_epochs(name) for name in trained.actors},
  }


def _digests(tree: Any) -> dict[str, str]:
  """A digest of every leaf, by its path."""
  return {
    jax.tree_util.keystr(path): hashlib.sha256(
      np.ascontiguousarray(leaf).data
    ).hexdigest()
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
  }
