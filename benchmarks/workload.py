"""The log that benchmarks run on: rows in memory, shaped like RetailRocket's.

50,000 items with seven categorical fields, skewed in popularity and in what
their fields say, one numeric field (a price), sessions of four rows on average,
9.6 % clicks, 1.4 % conversions. A batch of 2,048 rows has about 22 % distinct
categories per field.
"""

from __future__ import annotations

import dataclasses
import pathlib

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from rmtl_jax import config as config_lib
from rmtl_jax import types
from rmtl_jax.data import columns as columns_lib
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.runtime import progress
from rmtl_jax.training import context as context_lib
from rmtl_jax.training import models, split_data

VOCABULARIES = (1500, 2959, 4647, 2, 1200, 707, 724)
_FILE_ROWS, _GROUP_ROWS = 2**20, 8192
QUIET = progress.Progress(quiet=True)


@dataclasses.dataclass(frozen=True)
class Workload:
  """What a log is like.

  Attributes:
    rows: R.
    items: distinct items.
    vocabularies: rows of each categorical field's vocabulary.
    session_rows: mean rows of a session (geometric).
    tasks: K; the first is the click, the others follow from it.
    seed: of the draws.
  """

  rows: int = 100_000
  items: int = 50_000
  vocabularies: tuple[int, ...] = VOCABULARIES
  session_rows: float = 4.0
  tasks: int = 2
  seed: int = 0

  @property
  def task_names(self) -> tuple[str, ...]:
    """task_0, task_1, ..."""
    return tuple(f'task_{k}' for k in range(self.tasks))

  def spec(self) -> types.FeatureSpec:
    """The form of the features."""
    return types.FeatureSpec(self.vocabularies, (), 1, self.tasks)

  def columns(self) -> columns_lib.SplitColumns:
    """The rows."""
    rng = np.random.default_rng(self.seed)
    item = _item(rng, self.rows, self.items)
    labels = [rng.random(self.rows) < 0.096]
    for _ in range(self.tasks - 1):
      labels.append(labels[-1] & (rng.random(self.rows) < 0.15))
    starts = session_starts(rng, self.rows, self.session_rows)
    session = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    price = rng.normal(size=(self.items, 1)).astype(np.float32)
    return columns_lib.SplitColumns(
      categorical=item_fields(rng, self.items, self.vocabularies)[item],
      multi_valued=np.zeros((self.rows, 0), np.int32),
      numeric=price[item],
      labels=np.stack(labels, axis=1).astype(np.float32),
      session=session,
      user=None,
      row_id=np.arange(self.rows),
      oracle=None,
      begins_time=np.ones(self.rows, bool),
      starts=starts,
    )


def write(workload: Workload, path: pathlib.Path) -> manifest_lib.Manifest:
  """Writes the log as prepared data whose splits are all the same rows.

  Args:
    workload: the log.
    path: DATA, created; a million rows a file, in small row groups.
  """
  host = workload.columns()
  fields = [
    manifest_lib.Field(f'c{i}', 'categorical', size=size)
    for i, size in enumerate(workload.vocabularies)
  ]
  columns = {f.column: host.field(i) for i, f in enumerate(fields)}
  fields.append(manifest_lib.Field('price', 'numeric'))
  columns['x_price'] = host.numeric[:, 0]
  for k, task in enumerate(workload.task_names):
    columns[f'y_{task}'] = host.labels[:, k]
  table = pa.table(
    {**columns, 'session_id': host.session, 'row_id': host.row_id}
  )
  (path / 'train').mkdir(parents=True)
  files = []
  for begin in range(0, host.rows, _FILE_ROWS):
    files.append(f'train/part-{len(files):05d}.parquet')
    part = table.slice(begin, _FILE_ROWS)
    pq.write_table(part, path / files[-1], row_group_size=_GROUP_ROWS)
  split = manifest_lib.Split(
    rows=host.rows,
    sessions=len(host.starts) - 1,
    files=tuple(files),
    positives={t: 0 for t in workload.task_names},
  )
  return manifest_lib.Manifest(
    source='workload',
    fields=tuple(fields),
    tasks=tuple(manifest_lib.Task(t) for t in workload.task_names),
    splits=dict.fromkeys(manifest_lib.SPLITS, split),
  )


def item_fields(
  rng: np.random.Generator, items: int, vocabularies: tuple[int, ...]
) -> np.ndarray:
  """What every item's fields say, i32[items, F]; a few values are frequent."""
  fields = []
  for size in vocabularies:
    drawn = rng.pareto(1.0, items) * size / 12
    few = rng.integers(0, max(size, 1), items)
    fields.append(few if size < 16 else np.minimum(drawn, size - 1))
  return np.stack(fields, axis=1).astype(np.int32)


def _item(rng: np.random.Generator, rows: int, items: int) -> np.ndarray:
  """Each row's item, i64[R]; popularity falls as rank^-0.9."""
  popularity = np.arange(1, items + 1) ** -0.9
  edges = np.cumsum(popularity / popularity.sum())
  return np.minimum(np.searchsorted(edges, rng.random(rows)), items - 1)


def session_starts(
  rng: np.random.Generator, rows: int, mean: float
) -> np.ndarray:
  """First row of every session, then R; lengths are geometric."""
  length = rng.geometric(1.0 / mean, rows)
  starts = np.concatenate([[0], np.cumsum(length)])
  return np.append(starts[starts < rows], rows)


def context(
  workload: Workload,
  config: config_lib.Config,
  split: split_data.Split | None = None,
) -> context_lib.Context:
  """A run on the log, as the launcher would set it up; nothing is saved.

  Args:
    workload: the log.
    config: settings.
    split: of the log, where it has been placed before.
  """
  split = split or split_data.place(workload.columns(), config.batch)
  spec = split_data.with_room(workload.spec(), split)
  return context_lib.Context(
    config, workload.task_names, split, split, models.Models(spec), QUIET
  )
