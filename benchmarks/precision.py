"""Products in bfloat16 beside float32: seconds of a step, in turn.

    python -m benchmarks.precision --output=benchmarks/results/precision.json

The log is benchmarks/workload.py's; sizes are the paper's (batch 2,048,
embedding 128, bottom 512-256, towers 128-64, 8 experts, dropout 0.2). Every
stage's own compiled loop runs with `network.matmul_precision` default and
bfloat16, in turn; `--smaller=1,2,4,8 --stages=pretrain,predict` says from which
widths on it pays. Ratios are of wall seconds and of the CPU seconds of all
threads (which other work on the machine moves less).
"""

from __future__ import annotations

import dataclasses
import itertools
import statistics
import time
from collections.abc import Callable
from typing import Any

import jax
from absl import app, flags

from benchmarks import loops, machine, workload
from rmtl_jax import config as config_lib
from rmtl_jax.training import actor_stage
from rmtl_jax.training import splits as splits_lib

_OUTPUT = flags.DEFINE_string('output', '', 'JSON file; none if empty.')
_ROWS = flags.DEFINE_integer('rows', 100_000, 'Rows of the log.')
_STEPS = flags.DEFINE_integer('steps', 8, 'Steps of one dispatch.')
_REPETITIONS = flags.DEFINE_integer('repetitions', 7, 'Pairs of dispatches.')
_BACKBONES = flags.DEFINE_list(
  'backbones', ['shared_bottom', 'esmm', 'mmoe', 'ple', 'aitm'], 'Which.'
)
_SMALLER = flags.DEFINE_list(
  'smaller', ['1'], "What the paper's widths are divided by; comma-separated."
)
_STAGES = flags.DEFINE_list('stages', [], 'Which; all if empty.')
_PRECISIONS = ('default', 'bfloat16')


def calls(
  log: workload.Workload,
  backbone: str,
  precision: str,
  split: splits_lib.Split,
  smaller: int = 1,
) -> dict[str, Callable[[], Any]]:
  """A call per stage, of several steps each, and one that predicts."""
  config = config_lib.Config(backbone=backbone)
  network = config.network
  config = dataclasses.replace(
    config,
    network=dataclasses.replace(
      network,
      matmul_precision=precision,
      embedding_dim=network.embedding_dim // smaller,
      bottom_units=tuple(n // smaller for n in network.bottom_units),
      tower_units=tuple(n // smaller for n in network.tower_units),
    ),
    critic=dataclasses.replace(config.critic, form='separate'),
  )
  found: dict[str, Callable[[], Any]] = {
    loop.stage: loop
    for loop in loops.of_stages(log, config, split, _STEPS.value)
  }
  context = workload.context(log, config, split)
  params = actor_stage.pretrain(context).arms['pretrain'].best_params
  found['predict'] = lambda: context.predict(params, split)
  wanted = _STAGES.value or found
  return {stage: call for stage, call in found.items() if stage in wanted}


def compare(
  runs: dict[str, Callable[[], Any]],
) -> tuple[dict[str, float], dict[str, float]]:
  """Median wall and CPU seconds of calls in turn, after one of each."""
  wall: dict[str, list[float]] = {name: [] for name in runs}
  cpu: dict[str, list[float]] = {name: [] for name in runs}
  for run in runs.values():
    jax.block_until_ready(run())
  for _ in range(_REPETITIONS.value):
    for name, run in runs.items():
      begin, begin_cpu = time.perf_counter(), time.process_time()
      jax.block_until_ready(run())
      wall[name].append(time.perf_counter() - begin)
      cpu[name].append(time.process_time() - begin_cpu)
  return _medians(wall), _medians(cpu)


def _medians(times: dict[str, list[float]]) -> dict[str, float]:
  return {name: statistics.median(one) for name, one in times.items()}


def main(argv: list[str]) -> None:
  """Prints the table, writes the file."""
  del argv
  log = workload.Workload(rows=_ROWS.value)
  split = splits_lib.place(log.columns(), config_lib.BatchConfig())
  rows = []
  for backbone, smaller in itertools.product(
    _BACKBONES.value, map(int, _SMALLER.value)
  ):
    found = {p: calls(log, backbone, p, split, smaller) for p in _PRECISIONS}
    for stage in found['default']:
      wall, cpu = compare({p: found[p][stage] for p in _PRECISIONS})
      rows.append(
        {
          'backbone': backbone,
          'stage': stage,
          'smaller': smaller,
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
    {
      'benchmark': 'precision',
      'rows': _ROWS.value,
      'figures': rows,
    },
  )


if __name__ == '__main__':
  app.run(main)
