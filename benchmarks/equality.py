"""A model that this device trained, evaluated here and on the CPU.

    python -m benchmarks.equality --output=benchmarks/results/equality.json

Simulated rows, a network of the paper's sizes, stage 1; test AUC and logloss of
each task by `rmtl evaluate` on the device that JAX finds, and with
JAX_PLATFORMS=cpu.
"""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from typing import Any

from absl import app, flags

from benchmarks import machine

_OUTPUT = flags.DEFINE_string('output', '', 'JSON file; none if empty.')
_ROWS = flags.DEFINE_integer('rows', 60_000, 'Rows to simulate.')
_BACKBONE = flags.DEFINE_string('backbone', 'ple', 'What is trained.')
_EPOCHS = flags.DEFINE_integer('epochs', 2, 'Of stage 1.')
_METRICS = ('auc', 'logloss')


def command(*arguments: str, **environment: str) -> None:
  """Runs the launcher; its output is thrown away."""
  subprocess.run(
    [sys.executable, '-m', 'rmtl_jax', *arguments],
    env={**os.environ, **environment},
    stdout=subprocess.DEVNULL,
    check=True,
  )


def evaluated(directory: pathlib.Path, **environment: str) -> Mapping[str, Any]:
  """Test metrics of the pre-trained model, by task."""
  command('evaluate', f'--workdir={directory}', **environment)
  record = json.loads((directory / 'metrics.json').read_text())
  return record['stages']['pretrain']


def main(argv: list[str]) -> None:
  """Prints the table, writes the file."""
  del argv
  with tempfile.TemporaryDirectory() as name:
    data, run = (pathlib.Path(name) / part for part in ('data', 'run'))
    command(
      'prepare',
      '--source=simulated',
      f'--simulated_rows={_ROWS.value}',
      f'--data_dir={data}',
    )
    command(
      'train',
      '--preset=paper',
      '--stage=pretrain',
      f'--config.backbone={_BACKBONE.value}',
      f'--config.pretrain.max_epochs={_EPOCHS.value}',
      f'--data_dir={data}',
      f'--workdir={run}',
    )
    here, on_cpu = evaluated(run), evaluated(run, JAX_PLATFORMS='cpu')
  rows = [
    {
      'task': task,
      'metric': metric,
      'here': here[task][metric],
      'on the CPU': on_cpu[task][metric],
      'difference': abs(here[task][metric] - on_cpu[task][metric]),
    }
    for task in here
    for metric in _METRICS
  ]
  print(machine.table(rows))
  machine.write(_OUTPUT.value, {'benchmark': 'equality', 'figures': rows})


if __name__ == '__main__':
  app.run(main)
