"""Tables in memory as Arrow."""

from __future__ import annotations

import bisect
import contextlib
import dataclasses
import re
from collections.abc import (
  Collection,
  Iterable,
  Iterator,
  Mapping,
  Sequence,
)
from typing import Any

import pyarrow as pa

from rmtl_jax import types

# How pandas names the column of an index, in Arrow and (not at all) in CSV.
_INDEX = re.compile(r'(__index_level_\d+__)?')
# Arrow's errors for values that it can't use.
_UNUSABLE = pa.ArrowException, OSError, TypeError, ValueError, OverflowError


@dataclasses.dataclass(frozen=True)
class Stream:
  """A table that is read once, batch by batch, of plain types.

  Attributes:
    schema: its columns.
    batches: its rows; reading them may raise types.InputError.
  """

  schema: pa.Schema
  batches: Iterator[pa.RecordBatch]


def open_stream(table: Any, path: str = 'table') -> Stream:
  """A table as batches of plain types; one that is larger than memory may be.

  Text in views becomes text, dictionaries become their values. The index of a
  pandas frame is left out if it has no name (see `index_of`), and so is a
  column without one. In lists NaN, NaT and pandas' NA are missing values, as in
  frames.

  Args:
    table: what has Arrow's C stream interface (a pandas or Polars frame, a
      pyarrow.Table, RecordBatch or RecordBatchReader, a DuckDB relation), a
      list of dicts with a row each, or a dict of columns.
    path: what to call it in errors.

  Raises:
    types.InputError: none of these, or values that are no columns.
  """
  with _naming(path):
    if hasattr(table, 'to_frame') and not hasattr(table, 'columns'):
      raise TypeError('one column, or one row, of a frame')
    if isinstance(table, Sequence) and not isinstance(table, str | bytes):
      table = _columns(table, path)
    if isinstance(table, Mapping):
      table = _table(table.items(), path)
    elif not hasattr(table, '__arrow_c_stream__'):
      table = pa.table(table)
    reader = _reader(table, path)
    kept = [
      i for i, n in enumerate(reader.schema.names) if not _INDEX.fullmatch(n)
    ]
    fields = [reader.schema.field(i) for i in kept]
    schema = pa.schema([pa.field(f.name, plain_type(f.type)) for f in fields])

  def batches() -> Iterator[pa.RecordBatch]:
    with _naming(path):
      for batch in reader:
        columns = [
          plain(batch.column(i), field.type)
          for i, field in zip(kept, schema, strict=True)
        ]
        yield pa.record_batch(columns, schema)

  return Stream(schema, batches())


def index_of(table: Any) -> list[str]:
  """Names of the index of a pandas frame, which become columns in Arrow."""
  names = getattr(getattr(table, 'index', None), 'names', None)
  columns = {str(name) for name in getattr(table, 'columns', ())}
  found = [str(name) for name in names or () if name is not None]
  return [name for name in found if name not in columns]


def to_arrow(table: Any, path: str = 'table') -> pa.Table:
  """A whole table as `open_stream` gives it."""
  stream = open_stream(table, path)
  return pa.Table.from_batches(list(stream.batches), stream.schema)


@contextlib.contextmanager
def _naming(path: str) -> Iterator[None]:
  """Names the table in errors of reading it."""
  try:
    yield
  except _UNUSABLE as error:
    raise types.InputError(
      f'{path}: not usable, expected a frame, an Arrow table, a list of dicts'
      f' or a dict of columns: {types.first_line(error)}'
    ) from None


def _columns(rows: Sequence[Any], path: str) -> dict[str, list[Any]]:
  """Columns of a list of dicts; a key that a row lacks is missing there."""
  for number, row in enumerate(rows, 1):
    if not isinstance(row, Mapping):
      raise types.InputError(
        f'{path}: row {number} is a {type(row).__name__}, expected a dict'
      )
  names = dict.fromkeys(name for row in rows for name in row)
  return {name: [row.get(name) for row in rows] for name in names}


