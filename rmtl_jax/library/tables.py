"""Tables that programs hold, as Arrow."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from rmtl_jax import types

# How pandas names the column of an index.
_INDEX = re.compile(r'__index_level_\d+__')


def to_arrow(table: Any, path: str = 'table') -> pa.Table:
  """A table as an Arrow table of plain types.

  Text in views becomes text, dictionaries become their values. The index of a
  pandas frame is left out.

  Args:
    table: what speaks Arrow's C stream interface (a pandas or Polars frame, a
      pyarrow.Table, RecordBatch or RecordBatchReader, a DuckDB relation), a
      list of dicts with a row each, or a dict of columns.
    path: what to call it in errors.

  Raises:
    types.InputError: none of these, or values that are no columns.
  """
  try:
    if isinstance(table, Sequence) and not isinstance(table, str | bytes):
      table = _columns(table, path)
    found = pa.table(table)
    kept = [n for n in found.column_names if not _INDEX.fullmatch(n)]
    columns = {name: _plain_values(found[name]) for name in kept}
    return pa.table(columns)
  except (pa.ArrowException, TypeError, ValueError) as error:
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


def _plain_values(column: pa.ChunkedArray) -> pa.ChunkedArray:
  """A column cast to `_plain`."""
  kind = _plain(column.type)
  if pa.types.is_dictionary(column.type):
    # Arrow decodes no dictionary of views, so its values are cast first.
    parts = [
      pa.DictionaryArray.from_arrays(
        chunk.indices, chunk.dictionary.cast(kind)
      ).dictionary_decode()
      for chunk in column.chunks
    ]
    return pa.chunked_array(parts, kind)
  return column if column.type == kind else column.cast(kind)


def _plain(kind: pa.DataType) -> pa.DataType:
  """The type that Parquet and DuckDB know for an Arrow type."""
  if pa.types.is_dictionary(kind):
    return _plain(kind.value_type)
  if pa.types.is_string_view(kind):
    return pa.large_string()
  if is_list(kind):
    return pa.large_list(_plain(kind.value_type))
  return kind


def is_list(kind: pa.DataType) -> bool:
  """Whether values of a type are lists, of whatever layout."""
  return (
    pa.types.is_list(kind)
    or pa.types.is_large_list(kind)
    or pa.types.is_fixed_size_list(kind)
    or pa.types.is_list_view(kind)
    or pa.types.is_large_list_view(kind)
  )
