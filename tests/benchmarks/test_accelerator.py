import numpy as np
import pytest

from benchmarks import accelerator, machine


# The others run the same modules, or what has tests of its own.
def test_parts_measure_in_their_tiny_form():
  found = accelerator.run_all(('stages', 'embedding', 'equality'), 60.0, True)
  stages = found['stages']['figures']
  assert [row['stage'] for row in stages] == [
    'pretrain',
    'critic',
    'finetune, critics frozen',
    'finetune, critics learning',
    'evaluate',
  ]
  assert all(row['rows_per_second'] > 0 for row in stages)
  assert {row['batch'] for row in stages} == {128}
  rows, tables = found['embedding']['figures']
  assert rows['milliseconds'] > 0 and tables['milliseconds'] > 0
  assert 150 < found['embedding']['distinct'] / 2 < 250
  # One device: the CPU is the device.
  assert [row['difference'] for row in found['equality']['figures']] == [0] * 4


def test_no_part_begins_after_the_time():
  found = accelerator.run_all(['stages'], 0.0, True)
  assert found == {'stages': {'failed': '0 minutes were over'}}


def events():
  """Processes and threads of a trace: one device with a stream, one host."""
  return [
    {'name': 'process_name', 'pid': 1, 'args': {'name': '/device:GPU:0'}},
    {'name': 'process_name', 'pid': 2, 'args': {'name': '/host:CPU'}},
    {
      'name': 'thread_name',
      'pid': 1,
      'tid': 7,
      'args': {'name': 'Stream #7(Compute)'},
    },
    {'name': 'thread_name', 'pid': 1, 'tid': 8, 'args': {'name': 'Steps'}},
    {'name': 'thread_name', 'pid': 2, 'tid': 7, 'args': {'name': 'Stream'}},
  ]


def test_kernels_are_those_of_the_devices_streams():
  spans = [
    {'ph': 'X', 'pid': 1, 'tid': 7, 'ts': 5, 'dur': 2, 'name': 'gemm'},
    {'ph': 'X', 'pid': 1, 'tid': 8, 'ts': 0, 'dur': 90, 'name': 'step'},
    {'ph': 'X', 'pid': 2, 'tid': 7, 'ts': 0, 'dur': 50, 'name': 'python'},
  ]
  assert machine.kernels([*events(), *spans]) == [(5, 2)]


@pytest.mark.parametrize('seed', range(3))
def test_the_covered_share_is_that_of_a_grid(seed):
  draw = np.random.default_rng(seed)
  spans = [(int(b), int(d)) for b, d in draw.integers(1, 20, (12, 2))]
  grid = np.zeros(60, bool)
  for begin, duration in spans:
    grid[begin : begin + duration] = True
  first = min(begin for begin, _ in spans)
  last = max(begin + duration for begin, duration in spans)
  expected = grid.sum() / (last - first)
  assert machine.covered(spans) == pytest.approx(expected)


def test_nothing_covers_nothing():
  assert machine.covered([]) == 0.0
