"""The plan's arithmetic, by hand and beside compiled programs."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import scale, scale_devices, scale_model, scale_work
from rmtl_jax import config as config_lib

ASSUMED = scale_devices.Assumptions()
H100 = scale_devices.DEVICES['H100 SXM']
JOB = scale_model.Job(
  fields=(100_000, 1000, 200, 20),
  numeric=1,
  tasks=2,
  embedding_dim=16,
  dense=31_914,
  adam='rows',
)
WORK = scale_model.Work(flops=1e9, bytes=1e6, products=50)
HOST = scale_model.Host(values=9e6, planned=9e6, checked=3e7)


def predicted(data: int, model: int, host=HOST) -> scale_model.Prediction:
  return scale_model.predict(
    JOB, WORK, 2048, (data, model), H100, host, ASSUMED
  )


def test_rows_of_a_batch_leave_room_for_all_of_them():
  assert JOB.rows(2048) == 2049 + 1220
  assert JOB.rows(10**6) == 101_220
  assert [JOB.sorted_fields(n) for n in (100, 500, 2048, 10**6)] == [3, 2, 1, 0]


@pytest.mark.parametrize('data, model', [(1, 8), (4, 2)])
def test_bytes_are_those_of_compiled_programs(data, model):
  """benchmarks/mesh.py reads 1,032,560 from the text of its step.

  The rest is a bias that XLA sums over the slots of a lane after the
  all-reduce: [64, 264] instead of [16, 264], two more rows, and odds and ends.
  """
  found = scale_model.exchanged(JOB, 2048, data, model)
  assert found == {
    'gather': 627_648,
    'gradient': 3269 * 16 * 4,
    'dense': 127_656,
    'places': 8192 * 2,
  }
  assert sum(found.values()) == 1_032_560 - 51_656


def test_one_device_exchanges_nothing():
  for adam in ('dense', 'rows'):
    job = dataclasses.replace(JOB, adam=adam)
    assert sum(scale_model.exchanged(job, 2048, 1, 1).values()) == 0


def test_whole_tables_on_all_devices_need_no_gather():
  found = scale_model.exchanged(JOB, 4096, 8, 1)
  assert found['gather'] == 0
  assert found['gradient'] == 5317 * 16 * 4


def test_dense_adam_sums_gradients_of_tables():
  job = dataclasses.replace(JOB, adam='dense')
  found = scale_model.exchanged(job, 2048, 4, 2)
  # What a part looks up, its gradients, and which rows, there and back.
  assert found['gather'] == 2 * 512 * 4 * 16 * 4 + 2 * 512 * 4 * 4
  assert found['gradient'] == 101_220 * 16 * 4 / 2
  assert scale_model.exchanged(job, 2048, 1, 8)['gradient'] == 0


def test_all_reduce_by_hand():
  device = dataclasses.replace(H100, link=100.0, network=10.0)
  exact = scale_devices.Assumptions(link_share=1.0, hop=0.0)

  def seconds(devices, neighbours):
    return scale_model.all_reduce(400, devices, neighbours, device, exact)

  assert seconds(1, 8) == 0
  assert seconds(4, 8) == pytest.approx(2 * 400 * 3 / 4 / 100)
  # Rings of four, then two of them, each with a quarter.
  assert seconds(8, 4) == pytest.approx(6 + 2 * 100 / 2 / 10)
  assert seconds(2, 1) == pytest.approx(2 * 400 / 2 / 10)


@pytest.mark.parametrize(
  'rows, model', [(10**6, 1), (10**8, 4), (10**9, 32), (10**10, 256)]
)
def test_model_axis_is_the_shortest_that_holds_all_copies(rows, model):
  job = dataclasses.replace(JOB, fields=(rows,), embedding_dim=32)
  assert scale_model.model_axis(job, H100, ASSUMED) == model
  held, room = 40 * rows * 32 / model, ASSUMED.usable * H100.memory
  assert held <= room
  assert model == 1 or 2 * held > room


@given(st.integers(0, 8), st.integers(0, 5))
def test_a_step_takes_as_long_as_its_parts(data, model):
  one = predicted(2**data, 2**model)
  assert one.batch == 2048 * 2 ** (data + model)
  assert one.total >= max(one.seconds['input'], one.on_device)
  assert one.on_device >= one.seconds[one.bound_of_devices]
  assert one.bound in one.seconds and one.bound_of_devices in one.seconds
  assert one.days(86400 * one.rows_per_second) == pytest.approx(1)


def test_what_binds_is_named():
  assert predicted(1, 1).bound == 'input'
  free = dataclasses.replace(HOST, values=1e12)
  assert predicted(1, 1, free).bound == 'launch'
  slow = dataclasses.replace(free, planned=1e3)
  assert predicted(1, 1, slow).bound == 'plan'


def test_work_grows_with_rows():
  network = config_lib.NetworkConfig(
    embedding_dim=4, bottom_units=(8,), tower_units=(4,), num_experts=2
  )
  plan = scale_work.Plan('mmoe', network, (10**9, 50))
  job, work = scale_work.count(plan, 128)
  _, twice = scale_work.count(plan, 256)
  assert twice.flops == pytest.approx(2 * work.flops, rel=0.05)
  assert work.products == twice.products > 10
  # First layer (with one block for the numeric field), experts' biases, gates;
  # the numeric block; towers of two tasks.
  first = 3 * 4 * (2 * 8 + 2 * 2) + 2 * 8 + 2 * 2
  assert job.dense == first + 2 * 4 + 2 * (8 * 4 + 4 + 4 + 1)


def test_bends_are_found():
  row = {'plan': 'p', 'device': 'd', 'rows of a device': 1}
  found = scale.bends(
    [
      row
      | {
        'devices': n,
        'rows/s': rate,
        'devices alone, rows/s': 10.0 * n,
        'milliseconds': {'compute': 9.0, 'memory': 1.0, 'input': waits},
      }
      for n, rate, waits in ((1, 10.0, 1.0), (2, 19.0, 1.5), (4, 25.0, 4.0))
    ]
  )
  assert len(found) == 1
  assert found[0]['as built'] == 2
  assert found[0]['as built, by'] == 'input'  # grows, though compute is longer
  assert found[0]['devices alone'] == '-'


def test_floats_are_rounded():
  assert scale.rounded({'a': [1234567.0, 7, 'x']}) == {'a': [1235000.0, 7, 'x']}
