"""Prepared Parquet to columns in memory, checked as they are read."""

from __future__ import annotations

import dataclasses
import math
import pathlib
import typing
from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias

import numpy as np

from rmtl_jax import types
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.data import parquet, prepared_file

if typing.TYPE_CHECKING:
  from rmtl_jax.data import streaming

# Rows that are read and checked at a time.
BLOCK_ROWS = 262_144
# Bytes: from such an address on, a device that is the CPU takes an array as it
# is, where it copies others.
_ALIGNMENT = 64
# A split in memory or on disk.
Rows: TypeAlias = 'SplitColumns | streaming.StreamedColumns'


@dataclasses.dataclass(frozen=True)
class SplitColumns:
  """One split in memory, sorted by session and time.

  Attributes:
    categorical: i32[R, F].
    multi_valued: i32[R, M], -1 in unused slots.
    numeric: f32[R, N].
    labels: f32[R, K].
    session: i64[R], the session's number.
    user: i64[R], column_reader.NULL where it is unknown; or None.
    row_id: i64[R], the row of the raw file.
    oracle: f64[R, K] true probabilities (simulated data) or None.
    time: i32[R], distinct pairs of session and timestamp before the row's:
      equal for the rows of a session that have one time.
    starts: i64[S + 1], first row of every session, then R.
    losses: kinds of the labels; () if all are binary.
    sample_weight: f32[R, K], how much a row's labels count in training, 0
      where they are not observed; None: every row counts 1.
    sampling: how the log was sampled, or None.
    age: f32[R], seconds from each row to its split's end, where some labels
      become final late; else None.
    delay: f32[R, K], seconds from each row to its event, NaN for none and for
      labels that are always final; or None. The split's end has seen those up
      to the row's age.
    within: after how many seconds each label is final, 0 if it always is.
  """

  categorical: np.ndarray
  multi_valued: np.ndarray
  numeric: np.ndarray
  labels: np.ndarray
  session: np.ndarray
  user: np.ndarray | None
  row_id: np.ndarray
  oracle: np.ndarray | None
  time: np.ndarray
  starts: np.ndarray
  losses: tuple[types.TaskLoss, ...] = ()
  sample_weight: np.ndarray | None = None
  sampling: types.Sampling | None = None
  age: np.ndarray | None = None
  delay: np.ndarray | None = None
  within: tuple[float, ...] = ()

  @property
  def rows(self) -> int:
    """R."""
    return len(self.labels)

  def begins_time(self, rows: np.ndarray) -> np.ndarray:
    """Which rows are the first of their session and time, bool[n] of int[n]."""
    return (rows == 0) | (self.time[rows] != self.time[rows - 1])

  def field(self, number: int) -> np.ndarray:
    """A categorical field of all rows, i32[R]."""
    return self.categorical[:, number]

  def take(self, rows: np.ndarray) -> prepared_file.Features:
    """Some rows; -1 means the first.

    Args:
      rows: int[...].

    Returns:
      Features with these leading dimensions.
    """
    at = np.maximum(rows, 0)
    return prepared_file.Features(*(part[at] for part in self.features))

  @property
  def features(self) -> prepared_file.Features:
    """All rows, not a copy."""
    return prepared_file.Features(
      self.categorical,
      self.multi_valued,
      self.numeric,
      self.labels,
      self.time,
      np.zeros((self.rows, 0), np.float32)
      if self.sample_weight is None
      else self.sample_weight,
    )


def relabelled(
  rows: Rows, labels: np.ndarray, sample_weight: np.ndarray
) -> Rows:
  """The rows with other labels and weights, f32[R, K]."""
  if isinstance(rows, SplitColumns):
    return dataclasses.replace(rows, labels=labels, sample_weight=sample_weight)
  return rows.relabelled(labels, sample_weight)


def log_rows(rows: Rows) -> np.ndarray | None:
  """How many rows of the whole log each row represents.

  Returns:
    f32[R]; None for a log that was not sampled.
  """
  if rows.sampling is None:
    return None
  place, weight = rows.sampling.task, rows.sample_weight
  is_negative = rows.labels[:, place] == 0
  if weight is not None:
    is_negative &= weight[:, place] > 0
  found = np.where(is_negative, np.float32(1.0 / rows.sampling.rate), 1.0)
  return found.astype(np.float32)


