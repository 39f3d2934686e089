"""The columns of prepared data: types, and values in range.

Stricter than what reading for training takes (`rmtl_jax.data.columns`): the
types are those of the contract, so that any reader of it can rely on them.
"""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple, NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from rmtl_jax import types
from rmtl_jax.data import manifest as manifest_lib

_OPTIONAL = ('user_id',)
_BATCH_ROWS = 65_536
# Of a file's pages that are read ahead, so that large row groups need no room.
_BUFFER_BYTES = 2**20


class Kind(NamedTuple):
  """What a column must be.

  Attributes:
    name: as the contract has it.
    type: as Arrow has it; None for lists of int32.
  """

  name: str
  type: pa.DataType | None


_INT64 = Kind('int64', pa.int64())
_INT32 = Kind('int32', pa.int32())
_FLOAT32 = Kind('float32', pa.float32())
_LIST = Kind('a list of int32', None)


def expected_types(manifest: manifest_lib.Manifest) -> dict[str, Kind]:
  """What every column of a file of rows must be, in the contract's order."""
  found = {
    'session_id': _INT64,
    'user_id': _INT64,
    'row_id': _INT64,
    'step': _INT32,
    'timestamp': _INT64,
  }
  for field in manifest.fields:
    found[field.column] = {
      'categorical': _INT32,
      'multi_valued': _LIST,
      'numeric': _FLOAT32,
    }[field.kind]
  for prefix in ('y_', 'p_') if manifest.has_oracle else ('y_',):
    found |= {f'{prefix}{task}': _FLOAT32 for task in manifest.task_names}
  return found


def check_types(path: pathlib.Path, wanted: dict[str, Kind]) -> list[str]:
  """Refuses columns that are missing, stand twice or are of another type.

  Args:
    path: a file of rows.
    wanted: of `expected_types`.

  Returns:
    The wanted columns that the file has.

  Raises:
    types.InputError: names file and column.
  """
  with _readable(path):
    schema = pq.read_schema(path)
  found = []
  for name, kind in wanted.items():
    count = schema.names.count(name)
    if count > 1:
      raise types.InputError(f'{path}: column {name!r} stands twice')
    if count:
      _check_type(path, schema.field(name), kind)
      found.append(name)
    elif name not in _OPTIONAL:
      raise types.InputError(f'{path}: no column {name!r}')
  return found


def _check_type(path: pathlib.Path, field: pa.Field, kind: Kind) -> None:
  found = field.type
  if kind.type is None:
    is_list = pa.types.is_list(found) or pa.types.is_large_list(found)
    right = is_list and found.value_type == pa.int32()
  else:
    right = found == kind.type
  if not right:
    raise types.InputError(
      f'{path}: column {field.name!r}: is {found}, expected {kind.name}'
    )


def batches(
  path: pathlib.Path, columns: Sequence[str]
) -> Iterator[pa.RecordBatch]:
  """A file's rows, some at a time; it holds no more in memory than those.

  Raises:
    types.InputError: the file can't be read.
  """
  with (
    _readable(path),
    pq.ParquetFile(path, buffer_size=_BUFFER_BYTES) as file,
  ):
    yield from file.iter_batches(_BATCH_ROWS, columns=list(columns))


@contextlib.contextmanager
def _readable(path: pathlib.Path) -> Iterator[None]:
  try:
    yield
  except (OSError, pa.ArrowException, UnicodeError) as error:
    first = str(error).partition('\n')[0]
    raise types.InputError(f'{path}: not readable: {first}') from None


