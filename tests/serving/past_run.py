"""Models that take the past, with random parameters: nothing is trained."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from typing import Any

import jax
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from rmtl_jax import config as config_lib
from rmtl_jax.config import prepare_settings
from rmtl_jax.config import values as config_values
from rmtl_jax.data import columns as columns_lib
from rmtl_jax.preparation import prepare_log
from rmtl_jax.runtime import workdir
from rmtl_jax.serving import predictor
from rmtl_jax.training import models as models_lib
from rmtl_jax.training import split_data
from tests.serving import table_run

MINUTE = 60
SCHEMA = {
  'session': 'visit',
  'user': 'who',
  'item': 'item',
  'time': {'column': 'time', 'unit': 's'},
  'categorical': ['who', 'item'],
  'multi_valued': [{'column': 'tags', 'separator': '|'}],
  'numeric': ['price'],
  'tasks': [
    {'name': 'click', 'column': 'clicked', 'known_after_seconds': 20},
    {'name': 'conversion', 'column': 'bought', 'after': 'click'},
  ],
}
# With a field of which users have several values.
BRANDS = SCHEMA | {'categorical': ['who', 'item', 'brand']}
CONFIG = dataclasses.replace(
  table_run.CONFIG,
  # Some sessions are longer than a lane.
  batch=dataclasses.replace(table_run.CONFIG.batch, lane_length=5),
)


def log(rows=1500, seed=0):
  """Raw rows: some sessions and users unknown, ties, repeats, long rests."""
  rng = np.random.default_rng(seed)
  count = rows // 4
  visit = np.sort(rng.integers(0, count, rows))
  start = np.sort(rng.integers(0, 40 * MINUTE * count, count))
  step = rng.choice([0, 10, 30, 45 * MINUTE], rows, p=[0.1, 0.4, 0.45, 0.05])
  within = np.zeros(rows, np.int64)
  for i in range(1, rows):
    if visit[i] == visit[i - 1]:
      within[i] = within[i - 1] + step[i]
  who = rng.integers(0, 25, count)[visit]
  item = rng.integers(0, 30, rows)
  click = (rng.random(rows) < 0.1 + 0.02 * item).astype(int)
  users = [f'u{n}' for n in who]
  for i in np.flatnonzero(who == 3):
    users[i] = None
  visits = [f'v{n}' if n % 7 else None for n in visit]
  for i, name in enumerate(users):
    visits[i] = visits[i] if name else f'v{visit[i]}'
  table = pa.table(
    {
      'visit': visits,
      'time': start[visit] + within,
      'who': users,
      'item': [f'i{n}' for n in item],
      'tags': ['|'.join(map(str, range(n))) or None for n in item % 4],
      'price': rng.exponential(size=rows).round(3),
      'clicked': click,
      'bought': click * rng.integers(0, 2, rows),
      'brand': [f'b{n % 4}' if n % 5 else None for n in item + visit],
    }
  )
  # Exact duplicates, which prepared data leaves out.
  return pa.concat_tables([table.slice(0, 700), table.slice(690)])


def log_without(key: str) -> tuple[pa.Table, dict[str, Any]]:
  """Raw rows that have no `user` or no `item`, and their schema."""
  raw, column = log(), SCHEMA[key]
  schema = {name: value for name, value in SCHEMA.items() if name != key}
  schema['categorical'] = [c for c in schema['categorical'] if c != column]
  if key == 'user':  # then every row needs a session
    visits = [visit or 'alone' for visit in raw['visit'].to_pylist()]
    at = raw.schema.get_field_index('visit')
    raw = raw.set_column(at, 'visit', pa.array(visits))
  return raw.drop_columns([column]), schema


def prepare_run(
  directory: pathlib.Path,
  config: config_lib.Config = CONFIG,
  raw: pa.Table | None = None,
  schema: dict[str, Any] = SCHEMA,
  **options,
) -> pathlib.Path:
  """Prepares a log with as-of features; RUN, nothing in it trained."""
  data = directory / 'data'
  if raw is not None:
    pq.write_table(raw, directory / 'log.parquet')
    (directory / 'schema.json').write_text(json.dumps(schema))
    options |= {
      'source': 'table',
      'raw_dir': str(directory / 'log.parquet'),
      'schema': str(directory / 'schema.json'),
    }
  prepare_log.prepare(
    prepare_settings.PrepareConfig(
      data_dir=str(data),
      history_items=4,
      any_dates=True,
      **{'as_of': ('all',), **options},
    )
  )
  (directory / 'run').mkdir()
  workdir.create(directory / 'run', config, data)
  return directory / 'run'


def untrained(
  run_dir: pathlib.Path, maps=None, **settings
) -> predictor.Predictor:
  """The run's predictor with other settings and random parameters."""
  run = workdir.read(run_dir)
  config = config_values.with_settings(run.config, settings)
  models = models_lib.Models(run.manifest.feature_spec())
  leaves, tree = jax.tree.flatten(models.shapes(config)[0])
  rng = np.random.default_rng(1)
  members = (config.ensemble,) if config.ensemble > 1 else ()
  params = jax.tree.unflatten(
    tree,
    [rng.normal(0, 0.5, (*members, *x.shape)).astype(x.dtype) for x in leaves],
  )
  run = dataclasses.replace(run, config=config)
  return predictor.Predictor(run, 'finetune', params, maps)


def evaluated(
  scorer: predictor.Predictor, split: str = 'test'
) -> tuple[np.ndarray, np.ndarray]:
  """(rows of the raw log, f32[R, K]) as `evaluate` computes them."""
  run = scorer.run
  host = columns_lib.read_split(run.data_dir, run.manifest, split)
  places = split_data.place(host, run.config.batch)
  models = models_lib.Models(run.manifest.feature_spec())
  return host.row_id, models.predict(run.config, scorer.params, places)
