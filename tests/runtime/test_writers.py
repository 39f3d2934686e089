"""Logs of a run, and what is left of them when it is started again."""

import struct

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


def test_a_failing_disk_names_the_file(tmp_path):
  (tmp_path / 'metrics.json.partial').mkdir()
  with pytest.raises(OSError) as caught:
    writers.write_json(tmp_path / 'metrics.json', {})
  assert caught.value.filename == str(tmp_path / 'metrics.json')
