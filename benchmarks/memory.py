"""Peak resident memory of training, predicting and torch-rechub's trainer.

    python -m benchmarks.memory --output=benchmarks/results/memory.json

Each figure is the largest resident memory of a process of its own that holds
benchmarks/workload.py's rows and does one epoch of stage 1 and one evaluation,
set up as a command is; `start` has only imported and placed the rows. The peer
is measured where it is installed.
"""

from __future__ import annotations

import importlib.util
import os
import pathlib
import subprocess
import sys
from typing import Any

from absl import app, flags

from benchmarks import machine, peer, workload
from rmtl_jax import config as config_lib

_PAPER = config_lib.preset('paper')

# --output, --rows and --backbones are those of benchmarks/peer.py.
_FLAGS = flags.FLAGS
_CHILD = flags.DEFINE_string('child', '', 'Internal: SIDE:BACKBONE.')


def child(name: str) -> None:
  """Does the work of one figure and prints the peak, MiB."""
  side, backbone = name.split(':')
  log = workload.Workload(rows=_FLAGS.rows)
  if side == 'start':
    workload.context(log, _PAPER)
  else:
    if side == 'ours':
      made = peer.Ours(log, backbone)
    else:
      made = peer.Theirs(log, backbone, 'plain')
    made.train()
    if side == 'ours':
      made.evaluate()
  print(f'peak {machine.peak_mebibytes():.0f}')


def peak(side: str, backbone: str = '') -> float:
  """MiB of a process of its own."""
  found = subprocess.run(
    [
      sys.executable,
      __file__,
      f'--child={side}:{backbone}',
      f'--rows={_FLAGS.rows}',
    ],
    check=True,
    capture_output=True,
    text=True,
    env={**os.environ, 'PYTHONPATH': str(pathlib.Path(__file__).parents[1])},
  )
  return float(found.stdout.rsplit('peak ', 1)[1])


def main(argv: list[str]) -> None:
  """Prints the table, writes the file."""
  del argv
  if _CHILD.value:
    child(_CHILD.value)
    return
  with_peer = importlib.util.find_spec('torch_rechub') is not None
  rows: list[dict[str, Any]] = []
  for backbone in _FLAGS.backbones:
    row: dict[str, Any] = {'backbone': backbone, 'start': peak('start')}
    row['ours'] = peak('ours', backbone)
    if with_peer:
      row['torch_rechub'] = peak('theirs', backbone)
    rows.append(row)
  print(machine.table(rows))
  machine.write(
    _FLAGS.output,
    {
      'benchmark': 'memory',
      'unit': 'MiB, largest resident',
      'rows': _FLAGS.rows,
      'figures': rows,
    },
  )


if __name__ == '__main__':
  app.run(main)
