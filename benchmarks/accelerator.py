"""What one accelerator does, in about ten minutes: everything in one file.

    python -m benchmarks.accelerator --output=benchmarks/results/h100.json

Each part runs in a process of its own, so that each has the device's memory,
and is left out when the time is over (`--minutes`) or when it fails; the report
says so. The parts: every stage and backbone at several batch sizes, with the
share of the roofline and of the time in which a kernel ran; products in float32
and TF32. `--tiny` is for a try on a CPU.
"""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from absl import app, flags


class Part(NamedTuple):
  """A benchmark to run.

  Attributes:
    module: of benchmarks/.
    arguments: its flags.
    tiny: its flags with `--tiny`.
    precision: JAX_DEFAULT_MATMUL_PRECISION, or empty.
  """

  module: str
  arguments: Sequence[str]
  tiny: Sequence[str]
  precision: str = ''


def _stages(*more: str) -> tuple[list[str], list[str]]:
  return list(more), [
    '--rows=3000',
    '--steps=2',
    '--repetitions=1',
    '--lanes=2',
    '--backbones=shared_bottom',
  ]


_PRODUCTS = _stages('--backbones=ple', '--lanes=32,256', '--repetitions=3')
# The most telling first: what comes late may not fit into the time.
PARTS = {
  'stages': Part(
    'stages',
    *_stages('--backbones=shared_bottom,esmm,mmoe,ple', '--repetitions=3'),
  ),
  'large batches': Part(
    'stages',
    *_stages(
      '--backbones=shared_bottom,ple',
      '--lanes=128,512,1024',
      '--steps=4',
      '--repetitions=3',
    ),
  ),
  'float32': Part('stages', *_PRODUCTS, 'float32'),
  'tf32': Part('stages', *_PRODUCTS, 'tensorfloat32'),
  'other backbones': Part(
    'stages',
    *_stages('--backbones=single_task,omoe,aitm', '--repetitions=3'),
  ),
}


def run(part: Part, path: pathlib.Path, tiny: bool) -> dict[str, Any]:
  """What a part wrote, or why it wrote nothing.

  Args:
    part: of PARTS.
    path: file for its result.
    tiny: whether with its small sizes.
  """
  # The last line of a traceback that is not shortened is its error.
  environment = {**os.environ, 'JAX_TRACEBACK_FILTERING': 'off'}
  if part.precision:
    environment['JAX_DEFAULT_MATMUL_PRECISION'] = part.precision
  begin = time.perf_counter()
  ended = subprocess.run(
    [
      sys.executable,
      '-m',
      f'benchmarks.{part.module}',
      f'--output={path}',
      *(part.tiny if tiny else part.arguments),
    ],
    env=environment,
    stderr=subprocess.PIPE,
    text=True,
    check=False,
  )
  seconds = {'seconds': time.perf_counter() - begin}
  if ended.returncode or not path.exists():
    lines = ended.stderr.strip().splitlines()
    return {'failed': lines[-1] if lines else '', **seconds}
  return {**json.loads(path.read_text()), **seconds}


def run_all(
  names: Sequence[str], minutes: float, tiny: bool
) -> dict[str, dict[str, Any]]:
  """What parts wrote, or why they wrote nothing, by name.

  Args:
    names: of PARTS.
    minutes: no part begins after them.
    tiny: whether with their small sizes.
  """
  begin, found = time.perf_counter(), {}
  with tempfile.TemporaryDirectory() as directory:
    for number, name in enumerate(names):
      if time.perf_counter() - begin > 60 * minutes:
        found[name] = {'failed': f'{minutes:g} minutes were over'}
        continue
      print(f'\n{name}', flush=True)
      path = pathlib.Path(directory) / f'{number}.json'
      found[name] = run(PARTS[name], path, tiny)
  return found


def main(argv: list[str]) -> None:
  """Prints each part's table as it ends; writes one file."""
  del argv
  values = flags.FLAGS
  found = run_all(values.parts, values.minutes, values.tiny)
  for name, result in found.items():
    if 'failed' in result:
      print(f'{name}: nothing measured: {result["failed"]}')
  if values.output:
    text = json.dumps({'benchmark': 'accelerator', 'parts': found}, indent=2)
    pathlib.Path(values.output).write_text(text + '\n', encoding='utf-8')


def define_flags() -> None:
  """Defines the flags."""
  flags.DEFINE_string('output', '', 'JSON file; none if empty.')
  flags.DEFINE_float('minutes', 10.0, 'No part begins after them.')
  flags.DEFINE_boolean('tiny', False, 'Sizes for a test.')
  flags.DEFINE_list('parts', list(PARTS), 'Which, comma-separated.')


if __name__ == '__main__':
  define_flags()
  app.run(main)
