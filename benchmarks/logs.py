"""From raw logs to packed lanes, in rows per second.

    python -m benchmarks.logs --output=benchmarks/results/logs.json

A log of benchmarks/workload.py's shape is written as CSV and as Parquet, then
timed through `rmtl prepare`'s own function (source `table`), reading of what
it wrote, and one epoch's plan; and from prepared Parquet alone. Figures are
medians of whole passes; files are in the page cache.
"""

from __future__ import annotations

import json
import os
import pathlib
import statistics
import tempfile
import time

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
from absl import app, flags

from benchmarks import machine, workload
from rmtl_jax import config as config_lib
from rmtl_jax.config import prepare as prepare_config
from rmtl_jax.data import batches
from rmtl_jax.data import columns as columns_lib
from rmtl_jax.preparation import prepare as prepare_lib

_OUTPUT = flags.DEFINE_string('output', '', 'JSON file; none if empty.')
_ROWS = flags.DEFINE_integer('rows', 1_000_000, 'Rows of the log.')
_REPETITIONS = flags.DEFINE_integer('repetitions', 3, 'Passes of a figure.')

_MINUTE = 60_000


def write_log(directory: pathlib.Path, rows: int) -> None:
  """The log as DIRECTORY/{csv,parquet}/log.* with DIRECTORY/schema.json."""
  log = workload.Workload(rows=rows)
  columns = log.columns()
  fields = [f'field_{i}' for i in range(len(log.vocabularies))]
  table = pa.table(
    {
      'session': columns.session,
      # Sessions begin a minute apart; rows of one follow in a second.
      'time': columns.session * _MINUTE
      + (np.arange(rows) - columns.starts[columns.session]) * 1000,
      **{n: columns.categorical[:, i] for i, n in enumerate(fields)},
      'price': columns.numeric[:, 0],
      **{
        name: columns.labels[:, k].astype(np.int8)
        for k, name in enumerate(log.task_names)
      },
    }
  )
  (directory / 'csv').mkdir()
  (directory / 'parquet').mkdir()
  pa_csv.write_csv(table, directory / 'csv' / 'log.csv')
  pq.write_table(table, directory / 'parquet' / 'log.parquet')
  first, second = log.task_names
  schema = {
    'session': 'session',
    'time': {'column': 'time', 'unit': 'ms'},
    'categorical': fields,
    'numeric': ['price'],
    'tasks': [
      {'name': first, 'column': first},
      {'name': second, 'column': second, 'after': first},
    ],
  }
  (directory / 'schema.json').write_text(json.dumps(schema))


def one_pass(
  directory: pathlib.Path, form: str, number: int
) -> dict[str, np.ndarray]:
  """(seconds, CPU seconds) of each part of a pass."""
  begin = _clocks()
  data_dir = directory / f'{form}_{number}'
  manifest = prepare_lib.prepare(
    prepare_config.PrepareConfig(
      source='table',
      raw_dir=str(directory / form),
      data_dir=str(data_dir),
      schema=str(directory / 'schema.json'),
      any_dates=True,
      as_of=(),
    )
  )
  prepared = _clocks()
  splits = [
    columns_lib.read_split(data_dir, manifest, name) for name in manifest.splits
  ]
  for split in splits:
    _ = batches.Epoch(split.starts, (0, 1), 1, config_lib.BatchConfig()).plan
  packed = _clocks()
  return {
    'prepare': prepared - begin,
    'read and pack': packed - prepared,
    'raw log to packed lanes': packed - begin,
  }


def _clocks() -> np.ndarray:
  """Seconds and CPU seconds, f64[2]."""
  return np.array([time.perf_counter(), time.process_time()])


def main(argv: list[str]) -> None:
  """Prints the table, writes the file."""
  del argv
  rows = []
  with tempfile.TemporaryDirectory() as name:
    directory = pathlib.Path(name)
    write_log(directory, _ROWS.value)
    for form in ('csv', 'parquet'):
      passes = [
        one_pass(directory, form, i) for i in range(1 + _REPETITIONS.value)
      ][1:]
      for part in passes[0]:
        seconds, cpu = (
          statistics.median(float(p[part][i]) for p in passes) for i in (0, 1)
        )
        cores = os.cpu_count() or 1
        rows.append(
          {
            'log': form,
            'part': part,
            'rows_per_second': _ROWS.value / seconds,
            'seconds': seconds,
            'cpu_seconds': cpu,
            'rows_per_second_of_idle_cores': _ROWS.value * cores / cpu,
          }
        )
  print(machine.table(rows))
  machine.write(
    _OUTPUT.value,
    {
      'benchmark': 'logs',
      'rows': _ROWS.value,
      'load': os.getloadavg(),
      'figures': rows,
    },
  )


if __name__ == '__main__':
  app.run(main)