def metric_weight(rows: Rows) -> np.ndarray | None:
  """How much a row's labels count in metrics, which are of the whole log.

  That is its sample weight; where training goes on sampled rows as they are,
  a negative that was kept at a rate stands for 1 / rate rows besides.

  Returns:
    f32[R, K]; None where every row counts 1.
  """
  weight, stand_for = rows.sample_weight, log_rows(rows)
  if rows.sampling is None or stand_for is None:
    return weight
  weight = np.ones_like(rows.labels) if weight is None else weight
  return weight * np.where(
    rows.sampling.corrected, stand_for[:, None], np.float32(1.0)
  )


def observed(weight: np.ndarray | None, k: int) -> np.ndarray | slice:
  """The rows in which a task's label is observed, of weights of rows.

  Args:
    weight: f32[R, K]; None: all are.
  """
  return slice(None) if weight is None else np.flatnonzero(weight[:, k] > 0.0)


def mean_one(weight: np.ndarray | None) -> np.ndarray | None:
  """Weights of rows over the mean of a task's own, of those above 0.

  What counts rows (a prior of so many of them, a least number) takes these: a
  log may write all weights ten times as large, or have them sum to 1.

  Args:
    weight: f32[R, K], or None.

  Returns:
    f32[R, K], or None; weights that are 0 or 1 as they are.
  """
  if weight is None:
    return None
  count = np.maximum(np.count_nonzero(weight, 0), 1)
  mean = weight.sum(0, dtype=np.float64) / count
  return (weight / np.where(mean > 0, mean, 1.0)).astype(np.float32)


def row_means(values: Any, sample_weight: np.ndarray | None) -> Any:
  """Each task's mean over its rows, [K]; 1 for a task without any.

  Args:
    values: [R, K].
    sample_weight: f32[R, K], or None: every row counts 1.
  """
  if sample_weight is None:
    return values.mean(0)
  total = sample_weight.sum(0, dtype=np.float64)
  sums = (np.asarray(values) * sample_weight).sum(0, dtype=np.float64)
  return np.where(total > 0, sums, 1.0) / np.where(total > 0, total, 1.0)


def read_split(
  data_dir: str | pathlib.Path, manifest: manifest_lib.Manifest, split: str
) -> SplitColumns:
  """Reads one split and checks it against the manifest.

  Args:
    data_dir: the directory with manifest.json.
    split: 'train', 'validation' or 'test'.

  Raises:
    types.InputError: no such split, a file that is missing or unreadable, a
      column that is missing or of the wrong type, or a value out of range;
      names file, column and row.
  """
  rows, has_users = 0, True
  for file in open_files(data_dir, manifest, split):
    rows += file.rows
    has_users &= file.has_users
  expected = manifest.splits[split]
  check_count(data_dir, split, 'rows', rows, expected.rows)
  columns = _read(open_files(data_dir, manifest, split), rows, has_users)
  sessions = len(columns.starts) - 1
  check_count(data_dir, split, 'sessions', sessions, expected.sessions)
  return dataclasses.replace(
    columns,
    sample_weight=columns.sample_weight if manifest.weighted else None,
    sampling=manifest_lib.sampling(manifest.tasks),
    losses=manifest.losses,
    within=manifest.within,
  )


def _read(
  found: Iterable[prepared_file.PreparedFile], rows: int, has_users: bool
) -> SplitColumns:
  """Reads files block by block into arrays of the split's size.

  Concatenating the files' columns would hold every row twice.
  """
  whole: dict[str, Any] = {}
  at, order, times = 0, OrderCheck(), 0
  for file in found:
    for first, groups in file.blocks(BLOCK_ROWS):
      block = file.whole(groups)
      _, new_time = order.advance(
        file.path, first, block['session'], block.pop('timestamp')
      )
      block['time'] = number_times(new_time, times)
      times += int(new_time.sum())
      if not has_users:  # if one file lacks users, the split has none
        block['user'] = None
      whole = whole or {
        name: None
        if part is None
        else _empty((rows, *part.shape[1:]), part.dtype)
        for name, part in block.items()
      }
      end = at + len(block['session'])
      for name, part in block.items():
        if part is not None:
          whole[name][at:end] = part
      at = end
  parquet.release_memory()  # which decoding took, and training wants
  session = whole['session']
  changes = np.flatnonzero(session[1:] != session[:-1]) + 1
  return SplitColumns(**whole, starts=np.concatenate([[0], changes, [rows]]))