class Values:
  """Columns of some rows of a file as arrays; errors name the file's row.

  Attributes:
    path: the file.
  """

  def __init__(self, path: pathlib.Path, first_row: int, batch: pa.RecordBatch):
    """Takes rows of a file.

    Args:
      path: the file.
      first_row: of the file, counted from 0.
      batch: the rows.
    """
    self.path, self._first_row, self._batch = path, first_row, batch

  def fail(self, column: str, row: int, found: str, expected: str) -> NoReturn:
    """Raises for a value.

    Args:
      column: its column.
      row: counted from the batch's first, 0.
      found: what it is.
      expected: what it should be.

    Raises:
      types.InputError: always.
    """
    raise types.InputError(
      f'{self.path}: row {self._first_row + row + 1}, column {column!r}:'
      f' {found}, expected {expected}'
    )

  def require(
    self, right: np.ndarray, column: str, found: str, expected: str
  ) -> None:
    """Raises for the first row that is not right, bool[R].

    Raises:
      types.InputError: there is such a row.
    """
    if not right.all():
      self.fail(column, int(np.argmin(right)), found, expected)

  def integers(self, name: str, nullable: bool = False) -> np.ndarray:
    """A column of integers; nulls are refused, or 0."""
    if name not in self._batch.schema.names:
      return np.zeros(0, np.int64)
    column = self._batch[name]
    if column.null_count:
      if not nullable:
        self._fail_null(name, column, 'an integer')
      column = column.fill_null(0)
    return column.to_numpy()

  def ids(self, field: manifest_lib.Field) -> np.ndarray:
    """A column of rows of a field's vocabulary."""
    values = self.integers(field.column)
    self._in_vocabulary(field, values)
    return values

  def lists(self, field: manifest_lib.Field) -> np.ndarray:
    """A column of lists of rows of a field's vocabulary, all in one array."""
    name, column = field.column, self._batch[field.column]
    if column.null_count:
      self._fail_null(name, column, 'a list')
    offsets = column.offsets.to_numpy().astype(np.int64)
    counts = np.diff(offsets)
    wrong = (counts < 1) | (counts > field.width)
    if wrong.any():
      row = int(np.argmax(wrong))
      self.fail(name, row, f'has {counts[row]} values', f'1 to {field.width}')
    values = column.values[offsets[0] : offsets[-1]]
    owner = np.repeat(np.arange(len(counts)), counts)
    if values.null_count:
      at = int(np.argmax(values.is_null().to_numpy(zero_copy_only=False)))
      self.fail(name, int(owner[at]), 'holds a null', 'integers')
    flat = values.to_numpy()
    self._in_vocabulary(field, flat, owner)
    return flat

  def floats(self, name: str) -> np.ndarray:
    """A column of finite numbers."""
    column = self._batch[name]
    if column.null_count:
      self._fail_null(name, column, 'a finite number')
    values = column.to_numpy()
    self._check(name, np.isfinite(values), values, 'a finite number')
    return values

  def labels(self, name: str) -> np.ndarray:
    """A column of labels, 0 or 1."""
    values = self.floats(name)
    self._check(name, (values == 0) | (values == 1), values, '0 or 1')
    return values

  def probabilities(self, name: str) -> None:
    """Checks a column of probabilities."""
    values = self.floats(name)
    self._check(name, (values >= 0) & (values <= 1), values, '0 to 1')

  def _check(
    self, name: str, right: np.ndarray, values: np.ndarray, expected: str
  ) -> None:
    if not right.all():
      row = int(np.argmin(right))
      self.fail(name, row, f'is {values[row]}', expected)

  def _in_vocabulary(
    self,
    field: manifest_lib.Field,
    values: np.ndarray,
    owner: np.ndarray | None = None,
  ) -> None:
    wrong = (values < 0) | (values >= field.size)
    if wrong.any():
      at = int(np.argmax(wrong))
      self.fail(
        field.column,
        at if owner is None else int(owner[at]),
        f'is {values[at]}',
        f'a row of the vocabulary, 0 to {field.size - 1}',
      )

  def _fail_null(self, name: str, column: pa.Array, expected: str) -> NoReturn:
    nulls = column.is_null().to_numpy(zero_copy_only=False)
    self.fail(name, int(np.argmax(nulls)), 'is null', expected)
