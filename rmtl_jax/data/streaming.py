"""A split that stays on disk: rows are read when they are needed.

Memory holds eight bytes per session, a bit per row and the requested rows.
Training requests one window of the shuffle at a time (data/batches.Epoch). A
window consists of blocks of neighbouring rows, so small row groups keep what is
read beside them small.
"""

from __future__ import annotations

import copy
import functools
import itertools
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from rmtl_jax import types
from rmtl_jax.data import batches, columns, prepared_file, reading
from rmtl_jax.data import manifest as manifest_lib

# The most files that are open.
_OPEN = 16


class StreamedColumns:
  """One split, sorted by session and time, as columns.SplitColumns has it.

  Whole columns are read from disk at every access.

  Attributes:
    starts: i64[S + 1], first row of every session, then R.
  """

  def __init__(
    self,
    data_dir: str | pathlib.Path,
    manifest: manifest_lib.Manifest,
    split: str,
    on_rows: Callable[[int], None] = lambda rows: None,
  ):
    """Reads the split once, to check every value and to find the sessions.

    Args:
      data_dir: the directory with manifest.json.
      split: 'train', 'validation' or 'test'.
      on_rows: called with the number of rows that are checked.

    Raises:
      types.InputError: as columns.read_split.
    """
    self._manifest = manifest
    self._dir = pathlib.Path(data_dir)
    self._names = columns.file_names(manifest, split)
    self._snapshot = reading.Snapshot(data_dir, manifest, (split,))
    starts, groups, sizes = [], [], []
    order, rows, self._has_users = columns.OrderCheck(), 0, True
    # One bit per row says whether the row begins a time. Bits of a block that
    # don't fill a byte wait in `left` for the next block.
    packed, left = [], np.zeros(0, bool)
    for number, file in enumerate(
      columns.open_files(data_dir, manifest, split)
    ):
      self._has_users &= file.has_users
      groups += [(number, g) for g in range(len(file.group_rows))]
      sizes.append(file.group_rows)
      for first, wanted in file.blocks(columns.BLOCK_ROWS):
        block = file.whole(wanted)
        new_session, new_time = order.advance(
          file.path, first, block['session'], block['timestamp']
        )
        starts.append(np.flatnonzero(new_session) + rows)
        left = np.append(left, new_time)
        whole = len(left) - len(left) % 8
        packed.append(np.packbits(left[:whole]))
        left = left[whole:]
        rows += len(new_time)
        on_rows(len(new_time))
    expected = manifest.splits[split]
    columns.check_count(data_dir, split, 'rows', rows, expected.rows)
    self._snapshot.check()
    self.starts = np.concatenate([*starts, [rows]])
    sessions = len(self.starts) - 1
    columns.check_count(
      data_dir, split, 'sessions', sessions, expected.sessions
    )
    self._groups = np.array(groups, np.int64)
    self._file = functools.lru_cache(_OPEN)(self._open)
    self._ends = np.cumsum(np.concatenate(sizes))
    self._new_time = np.concatenate([*packed, np.packbits(left)])
    ends = [0, *self._ends]
    self._times = np.cumsum(
      [self._begins(*pair).sum() for pair in itertools.pairwise(ends)]
    )
    self._kept: tuple[int, prepared_file.Features] | None = None
    self._given: tuple[np.ndarray, np.ndarray] | None = None

  def relabelled(
    self, labels: np.ndarray, sample_weight: np.ndarray
  ) -> StreamedColumns:
    """The rows with other labels and weights, f32[R, K], in memory."""
    found = copy.copy(self)
    found._given = labels, sample_weight
    return found

  def _open(self, number: int) -> prepared_file.PreparedFile:
    name = self._names[number]
    # Checked twice: a file that is being replaced may not open at all, which
    # would be reported as damage; one that opened may be the new one.
    self._snapshot.check_file(name)
    file = prepared_file.PreparedFile(self._dir / name, self._manifest)
    self._snapshot.check_file(name)
    return file

  @property
  def rows(self) -> int:
    """R."""
    return int(self.starts[-1])

  @property
  def losses(self) -> tuple[types.TaskLoss, ...]:
    """Kinds of the labels; () if all are binary."""
    return self._manifest.losses

  @property
  def labels(self) -> np.ndarray:
    """f32[R, K]."""
    return self._given[0] if self._given else self._column('labels')

  @property
  def sample_weight(self) -> np.ndarray | None:
    """f32[R, K], or None where every row counts 1."""
    if self._given:
      return self._given[1]
    return self._column('sample_weight') if self._manifest.weighted else None

  @property
  def age(self) -> np.ndarray | None:
    """f32[R], as columns.SplitColumns has it."""
    return self._column('age') if self._manifest.delay_columns else None

  @property
  def delay(self) -> np.ndarray | None:
    """f32[R, K], as columns.SplitColumns has it."""
    return self._column('delay') if self._manifest.delay_columns else None

  @property
  def within(self) -> tuple[float, ...]:
    """Seconds after which each label is final, 0 if it always is."""
    return self._manifest.within

  @property
  def sampling(self) -> types.Sampling | None:
    """How the log was sampled, or None."""
    return manifest_lib.sampling(self._manifest.tasks)

  @property
  def session(self) -> np.ndarray:
    """i64[R], the session's number."""
    return self._column('session')

  @property
  def user(self) -> np.ndarray | None:
    """i64[R], or None where a file lacks users."""
    return self._column('user') if self._has_users else None

  @property
  def row_id(self) -> np.ndarray:
    """i64[R], the row of the raw file."""
    return self._column('row_id')

  @property
  def oracle(self) -> np.ndarray | None:
    """f64[R, K] true probabilities (simulated data) or None."""
    return self._column('oracle') if self._manifest.has_oracle else None

  def begins_time(self, rows: np.ndarray) -> np.ndarray:
    """Which rows are the first of their session and time, bool[n] of int[n]."""
    return (self._new_time[rows >> 3] >> (7 - (rows & 7))) & 1 > 0

  def _begins(self, begin: int, end: int) -> np.ndarray:
    """As `begins_time`, of rows side by side."""
    bits = np.unpackbits(self._new_time[begin // 8 : -(-end // 8)])
    return bits[begin % 8 :][: end - begin] > 0

  def field(self, number: int) -> np.ndarray:
    """A categorical field of all rows, i32[R]."""
    field = self._manifest.of_kind('categorical')[number]
    return np.concatenate([file.field(field) for file in self._files()])

  def _column(self, name: str) -> Any:
    parts: list[Any] = [file.column(name) for file in self._files()]
    return np.concatenate(parts)

  def _files(self) -> Iterator[prepared_file.PreparedFile]:
    return map(self._open, range(len(self._names)))

  def take(self, rows: np.ndarray) -> prepared_file.Features:
    """Reads some rows; -1 means the first.

    Each row group that holds one of them is read once. Not safe for threads.

    Args:
      rows: int[...].

    Returns:
      Features with these leading dimensions.

    Raises:
      types.InputError: a file has changed since it was checked.
    """
    wanted = np.maximum(rows.reshape(-1), 0)
    # Sorted by row group, so that each group is decoded once, and written back
    # to the place of each row.
    group = np.searchsorted(self._ends, wanted, side='right')
    order = np.argsort(group, kind='stable')
    found, begins = np.unique(group[order], return_index=True)
    result: prepared_file.Features | None = None
    for number, at in zip(found, np.split(order, begins[1:]), strict=True):
      part = self._group(int(number))
      first = self._ends[number] - len(part.labels)
      if result is None:
        result = prepared_file.Features(
          *(np.empty((len(wanted), *x.shape[1:]), x.dtype) for x in part)
        )
      for target, source in zip(result, part, strict=True):
        target[at] = source[wanted[at] - first]
    assert result is not None, 'no rows'
    if self._given:
      labels, weight = (x[wanted] for x in self._given)
      result = result._replace(labels=labels, sample_weight=weight)
    return prepared_file.Features(
      *(x.reshape(*rows.shape, *x.shape[1:]) for x in result)
    )

  def _group(self, number: int) -> prepared_file.Features:
    """Reads a row group; keeps the last one, for readers that go in order."""
    if self._kept is None or self._kept[0] != number:
      file, group = self._groups[number]
      begin, before = 0, 0
      if number:
        begin, before = self._ends[number - 1], self._times[number - 1]
      new_time = self._begins(begin, self._ends[number])
      time = columns.number_times(new_time, before)
      found = self._file(int(file)).features([int(group)], time)
      # An open file can still change; its rows were checked as they were.
      self._snapshot.check_file(self._names[int(file)])
      self._kept = number, found
    return self._kept[1]


class Piece(NamedTuple):
  """S batches of an epoch with their rows.

  Attributes:
    plan: row numbers of the slots, [S, L, T].
    features: of these rows, [S, L, T, ...]; padding repeats the first row.
  """

  plan: batches.Plan
  features: prepared_file.Features


def pieces(
  host: columns.Rows,
  epoch: batches.Epoch,
  size: int,
  begin: int = 0,
  readers: Sequence[int] | None = None,
) -> Iterator[Piece]:
  """Reads an epoch's batches, `size` at a time, with one window in memory.

  Args:
    size: S, batches of a piece; empty batches fill up the last piece.
    begin: first piece; rows that only earlier pieces need are not read.
    readers: their lanes stand side by side in a batch; all if None.
  """
  config = epoch.config
  own = config.lanes // config.readers
  slots = config.lane_length
  blank = (*batches.empty_lanes(1, slots), *host.take(np.full((1, slots), -1)))
  streams = [
    _regroup(_windows(host, epoch, r, begin * size * own), size * own, blank)
    for r in (range(config.readers) if readers is None else readers)
  ]
  for _ in range(begin, -(-epoch.steps // size)):
    parts = [
      [x.reshape(size, own, *x.shape[1:]) for x in next(stream)]
      for stream in streams
    ]
    joined = [np.concatenate(x, axis=1) for x in zip(*parts, strict=True)]
    yield Piece(batches.Plan(*joined[:3]), prepared_file.Features(*joined[3:]))


def _windows(
  host: columns.Rows, epoch: batches.Epoch, reader: int, skip: int
) -> Iterator[list[np.ndarray]]:
  """Reads a reader's lanes after the first `skip`: plan, features [N, T, ...].

  Padding repeats the split's first row.
  """
  for plan in epoch.windows(reader):
    left = batches.Plan(*(x[skip:] for x in plan))
    skip = max(skip - len(plan.row), 0)
    if len(left.row):
      # Rows in ascending order: neighbours share row groups.
      wanted = np.maximum(left.row, 0)
      rows, place = np.unique(wanted, return_inverse=True)
      place = place.reshape(wanted.shape)
      yield [*left, *(x[place] for x in host.take(rows))]


def _regroup(
  windows: Iterator[list[np.ndarray]],
  lanes: int,
  blank: Sequence[np.ndarray],
) -> Iterator[list[np.ndarray]]:
  """Regroups windows into groups of `lanes`, then gives blank lanes forever.

  Readers have different numbers of lanes, and a step needs lanes from each:
  one that has run out goes on with blank ones.
  """
  waiting: list[list[np.ndarray]] = []
  have = 0
  for window in windows:
    waiting.append(window)
    have += len(window[0])
    if have < lanes:
      continue
    joined = _join(waiting)
    for first in range(0, have - lanes + 1, lanes):
      yield [x[first : first + lanes] for x in joined]
    rest = have - have % lanes
    # Copied: a slice would keep all of the window in memory.
    waiting, have = [[x[rest:].copy() for x in joined]], have - rest
  while True:
    empty = [np.repeat(x, lanes - have, axis=0) for x in blank]
    yield _join([*waiting, empty])
    waiting, have = [], 0


def _join(parts: Sequence[Sequence[np.ndarray]]) -> list[np.ndarray]:
  return [np.concatenate(x) for x in zip(*parts, strict=True)]
