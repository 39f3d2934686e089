"""Vocabularies: a Parquet file per field; the row number is the id."""

from __future__ import annotations

import pathlib

import numpy as np
import pyarrow as pa

from rmtl_jax import types
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.data import parquet


def path(directory: pathlib.Path, field: manifest_lib.Field) -> pathlib.Path:
  """The file of a field, in prepared data, a run or an exported model."""
  return directory / 'vocabulary' / f'{field.name}.parquet'


def read(directory: pathlib.Path, field: manifest_lib.Field) -> pa.Table:
  """Reads `value` and, where it exists, `count`, in the order of ids.

  Raises:
    types.InputError: the file is missing or unreadable, has another number of
      rows than the manifest, counts that are no numbers, or values that are
      not null in row 0 and distinct texts after it; names file and row.
  """
  file_path = path(directory, field)
  with (
    parquet.one_line_errors(file_path),
    parquet.open_file(file_path) as file,
  ):
    schema = file.schema_arrow
    names = [n for n in ('value', 'count') if schema.names.count(n) == 1]
    if 'value' not in names:
      raise types.InputError(f"{file_path}: expected one column 'value'")
    table = file.read(columns=names)
  _check_size(file_path, field, len(table))
  if not parquet.is_text(table['value'].type):
    raise types.InputError(
      f"{file_path}: column 'value': is {table['value'].type}, expected text"
    )
  if 'count' in names and not _is_number(table['count'].type):
    raise types.InputError(
      f"{file_path}: column 'count': is {table['count'].type}, expected numbers"
    )
  _check_values(file_path, table['value'].combine_chunks())
  return table


def check_sizes(
  directory: pathlib.Path, manifest: manifest_lib.Manifest
) -> None:
  """Refuses vocabularies with another size than the manifest's.

  Reads only the files' footers, before tables of that size are allocated.
  Missing vocabularies are accepted.

  Raises:
    types.InputError: names the file and both numbers.
  """
  for field in manifest.with_vocabulary:
    where = path(directory, field)
    if where.exists():
      with (
        parquet.one_line_errors(where),
        parquet.open_file(where) as file,
      ):
        _check_size(where, field, file.metadata.num_rows)


def _check_size(
  file_path: pathlib.Path, field: manifest_lib.Field, rows: int
) -> None:
  if rows != field.size:
    raise types.InputError(
      f'{file_path}: has {rows} rows, manifest.json has {field.size}'
    )


def _is_number(kind: pa.DataType) -> bool:
  return pa.types.is_integer(kind) or pa.types.is_floating(kind)


def _check_values(file_path: pathlib.Path, values: pa.Array) -> None:
  """Row 0 (missing, unseen, rare) is null; others are distinct texts."""
  rest = values[1:].cast(pa.string()).fill_null('')
  # A value that is new has the next code.
  codes = rest.dictionary_encode().indices.to_numpy()
  for wrong, fault in (
    (np.array([values[0].is_valid]), 'expected null in row 1, whose id is 0'),
    (np.append(False, codes != np.arange(len(codes))), 'occurs twice'),
  ):
    if wrong.any():
      row = int(np.argmax(wrong))
      raise types.InputError(
        f"{file_path}: row {row + 1}, column 'value':"
        f' {values[row].as_py()!r:.80} {fault}'
      )
