"""Tables split over devices: bytes on each, collectives of a step, its time.

    python benchmarks/mesh.py --output=benchmarks/results/mesh.json

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
from typing import Any  # noqa: E402

import jax  # noqa: E402
import numpy as np  # noqa: E402
from absl import app, flags  # noqa: E402

from benchmarks import machine  # noqa: E402
from rmtl_jax import config as config_lib  # noqa: E402
from rmtl_jax import types  # noqa: E402
from rmtl_jax.training import mesh, models  # noqa: E402
from rmtl_jax.updates import state  # noqa: E402
from rmtl_jax.weighting import factory  # noqa: E402

_OUTPUT = flags.DEFINE_string('output', '', 'JSON file; none if empty.')
_STEPS = flags.DEFINE_integer('steps', 8, 'Steps of one dispatch.')
_REPETITIONS = flags.DEFINE_integer('repetitions', 5, 'Dispatches of a figure.')
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


def batches(spec: types.FeatureSpec, steps: int) -> types.Batch:
  """Random rows, [steps, L, T]."""
  rng = np.random.default_rng(0)
  config = config_lib.BatchConfig()
  shape = (steps, config.lanes, config.lane_length)
  categorical = [rng.integers(0, n, shape) for n in spec.categorical]
  segment = np.broadcast_to(np.arange(shape[2]) // 4, shape).astype(np.int32)
  return types.Batch(
    inputs=types.Inputs(
      np.stack(categorical, -1).astype(np.int32),
      np.zeros((*shape, 0), np.int32),
      rng.normal(size=(*shape, 1)).astype(np.float32),
      segment,
    ),
    labels=(rng.random((*shape, 2)) < 0.3).astype(np.float32),
    mask=np.ones(shape, bool),
    is_last=np.broadcast_to(np.arange(shape[2]) % 4 == 3, shape),
    segment=segment,
    row=np.zeros(shape, np.int32),
  )


def figures(shape: str, adam: str, vocabulary: int) -> dict[str, Any]:
  """Of one program: bytes, collectives, seconds."""
  layout = mesh.layout(mesh.parse(shape))
  spec = types.FeatureSpec((vocabulary, *OTHERS), (), 1, 2, item=0)
  config, made = settings(adam), models.Models(spec)
  optimizer = state.make_optimizer(config.pretrain)
  weighting = factory.make_weighting(
    config_lib.WeightingConfig(name='constant')
  )

  def init(key):
    params = made.init_actor(config, key)
    return state.init_actor(params, optimizer, weighting)

  actor = layout.made(init, jax.random.key(0))
  split = bytes_of_tables(actor)
  step = layout.pinned(made.pretrain(config).step)
  lanes = layout.put_lanes(batches(spec, _STEPS.value), 1)
  one = layout.put_lanes(batches(spec, 1), 1)
  compiled = (
    jax.jit(
      lambda s, b, key: step(s, jax.tree.map(lambda x: x[0], b), key),
      donate_argnums=0,
    )
    .lower(actor, one, jax.random.key(1))
    .compile()
  )

  def steps(before, lanes, key):
    return jax.lax.scan(
      lambda s, batch: step(s, batch, jax.random.fold_in(key, s.step)),
      before,
      lanes,
    )

  loop, current = jax.jit(steps, donate_argnums=0), [actor]
  del actor

  def dispatch():
    current[0], metrics = loop(current[0], lanes, jax.random.key(2))
    return metrics

  seconds = machine.seconds(dispatch, _REPETITIONS.value) / _STEPS.value
  found = collectives(compiled.as_text())
  return {
    'mesh': shape,
    'adam': adam,
    'vocabulary': vocabulary,
    'tables_bytes': split['all'],
    'largest_share_of_a_device': split['device'] / split['all'],
    'collectives_bytes': found,
    'communicated_bytes': sum(found.values()),
    'step_seconds': seconds,
  }


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


def main(argv: list[str]) -> None:
  """Prints the table, writes the file."""
  del argv
  load = os.getloadavg()[0]
  found = []
  for shape, adam in (
    ('model:8', 'rows'),
    ('data:4,model:2', 'rows'),
    ('data:4,model:2', 'dense'),
  ):
    for power in range(4, 9):
      vocabulary = 10**power
      if vocabulary <= _LARGEST.value:
        found.append(figures(shape, adam, vocabulary))
        print(found[-1], flush=True)
  rows = [
    {
      'mesh': f['mesh'],
      'Adam': f['adam'],
      'vocabulary': f['vocabulary'],
      'tables, MB': f['tables_bytes'] / 1e6,
      'share of a device': f['largest_share_of_a_device'],
      'communicated, KB': f['communicated_bytes'] / 1e3,
      'ms per step': 1e3 * f['step_seconds'],
    }
    for f in found
  ]
  print(machine.table(rows))
  record = {'load_before': load, 'peak_mebibytes': machine.peak_mebibytes()}
  machine.write(
    _OUTPUT.value, {'benchmark': 'mesh', **record, 'figures': found}
  )


if __name__ == '__main__':
  app.run(main)
