"""Arithmetic of a training step on many devices; docs/scale.md has it in words.

Everything is of stage 1 and of one step: seconds of its parts on a device, from
the work that benchmarks/scale.py counts and from figures that are assumed. No
figure of a device here was measured by this project.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

from benchmarks.scale_devices import Assumptions, Device


@dataclasses.dataclass(frozen=True)
class Host:
  """Rates of one process's own Python and pyarrow, measured on CPU.

  Attributes:
    values: decoded per second by the one reading thread.
    planned: rows per second of the pass's plan, which every process makes
      of all rows before the first batch.
    checked: values per second of the check at every start, likewise.
  """

  values: float
  planned: float
  checked: float


@dataclasses.dataclass(frozen=True)
class Job:
  """What is trained.

  Attributes:
    fields: rows of each categorical field's vocabulary.
    numeric: numeric fields.
    tasks: K.
    embedding_dim: D.
    dense: parameters that are no embeddings.
    adam: `rows` or `dense`.
  """

  fields: tuple[int, ...]
  numeric: int
  tasks: int
  embedding_dim: int
  dense: int
  adam: str

  @property
  def columns(self) -> int:
    """Values of a row that are read."""
    return len(self.fields) + self.numeric + self.tasks

  @property
  def input_bytes(self) -> int:
    """Of a row that goes to a device: values, time, row, segment, is_last."""
    return 4 * self.columns + 13

  @property
  def table_numbers(self) -> int:
    """Of all embedding tables."""
    return sum(self.fields) * self.embedding_dim

  def rows(self, batch: int) -> int:
    """Rows of a step's small tables: room for all that a batch might have."""
    return sum(min(size, batch + 1) for size in self.fields)

  def sorted_fields(self, batch: int) -> int:
    """Fields whose distinct values a step looks for."""
    return sum(size > batch + 1 for size in self.fields)


@dataclasses.dataclass(frozen=True)
class Work:
  """Of one device's part of a batch, from the step's jaxpr.

  Attributes:
    flops: of the matrix products.
    bytes: that these read and write.
    products: how many there are.
  """

  flops: float
  bytes: float
  products: int


def exchanged(job: Job, batch: int, data: int, model: int) -> dict[str, float]:
  """Bytes that a step's collectives give to one device.

  Args:
    job: what is trained.
    batch: rows of the whole batch.
    data: devices on the axis `data`.
    model: devices on the axis `model`.

  Returns:
    By purpose: `gather` over `model` of rows (parameter and two moments), and
    over all devices, each of which works on a share of the batch: `gradient`
    of these rows, `dense` gradients, and `places`, the categories that are
    sorted together. With the dense Adam `gather` is what a part of the batch
    looks up and the gradients of that, and `gradient`, of a device's part of
    the tables, goes over `data`.
  """
  dim, split = job.embedding_dim, data * model > 1
  found = {'gather': 0.0, 'gradient': 0.0, 'dense': 0.0, 'places': 0.0}
  if split:
    found['dense'] = 4.0 * job.dense
  if job.adam == 'dense':
    if model > 1:
      found['gather'] = 8.0 * batch / data * len(job.fields) * (dim + 1)
    if data > 1:
      found['gradient'] = 4.0 * job.table_numbers / model
    return found
  rows = job.rows(batch)
  if model > 1:
    found['gather'] = 12.0 * rows * dim
  if split:
    found['gradient'] = 4.0 * rows * dim
    found['places'] = 8.0 * batch * job.sorted_fields(batch)
  return found


def all_reduce(
  size: float,
  devices: int,
  neighbours: int,
  device: Device,
  assumed: Assumptions,
) -> float:
  """Seconds of a ring within islands, then of rings between them.

  Args:
    size: bytes of the array.
    devices: that take part.
    neighbours: of these in one island.
    device: whose links they are.
    assumed: share of the links, and seconds of a hop.
  """
  if devices == 1 or not size:
    return 0.0
  inside = min(neighbours, devices)
  islands = devices / inside
  seconds = 2 * size * (inside - 1) / inside / device.link
  if islands > 1:
    each = size / inside
    seconds += 2 * each * (islands - 1) / islands / device.network
  return seconds / assumed.link_share + assumed.hop * math.log2(devices)


