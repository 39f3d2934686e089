"""A split for training and prediction: on the device, or streamed from disk."""

from __future__ import annotations

import dataclasses
import functools
import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from rmtl_jax import config as config_lib
from rmtl_jax import types
from rmtl_jax.data import batches, streaming
from rmtl_jax.data import columns as columns_lib
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.networks import functional
from rmtl_jax.runtime import memory, mesh, progress
from rmtl_jax.updates import loop as loop_lib

# Share of the device's memory for the data.
_SHARE = 0.25
# Rows have numbers of 32 bits.
_MOST_ROWS = 2**31 - 1
# Rows of a split for fits on all rows at once.
_MOST_SAMPLED = 2**20
# Splits of up to so many rows are filled up to one size (of_one_size).
_MOST_FILLED = 2**18


@dataclasses.dataclass(frozen=True, eq=False)
class Split:
  """A split's rows, and how they become batches; equal to itself alone.

  Attributes:
    host: the rows, in memory or on disk.
    device: the columns that networks and losses need; None where every
      dispatch brings its own rows.
    config: lanes and lane length.
    layout: the mesh that batches go to, or None: one device.
  """

  host: columns_lib.Rows
  device: loop_lib.Columns | None
  config: config_lib.BatchConfig
  layout: mesh.Layout | None = None

  @property
  def plan(self) -> batches.Plan:
    """Every row once, in order; kept where the rows are."""
    return self._ordered() if self.device is None else self._plan

  @functools.cached_property
  def _plan(self) -> batches.Plan:
    return self._ordered()

  def _ordered(self) -> batches.Plan:
    return batches.ordered_plan(self.host.starts, self.config)

  def put(self, values: np.ndarray) -> jax.Array | np.ndarray:
    """Values of the rows, f32[R, K], kept where the rows are."""
    values = values.astype(np.float32)
    if self.device is None:
      return values
    return jax.device_put(_filled(values, len(self.device.labels)))


def place(
  host: columns_lib.Rows,
  config: config_lib.BatchConfig,
  layout: mesh.Layout | None = None,
) -> Split:
  """Puts a split on the device, if it is in memory and there is one device."""
  if layout or not isinstance(host, columns_lib.SplitColumns):
    return Split(host, None, config, layout)
  inputs = types.Inputs(host.categorical, host.multi_valued, host.numeric)
  device = jax.device_put(
    loop_lib.Columns(inputs, host.labels, host.sample_weight)
  )
  return Split(host, device, config)


def of_one_size(by_name: Mapping[str, Split]) -> dict[str, Split]:
  """The splits, small ones on the device with as many rows as the largest.

  No plan names the rows that are added; programs of a split then serve all of
  them, where each would be compiled for its own number of rows.
  """
  rows = max(
    len(one.device.labels) if one.device else 0 for one in by_name.values()
  )
  if rows > _MOST_FILLED:
    return dict(by_name)
  return {
    name: one
    if not one.device
    else dataclasses.replace(
      one, device=jax.tree.map(lambda x: _filled(x, rows), one.device)
    )
    for name, one in by_name.items()
  }


def _filled(values: Any, rows: int) -> Any:
  """Values with zeros for rows that are missing, [rows, ...]."""
  missing = rows - len(values)
  if not missing:
    return values
  widths = [(0, missing)] + [(0, 0)] * (values.ndim - 1)
  return jax.device_put(np.pad(np.asarray(values), widths))


def read(
  data_dir: str | pathlib.Path,
  manifest: manifest_lib.Manifest,
  split: str,
  config: config_lib.BatchConfig,
  live: progress.Progress | None = None,
  layout: mesh.Layout | None = None,
) -> Split:
  """Reads a split, or checks it and leaves it on disk (`config.input`).

  Args:
    data_dir: the directory with manifest.json.
    split: 'train', 'validation' or 'test'.
    config: `input`, lanes and lane length.
    live: where the progress of checking goes.
    layout: the mesh that batches go to, or None: one device.

  Raises:
    types.InputError: bad data; names file, column and row.
  """
  record = manifest.splits.get(split)
  if record and record.rows > _MOST_ROWS:
    raise types.InputError(
      f'{data_dir}: split {split!r} has {record.rows} rows, at most'
      f' {_MOST_ROWS} can be numbered; prepare it in parts'
    )
  if record:
    block = min(record.rows, columns_lib.BLOCK_ROWS)
    memory.check_rows(f'{data_dir}/manifest.json', manifest, block)
  if record and streams(manifest.feature_spec(), record.rows, config):
    live = live or progress.Progress(quiet=True)
    live.start(f'checking {split}', record.rows)
    host = streaming.StreamedColumns(data_dir, manifest, split, live.advance)
    live.clear()
    return place(host, config, layout)
  host = columns_lib.read_split(data_dir, manifest, split)
  return place(host, config, layout)


def streams(
  spec: types.FeatureSpec, rows: int, config: config_lib.BatchConfig
) -> bool:
  """Whether a split of so many rows stays on disk."""
  if config.input != 'auto':
    return config.input == 'streaming'
  lists = sum(width for _, width in spec.multi_valued)
  columns = len(spec.categorical) + lists + spec.numeric + spec.num_tasks
  limit = _SHARE * memory.of_device()
  return 4 * columns * rows > limit


def sampled_rows(rows: int) -> int:
  """How many of so many rows `sampled` takes."""
  return min(rows, _MOST_SAMPLED)


def sampled(split: Split, first: int | None = None) -> functional.Rows:
  """The rows of a split, or of a large one a sample, the same every time.

  Args:
    split: its rows.
    first: rows that count, of those at its beginning; None: all.
  """
  rows = split.host.rows if first is None else first
  chosen = np.arange(sampled_rows(rows))
  if rows > _MOST_SAMPLED:
    draw = np.random.default_rng(0)
    chosen = np.sort(draw.choice(rows, _MOST_SAMPLED, replace=False))
  found = split.host.take(chosen)
  weight = found.sample_weight
  return functional.Rows(
    types.Inputs(found.categorical, found.multi_valued, found.numeric),
    found.labels,
    weight if weight.shape[1] else None,
  )


def with_room(spec: types.FeatureSpec, train: Split) -> types.FeatureSpec:
  """The fields, with the room that distinct values of train batches need."""
  host = train.host
  room = batches.distinct_capacity(
    lambda rows: host.take(rows).categorical, host.starts, train.config
  )
  return dataclasses.replace(spec, distinct=room)
