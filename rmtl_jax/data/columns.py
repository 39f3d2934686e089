"""Prepared Parquet to columns in memory, checked as they are read."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Any, NamedTuple, NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from rmtl_jax import types
from rmtl_jax.data import manifest as manifest_lib

_LARGEST_FLOAT = float(np.finfo(np.float32).max)
_LARGEST_INTEGER = 2**63 - 1
# An odd number whose bits look random (SplitMix64's second multiplier).
_HASH_FACTOR = np.uint64(0x94D049BB133111EB)


@dataclasses.dataclass(frozen=True)
class SplitColumns:
  """One split in memory, sorted by session and time.

  Attributes:
    categorical: i32[R, F].
    multi_valued: i32[R, M], -1 in unused slots.
    numeric: f32[R, N].
    labels: f32[R, K].
    session: i64[R], the session's number.
    user: i64[R] or None.
    row_id: i64[R], the row of the raw file.
    oracle: f64[R, K] true probabilities (simulated data) or None.
    starts: i64[S + 1], first row of every session, then R.
  """

  categorical: np.ndarray
  multi_valued: np.ndarray
  numeric: np.ndarray
  labels: np.ndarray
  session: np.ndarray
  user: np.ndarray | None
  row_id: np.ndarray
  oracle: np.ndarray | None
  starts: np.ndarray

  @property
  def rows(self) -> int:
    """R."""
    return len(self.labels)


class EqualRows(NamedTuple):
  """Rows with the same features, numbered.

  Attributes:
    first: the first row of each number, i64[U], ascending.
    number: each row's number, i64[R].
  """

  first: np.ndarray
  number: np.ndarray


def equal_rows(columns: SplitColumns) -> EqualRows:
  """Which rows have the same features, bit for bit.

  Rows are told apart by a 64-bit hash, and the answer is checked: where two
  rows that differ had one hash, all rows count as different.
  """
  words = [
    np.ascontiguousarray(part).view(np.uint32)
    for part in (columns.categorical, columns.multi_valued, columns.numeric)
  ]
  code = np.zeros(columns.rows, np.uint64)
  for word in np.concatenate(words, axis=1).T:
    code = (code ^ word) * _HASH_FACTOR
    code ^= code >> np.uint64(29)
  _, first, number = np.unique(code, return_index=True, return_inverse=True)
  # In the order of the rows, so that a plan of them walks through the split.
  order = np.argsort(first)
  rank = np.empty_like(order)
  rank[order] = np.arange(len(order))
  first, number = first[order], rank[number]
  same = all(np.array_equal(word, word[first][number]) for word in words)
  if not same:
    first = number = np.arange(columns.rows)
  return EqualRows(first, number)


def read_split(
  data_dir: str | pathlib.Path, manifest: manifest_lib.Manifest, split: str
) -> SplitColumns:
  """Reads one split and checks it against the manifest.

  Args:
    data_dir: the directory that holds manifest.json.
    manifest: its contents.
    split: 'train', 'validation' or 'test'.

  Returns:
    The split's columns.

  Raises:
    types.InputError: no such split, a file that is missing or unreadable, a
      column that is missing or of the wrong type, or a value out of range;
      names file, column and row.
  """
  if split not in manifest.splits:
    raise types.InputError(
      f'split: {split!r} is not one of {", ".join(manifest.splits)}'
    )
  record = manifest.splits[split]
  parts = [
    _read_file(pathlib.Path(data_dir) / name, manifest) for name in record.files
  ]
  rows = sum(part.rows for part in parts)
  if rows != record.rows or not rows:
    raise types.InputError(
      f'{data_dir}: split {split!r} has {rows} rows, manifest.json says'
      f' {record.rows}' + ('' if rows else '; an empty split is of no use')
    )
  columns = _concatenate(parts)
  falls = columns.session[1:] < columns.session[:-1]
  if falls.any():
    row = int(np.argmax(falls)) + 1
    number = 0
    while row >= parts[number].rows:
      row -= parts[number].rows
      number += 1
    raise types.InputError(
      f'{pathlib.Path(data_dir) / record.files[number]}: row {row + 1}, column'
      " 'session_id': is less than in the row before, expected sessions in"
      ' order'
    )
  sessions = len(columns.starts) - 1
  if sessions != record.sessions:
    raise types.InputError(
      f'{data_dir}: split {split!r} has {sessions} sessions, manifest.json'
      f' says {record.sessions}'
    )
  return columns


def _concatenate(parts: list[SplitColumns]) -> SplitColumns:
  def joined(name):
    arrays = [getattr(part, name) for part in parts]
    # Where a file lacks users, the split has none.
    return None if any(a is None for a in arrays) else np.concatenate(arrays)

  names = [f.name for f in dataclasses.fields(SplitColumns)]
  columns: dict[str, Any] = {n: joined(n) for n in names if n != 'starts'}
  changes = np.flatnonzero(np.diff(columns['session'])) + 1
  starts = np.concatenate([[0], changes, [len(columns['session'])]])
  return SplitColumns(**columns, starts=starts)


def _read_file(
  path: pathlib.Path, manifest: manifest_lib.Manifest
) -> SplitColumns:
  categorical = manifest.of_kind('categorical')
  multi_valued = manifest.of_kind('multi_valued')
  numeric = manifest.of_kind('numeric')
  try:
    file = pq.ParquetFile(path)
    present = file.schema_arrow.names
    labels = [f'y_{t}' for t in manifest.task_names]
    oracle = [f'p_{t}' for t in manifest.task_names if manifest.has_oracle]
    wanted = ['session_id', 'row_id', *(f.column for f in manifest.fields)]
    wanted += labels + oracle
    for name in wanted:
      if name not in present:
        raise types.InputError(f'{path}: no column {name!r}')
    optional = [c for c in ('user_id',) if c in present]
    wanted += optional
    for name in wanted:
      if present.count(name) > 1:
        raise types.InputError(f'{path}: column {name!r} stands twice')
    table = file.read(columns=wanted)
  except FileNotFoundError:
    raise types.InputError(f'{path}: not found') from None
  # Names that are no UTF-8 are a ValueError.
  except (OSError, pa.ArrowException, ValueError) as error:
    first = str(error).partition('\n')[0]
    raise types.InputError(f'{path}: not readable: {first}') from None
  reader = _Reader(path, table)
  return SplitColumns(
    categorical=_stack([reader.ids(f) for f in categorical], table, np.int32),
    multi_valued=np.concatenate(
      [reader.lists(f) for f in multi_valued]
      or [np.zeros((len(table), 0), np.int32)],
      axis=1,
    ),
    numeric=_stack(
      [reader.floats(f.column) for f in numeric], table, np.float32
    ),
    labels=_stack([reader.labels(n) for n in labels], table, np.float32),
    session=reader.integers('session_id'),
    user=reader.integers('user_id', nullable=True) if optional else None,
    row_id=reader.integers('row_id'),
    oracle=_stack(
      [reader.floats(n, 0.0, 1.0, 'a probability') for n in oracle],
      table,
      np.float64,
    )
    if oracle
    else None,
    starts=np.zeros(0, np.int64),
  )


def _stack(
  columns: list[np.ndarray], table: pa.Table, dtype: type
) -> np.ndarray:
  stacked = np.empty((len(table), len(columns)), dtype)
  for i, column in enumerate(columns):
    stacked[:, i] = column
  return stacked


class _Reader:
  """Columns of one file as arrays; errors name file, column and row."""

  def __init__(self, path: pathlib.Path, table: pa.Table):
    self.path, self.table = path, table

  def integers(self, name: str, nullable: bool = False) -> np.ndarray:
    """An integer column as i64[R]; nulls are an error, or -1."""
    column = self.table[name]
    if not pa.types.is_integer(column.type):
      self._fail(name, None, f'is {column.type}', 'an integer')
    if column.null_count:
      if not nullable:
        self._fail(name, self._first(column.is_null()), 'is null', 'an integer')
      column = column.fill_null(-1)
    values = column.to_numpy()
    if values.dtype == np.uint64:
      right = values <= _LARGEST_INTEGER
      self._check(name, right, values, 'a signed integer of 64 bits')
    return values.astype(np.int64)

  def ids(self, field: manifest_lib.Field) -> np.ndarray:
    """A categorical column, rows of the field's vocabulary."""
    values = self.integers(field.column)
    self._check_range(field, values)
    return values

  def lists(self, field: manifest_lib.Field) -> np.ndarray:
    """A multi-valued column as i32[R, width], -1 in unused slots."""
    name, width = field.column, field.width
    column = self.table[name].combine_chunks()
    if not (
      pa.types.is_list(column.type) or pa.types.is_large_list(column.type)
    ):
      self._fail(name, None, f'is {column.type}', 'a list')
    if not pa.types.is_integer(column.type.value_type):
      self._fail(name, None, f'is {column.type}', 'a list of integers')
    if column.null_count:
      self._fail(name, self._first(column.is_null()), 'is null', 'a list')
    if isinstance(column, pa.ChunkedArray):
      column = pa.concat_arrays(column.chunks)
    offsets = column.offsets.to_numpy().astype(np.int64)
    counts = np.diff(offsets)
    wrong = (counts < 1) | (counts > width)
    if wrong.any():
      row = int(np.argmax(wrong))
      self._fail(name, row, f'has {counts[row]} values', f'1 to {width}')
    values = column.values[offsets[0] : offsets[-1]]
    owner = np.repeat(np.arange(len(counts)), counts)
    if values.null_count:
      at = self._first(values.is_null())
      self._fail(name, int(owner[at]), 'holds a null', 'integers')
    flat = values.to_numpy()
    self._check_range(field, flat, owner)
    out = np.full((len(counts), width), -1, np.int32)
    slot = np.arange(len(flat)) - np.repeat(offsets[:-1] - offsets[0], counts)
    out[owner, slot] = flat
    return out

  def floats(
    self,
    name: str,
    low: float = -_LARGEST_FLOAT,
    high: float = _LARGEST_FLOAT,
    expected: str = 'a finite number of 32 bits',
  ) -> np.ndarray:
    """A column of numbers within [low, high]; null counts as NaN."""
    column = self.table[name]
    if not (
      pa.types.is_floating(column.type) or pa.types.is_integer(column.type)
    ):
      self._fail(name, None, f'is {column.type}', expected)
    values = column.to_numpy()
    self._check(name, (values >= low) & (values <= high), values, expected)
    return values

  def labels(self, name: str) -> np.ndarray:
    """A label column, 0 or 1."""
    values = self.floats(name, 0.0, 1.0, '0 or 1')
    self._check(name, (values == 0) | (values == 1), values, '0 or 1')
    return values

  def _check(
    self, name: str, right: np.ndarray, values: np.ndarray, expected: str
  ) -> None:
    if not right.all():
      row = int(np.argmin(right))
      self._fail(name, row, f'is {values[row]}', expected)

  def _check_range(
    self,
    field: manifest_lib.Field,
    values: np.ndarray,
    owner: np.ndarray | None = None,
  ) -> None:
    wrong = (values < 0) | (values >= field.size)
    if wrong.any():
      at = int(np.argmax(wrong))
      row = at if owner is None else int(owner[at])
      self._fail(
        field.column,
        row,
        f'is {values[at]}',
        f'a row of the vocabulary, 0 to {field.size - 1}',
      )

  def _first(self, flags: pa.Array | pa.ChunkedArray) -> int:
    return int(np.argmax(flags.to_numpy(zero_copy_only=False)))

  def _fail(
    self, column: str, row: int | None, found: str, expected: str
  ) -> NoReturn:
    """Raises for a column, or for its value in a row, counted from 0."""
    where = '' if row is None else f'row {row + 1}, '
    raise types.InputError(
      f'{self.path}: {where}column {column!r}: {found}, expected {expected}'
    )
