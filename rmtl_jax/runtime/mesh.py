"""Many devices: which of them holds what.

`--mesh=data:4,model:2` lays the devices out on two axes. Batches are split
over `data` by their lanes; embedding tables, their moments and their target
copies over `model` by their rows; everything else is on every device. The
steps are the same functions: XLA puts the communication in, and sums over a
batch are sums over all of its devices.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from rmtl_jax import config as config_lib
from rmtl_jax import types
from rmtl_jax.runtime import integrity as records
from rmtl_jax.updates import state as state_lib

# Divides the tables' rows of runs that start on a mesh with a model axis, so
# that they go on on meshes of other shapes too.
TABLE_MULTIPLE = 64


class Shape(NamedTuple):
  """Devices on each axis.

  Attributes:
    data: parts of a batch.
    model: parts of an embedding table.
  """

  data: int
  model: int

  def __str__(self) -> str:
    return f'data:{self.data},model:{self.model}'


def parse(text: str) -> Shape:
  """The shape that `--mesh` names; an axis that it leaves out is 1.

  >>> parse('data:4,model:2')
  Shape(data=4, model=2)

  Raises:
    types.InputError: another axis, one named twice, or no number.
  """
  sizes: dict[str, int] = {}
  for part in text.split(','):
    axis, _, size = part.partition(':')
    if axis not in Shape._fields:
      raise types.InputError(
        f'--mesh: {part!r:.80} is not data:N or model:N, joined by a comma'
      )
    if axis in sizes:
      raise types.InputError(f'--mesh: {text!r:.80} names {axis} twice')
    if not (size.isascii() and size.isdecimal() and 0 < int(size[:9]) < 2**20):
      raise types.InputError(
        f'--mesh: {part!r:.80}: expected a number of devices after {axis}:'
      )
    sizes[axis] = int(size)
  return Shape(sizes.get('data', 1), sizes.get('model', 1))


def table_multiple(shape: Shape) -> int:
  """What the tables' rows of a run that starts on this mesh are padded to."""
  return 1 if shape.model == 1 else math.lcm(shape.model, TABLE_MULTIPLE)