def _empty(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
  """An uninitialised array at an address that a device can share."""
  size = math.prod(shape) * dtype.itemsize
  memory = np.empty(size + _ALIGNMENT, np.uint8)
  begin = -memory.ctypes.data % _ALIGNMENT
  return memory[begin : begin + size].view(dtype).reshape(shape)


def open_files(
  data_dir: str | pathlib.Path, manifest: manifest_lib.Manifest, split: str
) -> Iterator[prepared_file.PreparedFile]:
  """Opens a split's files, one after the other.

  Raises:
    types.InputError: no such split, or a file that can't be opened.
  """
  for name in file_names(manifest, split):
    yield prepared_file.PreparedFile(pathlib.Path(data_dir) / name, manifest)


def file_names(manifest: manifest_lib.Manifest, split: str) -> tuple[str, ...]:
  """A split's files, relative to the data's directory, in order.

  Raises:
    types.InputError: no such split.
  """
  if split not in manifest.splits:
    raise types.InputError(
      f'split: {split!r} is not one of {", ".join(manifest.splits)}'
    )
  return manifest.splits[split].files


def number_times(new_time: np.ndarray, before: int) -> np.ndarray:
  """Counts the (session, time) pairs up to each row, i32[B], from 0.

  Args:
    new_time: whether a row is the first of its session and time, bool[B].
    before: number of such rows before these.
  """
  return (np.cumsum(new_time) + (before - 1)).astype(np.int32)


class OrderCheck:
  """Checks that rows, read block by block, are sorted by session and time."""

  def __init__(self):
    """Before the first row."""
    # Of the row before; none yet.
    self._last = np.zeros(0, np.int64), np.zeros(0, np.int64)

  def advance(
    self,
    path: pathlib.Path,
    first: int,
    session: np.ndarray,
    timestamp: np.ndarray,
  ) -> tuple[np.ndarray, np.ndarray]:
    """Checks the next rows.

    Args:
      first: which row of the file they begin with.
      session: i64[B].
      timestamp: i64[B].

    Returns:
      bool[B] twice: whether a row is the first of its session, and of its
      session and time.

    Raises:
      types.InputError: sessions that are not in order, or times that fall
        within a session; names file and row.
    """
    # The row before the block stands in front of it, so that one comparison
    # of neighbours serves within blocks and between them.
    last, last_time = self._last
    known = len(last)
    session = np.concatenate([last, session])
    time = np.concatenate([last_time, timestamp])
    same = session[1:] == session[:-1]
    for name, falls, expected in (
      ('session_id', session[1:] < session[:-1], 'sessions in order'),
      (
        'timestamp',
        same & (time[1:] < time[:-1]),
        'rows of a session in the order of time',
      ),
    ):
      if falls.any():
        row = first + int(np.argmax(falls)) + 2 - known
        raise types.InputError(
          f'{path}: row {row}, column {name!r}: is less than in the row before,'
          f' expected {expected}'
        )
    self._last = session[-1:], time[-1:]
    begins = np.ones(len(timestamp) - len(same), bool)
    new_time = ~same | (time[1:] != time[:-1])
    return np.append(begins, ~same), np.append(begins, new_time)


def check_count(
  data_dir: str | pathlib.Path, split: str, noun: str, found: int, expected: int
) -> None:
  """Refuses an empty split and one with another count than the manifest's.

  Raises:
    types.InputError: names the split and both numbers.
  """
  if found != expected or not found:
    raise types.InputError(
      f'{data_dir}: split {split!r} has {found} {noun}, manifest.json has'
      f' {expected}' + ('' if found else '; an empty split is of no use')
    )
