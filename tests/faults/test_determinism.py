"""Same seed, same machine: the same bytes."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import shutil
import subprocess
import sys

import pyarrow.parquet as pq
import pytest

from rmtl_jax import run
from rmtl_jax.config import values as config_values
from rmtl_jax.data import manifest_file
from rmtl_jax.runtime import progress, writers
from tests import signals, tiny

QUIET = progress.Progress(quiet=True)


def _cut(data: pathlib.Path, target: pathlib.Path, parts: int) -> None:
  """The same rows in more files, sessions cut between them too."""
  shutil.copytree(data, target)
  manifest = manifest_file.read(target)
  splits = {}
  for name, split in manifest.splits.items():
    table = pq.read_table(target / split.files[0])
    files = tuple(f'{name}/part-{i:05d}.parquet' for i in range(parts))
    size = -(-len(table) // parts)
    for i, file in enumerate(files):
      pq.write_table(table.slice(i * size, size), target / file)
    splits[name] = dataclasses.replace(split, files=files)
  manifest_file.write(dataclasses.replace(manifest, splits=splits), target)


def _bytes(path: pathlib.Path) -> bytes:
  """metrics.json without times and device, as it would stand on disk."""
  record = json.loads((path / 'metrics.json').read_bytes())
  return json.dumps(signals.without_times(record)).encode()


@pytest.mark.slow
@pytest.mark.parametrize(
  ('parts', 'source'),
  [
    (1, 'streaming'),
    (5, 'resident'),
  ],
)
def test_metrics_are_the_same_bytes(
  tmp_path, paper_run, data_dir, parts, source
):
  first, data = paper_run[0], data_dir
  if parts > 1:
    data = tmp_path / 'data'
    _cut(data_dir, data, parts)
    assert len(list((data / 'train').iterdir())) == parts
  config = config_values.from_dict({'batch': {'input': source}}, tiny.CONFIG)
  run.train(config, tmp_path / 'run', data, live=QUIET)
  assert _bytes(tmp_path / 'run') == _bytes(first)
  ours, theirs = (
    [signals.without_times(e) for e in writers.read_history(path)]
    for path in (tmp_path / 'run', first)
  )
  assert ours == theirs


_SUMS = """
import hashlib, os, sys
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: int(sys.argv[1])])
import jax, numpy as np
x = jax.random.normal(jax.random.key(0), (2048, 512))
w = jax.random.normal(jax.random.key(1), (512, 128))
step = jax.jit(jax.grad(lambda w: (jax.nn.relu(x @ w) ** 2).mean()))
print(hashlib.sha256(np.asarray(step(w)).tobytes()).hexdigest())
"""


@pytest.mark.slow
@pytest.mark.skipif(
  len(os.sched_getaffinity(0)) < 2, reason='one core has one number of threads'
)
def test_threads_of_one_number_give_the_same_bits_on_other_cores():
  """What docs/faq.md says of PJRT_NPROC."""
  found = [
    subprocess.run(
      [sys.executable, '-c', _SUMS, cores],
      env={**os.environ, 'PJRT_NPROC': '2', 'JAX_PLATFORMS': 'cpu'},
      capture_output=True,
      text=True,
      check=True,
      timeout=120,
    ).stdout
    for cores in ('1', '2')
  ]
  assert found[0] == found[1] != ''
