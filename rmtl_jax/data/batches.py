"""Sessions to packed lanes.

A *plan* lists which row fills which slot of which batch; it has indices
only, so the columns stay where they are (on the device, if they fit) and a
batch is one gather.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from rmtl_jax import config as config_lib

# Sessions that stay neighbours in the first shuffle, and how many such blocks
# are shuffled together in the second.
BLOCK_SESSIONS, WINDOW_BLOCKS = 256, 256
# Sessions up to this many rows can fill the gaps that longer ones leave.
_FILLER_ROWS = 4
# Share of the rows kept back as fillers.
_FILLER_SHARE = 0.1
# Batches that `distinct_capacity` looks at.
_SAMPLED_BATCHES = 32


class Plan(NamedTuple):
  """Row numbers for the slots of S batches, or of lanes without the S axis.

  Attributes:
    row: i32[S, L, T], -1 in padding.
    is_last: bool[S, L, T].
    segment: i32[S, L, T], -1 in padding.
  """

  row: np.ndarray
  is_last: np.ndarray
  segment: np.ndarray


def find_cuts(starts: np.ndarray, length: int) -> np.ndarray:
  """Finds where sessions that are longer than a lane are cut: when it is full.

  Args:
    starts: i64[S + 1], first row of every session, then R.
    length: slots of a lane, T.

  Returns:
    i64[C], ascending: first rows of the pieces that don't begin a session.
  """
  count = (np.maximum(np.diff(starts), 1) - 1) // length
  owner = np.repeat(np.arange(len(count)), count)
  part = np.arange(len(owner)) - np.repeat(np.cumsum(count) - count, count)
  return starts[owner] + (part + 1) * length


def session_order(
  sessions: int,
  seed: tuple[int, ...],
  epoch: int,
) -> np.ndarray:
  """Shuffles sessions in two levels: permutes blocks, then shuffles windows.

  Fixed blocks of neighbouring sessions are permuted over the whole split; then
  sessions are shuffled within windows of blocks. The order is the same whether
  one window at a time is in memory or all, and whatever the files.

  Args:
    sessions: S.
    seed: the run's seed and the stage's number.
    epoch: counted from 0.

  Returns:
    i64[S], a permutation.
  """
  generator = np.random.default_rng((*seed, epoch))
  size = BLOCK_SESSIONS
  blocks = generator.permutation(-(-sessions // size))
  order = (blocks[:, None] * size + np.arange(size)).reshape(-1)
  order = order[order < sessions]
  window = size * WINDOW_BLOCKS
  for start in range(0, len(order), window):
    generator.shuffle(order[start : start + window])
  return order


@dataclasses.dataclass(frozen=True)
class Epoch:
  """One pass over a split: every row once, sessions shuffled, lanes packed.

  Attributes:
    starts: i64[S + 1], first row of every session, then the number of rows.
    seed: the run's seed and the stage's number.
    number: of the pass, counted from 0.
    config: lanes and lane length.
  """

  starts: np.ndarray
  seed: tuple[int, ...]
  number: int
  config: config_lib.BatchConfig

  def windows(self) -> Iterator[Plan]:
    """Packs the sessions, [N, T] lanes per window of the shuffle.

    A window is packed by itself, so that one at a time can be in memory.
    """
    generator = np.random.default_rng((*self.seed, self.number, 1))
    slots = self.config.lane_length
    for pieces in self._window_pieces():
      lane, offset = pack_lanes(pieces.length, slots)
      # The last lanes have left-overs: short sessions and gaps. Shuffled, they
      # spread over the batches in place of making up their own batch.
      lane = generator.permutation(int(lane.max()) + 1)[lane]
      yield _fill(pieces, lane, offset, slots)

  def _window_pieces(self) -> Iterator[_Pieces]:
    """Sessions in the pass's order, cut to lanes, window by window."""
    order = session_order(len(self.starts) - 1, self.seed, self.number)
    cuts = find_cuts(self.starts, self.config.lane_length)
    size = BLOCK_SESSIONS * WINDOW_BLOCKS
    for begin in range(0, len(order), size):
      yield _cut(self.starts, order[begin : begin + size], cuts)

  @functools.cached_property
  def plan(self) -> Plan:
    """All batches; the last one may have empty lanes."""
    return _batches([*self.windows()], self.config)

  @functools.cached_property
  def steps(self) -> int:
    """Number of batches, without filling them."""
    slots = self.config.lane_length
    lanes = 0
    for pieces in self._window_pieces():
      lanes += int(pack_lanes(pieces.length, slots)[0].max()) + 1
    return -(-lanes // self.config.lanes)


def distinct_capacity(
  take: Callable[[np.ndarray], np.ndarray],
  starts: np.ndarray,
  config: config_lib.BatchConfig,
) -> tuple[int, ...]:
  """Estimates how many distinct values a training batch has, per field.

  The maximum over a sample of batches, plus a twentieth, rounded up to a
  multiple of 32; later batches rarely need more. The sample does not depend on
  the run's seed, so that seeds share compiled programs.

  Args:
    take: the categorical fields of some rows: i64[B] to i32[B, F].
    starts: i64[S + 1], first row of every session, then R.
    config: lanes and lane length.

  Returns:
    F numbers, at most the slots of a batch.
  """
  slots = config.lanes * config.lane_length
  sessions = len(starts) - 1
  window = BLOCK_SESSIONS * WINDOW_BLOCKS
  # A batch of a pass comes mostly from one window, so its sessions are
  # neighbours in time and have fewer distinct values than any others.
  if sessions > window:
    order = session_order(sessions, (0,), 0)
  else:
    order = np.random.default_rng(0).permutation(sessions)
  length = np.diff(starts)[order]
  sample, begin = [], 0
  for _ in range(_SAMPLED_BATCHES):
    # The sessions that fill a batch, the last one perhaps in part.
    rows = np.cumsum(length[begin : begin + slots])
    end = begin + 1 + int(np.searchsorted(rows, slots))
    ranges = [starts[s : s + 2].tolist() for s in order[begin:end]]
    sample.append(np.concatenate([np.arange(*r) for r in ranges])[:slots])
    begin = end
    if begin >= len(order):
      break
  most = np.ones(1, np.int64)
  bounds = np.cumsum([len(rows) for rows in sample])[:-1]
  for batch in np.split(take(np.concatenate(sample)), bounds):
    values = np.sort(batch, axis=0)
    most = np.maximum(most, 1 + (values[1:] != values[:-1]).sum(axis=0))
  room = -(-(most + most // 20 + 1) // 32) * 32
  return tuple(int(r) for r in np.minimum(room, slots))


def ordered_plan(starts: np.ndarray, config: config_lib.BatchConfig) -> Plan:
  """Packs all rows once, sessions in their own order: for evaluation.

  Args:
    starts: i64[S + 1], first row of every session, then R.
    config: lanes and lane length.
  """
  cut_at = find_cuts(starts, config.lane_length)
  pieces = _cut(starts, np.arange(len(starts) - 1), cut_at)
  lane, offset = _next_fit(pieces.length, config.lane_length)
  return _batches([_fill(pieces, lane, offset, config.lane_length)], config)


def pack_lanes(
  length: np.ndarray, capacity: int
) -> tuple[np.ndarray, np.ndarray]:
  """Packs sessions into lanes with few empty slots.

  Next fit: sessions go into lanes in their order. A tenth of the rows, in short
  sessions, is kept back and then fills the gaps.

  Args:
    length: i64[P], rows of each session or piece, 1 <= length <= capacity.
    capacity: T.

  Returns:
    (lane i64[P], offset i64[P]) of each; no slot twice.
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
  # Longest fillers first: a gap of 4 takes one of 4 or four of 1, but a gap
  # that ones have filled takes no other.
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
  # Fillers that found no gap go into further lanes, in their order.
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
  # For each session: the first one that no longer fits if it begins a lane.
  # Following these from session 0 on visits every lane's first session.
  after = np.searchsorted(ends, ends - length + capacity, side='right')
  firsts, start = [], 0
  while start < len(length):
    firsts.append(start)
    start = after.item(start)
  if not firsts:
    return np.zeros(0, np.int64), np.zeros(0, np.int64)
  counts = np.diff(np.append(firsts, len(length)))
  lane = np.repeat(np.arange(len(firsts)), counts)
  offset = ends - length
  return lane, offset - np.repeat(offset[firsts], counts)


class _Pieces(NamedTuple):
  """Sessions, cut so that each piece fits a lane, [P] each.

  Attributes:
    first: i64[P], first row.
    length: i64[P], rows.
    is_last: bool[P], whether the piece ends its session.
  """

  first: np.ndarray
  length: np.ndarray
  is_last: np.ndarray


def _cut(starts: np.ndarray, order: np.ndarray, cut_at: np.ndarray) -> _Pieces:
  """Cuts sessions.

  Args:
    starts: i64[S + 1].
    order: sessions, i64[W].
    cut_at: of `find_cuts`.
  """
  begin, end = starts[order], starts[order + 1]
  earlier = np.searchsorted(cut_at, begin)
  count = np.minimum(end - begin, 1) + np.searchsorted(cut_at, end) - earlier
  owner = np.repeat(np.arange(len(order)), count)
  part = np.arange(len(owner)) - np.repeat(np.cumsum(count) - count, count)
  # A session with n cuts has n + 1 pieces: the first begins at the session's
  # start, the others at a cut; the last ends with the session.
  bounds = np.append(cut_at, 0)
  at = earlier[owner] + part
  is_last = part == count[owner] - 1
  first = np.where(part == 0, begin[owner], bounds[at - 1])
  length = np.where(is_last, end[owner], bounds[at]) - first
  return _Pieces(first, length, is_last)


def _fill(
  pieces: _Pieces, lane: np.ndarray, offset: np.ndarray, slots: int
) -> Plan:
  """Writes every piece into its slots of N lanes, [N, T]."""
  first, length, is_last = pieces
  lanes = int(lane.max()) + 1 if len(lane) else 0
  plan = empty_lanes(lanes, slots)
  row, ends, segment = (part.reshape(-1) for part in plan)
  # A piece's own number is enough: neighbours in a lane differ in it.
  piece = np.repeat(np.arange(len(first), dtype=np.int32), length)
  number = np.arange(len(piece))
  goal = lane * slots + offset
  before = np.cumsum(length) - length
  target = (goal - before)[piece] + number
  row[target] = (first - before)[piece] + number
  segment[target] = piece
  ends[(goal + length - 1)[is_last]] = True
  return plan


def empty_lanes(lanes: int, slots: int) -> Plan:
  """Empty lanes, [lanes, T]."""
  empty = np.full((lanes, slots), -1, np.int32)
  return Plan(empty, np.zeros((lanes, slots), bool), empty.copy())


def _batches(windows: list[Plan], config: config_lib.BatchConfig) -> Plan:
  """Groups lanes into batches, [steps, lanes, T], the last filled up."""
  used = sum(len(window.row) for window in windows)
  full = (*windows, empty_lanes(-used % config.lanes, config.lane_length))
  joined = [np.concatenate(x) for x in zip(*full, strict=True)]
  shape = (-1, config.lanes, config.lane_length)
  return Plan(*(x.reshape(shape) for x in joined))