def moved(job: Job, work: Work, rows: int, batch: int, model: int) -> float:
  """Bytes that a device's memory reads and writes in a step.

  Adam reads four and writes three numbers of a parameter.

  Args:
    job: what is trained.
    work: of the device's part.
    rows: of this part.
    batch: rows of the whole batch.
    model: devices on the axis `model`.
  """
  dim = job.embedding_dim
  looked_up = 16.0 * rows * len(job.fields) * dim
  if job.adam == 'dense':
    tables = 28.0 * job.table_numbers / model
  else:
    # Taken out and put back, three numbers each; Adam on them; four passes of
    # a sort over pairs of category and slot.
    tables = (2 * 24.0 + 28.0) * job.rows(batch) * dim
    tables += 64.0 * batch * job.sorted_fields(batch)
  return work.bytes + looked_up + tables + 28.0 * job.dense


# Copies of a table in stage 3: parameter, moments, critics, targets.
COPIES = 10


def model_axis(job: Job, device: Device, assumed: Assumptions) -> int:
  """The shortest `model` axis on which all three stages' tables fit."""
  need = 4.0 * COPIES * job.table_numbers / (assumed.usable * device.memory)
  return 1 << max(math.ceil(math.log2(need)), 0) if need > 1 else 1


@dataclasses.dataclass(frozen=True)
class Prediction:
  """Of one step, seconds.

  Attributes:
    batch: rows of it.
    seconds: each part's: `compute`, `memory` (of which the longer counts),
      `launch`, `row exchange`, `dense all-reduce`, `dispatch`; `input` goes on
      beside all of these; `plan` is a step's share of what comes before.
  """

  batch: int
  seconds: dict[str, float]

  @property
  def on_device(self) -> float:
    """Seconds that devices work or wait for each other."""
    parts = ('launch', 'row exchange', 'dense all-reduce', 'dispatch')
    longer = max(self.seconds['compute'], self.seconds['memory'])
    return longer + sum(self.seconds[part] for part in parts)

  @property
  def total(self) -> float:
    """Seconds of the step."""
    return max(self.on_device, self.seconds['input']) + self.seconds['plan']

  @property
  def rows_per_second(self) -> float:
    """Of the whole job."""
    return self.batch / self.total

  @property
  def bound(self) -> str:
    """The part that counts most."""
    if self.on_device > self.seconds['input']:
      part, seconds = self.bound_of_devices, self.seconds[self.bound_of_devices]
    else:
      part, seconds = 'input', self.seconds['input']
    return 'plan' if self.seconds['plan'] > seconds else part

  @property
  def bound_of_devices(self) -> str:
    """The same, if rows came from the host for nothing."""
    parts = [name for name in self.seconds if name not in ('input', 'plan')]
    return max(parts, key=lambda name: self.seconds[name])

  def days(self, rows: float) -> float:
    """Of one pass over so many rows."""
    return rows / self.rows_per_second / 86400


def predict(
  job: Job,
  work: Work,
  rows: int,
  mesh: Sequence[int],
  device: Device,
  host: Host,
  assumed: Assumptions,
  steps_per_dispatch: int = 32,
) -> Prediction:
  """A step of stage 1.

  Args:
    job: what is trained.
    work: of one device's part of a batch.
    rows: of this part.
    mesh: devices on `data` and on `model`.
    device: what they are.
    host: rates of a process.
    assumed: the rest.
    steps_per_dispatch: between which devices wait for the host.
  """
  data, model = mesh
  devices = data * model
  batch = rows * devices
  bytes_of = exchanged(job, batch, data, model)

  def over(size, count, apart=1):
    neighbours = max(device.island // apart, 1)
    return all_reduce(size, count, neighbours, device, assumed)

  if job.adam == 'dense':
    gradient = over(bytes_of['gradient'], data, apart=model)
  else:
    gradient = over(bytes_of['gradient'], devices)
  # Processes along `model` read the same rows.
  readers = min(max(devices // device.per_process, 1), data)
  memory = moved(job, work, rows, batch, model)
  return Prediction(
    batch,
    {
      'compute': work.flops / (device.flops * assumed.utilisation),
      'memory': memory / (device.memory_rate * assumed.memory_share),
      'launch': work.products * assumed.kernels * device.launch,
      'row exchange': over(bytes_of['gather'], model)
      + gradient
      + over(bytes_of['places'], devices),
      'dense all-reduce': over(bytes_of['dense'], devices),
      'dispatch': assumed.dispatch / steps_per_dispatch,
      'input': batch * job.columns / (readers * host.values),
      'plan': batch / host.planned,
    },
  )
