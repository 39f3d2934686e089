"""Two checkouts in turn: whether a change made training slower.

    git worktree add /tmp/before 05d061d
    python -m benchmarks.commits --before=/tmp/before \
      --output=benchmarks/results/commits.json

One process per checkout compiles stage 1's loop of benchmarks/workload.py's
log, two binary tasks, and waits. Then they take turns: a dispatch of the one, a
dispatch of the other, and again, so that a busy machine slows both. Figures are
medians of the dispatches, ratios those of pairs, after over before, with the
least and the most of them. CPU seconds, of all threads of a process, depend
less on the load. Interpreter and packages are the same.

`--command='train --simulated_rows=8000'` measures that whole command in place
of the loop, the programs compiled by a run of each before; and its largest
resident memory, of that first run too. `--command='prepare ...'` likewise,
without its `--data_dir`. `--log=DIRECTORY` measures the function alone on a log
that `python -m benchmarks.logs --write=DIRECTORY` has written, from CSV and
from Parquet, and says whether both checkouts write the same bytes.
"""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from absl import app, flags

from benchmarks import machine, workload
from rmtl_jax import config as config_lib
from rmtl_jax.config import prepare as prepare_config
from rmtl_jax.preparation import prepare as prepare_lib
from rmtl_jax.training import actor_stage, feed
from rmtl_jax.updates import loop

# Settings of the network, lanes of a batch, and steps of a dispatch.
SIZES: dict[str, tuple[Mapping[str, Any], int, int]] = {
  'paper': ({}, 32, 4),
  'small': (
    {'embedding_dim': 16, 'bottom_units': (64, 32), 'tower_units': (32,)},
    8,
    64,
  ),
}
Times = tuple[float, float]
CLOCKS = ('wall', 'cpu')


def dispatch_of(
  backbone: str, size: str, options: Mapping[str, Any] | None = None
) -> Callable[[], Any]:
  """Some steps of stage 1, which go on where the last call ended.

  Args:
    backbone: of the network.
    size: of SIZES.
    options: of the compiler.
  """
  changes, lanes, steps = SIZES[size]
  config = config_lib.Config(backbone=backbone)
  config = dataclasses.replace(
    config,
    batch=dataclasses.replace(config.batch, lanes=lanes),
    network=dataclasses.replace(config.network, **changes),
  )
  context = workload.context(workload.Workload(rows=60_000), config)
  arm = actor_stage.pretrain(context).arms['pretrain']
  # Of the step alone: other checkouts have other classes of programs, and the
  # loops of early ones take no options.
  given: dict[str, Any] = {'options': options} if options else {}
  run = loop.make_loop(arm.program.step, **given)
  slots, count = feed.chunks(context.epoch('pretrain', 1).plan, steps)[0]
  slots, key = jax.device_put(slots), context.key('pretrain')
  current = [arm.state]

  def dispatch():
    current[0], _ = run(
      current[0], context.train.device, (), slots, np.int32(count), key
    )
    return current[0]

  return dispatch


def prepare_of(log: str, target: str) -> Callable[[], Any]:
  """Prepares a log of `benchmarks.logs`, every time anew.

  Args:
    log: the directory of the raw files, beside the schema.
    target: where prepared data goes.
  """
  config = prepare_config.PrepareConfig(
    source='table',
    raw_dir=log,
    data_dir=target,
    schema=str(pathlib.Path(log).parent / 'schema.json'),
    any_dates=True,
    as_of=(),
    overwrite=True,
  )
  return lambda: prepare_lib.prepare(config) and None


def work(kind: str, *arguments: str) -> None:
  """Answers every line with the seconds of a dispatch, by both clocks."""
  made = {'loop': dispatch_of, 'prepare': prepare_of}[kind]
  dispatch = made(*arguments)
  jax.block_until_ready(dispatch())
  print(json.dumps(config_lib.__file__), flush=True)
  for _ in sys.stdin:
    wall, cpu = time.perf_counter(), time.process_time()
    jax.block_until_ready(dispatch())
    taken = time.perf_counter() - wall, time.process_time() - cpu
    print(json.dumps(taken), flush=True)


