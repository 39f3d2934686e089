"""Checks types and values of the columns of prepared data.

Stricter than reading for training (`rmtl_jax.data.columns`): types are exactly
those of the contract, so that any reader can rely on them.
"""

from __future__ import annotations

import pathlib
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa

from rmtl_jax import types
from rmtl_jax.data import column_reader, parquet
from rmtl_jax.data import manifest as manifest_lib

_OPTIONAL = ('user_id',)
_BATCH_ROWS = 65_536
# Read-ahead per column: whole chunks of large row groups need not fit memory.
_BUFFER_BYTES = 2**20


# How the contract calls each type, and Arrow's own; None for lists of int32.
_INT64 = 'int64', pa.int64()
_INT32 = 'int32', pa.int32()
_FLOAT32 = 'float32', pa.float32()
_LIST = 'a list of int32', None
Kind = tuple[str, pa.DataType | None]


def expected_types(manifest: manifest_lib.Manifest) -> dict[str, Kind]:
  """The type of every column of a file of rows, in the contract's order."""
  found: dict[str, Kind] = {
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
  found |= {f'w_{t.name}': _FLOAT32 for t in manifest.tasks if t.weighted}
  return found


def check_types(path: pathlib.Path, expected: dict[str, Kind]) -> list[str]:
  """Refuses columns that are missing, stand twice or are of another type.

  Returns:
    The expected columns that the file has.

  Raises:
    types.InputError: names file and column.
  """
  with column_reader.one_line_errors(path), parquet.open_file(path) as file:
    schema = file.schema_arrow
  found = []
  for name, kind in expected.items():
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
  found, (expected, arrow_type) = field.type, kind
  if arrow_type is None:
    is_list = pa.types.is_list(found) or pa.types.is_large_list(found)
    right = is_list and found.value_type == pa.int32()
  else:
    right = found == arrow_type
  if not right:
    raise types.InputError(
      f'{path}: column {field.name!r}: is {found}, expected {expected}'
    )


def batches(
  path: pathlib.Path, columns: Sequence[str]
) -> Iterator[pa.RecordBatch]:
  """Reads a file's rows in batches, with one batch in memory.

  Raises:
    types.InputError: the file can't be read.
  """
  with (
    column_reader.one_line_errors(path),
    parquet.open_file(path, _BUFFER_BYTES) as file,
  ):
    yield from file.iter_batches(_BATCH_ROWS, columns=list(columns))


class BatchColumns(column_reader.ColumnReader):
  """Columns of some rows of a file; `check_types` has checked the types."""

  def __init__(self, path: pathlib.Path, first_row: int, batch: pa.RecordBatch):
    """Takes rows of a file."""
    super().__init__(path, pa.Table.from_batches([batch]), first_row)

  def require(
    self, right: np.ndarray, column: str, found: str, expected: str
  ) -> None:
    """Raises for the first row that is not right, bool[R].

    Raises:
      types.InputError: there is such a row.
    """
    if not right.all():
      self.fail(column, int(np.argmin(right)), found, expected)
