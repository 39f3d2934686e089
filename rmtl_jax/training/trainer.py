"""The host's loop: data on the device, chunks of steps, predictions back."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from rmtl_jax import config as config_lib
from rmtl_jax import types
from rmtl_jax.data import batches
from rmtl_jax.data import columns as columns_lib
from rmtl_jax.training import progress as progress_lib
from rmtl_jax.updates import loop as loop_lib


class Interrupted(Exception):
  """SIGTERM or SIGINT arrived; everything up to the last epoch is saved."""

  def __init__(self, signal_number: int):
    super().__init__(f'interrupted by signal {signal_number}')
    self.signal_number = signal_number


@dataclasses.dataclass(frozen=True)
class Split:
  """A split on the host, on the device, and the plan that reads it in order.

  Attributes:
    host: the columns as numpy.
    device: the columns that networks and losses need.
    plan: every row once, in order.
  """

  host: columns_lib.SplitColumns
  device: loop_lib.Columns
  plan: batches.Plan


def place(
  host: columns_lib.SplitColumns, config: config_lib.BatchConfig
) -> Split:
  """Puts a split on the device."""
  inputs = types.Inputs(host.categorical, host.multi_valued, host.numeric)
  device = jax.device_put(loop_lib.Columns(inputs, host.labels))
  return Split(host, device, batches.ordered_plan(host.starts, config))


def chunks(plan: batches.Plan, size: int) -> list[tuple[loop_lib.Slots, int]]:
  """The plan in pieces of `size` batches, the last one padded, with counts."""
  pieces = []
  for begin in range(0, len(plan.row), size):
    count = min(size, len(plan.row) - begin)
    rows = plan.row[begin : begin + size]
    pad = [(0, size - count), (0, 0), (0, 0)]
    slots = loop_lib.Slots(
      np.pad(rows, pad, constant_values=-1),
      np.pad(plan.is_last[begin : begin + size], pad),
      np.pad(plan.segment[begin : begin + size], pad, constant_values=-1),
    )
    pieces.append((slots, count))
  return pieces


def run_epoch(
  loop: Callable[..., Any],
  state: Any,
  split: Split,
  plan: batches.Plan,
  key: jax.Array,
  config: config_lib.BatchConfig,
  progress: progress_lib.Progress,
  extras: tuple[jax.Array, ...] = (),
  interrupted: Callable[[], int] = lambda: 0,
) -> tuple[Any, dict[str, float]]:
  """One pass over a plan.

  Args:
    loop: from updates/loop.make_loop; its state argument is donated.
    state: before the pass.
    split: the data.
    plan: the pass's batches.
    key: of the stage; steps fold in their own number.
    config: `steps_per_dispatch`.
    progress: told the rows that are done.
    extras: f32[R, K] arrays that the step wants beside the batch.
    interrupted: a signal's number once one has arrived, else 0.

  Returns:
    (state after the pass, metrics summed over its steps).

  Raises:
    Interrupted: a signal arrived.
    FloatingPointError: a metric was not finite.
  """
  totals: dict[str, float] = {}
  for slots, count in chunks(plan, config.steps_per_dispatch):
    if interrupted():
      raise Interrupted(interrupted())
    state, sums = loop(
      state, split.device, extras, jax.device_put(slots), np.int32(count), key
    )
    for name, value in jax.device_get(sums).items():
      totals[name] = totals.get(name, 0.0) + float(value)
    if totals['nonfinite']:
      raise FloatingPointError(
        'loss is not finite within the'
        f' {config.steps_per_dispatch} steps up to step {int(state.step)}'
      )
    progress.advance(int(np.count_nonzero(slots.row >= 0)))
  return state, totals


def map_rows(
  row_map: Callable[..., Any],
  params: Any,
  split: Split,
  config: config_lib.BatchConfig,
  extras: tuple[jax.Array, ...] = (),
) -> Any:
  """A function of rows over a whole split, in the split's order.

  Args:
    row_map: from updates/loop.make_row_map.
    params: what it takes first.
    split: the data.
    config: `steps_per_dispatch`.
    extras: f32[R, K] arrays that it wants beside the batch.

  Returns:
    A tree of numpy arrays [R, ...].
  """
  pieces = []
  for slots, count in chunks(split.plan, config.steps_per_dispatch):
    out = row_map(
      params, split.device, extras, jax.device_put(slots), np.int32(count)
    )
    mask = slots.row >= 0
    pieces.append(
      (slots.row[mask], jax.tree.map(lambda x, m=mask: np.asarray(x)[m], out))
    )
  rows = np.concatenate([row for row, _ in pieces])

  def in_order(*parts):
    values = np.concatenate(parts)
    result = np.empty_like(values)
    result[rows] = values
    return result

  return jax.tree.map(in_order, *[out for _, out in pieces])


def on_device(values: np.ndarray) -> jax.Array:
  """Values of a split's rows as f32 on the device."""
  return jax.device_put(values.astype(np.float32))