@dataclasses.dataclass(frozen=True)
class Layout:
  """A mesh, and where arrays go on it.

  Attributes:
    mesh: with the axes `data` and `model`.
  """

  mesh: jax.sharding.Mesh

  @property
  def shape(self) -> Shape:
    """Devices on each axis."""
    return Shape(self.mesh.shape['data'], self.mesh.shape['model'])

  @property
  def replicated(self) -> NamedSharding:
    """The whole array on every device."""
    return NamedSharding(self.mesh, PartitionSpec())

  def lanes(self, axis: int) -> NamedSharding:
    """An array whose lanes are on `axis`, split over `data`."""
    return NamedSharding(self.mesh, PartitionSpec(*[None] * axis, 'data'))

  def shardings(self, tree: Any) -> Any:
    """Of every leaf of a state, of parameters, or of their forms.

    Args:
      tree: whose embedding tables are [..., rows, D].
    """

    def of(path, leaf):
      # Named as XLA names its results: an axis of one device is none, and no
      # None is the last. Other names of a sharding would compile anew.
      if self.shape.model == 1 or not state_lib.is_embedding(path):
        return self.replicated
      spec = PartitionSpec(*[None] * (leaf.ndim - 2), 'model')
      return NamedSharding(self.mesh, spec)

    return jax.tree.map_with_path(of, tree)

  def put(self, values: Any) -> Any:
    """Numbers that every process has, on every device."""

    def placed(value):
      host = np.asarray(value)
      return jax.make_array_from_callback(
        host.shape, self.replicated, lambda index: host[index]
      )

    return jax.tree.map(placed, values)

  def pinned(self, step: Callable[..., Any]) -> Callable[..., Any]:
    """A step whose new state stays where the old one was.

    Args:
      step: step(state, batch, key, *extras) -> (state, metrics).
    """

    def run(state, batch, key, *extras):
      batch, extras = self.shared_out((batch, extras))
      new_state, metrics = step(state, batch, key, *extras)
      shardings = self.shardings(new_state)
      pinned = jax.lax.with_sharding_constraint(new_state, shardings)
      return pinned, self.everywhere(metrics)

    return run

  def shared_out(self, tree: Any) -> Any:
    """Inside of a compiled function: lanes [L, ...] split over all devices.

    Devices along `model` have the same lanes, of which each takes its share,
    where they divide.
    """
    lanes = jax.tree.leaves(tree)[0].shape[0]
    if lanes % self.mesh.size:
      return tree
    return jax.lax.with_sharding_constraint(
      tree, NamedSharding(self.mesh, PartitionSpec(Shape._fields))
    )

  def everywhere(self, tree: Any) -> Any:
    """Inside of a compiled function: the whole tree on every device."""
    return jax.lax.with_sharding_constraint(tree, self.replicated)

  def made(self, init: Callable[..., Any], *args: Any) -> Any:
    """What init(*args) gives, each part made on the device that keeps it."""
    shardings = self.shardings(jax.eval_shape(init, *args))
    return jax.jit(init, out_shardings=shardings)(*args)

  def put_lanes(self, tree: Any, axis: int) -> Any:
    """A batch's arrays, split over `data`.

    Args:
      tree: of numpy arrays that hold the lanes of this process (`own_lanes`),
        in order, on `axis`.
      axis: where the lanes are.
    """
    sharding = self.lanes(axis)
    parts = self.shape.data // len(self.own_parts())

    def placed(local):
      shape = list(local.shape)
      shape[axis] *= parts
      return jax.make_array_from_process_local_data(
        sharding, np.asarray(local), tuple(shape)
      )

    return jax.tree.map(placed, tree)

  def own_parts(self) -> list[int]:
    """Which parts of a batch the devices of this process hold, in order."""
    here = jax.process_index()
    return [
      part
      for part, devices in enumerate(self.mesh.devices)
      if any(device.process_index == here for device in devices)
    ]

  def own_lanes(self, lanes: int) -> slice:
    """Which lanes of a batch this process places, in order.

    Args:
      lanes: of a batch, L.
    """
    parts = self.own_parts()
    each = lanes // self.shape.data
    return slice(parts[0] * each, (parts[-1] + 1) * each)

  def advice(self, config: config_lib.Config) -> list[str]:
    """Lines about settings that work, but not well.

    Args:
      config: of the run.
    """
    groups, lines = self.shape.data // len(self.own_parts()), []
    if config.batch.readers % groups:
      lines.append(
        f'config.batch.readers={config.batch.readers}: every process reads all'
        f' train rows; with a multiple of {groups} each would read its own'
      )
    if self.shape.model > 1 and config.network.embedding_adam == 'dense':
      lines.append(
        'config.network.embedding_adam=dense: a step updates every row of the'
        ' tables; with rows it would only those of its batch'
      )
    return lines

  def computing(self, config: config_lib.Config) -> config_lib.Config:
    """The settings with those that a mesh chooses itself.

    A batch's distinct categories would be looked for in all of it together:
    `first_layer=auto` is plain.
    """
    if config.network.first_layer != 'auto':
      return config
    network = dataclasses.replace(config.network, first_layer='plain')
    return dataclasses.replace(config, network=network)

  def check(self, config: config_lib.Config, table_rows: int) -> None:
    """Refuses settings that this mesh can't split.

    Args:
      config: of the run.
      table_rows: of the joint embedding table.

    Raises:
      types.InputError: says what to set.
    """
    data, model = self.shape
    if config.batch.lanes % data:
      raise types.InputError(
        f'--mesh: data:{data} does not divide the {config.batch.lanes} lanes'
        ' of a batch (config.batch.lanes)'
      )
    if records.MOST_BLOCKS % model:
      raise types.InputError(
        f'--mesh: model:{model} does not divide {records.MOST_BLOCKS:,}, the'
        ' blocks of rows that checkpoints digest'
      )
    if table_rows % model:
      raise types.InputError(
        f'--mesh: model:{model} does not divide the {table_rows:,} rows of the'
        ' embedding tables; only a run that starts with'
        f' --config.network.table_multiple={table_multiple(self.shape)} can be'
        ' split so'
      )


def layout(shape: Shape) -> Layout:
  """All devices of all processes on a mesh.

  Devices of one process are neighbours, along `model` first.

  Raises:
    types.InputError: there are not as many.
  """
  devices = sorted(jax.devices(), key=lambda d: (d.process_index, d.id))
  if shape.data * shape.model != len(devices):
    raise types.InputError(
      f'--mesh: {shape} is {shape.data * shape.model} devices, this job has'
      f' {len(devices)}'
    )
  # Not jax.make_mesh: under its explicit axes a gather from rows that are
  # split has no sharding of its own and raises.
  grid = np.array(devices).reshape(shape)
  return Layout(jax.sharding.Mesh(grid, Shape._fields))
