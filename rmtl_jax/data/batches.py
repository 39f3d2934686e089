"""Sessions to packed lanes.

A *plan* says which row fills which slot of which batch; it holds indices
only, so the columns stay where they are (on the device, if they fit) and a
batch is one gather.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from rmtl_jax import config as config_lib

# Sessions up to this many rows can fill the gaps that longer ones leave.
_FILLER_ROWS = 4
# Share of the rows kept back as fillers.
_FILLER_SHARE = 0.1
# Batches that `distinct_room` looks at.
_SAMPLED_BATCHES = 32


class Plan(NamedTuple):
  """Which rows fill the slots of S batches.

  Attributes:
    row: i32[S, L, T], -1 in padding.
    is_last: bool[S, L, T].
    segment: i32[S, L, T], -1 in padding.
  """

  row: np.ndarray
  is_last: np.ndarray
  segment: np.ndarray


def session_order(
  sessions: int,
  seed: tuple[int, ...],
  epoch: int,
  config: config_lib.BatchConfig,
) -> np.ndarray:
  """The epoch's order of sessions: blocks permuted, then windows shuffled.

  Fixed blocks of neighbouring sessions are permuted over the whole split,
  then sessions are shuffled within a window of blocks. A reader that holds
  one window at a time gives the same order, in however many files.

  Args:
    sessions: S.
    seed: the run's seed and what else tells shuffles apart (the stage).
    epoch: counted from 0.
    config: block and window sizes.

  Returns:
    i64[S], a permutation.
  """
  generator = np.random.default_rng((*seed, epoch))
  size = config.block_sessions
  blocks = generator.permutation(-(-sessions // size))
  order = (blocks[:, None] * size + np.arange(size)).reshape(-1)
  order = order[order < sessions]
  window = size * config.window_blocks
  for start in range(0, sessions, window):
    generator.shuffle(order[start : start + window])
  return order


def training_plan(
  starts: np.ndarray,
  seed: tuple[int, ...],
  epoch: int,
  config: config_lib.BatchConfig,
) -> Plan:
  """The epoch's batches: every row once, sessions shuffled, lanes packed.

  Args:
    starts: i64[S + 1], first row of every session, then the number of rows.
    seed: the run's seed and what else tells shuffles apart (the stage).
    epoch: counted from 0.
    config: lanes and lane length; block and window sizes.

  Returns:
    The plan; its last batch may hold empty lanes.
  """
  order = session_order(len(starts) - 1, seed, epoch, config)
  size = config.block_sessions * config.window_blocks
  generator = np.random.default_rng((*seed, epoch, 1))
  parts = []
  used = 0
  # A window is packed by itself, so that a reader needs one at a time.
  for begin in range(0, len(order), size):
    first, length, ends = _pieces(
      starts, order[begin : begin + size], config.lane_length
    )
    lane, offset = pack(length, config.lane_length)
    lanes = int(lane.max()) + 1
    # Shuffled, so that late lanes, made of left-overs, are no batch.
    lane = used + generator.permutation(lanes)[lane]
    parts.append((first, length, ends, lane, offset))
    used += lanes
  first, length, ends, lane, offset = (
    np.concatenate(columns) for columns in zip(*parts, strict=True)
  )
  return _fill(first, length, ends, lane, offset, config)


def distinct_room(
  categorical: np.ndarray, starts: np.ndarray, config: config_lib.BatchConfig
) -> tuple[int, ...]:
  """Room that the distinct values of a training batch need, per field.

  The most that a sample of batches has, and a twentieth more, in steps of
  32: a later batch that needs more is possible, but rare. The sample does not
  depend on the run's seed, so that seeds share compiled programs.

  Args:
    categorical: i32[R, F].
    starts: i64[S + 1], first row of every session, then R.
    config: lanes and lane length.

  Returns:
    F numbers, at most the slots of a batch.
  """
  slots = config.lanes * config.lane_length
  order = np.random.default_rng(0).permutation(len(starts) - 1)
  length = np.diff(starts)[order]
  most = np.zeros(categorical.shape[1], np.int64)
  begin = 0
  for _ in range(_SAMPLED_BATCHES):
    # The sessions that fill a batch, the last one perhaps in part.
    rows = np.cumsum(length[begin : begin + slots])
    end = begin + 1 + int(np.searchsorted(rows, slots))
    batch = np.concatenate(
      [np.arange(*starts[s : s + 2].tolist()) for s in order[begin:end]]
    )[:slots]
    values = np.sort(categorical[batch], axis=0)
    most = np.maximum(most, 1 + (values[1:] != values[:-1]).sum(axis=0))
    begin = end
    if begin >= len(order):
      break
  room = -(-(most + most // 20 + 1) // 32) * 32
  return tuple(int(r) for r in np.minimum(room, slots))


def ordered_plan(starts: np.ndarray, config: config_lib.BatchConfig) -> Plan:
  """All rows once, sessions in their own order: for evaluation."""
  order = np.arange(len(starts) - 1)
  first, length, ends = _pieces(starts, order, config.lane_length)
  lane, offset = _next_fit(length, config.lane_length)
  return _fill(first, length, ends, lane, offset, config)


def rows_plan(rows: np.ndarray, config: config_lib.BatchConfig) -> Plan:
  """Some rows, in their order, each a session of its own.

  Args:
    rows: i64[U].
    config: lanes and lane length.
  """
  shape = (-1, config.lanes, config.lane_length)
  padding = -len(rows) % (config.lanes * config.lane_length)
  number = np.pad(np.arange(len(rows)), (0, padding), constant_values=-1)
  row = np.pad(rows, (0, padding), constant_values=-1)
  return Plan(
    row.astype(np.int32).reshape(shape),
    (row >= 0).reshape(shape),
    number.astype(np.int32).reshape(shape),
  )


def pack(length: np.ndarray, capacity: int) -> tuple[np.ndarray, np.ndarray]:
  """Packs sessions into lanes with few empty slots.

  Sessions go into lanes in their order (next fit); a tenth of the rows, in
  short sessions, is kept back and fills the gaps that remain.

  Args:
    length: i64[P], rows of each session or piece, 1 <= length <= capacity.
    capacity: T.

  Returns:
    (lane i64[P], offset i64[P]): where each one goes; no slot twice.
  """
  lane = np.zeros(len(length), np.int64)
  offset = np.zeros(len(length), np.int64)
  filler = _choose_fillers(length)
  body = np.flatnonzero(~filler)
  lane[body], offset[body] = _next_fit(length[body], capacity)
  lanes = int(lane[body].max()) + 1 if len(body) else 0
  used = np.bincount(lane[body], weights=length[body], minlength=lanes)
  used = used.astype(np.int64)
  left = []
  for size in range(_FILLER_ROWS, 0, -1):
    pieces = np.flatnonzero(filler & (length == size))
    room = (capacity - used) // size
    goal = np.repeat(np.arange(lanes), room)[: len(pieces)]
    placed = pieces[: len(goal)]
    taken = np.bincount(goal, minlength=lanes)
    before = np.cumsum(taken) - taken
    lane[placed] = goal
    offset[placed] = used[goal] + (np.arange(len(goal)) - before[goal]) * size
    used += taken * size
    left.append(pieces[len(goal) :])
  rest = np.sort(np.concatenate(left))
  lane[rest], offset[rest] = _next_fit(length[rest], capacity)
  lane[rest] += lanes
  return lane, offset


def _choose_fillers(length: np.ndarray) -> np.ndarray:
  """bool[P]: short sessions from the end of the order, a tenth of the rows."""
  short = np.where(length <= _FILLER_ROWS, length, 0)
  from_end = np.cumsum(short[::-1])[::-1]
  return (short > 0) & (from_end <= _FILLER_SHARE * length.sum())


def _next_fit(
  length: np.ndarray, capacity: int
) -> tuple[np.ndarray, np.ndarray]:
  """Fills one lane after the other; a lane closes when the next won't fit."""
  ends = np.cumsum(length)
  firsts = []
  start, begin = 0, 0
  while start < len(length):
    firsts.append(start)
    start = int(np.searchsorted(ends, begin + capacity, side='right'))
    begin = int(ends[start - 1])
  if not firsts:
    return np.zeros(0, np.int64), np.zeros(0, np.int64)
  counts = np.diff(np.append(firsts, len(length)))
  lane = np.repeat(np.arange(len(firsts)), counts)
  offset = ends - length
  return lane, offset - np.repeat(offset[firsts], counts)


