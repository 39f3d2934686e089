"""How a training step's cost grows, with the fitted exponent.

    python -m benchmarks.scaling --output=benchmarks/results/scaling.json

One size at a time grows: rows of the log (batches planned and gathered, one
epoch), rows of the item's vocabulary (embedding 16, one more field), rows of a
session, experts and tasks. The exponent b of cost = a size^b is fitted over
all sizes; of the vocabulary, with and without the row-wise Adam.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import numpy as np
from absl import app, flags

from benchmarks import machine, workload
from rmtl_jax import config as config_lib
from rmtl_jax.data import batches
from rmtl_jax.training import actors, feed

_PAPER = config_lib.preset('paper')

_OUTPUT = flags.DEFINE_string('output', '', 'JSON file; none if empty.')
_STEPS = flags.DEFINE_integer('steps', 8, 'Steps of one dispatch.')
_REPETITIONS = flags.DEFINE_integer('repetitions', 3, 'Dispatches of a figure.')
_LARGEST = flags.DEFINE_integer(
  'largest', 10**7, 'Rows, of log and vocabulary.'
)

SMALL = dataclasses.replace(
  _PAPER.network,
  embedding_dim=16,
  bottom_units=(64, 32),
  tower_units=(32,),
  num_experts=4,
)


def step_seconds(log: workload.Workload, config: config_lib.Config) -> float:
  """Seconds of one step of stage 1."""
  context = workload.context(log, config)
  arm = actors.pretrain(context)['pretrain']
  plan = context.epoch('pretrain', 1).plan
  slots, count = feed.chunks(plan, min(_STEPS.value, len(plan.row)))[0]
  slots = jax.device_put(slots)
  key = context.key('pretrain')
  current = [arm.state]

  def dispatch():
    current[0], _ = arm.program(
      current[0], context.train.device, (), slots, np.int32(count), key
    )
    return current[0]

  return machine.seconds(dispatch, _REPETITIONS.value) / count


def plan_seconds(rows: int) -> float:
  """Seconds of an epoch's plan: sessions shuffled, lanes packed."""
  rng = np.random.default_rng(0)
  starts = workload.session_starts(rng, rows, 4.0)
  config = _PAPER.batch
  return machine.seconds(
    lambda: batches.Epoch(starts, (0, 1), 1, config).plan, _REPETITIONS.value
  )


def powers(first: int, last: int) -> list[int]:
  """first, 10 first, ..., up to last."""
  sizes = [first]
  while sizes[-1] * 10 <= last:
    sizes.append(sizes[-1] * 10)
  return sizes


def experiments() -> dict[str, dict[int, float]]:
  """Seconds by size, of every size that grows."""
  base = workload.Workload(rows=40_000)
  config = dataclasses.replace(_PAPER, backbone='mmoe', network=SMALL)
  found: dict[str, dict[int, float]] = {}
  found['epoch plan, rows'] = {
    rows: plan_seconds(rows) for rows in powers(10**5, _LARGEST.value)
  }
  for name in ('dense', 'rows'):
    adam = dataclasses.replace(
      config, network=dataclasses.replace(SMALL, embedding_adam=name)
    )
    found[f'step, vocabulary ({name} Adam)'] = {
      size: step_seconds(
        dataclasses.replace(
          base, items=size, vocabularies=(*base.vocabularies, size)
        ),
        adam,
      )
      for size in powers(10**4, _LARGEST.value)
    }
  found['step, rows of a session'] = {
    length: step_seconds(
      dataclasses.replace(base, session_rows=float(length)), config
    )
    for length in (2, 10, 50, 200)
  }
  for backbone in ('mmoe', 'ple'):
    found[f'step, experts of {backbone}'] = {
      experts: step_seconds(
        base,
        dataclasses.replace(
          config,
          backbone=backbone,
          network=dataclasses.replace(SMALL, num_experts=experts),
        ),
      )
      for experts in (2, 8, 32)
    }
  found['step, tasks'] = {
    tasks: step_seconds(dataclasses.replace(base, tasks=tasks), config)
    for tasks in (1, 2, 4, 8)
  }
  return found


def main(argv: list[str]) -> None:
  """Prints the table, writes the file."""
  del argv
  rows: list[dict[str, Any]] = []
  figures = {}
  for name, seconds in experiments().items():
    slope = machine.exponent(seconds, seconds.values())
    figures[name] = {'seconds': seconds, 'exponent': slope}
    rows.append(
      {
        'what grows': name,
        'sizes': ' '.join(f'{size:,}' for size in seconds),
        'milliseconds': ' '.join(f'{1e3 * s:.3g}' for s in seconds.values()),
        'exponent': slope,
      }
    )
  print(machine.table(rows))
  machine.write(_OUTPUT.value, {'benchmark': 'scaling', 'figures': figures})


if __name__ == '__main__':
  app.run(main)
