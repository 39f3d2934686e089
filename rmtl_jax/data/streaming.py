"""A split that stays on disk: rows are read when they are needed.

Memory contains eight bytes per session, a byte per row and the requested rows.
Training requests one window of the shuffle at a time (data/batches.Epoch). A
window consists of blocks of neighbouring rows, so small row groups keep the
unneeded rows few.
"""

from __future__ import annotations

import copy
import functools
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from rmtl_jax.data import batches, columns, prepared_file
from rmtl_jax.data import manifest as manifest_lib

# The most files that are open.
_OPEN = 16


class StreamedColumns:
  """One split, sorted by session and time, with columns.SplitColumns' names.

  Whole columns are read from disk at every access.

  Attributes:
    starts: i64[S + 1], first row of every session, then R.
    begins_time: bool[R], whether a row is the first of its session and time.
    losses: kinds of the labels; () if all are binary.
    sampling: how the log was sampled, or None.
    within: seconds after which each label is final, 0 if it always is.
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
    self._files = columns.SplitFiles(data_dir, manifest, split)
    blocks = [
      (block.new_session, block.new_time)
      for block in self._files.blocks(on_rows)
    ]
    new_session, self.begins_time = map(
      np.concatenate, zip(*blocks, strict=True)
    )
    self.starts = np.append(np.flatnonzero(new_session), self._files.rows)
    self.losses, self.within = manifest.losses, manifest.within
    self.sampling = manifest_lib.sampling(manifest.tasks)
    sizes = self._files.group_rows
    # The file of each row group, its place there, and the row after it.
    self._groups = [
      (f, g) for f, of in enumerate(sizes) for g in range(len(of))
    ]
    self._ends = np.cumsum(np.concatenate(sizes))
    self._file = functools.lru_cache(_OPEN)(self._files.open)
    self._kept: tuple[int, prepared_file.Features] | None = None
    self._given: tuple[np.ndarray, np.ndarray] | None = None

  def relabelled(
    self, labels: np.ndarray, sample_weight: np.ndarray
  ) -> StreamedColumns:
    """The rows with other labels and weights, f32[R, K], in memory."""
    found = copy.copy(self)
    found._given = labels, sample_weight
    return found

  @property
  def rows(self) -> int:
    """R."""
    return self._files.rows

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
    """f32[R], or None."""
    return self._column('age')

  @property
  def delay(self) -> np.ndarray | None:
    """f32[R, K], or None."""
    return self._column('delay')

  @property
  def session(self) -> np.ndarray:
    """i64[R], the session's number."""
    return self._column('session')

  @property
  def user(self) -> np.ndarray | None:
    """i64[R], or None where a file lacks users."""
    return self._column('user') if self._files.has_users else None

  @property
  def row_id(self) -> np.ndarray:
    """i64[R], the row of the raw file."""
    return self._column('row_id')

  @property
  def oracle(self) -> np.ndarray | None:
    """f64[R, K] true probabilities (simulated data) or None."""
    return self._column('oracle')

  def _column(self, name: str) -> Any:
    parts = [file.read([name])[name] for file in self._files.open_all()]
    return None if parts[0] is None else np.concatenate(parts)

  def field(self, number: int) -> np.ndarray:
    """A categorical field of all rows, i32[R]."""
    field = self._manifest.of_kind('categorical')[number]
    return np.concatenate([f.field(field) for f in self._files.open_all()])

  def take(self, rows: np.ndarray) -> prepared_file.Features:
    """Reads some rows; -1 means the first.

    Each row group with one of them is read once. Not safe for threads.

    Args:
      rows: int[...].

    Returns:
      Features with these leading dimensions.
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
      self._kept = number, self._file(file).features([group])
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
  host: columns.Rows, epoch: batches.Epoch, size: int, begin: int = 0
) -> Iterator[Piece]:
  """Reads an epoch's batches, `size` at a time, with one window in memory.

  Args:
    size: S, batches of a piece; empty batches fill up the last piece.
    begin: first piece; rows that only earlier pieces need are not read.
  """
  lanes, slots = epoch.config.lanes, epoch.config.lane_length
  waiting: list[list[np.ndarray]] = []
  have = 0
  for window in _windows(host, epoch, begin * size * lanes):
    waiting.append(window)
    have += len(window[0])
    joined = _join(waiting)
    used = have - have % (size * lanes)
    for first in range(0, used, size * lanes):
      yield _piece([x[first : first + size * lanes] for x in joined], lanes)
    # Copied: a slice would keep all of the window in memory.
    waiting, have = [[x[used:].copy() for x in joined]], have - used
  if have:
    blank = (
      *batches.empty_lanes(1, slots),
      *host.take(np.full((1, slots), -1)),
    )
    rest = size * lanes - have
    filling = [np.repeat(x, rest, axis=0) for x in blank]
    yield _piece(_join([*waiting, filling]), lanes)


def _windows(
  host: columns.Rows, epoch: batches.Epoch, skip: int
) -> Iterator[list[np.ndarray]]:
  """Reads the lanes after the first `skip`: plan, features [N, T, ...].

  Padding repeats the split's first row.
  """
  for plan in epoch.windows():
    left = batches.Plan(*(x[skip:] for x in plan))
    skip = max(skip - len(plan.row), 0)
    if len(left.row):
      # Rows in ascending order: neighbours share row groups.
      wanted = np.maximum(left.row, 0)
      rows, place = np.unique(wanted, return_inverse=True)
      place = place.reshape(wanted.shape)
      yield [*left, *(x[place] for x in host.take(rows))]


def _join(parts: Sequence[Sequence[np.ndarray]]) -> list[np.ndarray]:
  return [np.concatenate(x) for x in zip(*parts, strict=True)]


def _piece(parts: Sequence[np.ndarray], lanes: int) -> Piece:
  """Lanes [S * lanes, T, ...] as batches."""
  shaped = [x.reshape(len(x) // lanes, lanes, *x.shape[1:]) for x in parts]
  return Piece(batches.Plan(*shaped[:3]), prepared_file.Features(*shaped[3:]))
