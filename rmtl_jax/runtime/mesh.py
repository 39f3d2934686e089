"""The device mesh and the shardings of arrays on it.

`--mesh=data:4,model:2` arranges the devices on two axes. Batches are sharded
over `data` by lanes; embedding tables, their moments and their target copies
over `model` by rows; everything else is replicated. The steps are the same
functions as on one device: XLA inserts the communication, and sums over a batch
are sums over all of its devices.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from rmtl_jax import config as config_lib
from rmtl_jax import types
from rmtl_jax.updates import state as state_lib

# Divides the rows of tables of runs that start on a mesh with a model axis, so
# that such runs can resume on meshes of other shapes.
TABLE_MULTIPLE = 64


class Shape(NamedTuple):
  """Number of devices on each axis.

  Attributes:
    data: shards of a batch.
    model: shards of an embedding table.
  """

  data: int
  model: int

  def __str__(self) -> str:
    return f'data:{self.data},model:{self.model}'


def parse(text: str) -> Shape:
  """Parses `--mesh`; an axis that it leaves out has size 1.

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
  """The multiple that rows of tables are padded to in a new run."""
  return 1 if shape.model == 1 else math.lcm(shape.model, TABLE_MULTIPLE)


@dataclasses.dataclass(frozen=True)
class Layout:
  """A mesh and the shardings on it.

  Attributes:
    mesh: with the axes `data` and `model`.
  """

  mesh: jax.sharding.Mesh

  @property
  def shape(self) -> Shape:
    """Number of devices on each axis."""
    return Shape(self.mesh.shape['data'], self.mesh.shape['model'])

  @property
  def replicated(self) -> NamedSharding:
    """The sharding of an array that is whole on every device."""
    return NamedSharding(self.mesh, PartitionSpec())

  def shardings(self, tree: Any) -> Any:
    """Shardings of all leaves of a state, parameters or their abstract values.

    Args:
      tree: with embedding tables [..., rows, D].
    """

    def of(path, leaf):
      # Spelt as XLA spells its results: without axes of one device and without
      # a None at the end. The same sharding spelt differently would make jit
      # compile the step again.
      if self.shape.model == 1 or not state_lib.is_embedding(path):
        return self.replicated
      spec = PartitionSpec(*[None] * (leaf.ndim - 2), 'model')
      return NamedSharding(self.mesh, spec)

    return jax.tree.map_with_path(of, tree)

  def put(self, values: Any) -> Any:
    """Replicates values that every process has."""

    def put_one(value):
      host = np.asarray(value)
      return jax.make_array_from_callback(
        host.shape, self.replicated, lambda index: host[index]
      )

    return jax.tree.map(put_one, values)

  def pin_step(self, step: Callable[..., Any]) -> Callable[..., Any]:
    """Wraps a step so that the state keeps its shardings.

    Without the constraint XLA may choose others, and the next call compiles
    again or, worse, gathers the tables on every device.

    Args:
      step: step(state, batch, key, *extras) -> (state, metrics).
    """

    def run(state, batch, key, *extras):
      batch, extras = self.shard_lanes((batch, extras))
      new_state, metrics = step(state, batch, key, *extras)
      shardings = self.shardings(new_state)
      pinned = jax.lax.with_sharding_constraint(new_state, shardings)
      return pinned, self.replicate(metrics)

    return run

  def shard_lanes(self, tree: Any) -> Any:
    """Shards lanes [L, ...] over all devices, within a compiled function.

    Devices along `model` have the same lanes: if L divides, each computes only
    its part of them; else all compute the same.
    """
    lanes = jax.tree.leaves(tree)[0].shape[0]
    if lanes % self.mesh.size:
      return tree
    return jax.lax.with_sharding_constraint(
      tree, NamedSharding(self.mesh, PartitionSpec(Shape._fields))
    )

  def replicate(self, tree: Any) -> Any:
    """Replicates a tree, within a compiled function."""
    return jax.lax.with_sharding_constraint(tree, self.replicated)

  def init_sharded(self, init: Callable[..., Any], *args: Any) -> Any:
    """Computes init(*args) sharded: no device ever has a whole table."""
    shapes = jax.eval_shape(init, *args)
    return jax.jit(init, out_shardings=self.shardings(shapes))(*args)

  def place(self, tree: Any) -> Any:
    """A state, some of it in host memory, sharded."""

    def one(leaf, sharding):
      if isinstance(leaf, jax.Array) and leaf.sharding.is_equivalent_to(
        sharding, leaf.ndim
      ):
        return leaf
      host = np.asarray(leaf)
      return jax.make_array_from_callback(
        host.shape, sharding, lambda index: host[index]
      )

    return jax.tree.map(one, tree, self.shardings(tree))

  def put_lanes(self, tree: Any) -> Any:
    """Shards batches over `data`.

    Args:
      tree: of numpy arrays [S, this process's lanes (`own_lanes`), ...].
    """
    sharding = NamedSharding(self.mesh, PartitionSpec(None, 'data'))
    # Global lanes over this process's: all processes have equally many.
    factor = self.shape.data // len(self.own_parts())

    def put_one(local):
      shape = list(local.shape)
      shape[1] *= factor
      return jax.make_array_from_process_local_data(
        sharding, np.asarray(local), tuple(shape)
      )

    return jax.tree.map(put_one, tree)

  def own_parts(self) -> list[int]:
    """Indices on `data` of this process's devices, in order."""
    here = jax.process_index()
    return [
      part
      for part, devices in enumerate(self.mesh.devices)
      if any(device.process_index == here for device in devices)
    ]

  def own_lanes(self, lanes: int) -> slice:
    """The lanes of a batch that this process reads.

    Args:
      lanes: of a batch, L.
    """
    parts = self.own_parts()
    each = lanes // self.shape.data
    return slice(parts[0] * each, (parts[-1] + 1) * each)

  def advice(self, config: config_lib.Config) -> list[str]:
    """Warns of settings that work, but slowly."""
    lines = []
    if self.shape.model > 1 and config.network.embedding_adam == 'dense':
      lines.append(
        'config.network.embedding_adam=dense: a step updates every row of the'
        ' tables; with rows it would only those of its batch'
      )
    return lines

  def computing(self, config: config_lib.Config) -> config_lib.Config:
    """Resolves settings that depend on the mesh: `first_layer=auto` is plain.

    The distinct categories of a batch are those of all lanes, so finding them
    would gather the batch on every device.
    """
    if config.network.first_layer != 'auto':
      return config
    return config.with_network(first_layer='plain')

  def check(self, config: config_lib.Config, table_rows: int) -> None:
    """Refuses settings that this mesh can't shard.

    Raises:
      types.InputError: names the setting to change.
    """
    data, model = self.shape
    if config.batch.lanes % data:
      raise types.InputError(
        f'--mesh: data:{data} does not divide the {config.batch.lanes} lanes'
        ' of a batch (config.batch.lanes)'
      )
    if table_rows % model:
      raise types.InputError(
        f'--mesh: model:{model} does not divide the {table_rows:,} rows of the'
        ' embedding tables; only a run that starts with'
        f' --config.network.table_multiple={table_multiple(self.shape)} can be'
        ' split so'
      )


