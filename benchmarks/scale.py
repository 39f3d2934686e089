"""Prints the table of docs/scale.md: arithmetic for machines nobody had.

    python -m benchmarks.scale

The page has the formulas and what they assume. The rate of reading is that of
results/streaming.json.
"""

from __future__ import annotations

import itertools
import json
import math
import pathlib
from typing import NamedTuple

RESULTS = pathlib.Path(__file__).parent / 'results'
ROWS = 2048  # b, of one device in a step
PLANNED = 40e6  # rows/s of a pass's plan, measured on two busy CPU cores


class Device(NamedTuple):
  """A vendor's figures; `process` and `launch` are assumed.

  Attributes:
    flops: peak of matrix products, FLOP/s.
    memory: bytes, and how many of them per second.
    link: bytes per second, one way, within an island and beyond it.
    island: devices that the faster link joins.
    process: devices of a process, which has one reading thread.
    launch: seconds of a kernel at least.
  """

  flops: float
  memory: tuple[float, float]
  link: tuple[float, float]
  island: int
  process: int
  launch: float


DEVICES = {
  'H100': Device(494.7e12, (80e9, 3350e9), (450e9, 50e9), 8, 1, 5e-6),
  'v5e': Device(197e12, (16e9, 819e9), (200e9, math.inf), 256, 4, 1e-6),
}


class Plan(NamedTuple):
  """What stage 1 trains, with one numeric field and two tasks.

  Attributes:
    fields: sizes of the categorical fields' vocabularies.
    dim: D, numbers of an embedding.
    dense: P, parameters that are no embeddings.
    by_rows: whether embedding_adam is `rows`; the dense Adam only for m = 1.
    work: of a step of ROWS rows, counted from its jaxpr: FLOPs of its matrix
      products, bytes that these read and write, how many they are.
  """

  fields: tuple[int, ...]
  dim: int
  dense: int
  by_rows: bool
  work: tuple[float, float, int] = (0.0, 0.0, 0)

  def step_rows(self, batch: int) -> int:
    """R, embeddings that a step updates; the dense Adam updates all."""
    return sum(min(n, batch + 1) if self.by_rows else n for n in self.fields)

  def sorted_slots(self, batch: int) -> int:
    """Values that a step sorts to find a batch's distinct categories."""
    return self.by_rows * batch * sum(n > batch + 1 for n in self.fields)

  def model_axis(self, device: Device) -> int:
    """m, which holds ten copies of the tables in 70 % of the memory."""
    need = 40 * sum(self.fields) * self.dim / (0.7 * device.memory[0])
    return 1 << max(math.ceil(math.log2(need)), 0)


_LARGE = (10**8, 10**7, *[10**5] * 6, *[10**3] * 20)
_SMALL = (1500, 2959, 4647, 2, 1200, 707, 724)
PLANS = {
  'defaults': Plan(_SMALL, 128, 5348114, False, (59.17e9, 376.1e6, 51)),
  'large tables': Plan(_LARGE, 32, 4953170, True, (59.17e9, 366.6e6, 51)),
}


def exchanged(plan: Plan, batch: int, devices: int, model: int) -> list[float]:
  """Bytes of all-reduces: over `model`, of rows and of networks over all."""
  if devices == 1:
    return [0.0, 0.0, 0.0]
  numbers = plan.step_rows(batch) * plan.dim
  of_rows = 4.0 * numbers + 8.0 * plan.sorted_slots(batch)
  return [12.0 * numbers * (model > 1), of_rows, 4.0 * plan.dense]


def all_reduce(size: float, devices: int, device: Device) -> float:
  """Seconds of a ring in every island, then of rings between islands."""
  if devices == 1 or not size:
    return 0.0
  near = min(device.island, devices)
  far = devices / near
  seconds = size * (near - 1) / near / device.link[0]
  seconds += size / near * (far - 1) / far / device.link[1]
  return 2 * seconds / 0.7 + 10e-6 * math.log2(devices)


def step(
  plan: Plan, device: Device, devices: int, values: float
) -> dict[str, float]:
  """Seconds of `devices`, of `input` beside them, and of `plan` before both.

  Args:
    plan: what is trained.
    device: on what.
    devices: how many.
    values: that a process decodes per second.
  """
  (flops, moved, products), batch = plan.work, ROWS * devices
  model = plan.model_axis(device)
  gather, rows, dense = exchanged(plan, batch, devices, model)
  # Adam moves seven numbers; rows are also taken out and put back, three each.
  moved += (76 if plan.by_rows else 28) * plan.step_rows(batch) * plan.dim
  moved += 16 * ROWS * len(plan.fields) * plan.dim + 28 * plan.dense
  moved += 64 * plan.sorted_slots(batch)
  seconds = max(flops / 0.3 / device.flops, moved / 0.7 / device.memory[1])
  seconds += 3 * products * device.launch + 2e-3 / 32
  seconds += all_reduce(gather, model, device)
  seconds += sum(all_reduce(size, devices, device) for size in (rows, dense))
  readers = min(max(devices // device.process, 1), devices // model)
  read = batch * (len(plan.fields) + 3) / (readers * values)
  return {'devices': seconds, 'input': read, 'plan': batch / PLANNED}


def table(values: float) -> str:
  """Million rows/s, what takes longest, and in brackets devices alone."""
  lines = ['| plan | device | 1 | 4 | 8 | 16 | 64 | 256 |', '|---' * 8 + '|']
  for (title, plan), name in itertools.product(PLANS.items(), DEVICES):
    model = plan.model_axis(DEVICES[name])
    line = f'| {title} | {name}, model:{model} |'
    for n in (1, 4, 8, 16, 64, 256):
      if n >= model:
        found = step(plan, DEVICES[name], n, values)
        seconds = max(found['devices'], found['input']) + found['plan']
        longest = max(found, key=lambda part: found[part])
        line += ' {:g} {} ({:g})'.format(
          float(f'{ROWS * n / 1e6 / seconds:.2g}'),
          longest,
          float(f'{ROWS * n / 1e6 / found["devices"]:.2g}'),
        )
      line += ' |'
    lines.append(line)
  return '\n'.join(lines)


if __name__ == '__main__':
  reading = json.loads((RESULTS / 'streaming.json').read_text())['reading']
  print(table(10 * reading['read rows/s']))  # its log has ten columns