def _pieces(
  starts: np.ndarray, order: np.ndarray, capacity: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Sessions in order, the long ones cut: first row, length, ends there."""
  total = np.diff(starts)[order]
  count = -(-total // capacity)
  owner = np.repeat(np.arange(len(order)), count)
  part = np.arange(len(owner)) - np.repeat(np.cumsum(count) - count, count)
  first = starts[:-1][order][owner] + part * capacity
  length = np.minimum(total[owner] - part * capacity, capacity)
  return first, length, part == count[owner] - 1


def _fill(
  first: np.ndarray,
  length: np.ndarray,
  ends: np.ndarray,
  lane: np.ndarray,
  offset: np.ndarray,
  config: config_lib.BatchConfig,
) -> Plan:
  """Writes every piece into its slots."""
  lanes, slots = config.lanes, config.lane_length
  used = int(lane.max()) + 1 if len(lane) else 0
  steps = -(-used // lanes)
  row = np.full(steps * lanes * slots, -1, np.int32)
  segment = np.full(steps * lanes * slots, -1, np.int32)
  is_last = np.zeros(steps * lanes * slots, bool)
  begin = np.repeat(np.cumsum(length) - length, length)
  within = np.arange(int(length.sum())) - begin
  target = np.repeat(lane * slots + offset, length) + within
  row[target] = np.repeat(first, length) + within
  # A piece's own number is enough: neighbours in a lane differ in it.
  segment[target] = np.repeat(np.arange(len(first)), length)
  is_last[(lane * slots + offset + length - 1)[ends]] = True
  shape = (steps, lanes, slots)
  return Plan(
    row.reshape(shape), is_last.reshape(shape), segment.reshape(shape)
  )
