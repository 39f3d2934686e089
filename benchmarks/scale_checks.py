"""What can be checked of scale_model.py on a CPU, and rates of the host."""

from __future__ import annotations

import json
import pathlib
import statistics
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import machine, scale_model, scale_work, workload
from rmtl_jax import config as config_lib
from rmtl_jax.data import batches
from rmtl_jax.evaluation import evaluator

RESULTS = pathlib.Path(__file__).parent / 'results'
# What benchmarks/streaming.py read of its log of ten columns in one process
# (3 million rows, load 8 on two cores), where there is no streaming.json.
READ, CHECKED, LOG_COLUMNS = 9.0e5, 3.3e6, 10
# A product of usual size: rows, inputs, outputs, and how often in one call.
PRODUCT, TIMES = (2048, 1024, 512), 20


def host() -> tuple[scale_model.Host, str]:
  """A process's rates, and where those of reading come from."""
  read, checked, source = READ, CHECKED, 'a run of benchmarks/streaming.py'
  path = RESULTS / 'streaming.json'
  if path.exists():
    reading = json.loads(path.read_text())['reading']
    read, checked = reading['read rows/s'], reading['checked rows/s']
    source = path.name
  values, checks = read * LOG_COLUMNS, checked * LOG_COLUMNS
  return scale_model.Host(values, planned_rate(), checks), source


def planned_rate(rows: int = 100_000_000, repetitions: int = 3) -> float:
  """Rows per second of what a pass does before its first batch; the fastest.

  It packs all sessions, to know how many steps there will be.
  """
  starts = workload.session_starts(np.random.default_rng(0), rows, 4.0)
  seconds = []
  for number in range(repetitions):
    epoch = batches.Epoch(starts, (0, 1), number, config_lib.BatchConfig())
    begin = time.perf_counter()
    assert epoch.steps > 0
    seconds.append(time.perf_counter() - begin)
  return rows / min(seconds)


def metrics_rate(rows: int = 1_000_000) -> float:
  """Rows per second of every metric but intervals, two tasks, one process."""
  rng = np.random.default_rng(0)
  predictions = rng.random((rows, 2)).astype(np.float32)
  labels = (rng.random((rows, 2)) < predictions).astype(np.float32)
  session = np.arange(rows) // 4
  settings = config_lib.EvaluationConfig(bootstrap=0)

  def run():
    evaluator.evaluate(
      predictions, labels, session, None, ('a', 'b'), settings, 0
    )
    return predictions

  return rows / machine.seconds(run, 3)


def product() -> Callable[[], jax.Array]:
  """A call that multiplies matrices of usual size, again and again."""
  rows, inputs, outputs = PRODUCT
  rng = np.random.default_rng(0)
  x = jnp.asarray(rng.normal(size=(rows, inputs)), jnp.float32)
  y = jnp.asarray(rng.normal(size=(inputs, outputs)), jnp.float32)

  @jax.jit
  def run(x, y):
    def body(i, x):
      # Every pass needs the one before, or XLA would do one.
      return x.at[0, 0].add((x @ y)[0, 0] * 1e-30)

    return jax.lax.fori_loop(0, TIMES, body, x)

  return lambda: run(x, y)


def steps(backbone: str, repetitions: int) -> dict[str, Any]:
  """A step on this CPU beside what a product's rate, timed in turn, says."""
  batch_config = config_lib.BatchConfig()
  rows = batch_config.lanes * scale_work.LANE
  plan = scale_work.Plan(
    backbone, config_lib.NetworkConfig(), workload.VOCABULARIES
  )
  job, work = scale_work.count(plan, rows)
  step, form, batch, _ = scale_work.forms(plan, rows)
  rng = np.random.default_rng(0)

  def filled(leaf):
    if leaf.dtype == jnp.float32:
      return jnp.asarray(rng.random(leaf.shape), jnp.float32)
    return jnp.ones(leaf.shape, leaf.dtype)

  categorical = [rng.integers(0, n, batch.row.shape) for n in plan.fields]
  real = jax.tree.map(filled, batch)
  inputs = real.inputs._replace(
    categorical=jnp.asarray(np.stack(categorical, -1), jnp.int32)
  )
  real = real._replace(inputs=inputs)

  current = [jax.tree.map(lambda x: jnp.full(x.shape, 0.01, x.dtype), form)]
  run, key = jax.jit(step, donate_argnums=0), jax.random.key(0)

  def once():
    current[0], metrics = run(current[0], real, key)
    return metrics

  times = machine.interleaved({'step': once, 'product': product()}, repetitions)
  bytes_per_second = machine.copy_rate()
  moved = scale_model.moved(job, work, rows, rows, 1) - work.bytes
  rate = 2.0 * float(np.prod(PRODUCT)) * TIMES
  predicted = [
    work.flops * seconds / rate + moved / bytes_per_second
    for seconds in times['product']
  ]
  ratios = [a / b for a, b in zip(predicted, times['step'], strict=True)]
  return {
    'backbone': backbone,
    'product, GFLOP/s': rate / statistics.median(times['product']) / 1e9,
    'measured, ms': 1e3 * statistics.median(times['step']),
    'predicted, ms': 1e3 * statistics.median(predicted),
    'predicted / measured': statistics.median(ratios),
  }


def stages() -> dict[str, Any]:
  """How well one rate of products says the times in stages.json."""
  figures = json.loads((RESULTS / 'stages.json').read_text())['figures']
  implied = [
    f['gigaflops'] / f['milliseconds'] * 1e3
    for f in figures
    if 'gigaflops' in f
  ]
  rate = statistics.median(implied)
  return {
    'figures': len(implied),
    'one rate, GFLOP/s': rate,
    'predicted / measured, least': min(implied) / rate,
    'predicted / measured, most': max(implied) / rate,
  }


def collectives(path: str) -> list[dict[str, Any]]:
  """Bytes by the formulas beside those of benchmarks/mesh.py's programs.

  Args:
    path: its result; nothing is found where there is none.
  """
  if not pathlib.Path(path).exists():
    return []
  found = []
  for figure in json.loads(pathlib.Path(path).read_text())['figures']:
    axes = dict(part.split(':') for part in figure['mesh'].split(','))
    data, model = int(axes.get('data', 1)), int(axes.get('model', 1))
    # Networks and fields of benchmarks/mesh.py.
    network = config_lib.NetworkConfig(
      embedding_dim=16,
      bottom_units=(64, 32),
      tower_units=(32,),
      num_experts=4,
      embedding_adam=figure['adam'],
    )
    fields = (figure['vocabulary'], 1000, 200, 20)
    job, _ = scale_work.count(scale_work.Plan('mmoe', network, fields), 2048)
    says = sum(scale_model.exchanged(job, 2048, data, model).values())
    found.append(
      {
        'mesh': figure['mesh'],
        'Adam': figure['adam'],
        'vocabulary': figure['vocabulary'],
        'compiled, KB': figure['communicated_bytes'] / 1e3,
        'formula, KB': says / 1e3,
        'formula / compiled': says / figure['communicated_bytes'],
      }
    )
  return found
