"""Milliseconds of small requests, of a run that is loaded and of its export.

    python -m benchmarks.latency --output=benchmarks/results/latency.json

Trains models for one epoch on a simulated log, exports them, loads both, and
predicts for 1, 10, 100 and 1,000 rows in turn: run, export, run, export. Beside
it: what loading and the first request take without a warm-up, with one, and
with one whose programs are on disk; and what the query takes that encodes
larger requests. The last model has as-of features and an encoder of the
session, and takes the whole log before the request as its history.
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
import tempfile
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from absl import app, flags
from absl import logging as absl_logging

import rmtl_jax
from benchmarks import machine
from rmtl_jax import config as config_lib
from rmtl_jax import run
from rmtl_jax.config import prepare as prepare_config
from rmtl_jax.config import values as config_values
from rmtl_jax.preparation import prepare
from rmtl_jax.preparation.simulator import log as simulated
from rmtl_jax.runtime import programs, progress
from rmtl_jax.serving import encoder, predictor
from rmtl_jax.serving import rows as rows_lib
from rmtl_jax.serving.export import writer

_SCHEMA = {
  'session': 'session_id',
  'user': 'user_id',
  'item': 'item_id',
  'time': {'column': 'timestamp'},
  'categorical': ['user_id', 'item_id', 'device', 'brand'],
  'multi_valued': ['item_tags'],
  'numeric': [{'column': 'price', 'transform': 'log1p'}],
  'tasks': [
    {'name': 'click', 'column': 'click', 'known_after_seconds': 0},
    {
      'name': 'conversion',
      'column': 'conversion',
      'after': 'click',
      'known_after_seconds': 0,
    },
  ],
}
_SMALL = {
  'embedding_dim': 16,
  'bottom_units': [64, 32],
  'tower_units': [16],
}
_KINDS = ('run', 'export', 'look-ups', 'query')
_QUIET = progress.Progress(quiet=True)


@dataclasses.dataclass(frozen=True)
class Model:
  """A model to measure.

  Attributes:
    name: of the table.
    network: settings that are not the default.
    as_of: groups of as-of features.
  """

  name: str
  network: dict[str, Any]
  as_of: tuple[str, ...] = ()


_MODELS = (
  Model('ple, paper sizes', {}),
  Model('ple, small', _SMALL),
  Model('ple, small, past', _SMALL | {'session_encoder': 'mean'}, ('all',)),
)


def make(model: Model, log: pa.Table, place: pathlib.Path) -> None:
  """Trains a model in PLACE/run and exports it to PLACE/export."""
  (place / 'schema.json').write_text(json.dumps(_SCHEMA))
  pq.write_table(log, place / 'log.parquet')
  prepare.prepare(
    prepare_config.PrepareConfig(
      source='table',
      raw_dir=str(place / 'log.parquet'),
      schema=str(place / 'schema.json'),
      data_dir=str(place / 'data'),
      as_of=model.as_of,
    )
  )
  config = config_values.from_dict(
    {
      'backbone': 'ple',
      'network': model.network,
      'pretrain': {'max_epochs': 1},
      'evaluation': {'bootstrap': 0},
    },
    config_lib.Config(),
  )
  run.train(
    config, place / 'run', place / 'data', stages=('pretrain',), live=_QUIET
  )
  writer.export(predictor.load(place / 'run'), place / 'export')


def first_calls(
  path: pathlib.Path, request: pa.Table, history: Any, cache: pathlib.Path
) -> dict[str, float]:
  """Milliseconds of loading and of the first request."""
  found: dict[str, float] = {}
  for name, warm_up, kept in (
    ('cold', 0, False),
    ('warm', 128, False),
    ('to fill the cache', 128, True),
    ('cached', 128, True),
  ):
    jax.config.update('jax_enable_compilation_cache', kept)
    jax.config.update('jax_compilation_cache_dir', str(cache))
    jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.1)
    programs.compilation_cache.reset_cache()
    begin = time.perf_counter()
    model = rmtl_jax.load(path, warm_up=warm_up)
    loaded = time.perf_counter()
    model.predict(request, history)
    if name != 'to fill the cache':
      found[f'load, {name}'] = 1e3 * (loaded - begin)
      found[f'first, {name}'] = 1e3 * (time.perf_counter() - loaded)
  # The directory goes away.
  jax.config.update('jax_enable_compilation_cache', False)
  return found


def described(times: list[float]) -> dict[str, float]:
  """Median and 95th percentile in milliseconds."""
  middle, late = np.quantile(times, [0.5, 0.95])
  return {'median': 1e3 * float(middle), 'p95': 1e3 * float(late)}


def encoding(model: Any, request: pa.Table) -> dict[str, Callable[[], Any]]:
  """Encoding in memory, and by the query."""

  def encode(few_rows: int) -> None:
    encoder._FEW_ROWS = few_rows
    (chunk,) = rows_lib.rows_of_table(request).chunks(1 << 20)
    model.encoder.encode(chunk)

  return {
    'look-ups': lambda: encode(1 << 20),
    'query': lambda: encode(0),
  }


def measure(model: Model, log: pa.Table) -> list[dict[str, Any]]:
  """The rows of the table of one model."""
  labels = ['click', 'conversion']
  split = int(0.9 * log.num_rows)
  history = log.slice(0, split) if model.as_of else None
  today = log.slice(split).drop_columns(labels)
  rows = []
  with tempfile.TemporaryDirectory() as directory:
    place = pathlib.Path(directory)
    make(model, log.slice(0, split), place)
    first = {
      kind: first_calls(
        place / kind, today.slice(0, 1), history, place / f'cache_{kind}'
      )
      for kind in ('run', 'export')
    }
    loaded = {
      kind: rmtl_jax.load(place / kind, warm_up=1024)
      for kind in ('run', 'export')
    }
    repetitions = flags.FLAGS.repetitions
    if model.as_of:
      repetitions = max(3, repetitions // 5)
    for size in map(int, flags.FLAGS.sizes):
      request = today.slice(0, size)
      calls: dict[str, Callable[[], Any]] = {
        kind: lambda m=m, r=request: m.predict(r, history)
        for kind, m in loaded.items()
      }
      times = machine.interleaved(calls, repetitions)
      if not model.as_of:
        few_rows = encoder._FEW_ROWS
        times |= machine.interleaved(
          encoding(loaded['run'], request), repetitions
        )
        encoder._FEW_ROWS = few_rows
      rows.append(
        {
          'model': model.name,
          'rows': size,
          **{kind: described(seconds) for kind, seconds in times.items()},
        }
      )
  for kind, values in first.items():
    rows[0][f'{kind}, first'] = values
  return rows


def main(argv: list[str]) -> None:
  """Prints the table, writes the file."""
  del argv
  absl_logging.set_verbosity(absl_logging.WARNING)
  log = simulated.simulate(flags.FLAGS.log_rows, seed=0)
  log = log.drop_columns(['p_click', 'p_conversion']).sort_by('timestamp')
  rows = [row for model in _MODELS for row in measure(model, log)]
  print('milliseconds, median (p95)')
  print(
    machine.table(
      [
        {'model': row['model'], 'rows': row['rows']}
        | {kind: _cell(row.get(kind)) for kind in _KINDS}
        for row in rows
      ]
    )
  )
  for row in rows:
    for kind in ('run', 'export'):
      if values := row.get(f'{kind}, first'):
        told = ', '.join(f'{k} {v:,.0f}' for k, v in values.items())
        print(f'{row["model"]}, {kind}: {told}')
  machine.write(
    flags.FLAGS.output, {'log_rows': flags.FLAGS.log_rows, 'results': rows}
  )


def _cell(found: dict[str, float] | None) -> str:
  return f'{found["median"]:.1f} ({found["p95"]:.1f})' if found else ''


def markdown(results: list[dict[str, Any]]) -> str:
  """The table of docs/speed.md."""
  lines = [
    f'| model | rows | {" | ".join(_KINDS)} |',
    f'|---|---{"|---" * len(_KINDS)}|',
  ]
  for row in results:
    cells = [row['model'], f'{row["rows"]:,}']
    cells += [_cell(row.get(kind)) for kind in _KINDS]
    lines.append('|' + ''.join(f' {c} |' if c else ' |' for c in cells))
  return '\n'.join(lines)


def define_flags() -> None:
  """Defines the flags; not on import, since a test imports this module."""
  flags.DEFINE_string('output', '', 'JSON file; none if empty.')
  flags.DEFINE_integer('repetitions', 100, 'Requests of a figure.')
  flags.DEFINE_list('sizes', ['1', '10', '100', '1000'], 'Rows.')
  flags.DEFINE_integer('log_rows', 20_000, 'Rows of the log.')


if __name__ == '__main__':
  define_flags()
  app.run(main)
