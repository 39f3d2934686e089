"""What all benchmarks share: the machine, timing, counting, results."""

from __future__ import annotations

import collections
import gzip
import json
import os
import pathlib
import platform
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core as jax_core

from rmtl_jax.runtime import provenance


def described() -> dict[str, Any]:
  """The machine and the versions, for a result's file."""
  return {
    'device': provenance.device(),
    'cpu': _cpu(),
    'cores': os.cpu_count(),
    'system': platform.platform(terse=True),
    'versions': provenance.versions(),
  }


def _cpu() -> str:
  try:
    lines = pathlib.Path('/proc/cpuinfo').read_text().splitlines()
  except OSError:
    return platform.processor()
  names = [x.split(':', 1)[1].strip() for x in lines if x[:10] == 'model name']
  return names[0] if names else platform.processor()


def write(path: str, record: Mapping[str, Any]) -> None:
  """Writes a result as JSON, with the machine; does nothing without a path.

  The machine is what it is called, how fast it multiplies right then
  (`gemm_rate`) and how busy it is: ratios of two programs move with both.
  """
  if path:
    now = {'load': os.getloadavg()[0], 'gemm_gigaflops': gemm_rate()}
    text = json.dumps({'machine': described() | now, **record}, indent=2)
    pathlib.Path(path).write_text(text + '\n', encoding='utf-8')


def table(rows: Sequence[Mapping[str, Any]]) -> str:
  """Rows of figures as an aligned table."""
  names = list(rows[0])
  cells = [names] + [[_cell(row[name]) for name in names] for row in rows]
  widths = [max(len(row[i]) for row in cells) for i in range(len(names))]
  return '\n'.join(
    '  '.join(
      cell.ljust(width) if i == 0 else cell.rjust(width)
      for i, (cell, width) in enumerate(zip(row, widths, strict=True))
    ).rstrip()
    for row in cells
  )


def _cell(value: Any) -> str:
  if isinstance(value, float):
    return f'{value:,.0f}' if abs(value) >= 1000 else f'{value:.3g}'
  return f'{value:,}' if isinstance(value, int) else str(value)


def timed(run: Callable[[], Any], repetitions: int) -> list[float]:
  """Seconds of every call that returns arrays, after one to warm up."""
  return interleaved({'': run}, repetitions)['']


def seconds(run: Callable[[], Any], repetitions: int) -> float:
  """Median seconds of a call that returns arrays, after one to warm up."""
  return statistics.median(timed(run, repetitions))


def interleaved(
  runs: Mapping[str, Callable[[], Any]], repetitions: int
) -> dict[str, list[float]]:
  """Seconds of several calls, in turn, after one of each to warm up."""
  times: dict[str, list[float]] = {name: [] for name in runs}
  for run in runs.values():
    jax.block_until_ready(run())
  for _ in range(repetitions):
    for name, run in runs.items():
      begin = time.perf_counter()
      jax.block_until_ready(run())
      times[name].append(time.perf_counter() - begin)
  return times


def busy(run: Callable[[], Any]) -> float | str:
  """The share of a call's time in which the accelerator ran some kernel.

  From a trace of JAX's profiler, after a call to warm up.

  Returns:
    0 to 1; empty on a CPU, whose operations are no kernels.
  """
  if jax.default_backend() == 'cpu':
    return ''
  jax.block_until_ready(run())
  with tempfile.TemporaryDirectory() as directory:
    with jax.profiler.trace(directory):
      jax.block_until_ready(run())
    (path,) = pathlib.Path(directory).rglob('*.trace.json.gz')
    events = json.loads(gzip.decompress(path.read_bytes()))['traceEvents']
  return covered(kernels(events))


def kernels(events: Sequence[Mapping[str, Any]]) -> list[tuple[float, float]]:
  """Begin and duration of all kernels of a trace, on any stream.

  Args:
    events: of the trace, as JAX's profiler writes it.
  """
  devices = {
    event['pid']
    for event in events
    if event.get('name') == 'process_name'
    and event['args']['name'].startswith('/device:')
  }
  # Streams have kernels; other lines of a device sum them up.
  streams = {
    (event['pid'], event['tid'])
    for event in events
    if event.get('name') == 'thread_name'
    and event['pid'] in devices
    and ('Stream' in event['args']['name'] or 'Ops' in event['args']['name'])
  }
  return [
    (event['ts'], event['dur'])
    for event in events
    if event.get('ph') == 'X' and (event['pid'], event['tid']) in streams
  ]


def covered(spans: Iterable[tuple[float, float]]) -> float:
  """The share of the time from first begin to last end that spans cover.

  Examples:
    >>> covered([(0, 2), (1, 2), (6, 2)])
    0.625

  Args:
    spans: begin and duration.
  """
  spans = sorted(spans)
  if not spans:
    return 0.0
  total, end = 0.0, spans[0][0]
  for begin, duration in spans:
    total += max(0.0, begin + duration - max(begin, end))
    end = max(end, begin + duration)
  return total / (end - spans[0][0]) if end > spans[0][0] else 1.0


