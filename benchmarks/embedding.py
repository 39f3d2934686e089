"""Embedding rows read, differentiated and updated by Adam, alone.

    python -m benchmarks.embedding --output=benchmarks/results/embedding.json

Ten tables of width 128, 104,857 look-ups in each, drawn by a power law with
exponent 1.05, from as many rows as make 350,280 distinct look-ups expected. A
step looks every slot up, sums given gradients of the slots per row and takes a
step of Adam in float32: on the batch's rows alone
(`network.embedding_adam=rows`), and on whole tables. Published for this load on
one H100: 1.352 ms.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from absl import app, flags

from benchmarks import machine
from rmtl_jax import types
from rmtl_jax.networks import embeddings
from rmtl_jax.updates import rows as rows_lib

_OUTPUT = flags.DEFINE_string('output', '', 'JSON file; none if empty.')
_TABLES = flags.DEFINE_integer('tables', 10, 'Tables.')
_LOOKUPS = flags.DEFINE_integer('lookups', 104_857, 'Of each table.')
_DISTINCT = flags.DEFINE_integer('distinct', 35_028, 'Of each table, expected.')
_WIDTH = flags.DEFINE_integer('width', 128, 'D.')
_REPETITIONS = flags.DEFINE_integer('repetitions', 20, 'Steps of a figure.')
_EXPONENT = 1.05
_PUBLISHED_MS = 1.352


def shares(rows: int) -> np.ndarray:
  """Of the look-ups, those of each row, f64[rows], by the power law."""
  weights = np.arange(1, rows + 1, dtype=np.float64) ** -_EXPONENT
  return weights / weights.sum()


def rows_for(distinct: int, lookups: int) -> int:
  """Rows of a table of which `distinct` are expected in so many look-ups.

  Raises:
    ValueError: a hundred million rows would not do.
  """

  def expected(rows):
    return float(np.sum(-np.expm1(lookups * np.log1p(-shares(rows)))))

  low, high = distinct, 2 * distinct
  while expected(high) < distinct:
    low, high = high, 2 * high
    if high > 1e8:
      raise ValueError(f'{distinct} of {lookups} look-ups are never distinct')
  while high - low > max(1, low // 1000):
    middle = (low + high) // 2
    low, high = (middle, high) if expected(middle) < distinct else (low, middle)
  return high


def batch(rows: int) -> types.Batch:
  """One lane whose slots look up a row of every table."""
  draw = np.random.default_rng(0)
  shape = (1, _LOOKUPS.value)
  columns = [
    draw.choice(rows, shape, p=shares(rows)).astype(np.int32)
    for _ in range(_TABLES.value)
  ]
  inputs = types.Inputs(
    np.stack(columns, -1),
    np.zeros((*shape, 0), np.int32),
    np.zeros((*shape, 0), np.float32),
  )
  ones = np.ones(shape, bool)
  nothing = np.zeros((*shape, 0), np.float32)
  return types.Batch(inputs, nothing, ones, ones, ones, ones)


def steps(spec: types.FeatureSpec) -> dict[str, Any]:
  """The step on rows and the step on whole tables, compiled when called."""
  adam = optax.adam(1e-3)

  def step(state, batch, key, cotangent, *, starts):
    del key
    params, moments = state
    places = batch.inputs.categorical + starts

    def loss(params):
      found = jnp.take(params['first']['table'], places, axis=0, mode='clip')
      return jnp.sum(found * cotangent)

    value, gradients = jax.value_and_grad(loss)(params)
    updates, moments = adam.update(gradients, moments, params)
    return (optax.apply_updates(params, updates), moments), {'loss': value}

  def of(fields):
    starts = embeddings.offsets(fields)[None, None, :-1].astype(np.int32)
    return lambda *args: step(*args, starts=starts)

  small = rows_lib.small_spec(spec, _LOOKUPS.value)
  forms = {'rows': rows_lib.on_rows(of(small), spec), 'whole tables': of(spec)}
  return {name: jax.jit(run, donate_argnums=0) for name, run in forms.items()}


def main(argv: list[str]) -> None:
  """Prints the table, writes the file."""
  del argv
  rows = rows_for(_DISTINCT.value, _LOOKUPS.value)
  spec = types.FeatureSpec((rows,) * _TABLES.value, (), 0, 1)
  one = jax.device_put(batch(rows))
  distinct = sum(
    len(np.unique(np.asarray(one.inputs.categorical)[..., f]))
    for f in range(_TABLES.value)
  )
  key, figures = jax.random.key(0), []
  shape = (*one.inputs.categorical.shape, _WIDTH.value)
  cotangent = jax.random.normal(key, shape)
  for name, run in steps(spec).items():
    table = jnp.zeros((rows * _TABLES.value, _WIDTH.value))
    params = {'first': {'table': table}}
    state = [(params, optax.adam(1e-3).init(params))]

    def call(run=run, state=state):
      state[0], found = run(state[0], one, key, cotangent)
      return found, state[0]

    seconds = machine.seconds(call, _REPETITIONS.value)
    figures.append(
      {
        'Adam on': name,
        'milliseconds': 1e3 * seconds,
        'published / ours': _PUBLISHED_MS / (1e3 * seconds),
      }
    )
    state.clear()
  print(
    f'{_TABLES.value} tables of {rows:,} rows,'
    f' {_TABLES.value * _LOOKUPS.value:,} look-ups, {distinct:,} distinct'
  )
  print(machine.table(figures))
  machine.write(
    _OUTPUT.value,
    {
      'benchmark': 'embedding',
      'rows': rows,
      'tables': _TABLES.value,
      'lookups': _TABLES.value * _LOOKUPS.value,
      'distinct': distinct,
      'width': _WIDTH.value,
      'figures': figures,
    },
  )


if __name__ == '__main__':
  app.run(main)
