"""Products in bfloat16 beside float32: seconds of a step, in turn.

    python -m benchmarks.precision --output=benchmarks/results/precision.json

The log is benchmarks/workload.py's; sizes are the paper's (batch 2,048,
embedding 128, bottom 512-256, towers 128-64, 8 experts, dropout 0.2). Every
stage's own compiled loop runs with `network.matmul_precision` default and
bfloat16, in turn. Ratios are of wall seconds and of the CPU seconds of all
threads (which other work on the machine moves less).
"""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from absl import app, flags

from benchmarks import machine, workload
from rmtl_jax import config as config_lib
from rmtl_jax.training import actor_stage, critic_stage, feed
from rmtl_jax.training import context as context_lib
from rmtl_jax.training import splits as splits_lib

_OUTPUT = flags.DEFINE_string('output', '', 'JSON file; none if empty.')
_ROWS = flags.DEFINE_integer('rows', 100_000, 'Rows of the log.')
_STEPS = flags.DEFINE_integer('steps', 8, 'Steps of one dispatch.')
_REPETITIONS = flags.DEFINE_integer('repetitions', 7, 'Pairs of dispatches.')
_BACKBONES = flags.DEFINE_list(
  'backbones', ['shared_bottom', 'esmm', 'mmoe', 'ple', 'aitm'], 'Which.'
)
_PRECISIONS = ('default', 'bfloat16')


def dispatches(
  log: workload.Workload, backbone: str, precision: str, split: splits_lib.Split
) -> dict[str, Callable[[], Any]]:
  """A call per stage, of several steps each."""
  config = config_lib.Config(backbone=backbone)
  config = dataclasses.replace(
    config,
    network=dataclasses.replace(config.network, matmul_precision=precision),
    critic=dataclasses.replace(config.critic, form='separate'),
  )
  context = workload.context(log, config, split)
  arm = actor_stage.pretrain(context).arms['pretrain']
  params = arm.best_params
  calls = {'pretrain': steps('pretrain', arm.program, arm.state, context)}
  training = critic_stage.start(context, params)
  policy = split.beside(context.predict(params, split))
  calls['critic'] = steps(
    'critic',
    context.models.train_critics(config),
    training.critic,
    context,
    (policy,),
  )
  arm = actor_stage.finetune(
    context, {'finetune': 'critic'}, params, context.init_critic(params)
  ).arms['finetune']
  calls['finetune'] = steps('finetune', arm.program, arm.state, context)
  calls['predict'] = lambda: context.predict(params, split)
  return calls


def steps(
  stage: str,
  program: Any,
  state: Any,
  context: context_lib.Context,
  extras: tuple[Any, ...] = (),
) -> Callable[[], Any]:
  """A dispatch of a stage's loop, which goes on where the last one ended."""
  slots, count = feed.chunks(context.epoch(stage, 1).plan, _STEPS.value)[0]
  slots = jax.device_put(slots)
  current = [state]

  def dispatch():
    current[0], _ = program.loop(
      current[0],
      context.train.device,
      extras,
      slots,
      np.int32(count),
      context.key(stage),
    )
    return current[0]

  return dispatch


def compare(
  calls: dict[str, Callable[[], Any]],
) -> tuple[dict[str, float], dict[str, float]]:
  """Median wall and CPU seconds of calls in turn, after one of each."""
  wall: dict[str, list[float]] = {name: [] for name in calls}
  cpu: dict[str, list[float]] = {name: [] for name in calls}
  for call in calls.values():
    jax.block_until_ready(call())
  for _ in range(_REPETITIONS.value):
    for name, call in calls.items():
      begin, begin_cpu = time.perf_counter(), time.process_time()
      jax.block_until_ready(call())
      wall[name].append(time.perf_counter() - begin)
      cpu[name].append(time.process_time() - begin_cpu)
  return tuple(
    {name: statistics.median(times) for name, times in found.items()}
    for found in (wall, cpu)
  )


def main(argv: list[str]) -> None:
  """Prints the table, writes the file."""
  del argv
  log = workload.Workload(rows=_ROWS.value)
  split = splits_lib.place(log.columns(), config_lib.BatchConfig())
  rows = []
  for backbone in _BACKBONES.value:
    calls = {p: dispatches(log, backbone, p, split) for p in _PRECISIONS}
    for stage in calls['default']:
      wall, cpu = compare({p: calls[p][stage] for p in _PRECISIONS})
      rows.append(
        {
          'backbone': backbone,
          'stage': stage,
          'milliseconds': 1e3 * wall['default'],
          'in bfloat16': 1e3 * wall['bfloat16'],
          'ratio': wall['default'] / wall['bfloat16'],
          'ratio of CPU seconds': cpu['default'] / cpu['bfloat16'],
        }
      )
      print(rows[-1], flush=True)
  print(machine.table(rows))
  machine.write(
    _OUTPUT.value,
    {'benchmark': 'precision', 'rows': _ROWS.value, 'figures': rows},
  )


if __name__ == '__main__':
  app.run(main)
