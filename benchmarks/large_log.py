"""A log larger than memory through `rmtl prepare`: speed, memory, disk.

    nice -n 19 taskset -c 1 python -m benchmarks.large_log \
      --rows=30000000,100000000 --output=benchmarks/results/large_log.json

A log is simulated shard by shard and written as Parquet, in the order of time;
sessions are a user's rows until an idle gap, so all rows have to be sorted by
user and back by time. `rmtl prepare` then runs in a process of its own, with
DuckDB's memory limited, and `rmtl prepare --check` in another. Memory is the
largest resident size that the system saw (VmHWM), which includes Python and
libraries; DuckDB's own limit must be lower.
"""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import tempfile
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from absl import app, flags

from benchmarks import commands, machine

_OUTPUT = flags.DEFINE_string('output', '', 'JSON file; none if empty.')
_ROWS = flags.DEFINE_list('rows', '3000000', 'Rows of the logs, in turn.')
_LIMIT = flags.DEFINE_string('memory_limit', '2500MB', "DuckDB's.")
_THREADS = flags.DEFINE_integer('threads', 1, "DuckDB's.")
_DIRECTORY = flags.DEFINE_string(
  'directory', '', 'Where to write, and to delete in the end; empty for /tmp.'
)

_SHARD_ROWS = 1_000_000
# Time goes on so fast that every shard has the same number of rows a second.
_SHARD_MS = 6 * 3_600_000
_EPOCH_MS = 1_704_067_200_000
_ITEMS, _CATEGORIES, _BRANDS = 200_000, 500, 5_000
SCHEMA = {
  'user': 'user',
  'item': 'item',
  'time': {'column': 'time', 'unit': 'ms'},
  'categorical': ['user', 'item', 'category', 'brand', 'device', 'country'],
  'numeric': [{'column': 'price', 'transform': 'log1p'}],
  'tasks': [
    {'name': 'click', 'column': 'click'},
    {'name': 'conversion', 'column': 'conversion', 'after': 'click'},
  ],
}


def shard(number: int, rows: int, users: int) -> pa.Table:
  """A part of the log, in the order of time; the same whenever it is drawn."""
  rng = np.random.default_rng((0, number))
  length = rng.geometric(0.2, rows // 4 + 64)
  length = length[: int(np.searchsorted(np.cumsum(length), rows)) + 1]
  session = np.repeat(np.arange(len(length)), length)[:rows]
  gap = rng.exponential(30_000, rows).astype(np.int64)
  elapsed = np.cumsum(gap)
  first = np.searchsorted(session, np.arange(len(length)))
  elapsed -= elapsed[np.minimum(first, rows - 1)][session]
  start = rng.integers(0, _SHARD_MS, len(length))
  when = _EPOCH_MS + number * _SHARD_MS + start[session] + elapsed
  order = np.argsort(when, kind='stable')
  session = session[order]
  user = rng.integers(0, users, len(length))[session]
  # Popularity falls as 1 / rank.
  item = (_ITEMS ** rng.random(rows)).astype(np.int64) - 1
  click = rng.random(rows) < 0.1
  return pa.table(
    {
      'time': when[order],
      'user': user,
      'item': item,
      'category': (item * 7919) % _CATEGORIES,
      'brand': (item * 104729) % _BRANDS,
      'device': (user % 4).astype(np.int8),
      'country': pa.array([f'country {i}' for i in range(60)]).take(
        pa.array(user % 60)
      ),
      'price': np.exp(3 + (item % 1000) / 300),
      'click': click.astype(np.int8),
      'conversion': (click & (rng.random(rows) < 0.15)).astype(np.int8),
    }
  )


def write_log(directory: pathlib.Path, rows: int) -> None:
  """The log as DIRECTORY/raw/*.parquet, and DIRECTORY/schema.json."""
  (directory / 'raw').mkdir()
  users = max(1000, rows // 40)
  for number, begin in enumerate(range(0, rows, _SHARD_ROWS)):
    table = shard(number, min(_SHARD_ROWS, rows - begin), users)
    pq.write_table(table, directory / 'raw' / f'part-{number:05d}.parquet')
  (directory / 'schema.json').write_text(json.dumps(SCHEMA))


def measure(directory: pathlib.Path, rows: int) -> list[dict[str, Any]]:
  """Figures of preparing a log and of checking what came out."""
  write_log(directory, rows)
  data, spill = directory / 'data', directory / 'spill'
  spill.mkdir()
  prepared = commands.run(
    [
      'prepare',
      '--source=table',
      f'--raw_dir={directory / "raw"}',
      f'--schema={directory / "schema.json"}',
      f'--data_dir={data}',
      f'--memory_limit={_LIMIT.value}',
      f'--threads={_THREADS.value}',
      f'--temp_dir={spill}',
      '--as_of=none',
    ],
    spill,
  )
  checked = commands.run(['prepare', '--check', f'--data_dir={data}'], spill)
  return [
    {
      'command': name,
      'rows': rows,
      'memory_limit': _LIMIT.value,
      'rows_per_second': rows / figures['seconds'],
      **figures,
      'raw_mib': commands.size(directory / 'raw') / 2**20,
      'data_mib': commands.size(data) / 2**20,
      'load': os.getloadavg()[0],
    }
    for name, figures in (('prepare', prepared), ('prepare --check', checked))
  ]


def main(argv: list[str]) -> None:
  """Prints the table, writes the file."""
  del argv
  figures = []
  for rows in map(int, _ROWS.value):
    directory = pathlib.Path(
      tempfile.mkdtemp(prefix='large_log_', dir=_DIRECTORY.value or None)
    )
    try:
      figures += measure(directory, rows)
    finally:
      shutil.rmtree(directory)
    print(machine.table(figures), flush=True)
  machine.write(
    _OUTPUT.value,
    {'benchmark': 'large_log', 'threads': _THREADS.value, 'figures': figures},
  )


if __name__ == '__main__':
  app.run(main)