class Worker:
  """A process that runs `work` on a checkout's package."""

  def __init__(self, checkout: pathlib.Path, *arguments: str):
    """Waits until it has compiled.

    Args:
      checkout: where `rmtl_jax` and `benchmarks` are.
      arguments: of `work`.
    """
    self._process = subprocess.Popen(
      [sys.executable, __file__, f'--work={",".join(arguments)}'],
      stdin=subprocess.PIPE,
      stdout=subprocess.PIPE,
      text=True,
      cwd=checkout,
      # Before the folder of this file, and before what is installed.
      env={**os.environ, 'PYTHONPATH': str(checkout)},
    )
    package = pathlib.Path(self._read())
    if checkout not in package.parents:
      raise RuntimeError(f'{package} is not of {checkout}')

  def _read(self) -> Any:
    assert self._process.stdout is not None
    line = self._process.stdout.readline()
    if not line:
      raise RuntimeError(f'{self._process.args} ended')
    return json.loads(line)

  def __call__(self) -> Times:
    """Seconds of one dispatch, by the clock and of the CPUs."""
    assert self._process.stdin is not None
    self._process.stdin.write('\n')
    self._process.stdin.flush()
    return self._read()

  def close(self) -> None:
    """Ends the process."""
    assert self._process.stdin is not None
    self._process.stdin.close()
    self._process.wait()


