"""A Parquet file of prepared data, read by row groups and checked."""

from __future__ import annotations

import itertools
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from rmtl_jax import types
from rmtl_jax.data import column_reader, parquet
from rmtl_jax.data import manifest as manifest_lib


class Features(NamedTuple):
  """Columns of some rows that networks and losses read.

  Attributes:
    categorical: i32[..., F].
    multi_valued: i32[..., M], -1 in unused slots.
    numeric: f32[..., N], NaN where a value is missing (FeatureSpec.missing).
    labels: f32[..., K].
    time: i32[...], as SplitColumns has it.
    sample_weight: f32[..., K], how much a row's labels count; [..., 0] where
      every row counts 1.
  """

  categorical: np.ndarray
  multi_valued: np.ndarray
  numeric: np.ndarray
  labels: np.ndarray
  time: np.ndarray
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
    with column_reader.one_line_errors(path):
      self._file = parquet.open_file(path)
      present = self._file.schema_arrow.names
      groups = range(self._file.num_row_groups)
      rows = [self._file.metadata.row_group(g).num_rows for g in groups]
    self.group_rows = np.array(rows, np.int64)
    self.has_users = 'user_id' in present
    tasks = manifest.tasks
    # Those of what SplitColumns has beside the fields.
    self._columns = {
      'session': ['session_id'],
      'row_id': ['row_id'],
      'user': ['user_id'] if self.has_users else [],
      'oracle': [f'p_{t.name}' for t in tasks if manifest.has_oracle],
      'labels': [f'y_{t.name}' for t in tasks],
      'sample_weight': [f'w_{t.name}' for t in tasks if t.weighted],
      'age': [*manifest.delay_columns[:1]],
      'delay': [*manifest.delay_columns[1:]],
    }
    for name in self._names():
      if name not in present:
        raise types.InputError(f'{path}: no column {name!r}')
      if present.count(name) > 1:
        raise types.InputError(f'{path}: column {name!r} occurs twice')

  def _names(self) -> list[str]:
    own, columns = ['session_id', 'timestamp', 'row_id'], self._columns
    features = self._feature_names()
    others = (columns[name] for name in ('oracle', 'user', 'age', 'delay'))
    return [*own, *features, *itertools.chain(*others)]

  def _feature_names(self) -> list[str]:
    names = [field.column for field in self._manifest.fields]
    for name in ('labels', 'sample_weight'):
      names += self._columns[name]
    return names

  def _read(
    self, names: Sequence[str], groups: Sequence[int]
  ) -> column_reader.ColumnReader:
    """Reads columns of adjacent row groups."""
    with column_reader.one_line_errors(self.path):
      table = self._file.read_row_groups(list(groups), columns=list(names))
    first = int(self.group_rows[: groups[0]].sum()) if len(groups) else 0
    return column_reader.ColumnReader(self.path, table, first)

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

  def features(self, groups: Sequence[int], time: np.ndarray) -> Features:
    """Reads features and labels of adjacent row groups.

    Args:
      groups: their numbers.
      time: of their rows, i32[R]; the file alone can't tell it.

    Raises:
      types.InputError: unreadable, or a value out of range; names the row.
    """
    reader = self._read(self._feature_names(), groups)
    return Features(**self._features(reader), time=time)

  def whole(self, groups: Sequence[int]) -> dict[str, Any]:
    """Reads all columns of adjacent row groups.

    Returns:
      Arrays by their names in columns.SplitColumns, without `starts` and
      `time`, and `timestamp`, i64[R].

    Raises:
      types.InputError: unreadable, or a value out of range; names the row.
    """
    reader = self._read(self._names(), groups)
    return {
      **self._features(reader),
      **{n: self._convert(reader, n) for n in ('session', 'row_id', 'user')},
      'timestamp': reader.integers('timestamp'),
      **{n: self._convert(reader, n) for n in ('oracle', 'age', 'delay')},
    }

  def column(self, name: str) -> np.ndarray | None:
    """Reads a column, or those of all tasks, by the name in SplitColumns."""
    names = [*self._columns[name]]
    if name == 'labels':
      tasks = filter(self._needs_weight, self._manifest.tasks)
      names += [f'w_{task.name}' for task in tasks]
    if not names:
      return None
    return self._convert(self._read(names, range(len(self.group_rows))), name)

  def field(self, field: manifest_lib.Field) -> np.ndarray:
    """A categorical field, i32[R]."""
    reader = self._read([field.column], range(len(self.group_rows)))
    return reader.ids(field).astype(np.int32)

  def _features(
    self, reader: column_reader.ColumnReader
  ) -> dict[str, np.ndarray]:
    rows, of_kind = len(reader.table), self._manifest.of_kind
    single = [reader.ids(f) for f in of_kind('categorical')]
    lists = [reader.lists(f) for f in of_kind('multi_valued')]
    numeric = [reader.numbers(f) for f in of_kind('numeric')]
    none = np.zeros((rows, 0), np.int32)
    return {
      'categorical': _stack(single, rows, np.int32),
      'multi_valued': np.concatenate(lists or [none], axis=1),
      'numeric': _stack(numeric, rows, np.float32),
      'labels': self._labels(reader),
      'sample_weight': self._weights(reader),
    }

  def _needs_weight(self, task: manifest_lib.Task) -> bool:
    """Whether the weight determines if a label may be 0."""
    return task.weighted and not task.is_binary

  def _labels(self, reader: column_reader.ColumnReader) -> np.ndarray:
    columns = [
      reader.labels(
        task,
        reader.floats(f'w_{task.name}') if self._needs_weight(task) else None,
      )
      for task in self._manifest.tasks
    ]
    return _stack(columns, len(reader.table), np.float32)

  def _weights(self, reader: column_reader.ColumnReader) -> np.ndarray:
    tasks, rows = self._manifest.tasks, len(reader.table)
    if not self._manifest.weighted:
      return np.zeros((rows, 0), np.float32)
    ones = np.ones(rows, np.float32)
    return _stack(
      [
        reader.floats(f'w_{t.name}', 0.0, expected='a weight of 0 or more')
        if t.weighted
        else ones
        for t in tasks
      ],
      rows,
      np.float32,
    )

  def _oracle(self, reader: column_reader.ColumnReader) -> np.ndarray:
    columns = [
      reader.floats(name, 0.0, 1.0, 'a probability')
      for name in self._columns['oracle']
    ]
    return _stack(columns, len(reader.table), np.float64)

  def _delays(self, reader: column_reader.ColumnReader) -> np.ndarray:
    late = (task.within_seconds is not None for task in self._manifest.tasks)
    columns = [
      reader.delays(f'd_{task.name}')
      if is_late
      else np.full(len(reader.table), np.nan, np.float32)
      for task, is_late in zip(self._manifest.tasks, late, strict=True)
    ]
    return _stack(columns, len(reader.table), np.float32)

  def _convert(
    self, reader: column_reader.ColumnReader, name: str
  ) -> np.ndarray | None:
    of_tasks = {
      'oracle': self._oracle,
      'labels': self._labels,
      'sample_weight': self._weights,
      'delay': self._delays,
    }
    if not self._columns[name]:
      return None
    if name in of_tasks:
      return of_tasks[name](reader)
    if name == 'age':
      return reader.floats(name, 0.0).astype(np.float32)
    return reader.integers(self._columns[name][0], nullable=name == 'user')


def _stack(columns: list[np.ndarray], rows: int, dtype: type) -> np.ndarray:
  stacked = np.empty((rows, len(columns)), dtype)
  for i, column in enumerate(columns):
    stacked[:, i] = column
  return stacked
