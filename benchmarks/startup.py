"""Start-up and compile time, cold and with the persistent compilation cache.

    python -m benchmarks.startup --output=benchmarks/results/startup.json

Whole processes of `rmtl train` on a few simulated rows, one epoch per stage,
so that little but starting and compiling is left: without a cache, with an
empty one (written), with a filled one (read); and `rmtl --help`.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any

from absl import app, flags

from benchmarks import machine

_OUTPUT = flags.DEFINE_string('output', '', 'JSON file; none if empty.')
_REPETITIONS = flags.DEFINE_integer('repetitions', 3, 'Runs of a figure.')
_BACKBONES = flags.DEFINE_list('backbones', ['esmm', 'ple'], 'Comma-separated.')

_SHORT = (
  '--simulated_rows=3000',
  '--config.pretrain.max_epochs=1',
  '--config.critic.max_passes=1',
  '--config.finetune.max_epochs=1',
  '--config.evaluation.bootstrap=0',
)


def run(arguments: list[str], cache: str) -> float:
  """Seconds of one process."""
  begin = time.perf_counter()
  subprocess.run(
    [sys.executable, '-m', 'rmtl_jax', *arguments],
    check=True,
    capture_output=True,
    env={**os.environ, 'XDG_CACHE_HOME': cache},
  )
  return time.perf_counter() - begin


def measure(backbone: str) -> dict[str, Any]:
  """Median seconds of a run of all stages, by the state of the cache."""
  times: dict[str, list[float]] = {'off': [], 'empty': [], 'filled': []}
  for _ in range(_REPETITIONS.value):
    with tempfile.TemporaryDirectory() as directory:
      for number, state in enumerate(times):
        arguments = [
          'train',
          f'--workdir={directory}/run_{number}',
          f'--config.backbone={backbone}',
          *_SHORT,
        ]
        if state == 'off':
          arguments.append('--nocompilation_cache')
        times[state].append(run(arguments, f'{directory}/cache'))
  return {'command': f'train {backbone}'} | {
    f'cache_{state}': statistics.median(x) for state, x in times.items()
  }


def main(argv: list[str]) -> None:
  """Prints the table, writes the file."""
  del argv
  with tempfile.TemporaryDirectory() as cache:
    help_ = statistics.median(
      run(['--help'], cache) for _ in range(_REPETITIONS.value)
    )
  rows = [measure(backbone) for backbone in _BACKBONES.value]
  print(f'rmtl --help: {help_:.2f} s')
  print(machine.table(rows))
  machine.write(
    _OUTPUT.value,
    {
      'benchmark': 'startup',
      'unit': 'seconds of a whole process',
      'help': help_,
      'figures': rows,
    },
  )


if __name__ == '__main__':
  app.run(main)