def _reader(table: Any, path: str) -> pa.RecordBatchReader:
  """The batches of what speaks Arrow's C stream interface."""
  try:
    # Numbers among the names of a pandas frame become texts; Arrow warns.
    if hasattr(table, 'set_axis') and len({*map(type, table.columns)}) > 1:
      table = table.set_axis([str(name) for name in table.columns], axis=1)
    return pa.RecordBatchReader.from_stream(table)
  except (pa.ArrowException, OverflowError):
    # Of a pandas frame; the error names no row.
    if not hasattr(table, 'items'):
      raise
  columns = [(str(name), values) for name, values in table.items()]
  return _table(columns, path).to_reader()


def _table(columns: Iterable[tuple[Any, Any]], path: str) -> pa.Table:
  """A table of named columns of values.

  Raises:
    types.InputError: names the column, and the row if one is at fault.
  """
  found = {}
  for name, values in columns:
    if not isinstance(name, str):
      raise types.InputError(
        f'{path}: column {name!r:.80}: its name is no text'
      )
    if isinstance(values, pa.Array | pa.ChunkedArray):
      found[name] = values
      continue
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):
      raise types.InputError(
        f'{path}: column {name!r}: {values!r:.80}, expected a list of values'
      )
    if not isinstance(values, Collection) or getattr(values, 'ndim', 1) > 1:
      values = list(values)  # rows of a matrix are lists
    try:
      found[name] = to_array(values)
    except _UNUSABLE as error:
      if len(values) == 0:
        raise types.InputError(
          f'{path}: column {name!r}: {types.first_line(error)}'
        ) from None
      row = _first_fault(list(values))
      shown = types.one_line(repr(list(values)[row - 1]))
      raise types.InputError(
        f'{path}: row {row}, column {name!r}: {shown:.80}, expected values of'
        f' one type that Arrow has: {types.first_line(error)}'
      ) from None
  return pa.table(found)


def _first_fault(values: Sequence[Any]) -> int:
  """The first row, from 1, with which the rows so far are no column."""

  def fails(rows: int) -> bool:
    try:
      to_array(values[:rows])
    except _UNUSABLE:
      return True
    return False

  return bisect.bisect_left(range(len(values)), True, lo=1, key=fails)


def to_array(values: Any) -> pa.Array | pa.ChunkedArray:
  """A column of values; those that pandas takes for missing are missing.

  Raises:
    OverflowError: or another one of what Arrow raises.
  """
  try:
    return pa.array(values, from_pandas=True)
  except OverflowError:
    # Arrow takes whole numbers for signed ones.
    with contextlib.suppress(*_UNUSABLE):
      return pa.array(values, pa.uint64(), from_pandas=True)
    raise


def plain(column: pa.Array, kind: pa.DataType) -> pa.Array:
  """A column as its `plain_type`.

  Raises:
    pa.ArrowException: values that can't be cast.
  """
  if pa.types.is_dictionary(column.type):
    # Arrow decodes no dictionary of views, so its values are cast first.
    column = pa.DictionaryArray.from_arrays(
      column.indices, plain(column.dictionary, kind)
    ).dictionary_decode()
  return column if column.type == kind else column.cast(kind)


def plain_type(kind: pa.DataType) -> pa.DataType:
  """The type that DuckDB reads, in memory and in Parquet, for an Arrow type."""
  if pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind):
    return plain_type(kind.value_type)
  if is_list(kind):
    return pa.large_list(plain_type(kind.value_type))
  if pa.types.is_string_view(kind):
    return pa.large_string()
  if pa.types.is_decimal(kind) and (kind.scale < 0 or kind.precision > 38):
    return pa.float64()
  return pa.float32() if pa.types.is_float16(kind) else kind


def is_list(kind: pa.DataType) -> bool:
  """Whether values of a type are lists."""
  return (
    pa.types.is_list(kind)
    or pa.types.is_large_list(kind)
    or pa.types.is_fixed_size_list(kind)
  )
