"""Every stage and backbone in rows per second, and its share of the roofline.

    python -m benchmarks.stages --output=benchmarks/results/stages.json

The log is benchmarks/workload.py's; sizes are the defaults (batch 2,048,
embedding 128, bottom 512-256, towers 128-64, 8 experts, dropout 0.2). A figure
is the median of several dispatches of the stage's own compiled loop, gathering
of batches included. The share is the least time that the step's matrix
products, moved bytes and optimizer passes take on this machine, each measured
alone in the same run, over the time that the step took. On an accelerator
`busy` is the share of the time in which one of its kernels ran: a stage far
below 1 waits for launches.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from absl import app, flags

from benchmarks import loops, machine, workload
from rmtl_jax import config as config_lib
from rmtl_jax.evaluation import evaluator, labelled
from rmtl_jax.networks import backbone_registry
from rmtl_jax.training import actors, split_data
from rmtl_jax.training import context as context_lib

_PAPER = config_lib.preset('paper')

_OUTPUT = flags.DEFINE_string('output', '', 'JSON file; none if empty.')
_ROWS = flags.DEFINE_integer('rows', 100_000, 'Rows of the log.')
_STEPS = flags.DEFINE_integer('steps', 8, 'Steps of one dispatch.')
_REPETITIONS = flags.DEFINE_integer('repetitions', 5, 'Dispatches of a figure.')
_BACKBONES = flags.DEFINE_list(
  'backbones', backbone_registry.trained(), 'Comma-separated.'
)
_LANES = flags.DEFINE_list(
  'lanes', ['32'], 'Of a batch, 64 rows each; comma-separated.'
)
_FIRST_LAYER = flags.DEFINE_string(
  'first_layer', 'auto', 'config.network.first_layer.'
)


def figures(
  backbone: str, loop: loops.Loop, roofline: machine.Roofline
) -> dict[str, Any]:
  """Rows per second of a stage's loop, and its share of the roofline."""
  found = loop.work()
  seconds = machine.seconds(loop, _REPETITIONS.value) / loop.steps
  least = roofline.seconds(found, loop.optimized)
  return {
    'stage': loop.stage,
    'backbone': backbone,
    'rows_per_second': loop.rows / seconds,
    'milliseconds': 1e3 * seconds,
    'gigaflops': found.flops / 1e9,
    'least_milliseconds': 1e3 * least,
    'share': least / seconds,
    'busy': machine.busy(loop),
  }


def measure(
  log: workload.Workload,
  backbone: str,
  batch: config_lib.BatchConfig,
  split: split_data.Split,
  roofline: machine.Roofline,
) -> list[dict[str, Any]]:
  """All stages of one backbone."""
  config = dataclasses.replace(_PAPER, backbone=backbone)
  config = dataclasses.replace(
    config,
    batch=batch,
    network=dataclasses.replace(config.network, first_layer=_FIRST_LAYER.value),
    critic=dataclasses.replace(config.critic, form='separate'),
  )
  rows = [
    figures(backbone, loop, roofline)
    for loop in loops.of_stages(log, config, split, _STEPS.value)
  ]
  context = workload.context(log, config, split)
  params = actors.pretrain(context)['pretrain'].best
  return [*rows, evaluation(backbone, context, params)]


def evaluation(
  backbone: str, context: context_lib.Context, params: Any
) -> dict[str, Any]:
  """Predictions and every metric but the bootstrap's intervals."""
  split = context.train

  def run():
    predictions = context.models.predict(context.config, params, split)
    rows = labelled.Labelled.of(split.host, context.tasks)
    evaluator.evaluate(labelled.Predicted(predictions), rows, {})
    return predictions

  seconds = machine.seconds(run, _REPETITIONS.value)
  return {
    'stage': 'evaluate',
    'backbone': backbone,
    'rows_per_second': split.host.rows / seconds,
    'milliseconds': 1e3 * seconds,
  }


def main(argv: list[str]) -> None:
  """Prints the table, writes the file."""
  del argv
  roofline = machine.Roofline()
  rows, room = [], []
  for lanes in map(int, _LANES.value):
    batch = dataclasses.replace(_PAPER.batch, lanes=lanes)
    slots = lanes * batch.lane_length
    # A tenth more than the steps take: lanes are not quite full.
    needed = round(1.1 * slots * _STEPS.value)
    log = workload.Workload(rows=max(_ROWS.value, needed))
    split = split_data.place(log.columns(), batch)
    for backbone in _BACKBONES.value:
      found = measure(log, backbone, batch, split, roofline)
      rows += [{'batch': slots, **one} for one in found]
      print(f'{backbone}, batch {slots:,} done', flush=True)
    room = split_data.with_room(log.spec(), split).distinct
  empty = dict.fromkeys(rows[0], '')
  print(machine.table([{**empty, **row} for row in rows]))
  machine.write(
    _OUTPUT.value,
    {
      'benchmark': 'stages',
      'rows': _ROWS.value,
      'first_layer': _FIRST_LAYER.value,
      'bytes_per_second': roofline.bytes_per_second,
      'room': room,
      'figures': rows,
    },
  )


if __name__ == '__main__':
  app.run(main)
