"""Tables split over devices: bytes on each, collectives of a step, its time.

    python -m benchmarks.mesh --output=benchmarks/results/mesh.json

Eight devices of one CPU. A vocabulary grows, all else stays: what a step
communicates, and the time that it takes, must not grow with it
(embedding_adam=rows). All devices share the machine's cores, so times say how
a step grows, not how fast many devices are.
"""

from __future__ import annotations

import os

DEVICES = 8
os.environ['XLA_FLAGS'] = (
  f'{os.environ.get("XLA_FLAGS", "")}'
  f' --xla_force_host_platform_device_count={DEVICES}'
)

import re  # noqa: E402
import statistics  # noqa: E402
from typing import Any  # noqa: E402

import jax  # noqa: E402
import numpy as np  # noqa: E402
from absl import app, flags  # noqa: E402

from benchmarks import machine  # noqa: E402
from rmtl_jax import config as config_lib  # noqa: E402
from rmtl_jax import types  # noqa: E402
from rmtl_jax.runtime import mesh  # noqa: E402
from rmtl_jax.training import models  # noqa: E402
from rmtl_jax.updates import loop, state  # noqa: E402
from rmtl_jax.weighting import factory  # noqa: E402

_OUTPUT = flags.DEFINE_string('output', '', 'JSON file; none if empty.')
_STEPS = flags.DEFINE_integer('steps', 8, 'Steps of one dispatch.')
_REPETITIONS = flags.DEFINE_integer(
  'repetitions', 15, 'Dispatches of a figure.'
)
_LARGEST = flags.DEFINE_integer('largest', 10**7, 'Rows of a vocabulary.')

SMALL = {'embedding_dim': 16, 'bottom_units': (64, 32), 'tower_units': (32,)}
OTHERS = (1000, 200, 20)
BYTES = {'f32': 4, 's32': 4, 'u32': 4, 'f64': 8, 's64': 8, 'pred': 1}
COLLECTIVE = re.compile(
  r'= (.*?) (all-reduce|all-gather|all-to-all|collective-permute|'
  r'reduce-scatter)(?:-start)?\('
)


def collectives(text: str) -> dict[str, int]:
  """Bytes of what each kind of collective gives to one device.

  Args:
    text: of a compiled program.
  """
  found: dict[str, int] = {}
  for shapes, kind in COLLECTIVE.findall(text):
    for dtype, sizes in re.findall(r'(\w+)\[([\d,]*)\]', shapes):
      count = int(np.prod([int(n) for n in sizes.split(',') if n]))
      found[kind] = found.get(kind, 0) + BYTES[dtype] * count
  return found


def settings(adam: str) -> config_lib.Config:
  """Of stage 1."""
  network = config_lib.NetworkConfig(
    **SMALL,
    num_experts=4,
    embedding_adam=adam,
    table_multiple=mesh.TABLE_MULTIPLE,
    first_layer='plain',
  )
  return config_lib.Config(backbone='mmoe', network=network)


