"""From raw logs to packed lanes, in rows per second.

    python -m benchmarks.logs --output=benchmarks/results/logs.json

A log of benchmarks/workload.py's shape is written as CSV and as Parquet, then
timed through `rmtl prepare`'s own function (source `table`), reading of what
it wrote, and one epoch's plan; and from prepared Parquet alone. Figures are
medians of whole passes, one of each log in turn; files are in the page cache.

    git clone https://github.com/Applied-Machine-Learning-Lab/RMTL theirs
    pip install pandas
    python -m benchmarks.logs --code=theirs --rows=500000 --repetitions=5

has the authors' code make its sessions of the log's first `--their_rows` rows
in every turn too (benchmarks/authors_log.py). Ratios are of a turn, by the
clock and by rows per CPU second, of which theirs, on one thread, has one in a
second, and ours as many as there are cores if all of them are idle. `parsed by
the engine` is all that DuckDB takes to read the CSV file, every column as text.

`--write=DIRECTORY` writes the log there and ends, for
`python -m benchmarks.commits --log=DIRECTORY`.
"""

from __future__ import annotations

import json
import os
import pathlib
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
from absl import app, flags

from benchmarks import authors_log, machine, workload
from rmtl_jax import config as config_lib
from rmtl_jax.config import prepare as prepare_config
from rmtl_jax.data import batches
from rmtl_jax.data import columns as columns_lib
from rmtl_jax.preparation import prepare as prepare_lib
from rmtl_jax.preparation.raw import csv as raw_csv

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
  (directory / 'csv').mkdir(parents=True)
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


def parse(directory: pathlib.Path) -> None:
  """Has DuckDB read every value of the CSV file as text, and keep none."""
  file = directory / 'csv' / 'log.csv'
  columns = dict.fromkeys(raw_csv.read_header(file), 'VARCHAR')
  with duckdb.connect() as connection:
    connection.execute(
      f"SELECT max(strlen(COLUMNS(*))) FROM read_csv('{file}', header = true,"
      f' auto_detect = false, columns = {columns})'
    ).fetchall()


def timed(work: Callable[[], Any]) -> np.ndarray:
  """(seconds, CPU seconds) of a call."""
  begin = _clocks()
  work()
  return _clocks() - begin


def in_turn(
  directory: pathlib.Path, theirs: Callable[[], Any] | None, repetitions: int
) -> list[dict[tuple[str, str], np.ndarray]]:
  """(seconds, CPU seconds) by log and part of each turn, after a first one."""
  turns = []
  for number in range(1 + repetitions):
    turn = {
      (form, part): times
      for form in ('csv', 'parquet')
      for part, times in one_pass(directory, form, number).items()
    }
    turn['csv', 'parsed by the engine'] = timed(lambda: parse(directory))
    if theirs is not None:
      turn['theirs', 'log to sessions'] = timed(theirs)
    turns.append(turn)
  return turns[1:]


def figures(
  turns: Sequence[dict[tuple[str, str], np.ndarray]],
  our_rows: int,
  their_rows: int,
) -> list[dict[str, Any]]:
  """A row per log and part: medians, and ratios to theirs."""
  found, cores = [], os.cpu_count() or 1
  theirs = ('theirs', 'log to sessions')
  for log, part in turns[0]:
    rows = their_rows if log == 'theirs' else our_rows
    seconds, cpu = np.median([turn[log, part] for turn in turns], axis=0)
    row = {
      'log': log,
      'part': part,
      'rows_per_second': rows / seconds,
      'seconds': float(seconds),
      'cpu_seconds': float(cpu),
      'rows_per_second_of_idle_cores': rows * cores / cpu,
    }
    if theirs in turns[0]:
      ratios = np.array(
        [turn[theirs] / turn[log, part] * rows / their_rows for turn in turns]
      )
      for i, clock in enumerate(('clock', 'cpu')):
        row |= {
          f'times_theirs_{clock}': float(np.median(ratios[:, i])),
          f'times_theirs_{clock}_least': float(ratios[:, i].min()),
          f'times_theirs_{clock}_most': float(ratios[:, i].max()),
        }
    found.append(row)
  return found


def main(argv: list[str]) -> None:
  """Prints the table, writes the file."""
  del argv
  values = flags.FLAGS
  if values.write:
    write_log(pathlib.Path(values.write), values.rows)
    return
  with tempfile.TemporaryDirectory() as name:
    directory = pathlib.Path(name)
    write_log(directory, values.rows)
    theirs = None
    if values.code:
      log = workload.Workload(rows=values.their_rows)
      theirs = authors_log.Theirs(values.code, log, name)
    turns = in_turn(directory, theirs, values.repetitions)
  rows = figures(turns, values.rows, values.their_rows)
  print(machine.table(rows))
  machine.write(
    values.output,
    {
      'benchmark': 'logs',
      'rows': values.rows,
      'their_rows': values.their_rows if values.code else None,
      'load': os.getloadavg(),
      'figures': rows,
    },
  )


def define_flags() -> None:
  """Defines the flags; not on import, since a test imports this module."""
  flags.DEFINE_string('output', '', 'JSON file; none if empty.')
  flags.DEFINE_integer('rows', 1_000_000, 'Rows of the log.')
  flags.DEFINE_integer('repetitions', 3, 'Passes of a figure.')
  flags.DEFINE_string('write', '', 'Where to write the log alone.')
  flags.DEFINE_string('code', '', "The authors' repository; or none.")
  flags.DEFINE_integer('their_rows', 100_000, 'Rows of theirs.')


if __name__ == '__main__':
  define_flags()
  app.run(main)
