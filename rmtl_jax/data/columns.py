"""Prepared Parquet to columns in memory, checked as they are read."""

from __future__ import annotations

import dataclasses
import math
import pathlib
import typing
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeAlias

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
    user: i64[R], prepared_file.NULL where it is unknown; or None.
    row_id: i64[R], the row of the raw file.
    oracle: f64[R, K] true probabilities (simulated data) or None.
    begins_time: bool[R], whether a row is the first of its session and time.
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
  begins_time: np.ndarray
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

  That is its sample weight; where training takes sampled rows as they are,
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
  """Reads one split into memory and checks it against the manifest.

  Raises:
    types.InputError: as for `SplitFiles` and its `blocks`.
  """
  files = SplitFiles(data_dir, manifest, split)
  # Filled block by block: joining the blocks would need each row twice.
  whole: dict[str, Any] = {}
  starts, at = [], 0
  for block in files.blocks():
    end = at + len(block.new_time)
    found = block.columns | {'begins_time': block.new_time}
    del found['timestamp']
    starts.append(np.flatnonzero(block.new_session) + at)
    for name, part in found.items():
      if part is None:
        whole[name] = None
        continue
      if name not in whole:
        whole[name] = _empty((files.rows, *part.shape[1:]), part.dtype)
      whole[name][at:end] = part
    at = end
  parquet.release_memory()  # which decoding took, and training wants
  if not manifest.weighted:
    whole['sample_weight'] = None
  return SplitColumns(
    **whole,
    starts=np.concatenate([*starts, [files.rows]]),
    sampling=manifest_lib.sampling(manifest.tasks),
    losses=manifest.losses,
    within=manifest.within,
  )


def _empty(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
  """An uninitialised array at an address that a device can share."""
  size = math.prod(shape) * dtype.itemsize
  memory = np.empty(size + _ALIGNMENT, np.uint8)
  begin = -memory.ctypes.data % _ALIGNMENT
  return memory[begin : begin + size].view(dtype).reshape(shape)


class Block(NamedTuple):
  """Adjacent rows of a file.

  Attributes:
    columns: arrays by name, as PreparedFile.read has them.
    new_session: whether a row is the first of its session, bool[B].
    new_time: whether it is the first of its session and time, bool[B].
  """

  columns: dict[str, Any]
  new_session: np.ndarray
  new_time: np.ndarray


class SplitFiles:
  """The files of a split.

  Attributes:
    manifest: of the data.
    group_rows: rows of each row group, i64[G], by file.
    has_users: whether every file has users; if one lacks them, the split does.
  """

  def __init__(
    self,
    data_dir: str | pathlib.Path,
    manifest: manifest_lib.Manifest,
    split: str,
  ):
    """Reads the footers of the files.

    Args:
      data_dir: the directory with manifest.json.
      split: 'train', 'validation' or 'test'.

    Raises:
      types.InputError: no such split, a file that is missing or unreadable, or
        another number of rows than the manifest has.
    """
    self.manifest, self._split = manifest, split
    self._dir = pathlib.Path(data_dir)
    self._names = manifest.file_names(split)
    self.group_rows, self.has_users = [], True
    for file in self.open_all():
      self.group_rows.append(file.group_rows)
      self.has_users &= file.has_users
    self.rows = int(sum(map(np.sum, self.group_rows)))
    self._check('rows', self.rows, manifest.splits[split].rows)

  def open(self, number: int) -> prepared_file.PreparedFile:
    """Opens a file, by its place in the split."""
    return prepared_file.PreparedFile(
      self._dir / self._names[number], self.manifest
    )

  def open_all(self) -> Iterator[prepared_file.PreparedFile]:
    """Opens the files one after the other."""
    return map(self.open, range(len(self._names)))

  def blocks(
    self, on_rows: Callable[[int], None] = lambda rows: None
  ) -> Iterator[Block]:
    """Reads and checks all rows, block by block.

    Args:
      on_rows: called with the number of rows that are checked.

    Raises:
      types.InputError: a value out of range, sessions or times that are not in
        order, or another number of sessions than the manifest has; names file,
        column and row.
    """
    last, sessions = None, 0
    for file in self.open_all():
      for first, groups in file.blocks(BLOCK_ROWS):
        found = file.read(groups=groups)
        if not self.has_users:
          found['user'] = None
        session, time = found['session'], found['timestamp']
        if len(session):
          begins = _begins(file.path, first, (session, time), last)
          last = session[-1], time[-1]
          sessions += int(begins[0].sum())
          yield Block(found, *begins)
          on_rows(len(session))
    self._check(
      'sessions', sessions, self.manifest.splits[self._split].sessions
    )

  def _check(self, noun: str, found: int, expected: int) -> None:
    """Refuses an empty split and another count than the manifest's."""
    if found != expected or not found:
      raise types.InputError(
        f'{self._dir}: split {self._split!r} has {found} {noun}, manifest.json'
        f' has {expected}' + ('' if found else '; an empty split is of no use')
      )


def _begins(
  path: pathlib.Path,
  first: int,
  rows: tuple[np.ndarray, np.ndarray],
  last: tuple[np.ndarray, np.ndarray] | None,
) -> tuple[np.ndarray, np.ndarray]:
  """Whether rows are the first of their session, and of its time, bool[B].

  Args:
    path: of the file.
    first: which row of the file they begin with.
    rows: session and time, i64[B], B > 0.
    last: those of the row before, or None.

  Raises:
    types.InputError: sessions that are not in order, or times that fall within
      a session; names file and row.
  """
  session, time = rows
  last_session, last_time = last or (session[0], time[0])
  session_before = np.append(last_session, session[:-1])
  time_before = np.append(last_time, time[:-1])
  same = session == session_before
  for name, falls, expected in (
    ('session_id', session < session_before, 'sessions in order'),
    (
      'timestamp',
      same & (time < time_before),
      'rows of a session in the order of time',
    ),
  ):
    if falls.any():
      raise types.InputError(
        f'{path}: row {first + int(np.argmax(falls)) + 1}, column {name!r}: is'
        f' less than in the row before, expected {expected}'
      )
  same[0] &= last is not None
  return ~same, ~same | (time != time_before)
