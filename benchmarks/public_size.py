"""A log of AliExpress' form and size, from raw files to an evaluated model.

    python -m benchmarks.public_size --rows=10000000 \
      --output=benchmarks/results/public_size.json

Raw files as Tianchi has them (`--source=aliexpress`), made shard by shard: a
row per shown item and one per search, 16 categorical and 63 numeric features,
clicks and purchases that follow from some of them. `rmtl prepare`, `rmtl
prepare --check` and `rmtl train` (stage 1 of one backbone and its evaluation)
run one after the other, each in a process of its own. Memory is the largest
resident size that the system saw.
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
import pyarrow.csv as pa_csv
from absl import app, flags

from benchmarks import commands, machine
from rmtl_jax.preparation.sources import aliexpress

_OUTPUT = flags.DEFINE_string('output', '', 'JSON file; none if empty.')
_ROWS = flags.DEFINE_integer('rows', 1_000_000, 'Rows of train and test.')
_BACKBONE = flags.DEFINE_string('backbone', 'shared_bottom', 'What is trained.')
_EPOCHS = flags.DEFINE_integer('epochs', 1, 'Passes over train.')
_LIMIT = flags.DEFINE_string('memory_limit', '4GB', "DuckDB's.")
_THREADS = flags.DEFINE_integer('threads', 0, "DuckDB's; 0 for all cores.")
_DIRECTORY = flags.DEFINE_string(
  'directory', '', 'Where to write, and to delete in the end; empty for /tmp.'
)

_SHARD_ROWS = 500_000
# Items of a search.
_SHOWN = 10
# Rows of train of the real sets for each of test: two.
_TRAIN = 2 / 3
# Values of the categorical fields, in turn.
_SIZES = (3, 10, 60, 400, 3_000, 20_000, 150_000)
_CONFIG = 'experiments/tables/aliexpress.py'


def write_log(directory: pathlib.Path, rows: int) -> None:
  """Writes the four raw files of `nl` to DIRECTORY."""
  directory.mkdir()
  train = round(rows * _TRAIN / _SHOWN) * _SHOWN
  for number, (name, count) in enumerate(
    (('train', train), ('test', rows - train))
  ):
    with (
      (directory / f'nl_user_{name}.csv').open('wb') as users,
      (directory / f'nl_item_{name}.csv').open('wb') as items,
    ):
      for first in range(0, count, _SHARD_ROWS):
        size = min(_SHARD_ROWS, count - first)
        rng = np.random.default_rng((number, first))
        write_shard(rng, users, items, first // _SHOWN, size)


def write_shard(
  rng: np.random.Generator, users: Any, items: Any, first: int, rows: int
) -> None:
  """Appends searches from number `first` on, and their rows."""
  searches = -(-rows // _SHOWN)
  number = first + np.arange(searches)
  shown = np.repeat(np.arange(searches), _SHOWN)[:rows]
  of_search = _columns(rng, aliexpress.USER, searches)
  of_row = _columns(rng, aliexpress.ITEM, rows)
  score = of_row['item_2'] + of_row['item_3'] + of_search['user_9'][shown]
  score = score + 0.2 * (of_row['item_19'] % 5) - 5.2
  click = rng.random(rows) < 1 / (1 + np.exp(-score))
  buy = click & (rng.random(rows) < 1 / (1 + np.exp(2 - of_row['item_4'])))
  of_search['user_1'], of_row['item_1'] = number, number[shown]
  of_row['item_49'] = click.astype(np.int64) + buy
  options = pa_csv.WriteOptions(include_header=False)
  for columns, file in ((of_search, users), (of_row, items)):
    pa_csv.write_csv(pa.table(columns), file, options)


def _columns(
  rng: np.random.Generator, names: tuple[str, ...], rows: int
) -> dict[str, np.ndarray]:
  """Random features: popularity of categories falls as 1 / rank."""
  columns = {}
  for i, name in enumerate(names):
    if aliexpress.FIELDS.get(name, '').startswith('categorical'):
      size = _SIZES[i % len(_SIZES)]
      columns[name] = (size ** rng.random(rows)).astype(np.int64)
    else:
      columns[name] = np.round(rng.standard_normal(rows), 4)
  return columns


def measure(directory: pathlib.Path, rows: int) -> list[dict[str, Any]]:
  """Figures of every stage."""
  raw_dir, data, run = (directory / name for name in ('raw', 'data', 'run'))
  write_log(raw_dir, rows)
  spill = directory / 'spill'
  spill.mkdir()
  stages = {
    'prepare': [
      'prepare',
      '--source=aliexpress',
      f'--raw_dir={raw_dir}',
      f'--data_dir={data}',
      f'--memory_limit={_LIMIT.value}',
      f'--threads={_THREADS.value}',
      f'--temp_dir={spill}',
    ],
    'prepare --check': ['prepare', '--check', f'--data_dir={data}'],
    f'train {_BACKBONE.value}': [
      'train',
      f'--config={_CONFIG}',
      f'--config.backbone={_BACKBONE.value}',
      f'--config.pretrain.max_epochs={_EPOCHS.value}',
      '--config.evaluation.bootstrap=0',
      '--stage=pretrain',
      f'--data_dir={data}',
      f'--workdir={run}',
    ],
  }
  figures = [
    {'stage': name, **commands.run(arguments, spill)}
    for name, arguments in stages.items()
  ]
  tasks = json.loads((run / 'metrics.json').read_text())['stages']['pretrain']
  sizes = {
    'raw_mib': commands.size(raw_dir) / 2**20,
    'data_mib': commands.size(data) / 2**20,
  }
  return [
    {
      **figure,
      'rows': rows,
      'rows_per_second': rows / figure['seconds'],
      **sizes,
      'auc': '/'.join(f'{tasks[t]["auc"]:.4f}' for t in ('click', 'conversion'))
      if figure['stage'].startswith('train')
      else '',
      'load': os.getloadavg()[0],
    }
    for figure in figures
  ]


def main(argv: list[str]) -> None:
  """Prints the table, writes the file."""
  del argv
  directory = pathlib.Path(
    tempfile.mkdtemp(prefix='public_size_', dir=_DIRECTORY.value or None)
  )
  try:
    figures = measure(directory, _ROWS.value)
  finally:
    shutil.rmtree(directory)
  print(machine.table(figures), flush=True)
  machine.write(
    _OUTPUT.value,
    {
      'benchmark': 'public_size',
      'memory_limit': _LIMIT.value,
      'threads': _THREADS.value,
      'epochs': _EPOCHS.value,
      'figures': figures,
    },
  )


if __name__ == '__main__':
  app.run(main)
