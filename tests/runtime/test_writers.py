"""Logs of a run, and what is left of them when it is started again."""

import struct
import subprocess
import sys

import numpy as np
import pytest
from tensorboardX.proto import event_pb2

from rmtl_jax.runtime import writers

RECORD = {'stage': 'pretrain', 'epoch': 2, 'loss': 0.5}


def scalars(path):
  """(tag, value, step) of every scalar in a directory's event files."""
  return [
    (value.tag, value.simple_value, step)
    for value, step in plotted(path)
    if value.HasField('simple_value')
  ]


def plotted(path):
  """(value, step) of everything in a directory's event files."""
  found = []
  for file in sorted((path / 'tensorboard').iterdir()):
    content, at = file.read_bytes(), 0
    while at < len(content):
      (size,) = struct.unpack_from('<Q', content, at)
      event = event_pb2.Event.FromString(content[at + 12 : at + 12 + size])
      at += size + 16  # its length, two checksums
      found += [(value, event.step) for value in event.summary.value]
  return found


def test_tags_name_the_stage_and_the_member(tmp_path):
  writer = writers.Writer(tmp_path, [])
  writer.write(RECORD)
  writer.write({**RECORD, 'member': 3})
  writer.close()
  assert scalars(tmp_path) == [
    ('pretrain/loss', 0.5, 2),
    ('pretrain/member_3/loss', 0.5, 2),
  ]


def test_logs_hold_every_epoch_once_however_often_a_run_is_started(tmp_path):
  first = {**RECORD, 'epoch': 1}
  for _ in range(5):
    writer = writers.Writer(tmp_path, [first])
    writer.write(RECORD)  # of an epoch that is not saved
    writer.close()
  assert writers.read_history(tmp_path) == [first, RECORD]
  assert [step for _, _, step in scalars(tmp_path)] == [1, 2]
  assert len(list((tmp_path / 'tensorboard').iterdir())) == 1
  writer = writers.Writer(tmp_path, [])
  writer.rewrite([RECORD, first])
  writer.close()
  assert writers.read_history(tmp_path) == [RECORD, first]


def test_histograms_and_texts_can_be_read_back(tmp_path):
  writer = writers.Writer(tmp_path, [])
  values = np.array([-2.0, -2.0, -1.0, 3.0], np.float32)
  writer.histogram('critic/q_click', values)
  writer.histogram('critic/q_same', np.full(5, -1.0))
  writer.parameters({'seed': 7})
  writer.close()
  first, same, text = (value for value, _ in plotted(tmp_path))
  assert first.tag == 'critic/q_click' and same.histo.num == 5
  histogram = first.histo
  assert (histogram.min, histogram.max, histogram.num) == (-2.0, 3.0, 4)
  assert histogram.sum == -2.0 and sum(histogram.bucket) == 4
  # Two rows lie at or below -1.9, one more below 0.
  below = np.cumsum(histogram.bucket)
  assert below[np.searchsorted(histogram.bucket_limit, -1.9)] == 2
  assert below[np.searchsorted(histogram.bucket_limit, 0.0)] == 3
  assert text.metadata.plugin_data.plugin_name == 'text'
  assert text.tensor.string_val[0].decode().endswith('| seed | 7 |')


def test_a_failing_disk_names_the_file(tmp_path):
  (tmp_path / 'metrics.json.partial').mkdir()
  with pytest.raises(OSError) as caught:
    writers.write_json(tmp_path / 'metrics.json', {})
  assert caught.value.filename == str(tmp_path / 'metrics.json')


def test_pytorch_is_not_loaded_and_stays_loadable(tmp_path):
  (tmp_path / 'torch.py').write_text('print("torch is loaded")\n')
  program = (
    'import pathlib\n'
    'from rmtl_jax.runtime import writers\n'
    "writer = writers.Writer(pathlib.Path('run'), [])\n"
    "writer.parameters({'a': 1})\n"
    'writer.close()\n'
    "print('written')\n"
    'import torch\n'
  )
  (tmp_path / 'run').mkdir()
  found = subprocess.run(
    [sys.executable, '-c', program],
    cwd=tmp_path,
    capture_output=True,
    text=True,
    check=True,
  )
  assert found.stdout == 'written\ntorch is loaded\n'
