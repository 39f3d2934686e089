"""The dispatches of a pass: some steps of the compiled loop and their rows.

Rows are in memory on the device, or come from disk with each dispatch
(`_streamed`), read by a thread while the dispatch before runs.
"""

from __future__ import annotations

import collections
import concurrent.futures
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from rmtl_jax import types
from rmtl_jax.data import batches, prepared_file, streaming
from rmtl_jax.runtime import programs
from rmtl_jax.training import split_data
from rmtl_jax.updates import loop as loop_lib

# Dispatches whose rows are read ahead.
_AHEAD = 2


class Dispatch(NamedTuple):
  """Some steps of a pass.

  Attributes:
    columns: the split's on the device, or rows in their slots.
    extras: further arrays, f32[R, K] or f32[S, L, T, K].
    slots: which rows fill the slots.
    steps: how many, at most S.
    row: i32[S, L, T], on the host, of all processes; -1 in padding.
  """

  columns: Any
  extras: Any
  slots: Any
  steps: Any
  row: np.ndarray


def dispatches(
  split: split_data.Split,
  passes: batches.Epoch | batches.Plan,
  size: int,
  begin: int = 0,
  extras: tuple[Any, ...] = (),
) -> Iterator[Dispatch]:
  """A pass over a split, `size` steps at a time.

  Args:
    passes: its batches; of a split on disk an Epoch is read window by window.
    size: steps of a dispatch.
    begin: dispatches that are left out.
    extras: further f32[R, K] arrays for the step, from
      `split.put`.

  Returns:
    Arrays on the device; those of a split on disk are read ahead.
  """
  if split.device is None:
    return ahead(_streamed(split, passes, size, begin, extras))
  return (
    Dispatch(split.device, extras, placed, steps, slots.row)
    for slots, count in chunks(whole_plan(passes), size, begin)
    for placed, steps in [jax.device_put((slots, count))]
  )


def whole_plan(passes: batches.Epoch | batches.Plan) -> batches.Plan:
  """A plan, or that of an epoch."""
  return passes.plan if isinstance(passes, batches.Epoch) else passes


def _streamed(
  split: split_data.Split,
  passes: batches.Epoch | batches.Plan,
  size: int,
  begin: int,
  extras: tuple[Any, ...],
) -> Iterator[Dispatch]:
  """Each with its own rows; of several processes with the lanes of this."""
  steps = passes.steps if isinstance(passes, batches.Epoch) else len(passes.row)
  lanes = _own_lanes(split)
  arrange = _as_columns if split.layout is None else _in_slots
  # The lanes of this process are put on its devices; a mesh joins them with the
  # others'.
  for number, (own, shown) in enumerate(
    _pieces(split, passes, size, begin, lanes), begin
  ):
    slots, columns, values = arrange(*own, extras)
    count = np.int32(min(size, steps - number * size))
    placed, on_device = _put(split, (columns, values, slots), count)
    columns, extra_rows, slots = placed
    yield Dispatch(columns, extra_rows, slots, on_device, shown)


def _own_lanes(split: split_data.Split) -> slice:
  """The lanes of a batch that this process places; all on one device."""
  lanes = split.config.lanes
  return split.layout.own_lanes(lanes) if split.layout else slice(0, lanes)


def _put(split: split_data.Split, arrays: Any, count: np.int32) -> Any:
  """Arrays [S, own lanes, ...], and a number, on the device or the mesh."""
  if split.layout is None:
    return jax.device_put((arrays, count))
  return split.layout.put_lanes(arrays), split.layout.put(count)


def _pieces(
  split: split_data.Split,
  passes: batches.Epoch | batches.Plan,
  size: int,
  begin: int,
  lanes: slice,
) -> Iterator[tuple[streaming.Piece, np.ndarray]]:
  """The own lanes of some batches at a time, and the rows that are counted."""
  if isinstance(passes, batches.Epoch):
    for one in streaming.pieces(split.host, passes, size, begin):
      yield jax.tree.map(lambda x: x[:, lanes], one), one.plan.row
    return
  for slots, _ in chunks(passes, size, begin):
    mine = batches.Plan(*(np.asarray(part)[:, lanes] for part in slots))
    yield streaming.Piece(mine, split.host.take(mine.row)), slots.row


# Slots, columns and extras of a dispatch.
_Arranged = tuple[Any, Any, tuple[np.ndarray, ...]]


