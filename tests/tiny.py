"""Tiny prepared data that tests write themselves."""

from __future__ import annotations

import pathlib

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from rmtl_jax.config import values as config_values
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.data import manifest_file
from rmtl_jax.runtime import progress
from tests import paper

TASKS = ('click', 'conversion')
QUIET = progress.Progress(quiet=True)
# The paper's model in small, for the data below.
CONFIG = config_values.from_dict(
  {
    'network': {
      'embedding_dim': 4,
      'bottom_units': [8, 6],
      'tower_units': [6],
      'num_experts': 2,
    },
    'batch': {'lanes': 4, 'lane_length': 8, 'steps_per_dispatch': 4},
    'pretrain': {'max_epochs': 2, 'learning_rate': 0.01},
    'critic': {'max_passes': 4},
    'finetune': {'max_epochs': 2},
    'evaluation': {'bootstrap': 20},
  },
  paper.PAPER,
)


def write_prepared(
  path: pathlib.Path,
  sessions: int = 120,
  seed: int = 0,
  tasks: tuple[str, ...] = TASKS,
  longest: int = 9,
) -> manifest_lib.Manifest:
  """Writes prepared data in which field `item` says a lot about the labels.

  Args:
    path: DATA, created.
    sessions: of the train split; validation and test have a third each.
    seed: of everything.
    tasks: names; each implies the one before.
    longest: rows of the longest session.

  Returns:
    The manifest, which is on disk too.
  """
  rng = np.random.default_rng(seed)
  fields = (
    manifest_lib.Field('user', 'categorical', size=30),
    manifest_lib.Field('item', 'categorical', size=20),
    manifest_lib.Field('tags', 'multi_valued', size=8, width=3),
    manifest_lib.Field('price', 'numeric'),
  )
  appeal = rng.normal(size=20)
  splits, first = {}, 0
  for name, count in zip(
    manifest_lib.SPLITS, (sessions, sessions // 3, sessions // 3), strict=True
  ):
    columns = _columns(rng, count, first, appeal, tasks, longest)
    first += count
    file = f'{name}/part-00000.parquet'
    (path / name).mkdir(parents=True)
    pq.write_table(pa.table(columns), path / file)
    splits[name] = manifest_lib.Split(
      rows=len(columns['row_id']),
      sessions=count,
      files=(file,),
      positives={t: int(columns[f'y_{t}'].sum()) for t in tasks},
    )
  manifest = manifest_lib.Manifest(
    source='tiny',
    fields=fields,
    tasks=tuple(
      manifest_lib.Task(t, tasks[i - 1] if i else None)
      for i, t in enumerate(tasks)
    ),
    splits=splits,
    user_field='user',
    item_field='item',
    has_oracle=True,
  )
  manifest_file.write(manifest, path)
  return manifest


def _columns(rng, sessions, first, appeal, tasks, longest):
  lengths = rng.integers(1, longest + 1, sessions)
  rows = int(lengths.sum())
  session = np.repeat(np.arange(sessions), lengths)
  item = rng.integers(0, 20, rows)
  price = rng.normal(size=rows)
  columns = {
    'session_id': (session + first).astype(np.int64),
    'user_id': rng.integers(0, 30, sessions)[session],
    'row_id': np.arange(rows),
    'step': (np.arange(rows) - (np.cumsum(lengths) - lengths)[session]).astype(
      np.int32
    ),
    'timestamp': np.arange(rows) * 1000,
    'f_user': rng.integers(0, 30, rows).astype(np.int32),
    'f_item': item.astype(np.int32),
    'm_tags': pa.array(
      [
        rng.integers(0, 8, rng.integers(1, 4)).astype(np.int32)
        for _ in range(rows)
      ],
      pa.list_(pa.int32()),
    ),
    'x_price': price.astype(np.float32),
  }
  before, chance = np.ones(rows), np.ones(rows)
  for k, task in enumerate(tasks):
    p = 1 / (1 + np.exp(-(1.5 * appeal[item] + 0.5 * price - 0.3 * k)))
    label = before * (rng.random(rows) < p)
    chance = chance * p
    columns[f'y_{task}'] = label.astype(np.float32)
    columns[f'p_{task}'] = chance.astype(np.float32)
    before = label
  return columns