def dispatch(spec: types.FeatureSpec) -> tuple[loop.SlotRows, loop.Slots]:
  """Random rows in the slots of some batches."""
  rng = np.random.default_rng(0)
  config = config_lib.BatchConfig()
  shape = (_STEPS.value, config.lanes, config.lane_length)
  categorical = [rng.integers(0, n, shape) for n in spec.categorical]
  inputs = types.Inputs(
    np.stack(categorical, -1).astype(np.int32),
    np.zeros((*shape, 0), np.int32),
    rng.normal(size=(*shape, 1)).astype(np.float32),
  )
  labels = (rng.random((*shape, 2)) < 0.3).astype(np.float32)
  slot = np.arange(config.lane_length)
  slots = loop.Slots(
    np.zeros(shape, np.int32),
    np.broadcast_to(slot % 4 == 3, shape),
    np.broadcast_to(slot // 4, shape).astype(np.int32),
  )
  return loop.SlotRows(inputs, labels), slots


class Program:
  """Stage 1 on a mesh: its state, and some steps of it.

  Attributes:
    communicated: bytes that a step's collectives give to one device, by kind.
    tables: bytes of tables and moments, of all and of the fullest device.
  """

  def __init__(self, shape: str, adam: str, vocabulary: int):
    """Makes the state where it belongs, and compiles a step."""
    layout = mesh.layout(mesh.parse(shape))
    spec = types.FeatureSpec((vocabulary, *OTHERS), (), 1, 2, item=0)
    config, made = settings(adam), models.Models(spec, layout)
    optimizer = state.make_optimizer(config.pretrain)
    weighting = factory.make_weighting(
      config_lib.WeightingConfig(name='constant')
    )

    def init(key):
      params = made.actor(config).init(key)
      return state.init_actor(params, optimizer, weighting)

    program = made.pretrain(config)
    self._state = made.place(init, jax.random.key(0))
    self.tables = bytes_of_tables(self._state)
    columns, slots = dispatch(spec)
    self._loop = program
    self._inputs = layout.put_lanes((columns, (), slots))
    self._count = layout.put(np.int32(_STEPS.value))
    # What a step communicates: the loop's body has one.
    compiled = program.lower(
      self._state, *self._inputs, self._count, jax.random.key(1)
    ).compile()
    self.communicated = collectives(compiled.as_text())

  def __call__(self) -> Any:
    """Runs the steps."""
    self._state, sums = self._loop(
      self._state, *self._inputs, self._count, jax.random.key(2)
    )
    return sums


def bytes_of_tables(actor: Any) -> dict[str, int]:
  """Of the table and its moments: all of them, and the fullest device's."""
  per_device: dict[Any, int] = {}
  total = 0
  for path, leaf in jax.tree.leaves_with_path(actor):
    if state.is_embedding(path):
      total += leaf.nbytes
      for shard in leaf.addressable_shards:
        old = per_device.get(shard.device, 0)
        per_device[shard.device] = old + shard.data.nbytes
  return {'all': total, 'device': max(per_device.values())}


def measured(shape: str, adam: str, largest: int) -> list[dict[str, Any]]:
  """Figures of growing vocabularies, whose steps are timed in turn."""
  sizes = [10**power for power in range(4, 10) if 10**power <= largest]
  programs = {str(size): Program(shape, adam, size) for size in sizes}
  times = machine.interleaved(programs, _REPETITIONS.value)
  return [
    {
      'mesh': shape,
      'adam': adam,
      'vocabulary': int(size),
      'tables_bytes': program.tables['all'],
      'fullest_device': program.tables['device'] / program.tables['all'],
      'collectives_bytes': program.communicated,
      'communicated_bytes': sum(program.communicated.values()),
      'step_seconds': statistics.median(times[size]) / _STEPS.value,
      'fastest_step_seconds': min(times[size]) / _STEPS.value,
    }
    for size, program in programs.items()
  ]


def main(argv: list[str]) -> None:
  """Prints the table, writes the file."""
  del argv
  load = [os.getloadavg()[0]]
  found = []
  for shape, adam, largest in (
    ('model:8', 'rows', 10**9),
    ('data:4,model:2', 'rows', 10**9),
    ('data:4,model:2', 'dense', 10**6),  # its gradients would fill memory
  ):
    found += measured(shape, adam, min(largest, _LARGEST.value))
  load.append(os.getloadavg()[0])
  rows = [
    {
      'mesh': f['mesh'],
      'Adam': f['adam'],
      'vocabulary': f['vocabulary'],
      'tables, MB': f['tables_bytes'] / 1e6,
      'fullest device': f['fullest_device'],
      'communicated, KB': f['communicated_bytes'] / 1e3,
      'ms per step': 1e3 * f['step_seconds'],
      'fastest': 1e3 * f['fastest_step_seconds'],
    }
    for f in found
  ]
  print(machine.table(rows))
  record = {
    'load': load,
    'peak_mebibytes': machine.peak_mebibytes(),
    'steps': _STEPS.value,
    'repetitions': _REPETITIONS.value,
  }
  machine.write(
    _OUTPUT.value, {'benchmark': 'mesh', **record, 'figures': found}
  )


if __name__ == '__main__':
  app.run(main)
