r"""When the first layer on distinct categories beats that on every slot.

    python -m benchmarks.first_layer \
      --output=benchmarks/results/first_layer.json

Training steps of one backbone with first_layer=plain and =distinct, in turn,
over widths of embeddings and shares of distinct categories in a batch (by
larger and larger vocabularies). What is saved per slot grows with D (1 -
share); networks/distinct.GATHER_COST is where that begins to pay.
"""

from __future__ import annotations

import statistics
from typing import Any

import jax
import numpy as np
from absl import app, flags

from benchmarks import machine, workload
from rmtl_jax import config as config_lib
from rmtl_jax.training import actor_stage, feed

_OUTPUT = flags.DEFINE_string('output', '', 'JSON file; none if empty.')
_BACKBONE = flags.DEFINE_string('backbone', 'esmm', 'Which.')
_STEPS = flags.DEFINE_integer('steps', 4, 'Steps of one dispatch.')
_REPETITIONS = flags.DEFINE_integer('repetitions', 5, 'Pairs of a ratio.')
_WIDTHS = flags.DEFINE_multi_integer(
  'embedding_dim', [16, 32, 64, 128], 'D; repeatable.'
)
_SCALES = flags.DEFINE_multi_float(
  'scale', [0.1, 1.0, 10.0], 'Of vocabularies and items; repeatable.'
)


def dispatch_of(log: workload.Workload, config: config_lib.Config) -> Any:
  """A call that runs some steps, and the room that the fields have."""
  context = workload.context(log, config)
  arm = actor_stage.pretrain(context).arms['pretrain']
  plan = context.epoch('pretrain', 1).plan
  slots, count = feed.chunks(plan, _STEPS.value)[0]
  slots = jax.device_put(slots)
  key, current = context.key('pretrain'), [arm.state]

  def dispatch():
    current[0], _ = arm.program(
      current[0], context.train.device, (), slots, np.int32(count), key
    )
    return current[0]

  return dispatch, context.models.spec.distinct


def measure(scale: float, dim: int) -> dict[str, Any]:
  """Both forms' milliseconds per step and the median of the pairs' ratios."""
  log = workload.Workload(
    rows=60_000,
    items=int(50_000 * scale),
    vocabularies=tuple(max(2, int(v * scale)) for v in workload.VOCABULARIES),
  )
  runs, room = {}, ()
  for form in ('plain', 'distinct'):
    network = config_lib.NetworkConfig(embedding_dim=dim, first_layer=form)
    config = config_lib.Config(backbone=_BACKBONE.value, network=network)
    runs[form], room = dispatch_of(log, config)
  times = machine.interleaved(runs, _REPETITIONS.value)
  pairs = zip(times['distinct'], times['plain'], strict=True)
  batch = config_lib.BatchConfig()
  share = float(np.mean(room)) / (batch.lanes * batch.lane_length)
  return {
    'embedding_dim': dim,
    'distinct_share': share,
    'saved': dim * (1 - share),
    **{
      f'{form}_milliseconds': 1e3 * statistics.median(x) / _STEPS.value
      for form, x in times.items()
    },
    'ratio': statistics.median(a / b for a, b in pairs),
  }


def main(argv: list[str]) -> None:
  """Prints the table, writes the file."""
  del argv
  rows = [
    measure(scale, dim) for scale in _SCALES.value for dim in _WIDTHS.value
  ]
  print(machine.table(sorted(rows, key=lambda row: row['saved'])))
  machine.write(
    _OUTPUT.value,
    {
      'benchmark': 'first_layer',
      'backbone': _BACKBONE.value,
      'unit': 'ratio = distinct / plain, of training steps',
      'figures': rows,
    },
  )


if __name__ == '__main__':
  app.run(main)
