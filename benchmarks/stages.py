"""Every stage and backbone in rows per second, and its share of the roofline.

    python -m benchmarks.stages --output=benchmarks/results/stages.json

The log is benchmarks/workload.py's; sizes are the defaults (batch 2,048,
embedding 128, bottom 512-256, towers 128-64, 8 experts, dropout 0.2). A figure
is the median of several dispatches of the stage's own compiled loop, gathering
of batches included. The share is the least time that the step's matrix
products, moved bytes and optimizer passes take on this machine, each measured
alone in the same run, over the time that the step took.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import numpy as np
from absl import app, flags

from benchmarks import machine, workload
from rmtl_jax import config as config_lib
from rmtl_jax.evaluation import evaluator
from rmtl_jax.networks import registry as networks_registry
from rmtl_jax.training import actor_stage, critic_stage, feed
from rmtl_jax.training import context as context_lib
from rmtl_jax.training import splits as splits_lib
from rmtl_jax.updates import loop as loop_lib

_OUTPUT = flags.DEFINE_string('output', '', 'JSON file; none if empty.')
_ROWS = flags.DEFINE_integer('rows', 100_000, 'Rows of the log.')
_STEPS = flags.DEFINE_integer('steps', 8, 'Steps of one dispatch.')
_REPETITIONS = flags.DEFINE_integer('repetitions', 5, 'Dispatches of a figure.')
_BACKBONES = flags.DEFINE_list(
  'backbones', list(networks_registry.BACKBONES), 'Comma-separated.'
)
_FIRST_LAYER = flags.DEFINE_string(
  'first_layer', 'auto', 'config.network.first_layer.'
)


def figures(
  stage: str,
  backbone: str,
  program: Any,
  state: Any,
  context: context_lib.Context,
  roofline: machine.Roofline,
  extras: tuple[Any, ...] = (),
) -> dict[str, Any]:
  """Rows per second of a stage's loop, and its share of the roofline."""
  split, steps = context.train, _STEPS.value
  slots, count = feed.chunks(context.epoch(stage, 1).plan, steps)[0]
  slots = jax.device_put(slots)
  rows = np.count_nonzero(slots.row >= 0) / count
  key = context.key(stage)
  current = [state]

  def dispatch():
    current[0], _ = program.loop(
      current[0], split.device, extras, slots, np.int32(count), key
    )
    return current[0]

  one = jax.tree.map(lambda x: x[0], slots)
  assert split.device is not None
  batch = loop_lib.gather(split.device, one)
  at_rows = tuple(x[np.maximum(one.row, 0)] for x in extras)
  found = machine.work(program.step, state, batch, key, *at_rows)
  seconds = machine.seconds(dispatch, _REPETITIONS.value) / count
  least = roofline.seconds(found, optimized(current[0]))
  return {
    'stage': stage,
    'backbone': backbone,
    'rows_per_second': rows / seconds,
    'milliseconds': 1e3 * seconds,
    'gigaflops': found.flops / 1e9,
    'least_milliseconds': 1e3 * least,
    'share': least / seconds,
  }


def optimized(state: Any) -> int:
  """Parameters that a step's Adam updates: one set of moments each."""
  moments = [
    leaf
    for path, leaf in jax.tree.leaves_with_path(state)
    if any(getattr(entry, 'name', '') == 'mu' for entry in path)
  ]
  return sum(leaf.size for leaf in moments)


def measure(
  log: workload.Workload,
  backbone: str,
  split: splits_lib.Split,
  roofline: machine.Roofline,
) -> list[dict[str, Any]]:
  """All stages of one backbone."""
  config = config_lib.Config(backbone=backbone)
  config = dataclasses.replace(
    config,
    network=dataclasses.replace(config.network, first_layer=_FIRST_LAYER.value),
    critic=dataclasses.replace(config.critic, form='separate'),
  )
  context = workload.context(log, config, split)
  arm = actor_stage.pretrain(context).arms['pretrain']
  actor_params = arm.best_params
  rows = [
    figures('pretrain', backbone, arm.program, arm.state, context, roofline)
  ]
  policy = split.beside(context.predict(actor_params, split))
  training = critic_stage.start(context, actor_params)
  rows.append(
    figures(
      'critic',
      backbone,
      context.models.train_critics(config),
      training.critic,
      context,
      roofline,
      (policy,),
    )
  )
  for critics in ('frozen', 'learning'):
    context.config = dataclasses.replace(
      config, critic=dataclasses.replace(config.critic, in_finetune=critics)
    )
    team = actor_stage.finetune(
      context,
      {'finetune': 'critic'},
      actor_params,
      context.init_critic(actor_params),
    )
    arm = team.arms['finetune']
    row = figures(
      'finetune', backbone, arm.program, arm.state, context, roofline
    )
    rows.append({**row, 'stage': f'finetune, critics {critics}'})
  rows.append(evaluation(backbone, context, actor_params))
  return rows


def evaluation(
  backbone: str, context: context_lib.Context, params: Any
) -> dict[str, Any]:
  """Predictions and every metric but the bootstrap's intervals."""
  split = context.train
  settings = dataclasses.replace(context.config.evaluation, bootstrap=0)

  def run():
    predictions = context.predict(params, split)
    evaluator.evaluate(
      predictions,
      split.host.labels,
      split.host.session,
      split.host.user,
      context.tasks,
      settings,
      0,
    )
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
  log = workload.Workload(rows=_ROWS.value)
  split = splits_lib.place(log.columns(), config_lib.BatchConfig())
  roofline = machine.Roofline()
  rows = []
  for backbone in _BACKBONES.value:
    rows += measure(log, backbone, split, roofline)
    print(f'{backbone} done', flush=True)
  empty = dict.fromkeys(rows[0], '')
  print(machine.table([{**empty, **row} for row in rows]))
  machine.write(
    _OUTPUT.value,
    {
      'benchmark': 'stages',
      'rows': _ROWS.value,
      'first_layer': _FIRST_LAYER.value,
      'bytes_per_second': roofline.bytes_per_second,
      'room': splits_lib.with_room(
        log.spec(), split, config_lib.BatchConfig()
      ).distinct,
      'figures': rows,
    },
  )


if __name__ == '__main__':
  app.run(main)