def _as_columns(
  plan: batches.Plan, features: prepared_file.Features, extras: tuple[Any, ...]
) -> _Arranged:
  """The rows of a dispatch as columns, and where its slots find them.

  A program that gathers them, as it does from a whole split, gives the same
  bits; one that found them in their slots might round otherwise.

  Args:
    plan: of the split's rows, [S, L, T].
    features: of these rows; padding has the first row's.
    extras: f32[R, K] arrays of the split.

  Returns:
    (slots, the columns, extras of their rows). Padding finds what it finds in
    the whole split, in the first place.
  """
  row = plan.row
  order = np.arange(row.size)
  empty = np.flatnonzero(row < 0)[:1]
  if empty.size:
    order[[0, empty[0]]] = empty[0], 0
  flat = [x.reshape(row.size, *x.shape[row.ndim :])[order] for x in features]
  at = np.maximum(row.reshape(-1)[order], 0)
  place = order.astype(np.int32).reshape(row.shape)
  columns = loop_lib.Columns(*_of_steps(flat))
  values = tuple(np.asarray(x)[at] for x in extras)
  slots = loop_lib.Slots(np.where(row < 0, row, place), *plan[1:])
  return slots, columns, values


def _in_slots(
  plan: batches.Plan, features: prepared_file.Features, extras: tuple[Any, ...]
) -> _Arranged:
  """As `_as_columns`, with the rows in their slots: a mesh splits lanes."""
  at = np.maximum(plan.row, 0)
  values = tuple(np.asarray(x)[at] for x in extras)
  columns = loop_lib.SlotRows(*_of_steps(features))
  return loop_lib.Slots(*plan), columns, values


def _of_steps(features: Sequence[np.ndarray]) -> tuple[Any, ...]:
  """The features of a split, for Columns and SlotRows."""
  *inputs, labels, sample_weight = features
  return (
    types.Inputs(*inputs),
    labels,
    sample_weight if sample_weight.shape[-1] else None,
  )


def ahead(dispatches: Iterator[Dispatch]) -> Iterator[Dispatch]:
  """The same dispatches, read by another thread before they are asked for."""
  read = programs.in_32_bits(lambda: next(dispatches, None))
  waiting = collections.deque(_reader().submit(read) for _ in range(_AHEAD))
  try:
    while (one := waiting.popleft().result()) is not None:
      waiting.append(_reader().submit(read))
      yield one
  finally:
    for future in waiting:
      future.cancel()


@functools.cache
def _reader() -> concurrent.futures.ThreadPoolExecutor:
  """The thread that reads.

  One for all passes: memory that a thread has freed is not always given back.
  """
  return concurrent.futures.ThreadPoolExecutor(1, 'reader')


def map_rows(
  row_map: Callable[..., Any],
  params: Any,
  split: split_data.Split,
  extras: tuple[Any, ...] = (),
) -> Any:
  """A function of rows over a whole split, in the split's order.

  Args:
    row_map: from updates/loop.make_row_map.
    params: its first argument.
    extras: further f32[R, K] arrays for it, from `split.put`.

  Returns:
    A tree of numpy arrays, one value per row of the plan, by ascending row.
  """
  size = split.config.steps_per_dispatch
  rows, values = [], []
  for one in dispatches(split, split.plan, size, extras=extras):
    out = row_map(params, one.columns, one.extras, one.slots, one.steps)
    mask = one.row >= 0
    rows.append(one.row[mask])
    values.append(jax.tree.map(lambda x, m=mask: np.asarray(x)[m], out))
  order = np.argsort(np.concatenate(rows))

  def in_order(*parts):
    return np.concatenate(parts)[order]

  return jax.tree.map(in_order, *values)


def chunks(
  plan: batches.Plan, size: int, begin: int = 0
) -> list[tuple[Any, np.int32]]:
  """The plan in pieces of `size` batches, the last one padded, with counts.

  The first `begin` pieces are left out.
  """
  return [
    piece(plan, first, size)
    for first in range(begin * size, len(plan.row), size)
  ]


def piece(
  plan: batches.Plan, begin: int, size: int
) -> tuple[loop_lib.Slots, np.int32]:
  """`size` batches of a plan from `begin` on, padded, and their number."""
  count = min(size, max(len(plan.row) - begin, 0))
  pad = [(0, size - count), (0, 0), (0, 0)]
  end = begin + count
  slots = loop_lib.Slots(
    np.pad(plan.row[begin:end], pad, constant_values=-1),
    np.pad(plan.is_last[begin:end], pad),
    np.pad(plan.segment[begin:end], pad, constant_values=-1),
  )
  return slots, np.int32(count)
