"""A small run on a person's own table, and the raw rows of that table."""

from __future__ import annotations

import json
import pathlib

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from rmtl_jax import config as config_lib
from rmtl_jax import run
from rmtl_jax.config import prepare_settings
from rmtl_jax.config import values as config_values
from rmtl_jax.preparation import prepare_log
from rmtl_jax.runtime import progress
from tests import paper

QUIET = progress.Progress(quiet=True)
CONFIG = config_values.from_dict(
  {
    'network': {
      'embedding_dim': 4,
      'bottom_units': [8, 6],
      'tower_units': [6],
      'num_experts': 2,
    },
    'batch': {'lanes': 4, 'lane_length': 8},
    'pretrain': {'max_epochs': 2, 'learning_rate': 0.05},
    'finetune': {'max_epochs': 1},
    # No critics to train: what serves is an actor.
    'weighting': {'name': 'constant'},
    'evaluation': {'bootstrap': 0},
  },
  paper.PAPER,
)
SCHEMA = {
  'session': 'Visit',
  'time': {'column': 'time', 'unit': 's'},
  'user': 'Customer No',
  'item': 'item',
  'categorical': [{'column': 'Customer No', 'name': 'user'}, 'item'],
  'multi_valued': [{'column': 'tags', 'separator': '|'}],
  'numeric': [
    {'column': 'price', 'transform': 'log1p'},
    {'column': 'age', 'transform': 'bins', 'bins': 4},
    'discount',
  ],
  'tasks': [
    {'name': 'click', 'column': 'click'},
    {'name': 'conversion', 'column': 'buy', 'after': 'click'},
  ],
}
FEATURES = ('Customer No', 'item', 'tags', 'price', 'age', 'discount')


def table(rows: int = 400) -> pa.Table:
  """Raw rows; some values are missing, some only in the last rows (test)."""
  rng = np.random.default_rng(0)
  item = rng.integers(0, 12, rows)
  click = (rng.random(rows) < 0.2 + 0.05 * item).astype(int)
  tags = ['|'.join(map(str, rng.integers(0, 6, n))) for n in item % 4]
  user = [f'c{n}' if n else None for n in rng.integers(0, 9, rows)]
  user[-5:] = ['nobody'] * 5
  return pa.table(
    {
      'Visit': np.arange(rows) // 4,
      'time': np.arange(rows),
      'Customer No': user,
      'item': item,
      'tags': [t or None for t in tags],
      'price': rng.exponential(size=rows).round(3),
      'age': [int(n) if n > 3 else None for n in rng.integers(0, 60, rows)],
      'discount': rng.normal(size=rows).round(2),
      'click': click,
      'buy': click * rng.integers(0, 2, rows),
    }
  )


def prepare_table(
  directory: pathlib.Path, log: pa.Table | None = None, **options
) -> pathlib.Path:
  """Writes DIRECTORY/log.parquet, prepares it into DIRECTORY/data.

  Args:
    directory: where everything goes.
    log: raw rows; `table()` if None.
    **options: of prepare.

  Returns:
    DATA.
  """
  raw = directory / 'log.parquet'
  pq.write_table(table() if log is None else log, raw)
  (directory / 'schema.json').write_text(json.dumps(SCHEMA))
  prepare_log.prepare(
    prepare_settings.PrepareConfig(
      source='table',
      raw_dir=str(raw),
      schema=str(directory / 'schema.json'),
      data_dir=str(directory / 'data'),
      any_dates=True,
      **{'as_of': (), **options},
    )
  )
  return directory / 'data'


def train(
  directory: pathlib.Path,
  stages: tuple[str, ...] = run.ORDER,
  config: config_lib.Config = CONFIG,
) -> pathlib.Path:
  """Prepares the table into DIRECTORY/data, trains DIRECTORY/run; RUN."""
  data = prepare_table(directory)
  run.train(config, directory / 'run', data, stages=stages, live=QUIET)
  return directory / 'run'
