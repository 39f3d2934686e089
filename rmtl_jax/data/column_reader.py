"""Parquet columns as checked arrays; errors name file, column and row."""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import Iterator
from typing import NoReturn

import numpy as np
import pyarrow as pa

from rmtl_jax import types
from rmtl_jax.config import kinds
from rmtl_jax.data import manifest as manifest_lib

_LARGEST_FLOAT = float(np.finfo(np.float32).max)
_LARGEST_INTEGER = 2**63 - 1
# What a null is among integers: ids may be negative, as hashes are.
NULL = -(2**63)


@contextlib.contextmanager
def one_line_errors(path: str | pathlib.Path, kind: str = '') -> Iterator[None]:
  """Turns errors of reading a file into one line.

  Args:
    kind: what it should be.

  Raises:
    types.InputError: the file is missing or unreadable.
  """
  try:
    yield
  except FileNotFoundError:
    raise types.InputError(f'{path}: not found') from None
  except (OSError, pa.ArrowException, ValueError) as error:
    first = types.first_line(error)
    what = f'not readable as {kind}' if kind else 'not readable'
    raise types.InputError(f'{path}: {what}: {first}') from None


class ColumnReader:
  """Columns of some rows of one file."""

  def __init__(self, path: pathlib.Path, table: pa.Table, first: int = 0):
    """Reads nothing yet.

    Args:
      table: rows of it.
      first: which row of the file the table begins with.
    """
    self.path, self.table, self._before = path, table, first

  def integers(self, name: str, nullable: bool = False) -> np.ndarray:
    """An integer column as i64[R]; nulls are an error, or NULL."""
    values = self._integers(name, nullable)
    if values.dtype == np.uint64:
      right = values <= _LARGEST_INTEGER
      self._check(name, right, values, 'a signed integer of 64 bits')
    values = values.astype(np.int64, copy=False)
    if not self.table[name].null_count:
      return values
    return np.where(self.table[name].is_valid().to_numpy(), values, NULL)

  def _integers(self, name: str, nullable: bool = False) -> np.ndarray:
    """`integers` in the column's own type; nulls are 0."""
    column = self.table[name]
    if not pa.types.is_integer(column.type):
      self.fail(name, None, f'is {column.type}', 'an integer')
    if column.null_count:
      if not nullable:
        self.fail(name, self._first(column.is_null()), 'is null', 'an integer')
      column = column.fill_null(0)
    return column.to_numpy()

  def ids(self, field: manifest_lib.Field) -> np.ndarray:
    """A categorical column, rows of the field's vocabulary, of its own type."""
    values = self._integers(field.column)
    self._check_range(field, values)
    return values

  def lists(self, field: manifest_lib.Field) -> np.ndarray:
    """A multi-valued column as i32[R, width], -1 in unused slots."""
    flat, counts = self.values_of_lists(field)
    owner = np.repeat(np.arange(len(counts)), counts)
    out = np.full((len(counts), field.width), -1, np.int32)
    slot = np.arange(len(flat)) - np.repeat(np.cumsum(counts) - counts, counts)
    out[owner, slot] = flat
    return out

  def values_of_lists(
    self, field: manifest_lib.Field
  ) -> tuple[np.ndarray, np.ndarray]:
    """A multi-valued column: flattened vocabulary rows, and counts i64[R]."""
    name, width = field.column, field.width
    column = self.table[name].combine_chunks()
    if not (
      pa.types.is_list(column.type) or pa.types.is_large_list(column.type)
    ):
      self.fail(name, None, f'is {column.type}', 'a list')
    if not pa.types.is_integer(column.type.value_type):
      self.fail(name, None, f'is {column.type}', 'a list of integers')
    if column.null_count:
      self.fail(name, self._first(column.is_null()), 'is null', 'a list')
    if isinstance(column, pa.ChunkedArray):
      column = pa.concat_arrays(column.chunks)
    offsets = column.offsets.to_numpy().astype(np.int64)
    counts = np.diff(offsets)
    wrong = (counts < 1) | (counts > width)
    if wrong.any():
      row = int(np.argmax(wrong))
      self.fail(name, row, f'has {counts[row]} values', f'1 to {width}')
    values = column.values[offsets[0] : offsets[-1]]
    owner = np.repeat(np.arange(len(counts)), counts)
    if values.null_count:
      at = self._first(values.is_null())
      self.fail(name, int(owner[at]), 'holds a null', 'integers')
    flat = values.to_numpy()
    self._check_range(field, flat, owner)
    return flat, counts

  def floats(
    self,
    name: str,
    low: float = -_LARGEST_FLOAT,
    high: float = _LARGEST_FLOAT,
    expected: str = 'a finite number of 32 bits',
  ) -> np.ndarray:
    """A column of numbers within [low, high]; nulls are an error."""
    values = self._floats(name, expected)
    self._check(name, (values >= low) & (values <= high), values, expected)
    return values

  def _floats(self, name: str, expected: str) -> np.ndarray:
    column = self.table[name]
    if not (
      pa.types.is_floating(column.type) or pa.types.is_integer(column.type)
    ):
      self.fail(name, None, f'is {column.type}', expected)
    if column.null_count:
      self.fail(name, self._first(column.is_null()), 'is null', expected)
    return column.to_numpy()

  def numbers(self, field: manifest_lib.Field) -> np.ndarray:
    """A numeric column; NaN where a value is missing that train lacks too."""
    if not field.details.get('missing'):
      return self.floats(field.column)
    expected = 'a number of 32 bits or NaN'
    values = self._floats(field.column, expected)
    self._check(field.column, ~np.isinf(values), values, expected)
    return values

  def delays(self, name: str) -> np.ndarray:
    """A column of seconds, 0 or more; NaN where there is no event."""
    expected = 'seconds, 0 or more, or NaN'
    values = self._floats(name, expected)
    self._check(name, ~(values < 0), values, expected)
    return values

  def labels(
    self, task: manifest_lib.Task, weights: np.ndarray | None = None
  ) -> np.ndarray:
    """A task's labels: 0 or 1, of other kinds what their loss takes.

    Args:
      weights: f32[rows], of its rows; a label that is not observed is 0.
    """
    name, record = f'y_{task.name}', kinds.LOSSES.find(task.loss)
    if not task.is_binary:
      expected = kinds.expected(record, tuple(task.levels))
      values = self.floats(name, expected=expected)
      right = {'any': values == values, 'zero': values >= 0}
      right |= {'positive': values > 0}
      if task.levels:
        right['any'] = np.isin(values, task.levels)
      valid = right[record.labels]
      if weights is not None:
        valid = valid | ((weights == 0) & (values == 0))
      self._check(name, valid, values, expected)
      return values
    values = self.floats(name, 0.0, 1.0, '0 or 1')
    self._check(name, (values == 0) | (values == 1), values, '0 or 1')
    return values

  def _check(
    self, name: str, right: np.ndarray, values: np.ndarray, expected: str
  ) -> None:
    if not right.all():
      row = int(np.argmin(right))
      self.fail(name, row, f'is {values[row]}', expected)

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
      self.fail(
        field.column,
        row,
        f'is {values[at]}',
        f'a row of the vocabulary, 0 to {field.size - 1}',
      )

  def _first(self, flags: pa.Array | pa.ChunkedArray) -> int:
    return int(np.argmax(flags.to_numpy(zero_copy_only=False)))

  def fail(
    self, column: str, row: int | None, found: str, expected: str
  ) -> NoReturn:
    """Raises for a column, or for a value of it.

    Args:
      row: of the table, counted from 0; None for the column.
      found: what it is.
      expected: what it should be.

    Raises:
      types.InputError: always; names the row of the file.
    """
    where = '' if row is None else f'row {self._before + row + 1}, '
    raise types.InputError(
      f'{self.path}: {where}column {column!r}: {found}, expected {expected}'
    )
