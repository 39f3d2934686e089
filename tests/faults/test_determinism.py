"""Same seed, same machine: the same bytes."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import shutil

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