def peak_mebibytes() -> float:
  """The process's largest resident memory so far, MiB.

  Linux counts a parent's memory in `ru_maxrss`: its own file has the process's.
  """
  status = pathlib.Path('/proc/self/status')
  if status.exists():
    text = status.read_text().partition('VmHWM:')[2]
    return float(text.split()[0]) / 1024
  return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def cpu_seconds(pid: int) -> float:
  """CPU time of a process and its children, on Linux."""
  path = pathlib.Path(f'/proc/{pid}')
  children = (path / 'task' / str(pid) / 'children').read_text().split()
  fields = (path / 'stat').read_text().rpartition(')')[2].split()
  own = sum(map(int, fields[11:13])) / os.sysconf('SC_CLK_TCK')
  return own + sum(cpu_seconds(int(child)) for child in children)


# Of a product's time alone.
_TRIES = 7

Dot = tuple[tuple[int, ...], tuple[int, ...], Any]


class Work:
  """What a program must do at least.

  Attributes:
    dots: how often each matrix product occurs, by its shapes.
    bytes: read and written by gathers, scatters and sorts.
  """

  def __init__(self):
    self.dots: collections.Counter[Dot] = collections.Counter()
    self.bytes = 0

  @property
  def flops(self) -> float:
    """Of the matrix products."""
    return sum(_flops(dot) * count for dot, count in self.dots.items())


def _flops(dot: Dot) -> float:
  left, right, (contract, batch) = dot
  free = [n for i, n in enumerate(right) if i not in (*contract[1], *batch[1])]
  return 2.0 * float(np.prod(left)) * float(np.prod(free))


_MOVES = ('gather', 'scatter-add', 'scatter', 'sort')


def work(function: Callable[..., Any], *args: Any) -> Work:
  """Counts a function's matrix products and moved bytes, from its jaxpr.

  Of a `cond` the last branch counts (the one of a true predicate); of loops
  one pass, so hand over a step and not a loop of steps.
  """
  found = Work()
  _count(jax.make_jaxpr(function)(*args).jaxpr, found)
  return found


def _count(jaxpr: Any, found: Work) -> None:
  for equation in jaxpr.eqns:
    name, params = equation.primitive.name, equation.params
    if name == 'dot_general':
      left, right = (v.aval.shape for v in equation.invars)
      found.dots[left, right, params['dimension_numbers']] += 1
    elif name in _MOVES:
      values = [*equation.invars[1:], *equation.outvars]
      found.bytes += sum(v.aval.size * v.aval.dtype.itemsize for v in values)
    elif name == 'cond':
      _count(params['branches'][-1].jaxpr, found)
    else:
      for value in params.values():
        inner = getattr(value, 'jaxpr', value)
        if isinstance(inner, jax_core.Jaxpr):
          _count(inner, found)


def gemm_rate(repetitions: int = 9) -> float:
  """GFLOP a second of a product of 2,048 x 2,048 float32 matrices, the best."""
  x = jnp.ones((2048, 2048), jnp.float32)
  run = jax.jit(lambda x: x @ x)
  return 2 * 2048**3 / min(timed(lambda: run(x), repetitions)) / 1e9


def copy_rate(mebibytes: int = 256, repetitions: int = 5) -> float:
  """Bytes per second that an elementwise loop reads and writes."""
  x = jnp.ones(mebibytes * 2**18, jnp.float32)
  step = jax.jit(lambda x: x + 1.0, donate_argnums=0)
  x = jax.block_until_ready(step(x))
  times = []
  for _ in range(repetitions):
    begin = time.perf_counter()
    x = jax.block_until_ready(step(x))
    times.append(time.perf_counter() - begin)
  return 2 * x.nbytes / min(times)


class Roofline:
  """The least time for some work on this machine, from rates measured here.

  Every matrix product is timed alone, in its own shape, and counts with the
  best of several tries; moved bytes and the optimizer's passes over parameters
  take the rate of a copy.
  """

  def __init__(self):
    self.bytes_per_second = copy_rate()
    self._seconds: dict[Dot, float] = {}

  def dot_seconds(self, dot: Dot) -> float:
    """Of one product, alone."""
    if dot not in self._seconds:
      *shapes, dimensions = dot
      rng = np.random.default_rng(0)
      args = [jnp.asarray(rng.normal(size=s), jnp.float32) for s in shapes]
      times = max(1, min(50, int(2e9 / max(_flops(dot), 1.0))))

      @jax.jit
      def run(x, y):
        def body(i, x):
          z = jax.lax.dot_general(x, y, dimensions)
          # Every pass needs the one before, or XLA would do one.
          return x.at[(0,) * x.ndim].add(z.ravel()[0] * 1e-30)

        return jax.lax.fori_loop(0, times, body, x)

      self._seconds[dot] = min(timed(lambda: run(*args), _TRIES)) / times
    return self._seconds[dot]

  def seconds(self, found: Work, parameters: int = 0) -> float:
    """The least for some work.

    Args:
      found: of `work`.
      parameters: that Adam updates: four reads and three writes of each.
    """
    products = sum(
      self.dot_seconds(dot) * count for dot, count in found.dots.items()
    )
    return products + (found.bytes + 28 * parameters) / self.bytes_per_second