def layout(shape: Shape) -> Layout:
  """Arranges all devices of all processes on a mesh.

  Raises:
    types.InputError: the shape has another number of devices, or a process's
      devices are no whole parts of `data`, nor a part of one.
  """
  # Devices of a process are neighbours, along `model` first: the lookups of
  # tables, which communicate most, then stay within a process.
  devices = sorted(jax.devices(), key=lambda d: (d.process_index, d.id))
  if shape.data * shape.model != len(devices):
    raise types.InputError(
      f'--mesh: {shape} is {shape.data * shape.model} devices, this job has'
      f' {len(devices)}'
    )
  # jax.make_mesh would make explicit axes, with which a gather from sharded
  # rows raises because its sharding is ambiguous.
  grid = np.array(devices).reshape(shape)
  _check_owners(shape, [[d.process_index for d in part] for part in grid])
  return Layout(jax.sharding.Mesh(grid, Shape._fields))


def _check_owners(shape: Shape, owners: Sequence[Sequence[int]]) -> None:
  """Refuses a mesh on which two processes share a part of `data` by halves.

  A process reads the lanes of its parts, as many as every other process; those
  that have one part in common have all of them in common.

  Args:
    shape: of the mesh.
    owners: the process of each device, by part of `data`.
  """
  parts = {
    frozenset(i for i, row in enumerate(owners) if process in row)
    for process in {process for row in owners for process in row}
  }
  sizes = [len(part) for part in parts]
  if len(set(sizes)) > 1 or sum(sizes) != shape.data:
    raise types.InputError(
      f'--mesh: {shape} cuts parts of data in two between processes; the'
      ' devices of a process must be a multiple of model, or divide it'
    )