def command(
  checkout: pathlib.Path, arguments: Sequence[str], cache: str
) -> tuple[Times, float]:
  """Seconds of a whole command, by the clock and of the CPUs; MiB at most.

  Args:
    checkout: its package is run.
    arguments: of the command, without `--workdir` or `--data_dir`.
    cache: directory of compiled programs.
  """
  place = 'data_dir' if arguments[0] == 'prepare' else 'workdir'
  begin = time.perf_counter()
  with tempfile.TemporaryDirectory() as workdir:
    process = subprocess.Popen(
      [
        sys.executable,
        '-m',
        'rmtl_jax',
        *arguments,
        f'--{place}={workdir}/run',
      ],
      stdout=subprocess.DEVNULL,
      stderr=subprocess.DEVNULL,
      cwd=checkout,
      env={
        **os.environ,
        'PYTHONPATH': str(checkout),
        'XDG_CACHE_HOME': cache,
      },
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
      raise subprocess.CalledProcessError(process.returncode, process.args)
  times = time.perf_counter() - begin, usage.ru_utime + usage.ru_stime
  return times, usage.ru_maxrss / 1024


def measure_command(
  checkouts: Sequence[pathlib.Path], line: str, pairs: int
) -> dict[str, Any]:
  """A command of both, in turn, after one that compiles."""
  times: list[list[Times]] = [[], []]
  peaks: list[list[float]] = [[], []]
  with tempfile.TemporaryDirectory() as cache:
    caches = [f'{cache}/{place}' for place in range(2)]
    for pair in range(pairs + 1):
      for place in (0, 1) if pair % 2 else (1, 0):
        taken, most = command(
          checkouts[place], shlex.split(line), caches[place]
        )
        peaks[place].append(most)
        if pair:
          times[place].append(taken)
  memory = {}
  for name, (first, *others) in zip(('before', 'after'), peaks, strict=True):
    memory[f'MiB {name}, compiling'] = first
    memory[f'MiB {name}'] = statistics.median(others)
  load = os.getloadavg()[0]
  return {'command': line, 'load': load, **compared(*times), **memory}


def compared(
  before: Sequence[Times], after: Sequence[Times]
) -> dict[str, float]:
  """Milliseconds, and ratios of pairs, after over before.

  >>> compared([(0.1, 0.2), (0.4, 0.2)], [(0.2, 0.1), (0.4, 0.4)])['wall']
  1.5

  Args:
    before: wall and CPU seconds of the turns.
    after: the same, of the other checkout, in the order of their turns.
  """
  found: dict[str, float] = {}
  for i, clock in enumerate(CLOCKS):
    old, new = ([1e3 * one[i] for one in times] for times in (before, after))
    ratios = [b / a for a, b in zip(old, new, strict=True)]
    found |= {
      f'{clock} ms before': statistics.median(old),
      f'{clock} ms after': statistics.median(new),
      clock: statistics.median(ratios),
      f'{clock} least': min(ratios),
      f'{clock} most': max(ratios),
    }
  return found


def take_turns(
  checkouts: Sequence[pathlib.Path],
  arguments: Sequence[Sequence[str]],
  pairs: int,
) -> list[list[Times]]:
  """Times of `work` in both; pairs begin with the one and with the other."""
  workers = [
    Worker(checkout, *given)
    for checkout, given in zip(checkouts, arguments, strict=True)
  ]
  times: list[list[Times]] = [[], []]
  try:
    for pair in range(pairs):
      for place in (0, 1) if pair % 2 else (1, 0):
        times[place].append(workers[place]())
  finally:
    for worker in workers:
      worker.close()
  return times


def measure(
  checkouts: Sequence[pathlib.Path], backbone: str, size: str, pairs: int
) -> dict[str, Any]:
  """One backbone of one size."""
  times = take_turns(checkouts, [('loop', backbone, size)] * 2, pairs)
  return {
    'backbone': backbone,
    'size': size,
    'load': os.getloadavg()[0],
    **compared(*times),
  }


def measure_prepare(
  checkouts: Sequence[pathlib.Path], log: pathlib.Path, pairs: int
) -> dict[str, Any]:
  """Preparation of one log, and whether both write the same bytes."""
  with tempfile.TemporaryDirectory() as name:
    targets = [pathlib.Path(name) / part for part in ('before', 'after')]
    arguments = [('prepare', str(log), str(target)) for target in targets]
    times = take_turns(checkouts, arguments, pairs)
    before, after = (
      {
        str(path.relative_to(target)): path.read_bytes()
        for path in target.rglob('*')
        if path.is_file()
      }
      for target in targets
    )
  return {
    'log': log.name,
    'load': os.getloadavg()[0],
    **compared(*times),
    'same bytes': before == after,
  }


def main(argv: list[str]) -> None:
  """Prints the table, writes the file."""
  del argv
  if flags.FLAGS.work:
    work(*flags.FLAGS.work)
    return
  own = pathlib.Path(__file__).resolve().parents[1]
  checkouts = pathlib.Path(flags.FLAGS.before).resolve(), own
  rows = []
  if flags.FLAGS.command:
    rows.append(
      measure_command(checkouts, flags.FLAGS.command, flags.FLAGS.pairs)
    )
  if flags.FLAGS.log:
    rows += [
      measure_prepare(
        checkouts, pathlib.Path(flags.FLAGS.log) / form, flags.FLAGS.pairs
      )
      for form in ('csv', 'parquet')
    ]
  for size in () if rows else flags.FLAGS.sizes:
    for backbone in flags.FLAGS.backbones:
      rows.append(measure(checkouts, backbone, size, flags.FLAGS.pairs))
      print(f'{backbone}, {size} done', flush=True)
  print(machine.table(rows))
  commits = [
    subprocess.check_output(
      ['git', '-C', checkout, 'rev-parse', 'HEAD'], text=True
    ).strip()
    for checkout in checkouts
  ]
  machine.write(
    flags.FLAGS.output,
    {
      'benchmark': 'commits',
      'before': commits[0],
      'after': commits[1],
      'pairs': flags.FLAGS.pairs,
      'figures': rows,
    },
  )


def define_flags() -> None:
  """Flags of the command."""
  flags.DEFINE_string('before', '', 'The other checkout.')
  flags.DEFINE_list(
    'backbones', ['shared_bottom', 'esmm', 'mmoe', 'ple'], 'Comma-separated.'
  )
  flags.DEFINE_list('sizes', list(SIZES), 'Comma-separated.')
  flags.DEFINE_string('command', '', 'A whole command in place of the loop.')
  flags.DEFINE_string('log', '', 'A raw log to prepare in place of the loop.')
  flags.DEFINE_integer('pairs', 15, 'Of turns.')
  flags.DEFINE_string('output', '', 'JSON file; none if empty.')
  flags.DEFINE_list('work', [], 'For its own processes: of `work`.')


if __name__ == '__main__':
  define_flags()
  app.run(main)
