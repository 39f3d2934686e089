"""The arithmetic of docs/scale.md, by hand and beside compiled programs."""

from __future__ import annotations

import json
import math
import pathlib

import pytest

from benchmarks import scale

H100, V5E = scale.DEVICES['H100'], scale.DEVICES['v5e']
DEFAULTS, LARGE = scale.PLANS.values()
# A network of benchmarks/mesh.py.
TINY = scale.Plan((100_000, 1000, 200, 20), 16, 31_914, True)
VALUES = 15.84e6
PAGE = pathlib.Path(__file__).parents[2] / 'docs' / 'scale.md'


def test_the_page_has_the_table():
  result = json.loads((scale.RESULTS / 'streaming.json').read_text())
  table = scale.table(10 * result['reading']['read rows/s'])
  assert len(table.splitlines()) == 6
  assert table in PAGE.read_text(encoding='utf-8')


def test_parameters_of_the_plans():
  """Eight experts of 512-256 on a first layer; gates, towers of two tasks."""
  rest = 8 * (512 * 256 + 256)
  rest += 2 * (256 * 128 + 128 + 128 * 64 + 64 + 64 + 1)
  for plan in (DEFAULTS, LARGE):
    blocks = len(plan.fields) + 1
    first = (blocks * plan.dim + 1) * (8 * 512 + 2 * 8) + 2 * plan.dim
    assert plan.dense == first + rest
    # A multiplication and an addition, forwards and twice backwards.
    assert plan.work[0] == pytest.approx(6 * plan.dense * scale.ROWS, rel=0.15)


def test_rows_of_a_step_leave_room_for_all_of_a_batch():
  assert TINY.step_rows(2048) == 2049 + 1220
  assert TINY.step_rows(10**6) == 101_220
  assert TINY.sorted_slots(500) == 2 * 500
  assert TINY.sorted_slots(2048) == 2048
  assert TINY._replace(by_rows=False).step_rows(2048) == 101_220


def test_bytes_are_nearly_those_of_compiled_programs():
  """What is missing is mainly a bias, which XLA sums over slots afterwards."""
  found = scale.exchanged(TINY, 2048, 8, 8)
  assert found == [627_648, 209_216 + 16_384, 127_656]
  figures = json.loads((scale.RESULTS / 'mesh.json').read_text())['figures']
  by_rows = [f for f in figures if f['adam'] == 'rows']
  assert len(by_rows) == 8
  for figure in by_rows:
    plan = TINY._replace(fields=(figure['vocabulary'], 1000, 200, 20))
    says = sum(scale.exchanged(plan, 2048, 8, 2))
    assert says / figure['communicated_bytes'] == pytest.approx(0.95, abs=5e-3)


def test_what_needs_no_exchange():
  assert scale.exchanged(TINY, 2048, 1, 1) == [0, 0, 0]
  assert scale.exchanged(TINY, 4096, 8, 1)[0] == 0


def test_all_reduce_by_hand():
  def seconds(devices, island):
    device = H100._replace(link=(100.0, 10.0), island=island)
    hops = 10e-6 * math.log2(devices)
    return 0.7 * (scale.all_reduce(400, devices, device) - hops)

  assert seconds(1, 8) == 0
  assert seconds(4, 8) == pytest.approx(2 * 400 * 3 / 4 / 100)
  # Rings of four, then two of them, each with a quarter.
  assert seconds(8, 4) == pytest.approx(6 + 2 * 100 / 2 / 10)
  assert seconds(2, 1) == pytest.approx(2 * 400 / 2 / 10)


def test_model_axis_is_the_shortest_that_holds_ten_copies():
  for device, model in ((H100, 4), (V5E, 16)):
    assert LARGE.model_axis(device) == model
    held, room = 40 * 110_620_000 * 32 / model, 0.7 * device.memory[0]
    assert room / 2 < held <= room
    assert DEFAULTS.model_axis(device) == 1


def test_a_step_on_one_device_by_hand():
  found = scale.step(DEFAULTS, H100, 1, VALUES)
  assert found['input'] == pytest.approx(2048 * 10 / VALUES)
  assert found['plan'] == pytest.approx(2048 / 40e6)
  # Compute (the memory takes 0.25 ms), 153 kernels, a dispatch's share.
  compute = 59.17e9 / (0.3 * 494.7e12)
  assert found['devices'] == pytest.approx(compute + 153 * 5e-6 + 62.5e-6)


def test_processes_along_model_read_the_same_rows():
  batch = 8 * 2048
  found = scale.step(LARGE, H100, 8, VALUES)
  assert found['input'] == pytest.approx(batch * 31 / (2 * VALUES))
  found = scale.step(DEFAULTS, V5E, 8, VALUES)
  assert found['input'] == pytest.approx(batch * 10 / (2 * VALUES))
