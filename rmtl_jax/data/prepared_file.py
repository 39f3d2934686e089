"""A Parquet file of prepared data, read by row groups and checked."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, NoReturn

import numpy as np
import pyarrow as pa

from rmtl_jax import types
from rmtl_jax.config import kinds
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.data import parquet

# Stands for null among integers: ids may be negative, as hashes are.
NULL = -(2**63)
_LARGEST_FLOAT = float(np.finfo(np.float32).max)
_LARGEST_INTEGER = 2**63 - 1


class Features(NamedTuple):
  """Columns of some rows that networks and losses read.

  Attributes:
    categorical: i32[..., F].
    multi_valued: i32[..., M], -1 in unused slots.
    numeric: f32[..., N], NaN where a value is missing (FeatureSpec.missing).
    labels: f32[..., K].
    sample_weight: f32[..., K], how much a row's labels count; [..., 0] where
      every row counts 1.
  """

  categorical: np.ndarray
  multi_valued: np.ndarray
  numeric: np.ndarray
  labels: np.ndarray
  sample_weight: np.ndarray


class PreparedFile:
  """One file of a split.

  Attributes:
    path: of the file.
    has_users: whether there is a column user_id.
    group_rows: rows of each row group, i64[G].
  """

  def __init__(self, path: pathlib.Path, manifest: manifest_lib.Manifest):
    """Reads the footer.

    Raises:
      types.InputError: the file is missing or unreadable, or a column is
        missing or occurs twice.
    """
    self.path, self._manifest = path, manifest
    with parquet.one_line_errors(path):
      self._file = parquet.open_file(path)
      present = self._file.schema_arrow.names
      groups = range(self._file.num_row_groups)
      rows = [self._file.metadata.row_group(g).num_rows for g in groups]
    self.group_rows = np.array(rows, np.int64)
    self.has_users = 'user_id' in present
    tasks = manifest.tasks
    of_kind = {
      kind: [field.column for field in manifest.of_kind(kind)]
      for kind in manifest_lib.KINDS
    }
    # Columns of the file by attribute of SplitColumns.
    self._columns = of_kind | {
      'labels': [f'y_{t.name}' for t in tasks],
      'sample_weight': [f'w_{t.name}' for t in tasks if t.weighted],
      'session': ['session_id'],
      'timestamp': ['timestamp'],
      'row_id': ['row_id'],
      'user': ['user_id'] if self.has_users else [],
      'oracle': [f'p_{t.name}' for t in tasks if manifest.has_oracle],
      'age': [*manifest.delay_columns[:1]],
      'delay': [*manifest.delay_columns[1:]],
    }
    for name in [name for names in self._columns.values() for name in names]:
      if name not in present:
        raise types.InputError(f'{path}: no column {name!r}')
      if present.count(name) > 1:
        raise types.InputError(f'{path}: column {name!r} occurs twice')

  @property
  def rows(self) -> int:
    """Rows of the file."""
    return int(self.group_rows.sum())

  def blocks(self, most: int) -> Iterator[tuple[int, list[int]]]:
    """Groups adjacent row groups into blocks.

    Args:
      most: rows of a block; a single group may have more.

    Yields:
      The first row of each block, and the numbers of its row groups.
    """
    groups: list[int] = []
    first, end = 0, 0
    for number, size in enumerate(self.group_rows.tolist()):
      if groups and end + size - first > most:
        yield first, groups
        first, groups = end, []
      groups.append(number)
      end += size
    if groups:
      yield first, groups

  def features(self, groups: Sequence[int]) -> Features:
    """Reads features and labels of adjacent row groups.

    Args:
      groups: their numbers.

    Raises:
      types.InputError: as for `read`.
    """
    return Features(**self.read(Features._fields, groups))

  def read(
    self, names: Sequence[str] = (), groups: Sequence[int] | None = None
  ) -> dict[str, Any]:
    """Reads columns of adjacent row groups.

    Args:
      names: as in columns.SplitColumns, and `timestamp`; all if empty.
      groups: their numbers; all if None.

    Returns:
      An array for each name, None for columns that the data lack.

    Raises:
      types.InputError: unreadable, or a value out of range; names the row.
    """
    names = names or [*self._columns]
    wanted = [column for name in names for column in self._columns[name]]
    if 'labels' in names:  # they may be 0 where they are not observed
      wanted += self._columns['sample_weight']
    table = self._table([*dict.fromkeys(wanted)], groups)
    return {name: self._convert(table, name) for name in names}

  def field(self, field: manifest_lib.Field) -> np.ndarray:
    """A categorical field, i32[R]."""
    return self._table([field.column]).ids(field).astype(np.int32)

  def _table(
    self, names: list[str], groups: Sequence[int] | None = None
  ) -> _Table:
    if groups is None:
      groups = range(len(self.group_rows))
    with parquet.one_line_errors(self.path):
      table = self._file.read_row_groups(list(groups), columns=names)
    first = int(self.group_rows[: groups[0]].sum()) if len(groups) > 0 else 0
    return _Table(self.path, table, first)

  def _convert(self, table: _Table, name: str) -> np.ndarray | None:
    manifest, tasks, columns = self._manifest, self._manifest.tasks, []
    dtype: type = np.float32
    if name in ('session', 'timestamp', 'row_id', 'user'):
      found = self._columns[name]
      return table.integers(found[0], name == 'user') if found else None
    if name in ('age', 'delay', 'oracle') and not self._columns[name]:
      return None
    if name == 'age':
      return table.floats('age', 0.0).astype(np.float32)
    if name == 'multi_valued':
      none = np.zeros((table.rows, 0), np.int32)
      lists = map(table.lists, manifest.of_kind(name))
      return np.concatenate([none, *lists], axis=1)
    if name == 'categorical':
      dtype = np.int32
      columns = [table.ids(field) for field in manifest.of_kind(name)]
    elif name == 'numeric':
      columns = [table.numbers(field) for field in manifest.of_kind(name)]
    elif name == 'labels':
      columns = [table.labels(task) for task in tasks]
    elif name == 'sample_weight' and manifest.weighted:
      ones = np.ones(table.rows, np.float32)
      columns = [table.weights(t) if t.weighted else ones for t in tasks]
    elif name == 'oracle':
      dtype = np.float64
      columns = [
        table.floats(column, 0.0, 1.0, 'a probability')
        for column in self._columns[name]
      ]
    elif name == 'delay':
      never = np.full(table.rows, np.nan, np.float32)
      columns = [
        never if task.within_seconds is None else table.delays(task)
        for task in tasks
      ]
    stacked = np.empty((table.rows, len(columns)), dtype)
    for i, column in enumerate(columns):
      stacked[:, i] = column
    return stacked


class _Table:
  """Columns of some rows of one file as checked arrays.

  Errors name file, column and row.
  """

  def __init__(self, path: pathlib.Path, table: pa.Table, first: int):
    """Reads nothing.

    Args:
      table: rows of the file.
      first: which row of the file the table begins with.
    """
    self._path, self._table, self._before = path, table, first
    self.rows = len(table)

  def integers(self, name: str, nullable: bool = False) -> np.ndarray:
    """An integer column as i64[R]; nulls are an error, or NULL."""
    values = self._integers(name, nullable)
    if values.dtype == np.uint64:
      right = values <= _LARGEST_INTEGER
      self._check(name, right, values, 'a signed integer of 64 bits')
    values = values.astype(np.int64, copy=False)
    if not self._table[name].null_count:
      return values
    return np.where(self._table[name].is_valid().to_numpy(), values, NULL)

  def _integers(self, name: str, nullable: bool = False) -> np.ndarray:
    """`integers` in the column's own type; nulls are 0."""
    column = self._table[name]
    if not pa.types.is_integer(column.type):
      self._fail(name, None, f'is {column.type}', 'an integer')
    if column.null_count:
      if not nullable:
        self._fail(name, _first(column.is_null()), 'is null', 'an integer')
      column = column.fill_null(0)
    return column.to_numpy()

  def ids(self, field: manifest_lib.Field) -> np.ndarray:
    """Rows of a field's vocabulary, in the column's type."""
    values = self._integers(field.column)
    self._check(
      field.column, (values >= 0) & (values < field.size), values, _ids(field)
    )
    return values

  def lists(self, field: manifest_lib.Field) -> np.ndarray:
    """A multi-valued column as i32[R, width], -1 in unused slots."""
    name, column = field.column, self._table[field.column].combine_chunks()
    kind = column.type
    if not (pa.types.is_list(kind) or pa.types.is_large_list(kind)):
      self._fail(name, None, f'is {kind}', 'a list')
    if not pa.types.is_integer(kind.value_type):
      self._fail(name, None, f'is {kind}', 'a list of integers')
    if column.null_count:
      self._fail(name, _first(column.is_null()), 'is null', 'a list')
    if isinstance(column, pa.ChunkedArray):
      column = pa.concat_arrays(column.chunks)
    offsets = column.offsets.to_numpy().astype(np.int64)
    counts = np.diff(offsets)
    wrong = (counts < 1) | (counts > field.width)
    if wrong.any():
      row = int(np.argmax(wrong))
      found = f'has {counts[row]} values'
      self._fail(name, row, found, f'1 to {field.width}')
    values = column.values[offsets[0] : offsets[-1]]
    owner = np.repeat(np.arange(len(counts)), counts)
    if values.null_count:
      row = int(owner[_first(values.is_null())])
      self._fail(name, row, 'contains a null', 'integers')
    flat = values.to_numpy()
    right = (flat >= 0) & (flat < field.size)
    self._check(name, right, flat, _ids(field), owner)
    out = np.full((len(counts), field.width), -1, np.int32)
    out[owner, np.arange(len(flat)) - (offsets[:-1] - offsets[0])[owner]] = flat
    return out

  def floats(
    self,
    name: str,
    low: float = -_LARGEST_FLOAT,
    high: float = _LARGEST_FLOAT,
    expected: str = 'a finite number of 32 bits',
    has_nan: bool = False,
  ) -> np.ndarray:
    """A column of numbers within [low, high], or NaN; nulls are an error."""
    column = self._table[name]
    kind = column.type
    if not (pa.types.is_floating(kind) or pa.types.is_integer(kind)):
      self._fail(name, None, f'is {kind}', expected)
    if column.null_count:
      self._fail(name, _first(column.is_null()), 'is null', expected)
    values = column.to_numpy()
    right = (values >= low) & (values <= high)
    if has_nan:
      right |= np.isnan(values)
    self._check(name, right, values, expected)
    return values

  def numbers(self, field: manifest_lib.Field) -> np.ndarray:
    """A numeric column; NaN where a value is missing that train lacks too."""
    if not field.details.get('missing'):
      return self.floats(field.column)
    expected = 'a number of 32 bits or NaN'
    return self.floats(field.column, expected=expected, has_nan=True)

  def delays(self, task: manifest_lib.Task) -> np.ndarray:
    """Seconds from rows to events, 0 or more; NaN where there is none."""
    expected = 'seconds, 0 or more, or NaN'
    return self.floats(f'd_{task.name}', 0.0, expected=expected, has_nan=True)

  def weights(self, task: manifest_lib.Task) -> np.ndarray:
    """How much a weighted task's labels count, 0 or more."""
    return self.floats(f'w_{task.name}', 0.0, expected='a weight of 0 or more')

  def labels(self, task: manifest_lib.Task) -> np.ndarray:
    """A task's labels: what its loss takes, or 0 where it is not observed."""
    name, record = f'y_{task.name}', kinds.LOSSES.find(task.loss)
    expected = kinds.expected(record, tuple(task.levels))
    values = self.floats(name, expected=expected)
    if task.is_binary:
      right = (values == 0) | (values == 1)
    elif task.levels:
      right = np.isin(values, task.levels)
    else:
      least = {'any': -np.inf, 'zero': 0.0, 'positive': np.nextafter(0.0, 1.0)}
      right = values >= least[record.labels]
    if task.weighted and not task.is_binary:
      right |= (values == 0) & (self.weights(task) == 0)
    self._check(name, right, values, expected)
    return values

  def _check(
    self,
    name: str,
    right: np.ndarray,
    values: np.ndarray,
    expected: str,
    owner: np.ndarray | None = None,
  ) -> None:
    """Refuses the first value that is not right; `owner` has rows of values."""
    if not right.all():
      at = int(np.argmin(right))
      row = at if owner is None else int(owner[at])
      self._fail(name, row, f'is {values[at]}', expected)

  def _fail(
    self, column: str, row: int | None, found: str, expected: str
  ) -> NoReturn:
    """Raises types.InputError for a column, or its value in a row (from 0)."""
    where = '' if row is None else f'row {self._before + row + 1}, '
    raise types.InputError(
      f'{self._path}: {where}column {column!r}: {found}, expected {expected}'
    )


def _ids(field: manifest_lib.Field) -> str:
  return f'a row of the vocabulary, 0 to {field.size - 1}'


def _first(flags: pa.Array | pa.ChunkedArray) -> int:
  return int(np.argmax(flags.to_numpy(zero_copy_only=False)))
