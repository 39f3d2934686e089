"""Options of XLA's compiler for CPUs, on stage 1's loop, in turn.

    python -m benchmarks.compile_options \
      --output=benchmarks/results/compile_options.json

The loop of benchmarks/commits.py is compiled once for each option, and twice
without any. Then all take turns, a dispatch each, in a new random order every
round: who comes after whom is not always the same. Figures are medians of CPU
time over that of the first program without options in the same round, with the
least and the most; the second one shows what such a ratio can tell.
"""

from __future__ import annotations

import os
import random
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
from absl import app, flags

from benchmarks import commits, machine

NONE, AGAIN = 'none', 'none again'
OPTIONS = (
  'xla_cpu_enable_fast_min_max=true',
  'xla_cpu_opt_preset=CPU_OPT_PRESET_FAST_RUNTIME',
  'xla_cpu_experimental_ynn_fusion_type=LIBRARY_FUSION_TYPE_DOT',
  'xla_cpu_prefer_vector_width=512',
  'xla_cpu_enable_concurrency_optimized_scheduler=false',
  'xla_llvm_disable_expensive_passes=true',
  'xla_cpu_use_fusion_emitters=false',
  'xla_cpu_use_onednn=true',
  'xla_cpu_use_xnnpack=true',
  'xla_cpu_parallel_codegen_split_count=1',
)


def parsed(option: str) -> dict[str, Any]:
  """An option as `jax.jit` takes it.

  >>> parsed('xla_cpu_prefer_vector_width=512')
  {'xla_cpu_prefer_vector_width': 512}

  Args:
    option: NAME=VALUE of a boolean, a number or a name.
  """
  name, _, value = option.partition('=')
  if value in ('true', 'false'):
    return {name: value == 'true'}
  return {name: int(value) if value.isdigit() else value}


def cpu_seconds(dispatch: Callable[[], Any]) -> float:
  """Of all threads, until the dispatch is done."""
  begin = time.process_time()
  jax.block_until_ready(dispatch())
  return time.process_time() - begin


def take_turns(
  programs: Mapping[str, Callable[[], Any]],
  turns: int,
  clock: Callable[[Callable[[], Any]], float] = cpu_seconds,
) -> dict[str, list[float]]:
  """Seconds of every program's dispatches, a random order in every round."""
  times: dict[str, list[float]] = {name: [] for name in programs}
  order, generator = list(programs), random.Random(0)
  for _ in range(turns):
    generator.shuffle(order)
    for name in order:
      times[name].append(clock(programs[name]))
  return times


def figures(times: Mapping[str, list[float]]) -> list[dict[str, Any]]:
  """Ratios to the program without options, of the same rounds."""
  rows = []
  for name, own in times.items():
    ratios = [a / b for a, b in zip(own, times[NONE], strict=True)]
    rows.append(
      {
        'option': name,
        'cpu ms': 1e3 * statistics.median(own),
        'cpu ratio': statistics.median(ratios),
        'least': min(ratios),
        'most': max(ratios),
      }
    )
  return rows


def main(argv: list[str]) -> None:
  """Prints the table, writes the file."""
  del argv
  rows = []
  for backbone in flags.FLAGS.backbones:
    programs = {}
    for option in (NONE, AGAIN, *flags.FLAGS.option):
      options = {} if option in (NONE, AGAIN) else parsed(option)
      programs[option] = commits.dispatch_of(backbone, 'paper', options)
      jax.block_until_ready(programs[option]())  # compiles
    for row in figures(take_turns(programs, flags.FLAGS.turns)):
      rows.append({'backbone': backbone, **row})
  print(machine.table(rows))
  machine.write(
    flags.FLAGS.output,
    {
      'benchmark': 'compile_options',
      'turns': flags.FLAGS.turns,
      'load': os.getloadavg()[0],
      'figures': rows,
    },
  )


def define_flags() -> None:
  """Flags of the command."""
  flags.DEFINE_list('backbones', ['esmm'], 'Comma-separated.')
  flags.DEFINE_multi_string('option', OPTIONS, 'NAME=VALUE, repeatable.')
  flags.DEFINE_integer('turns', 15, 'Rounds.')
  flags.DEFINE_string('output', '', 'JSON file; none if empty.')


if __name__ == '__main__':
  define_flags()
  app.run(main)
