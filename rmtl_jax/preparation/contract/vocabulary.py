"""Reads and checks vocabularies: one file per field, a row per id."""

from __future__ import annotations

import pathlib
from typing import NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rmtl_jax import types
from rmtl_jax.data import column_reader, parquet
from rmtl_jax.data import manifest as manifest_lib


class ValueCounts:
  """Counts of values in train, to compare with those of the vocabularies.

  They differ if a vocabulary's rows are not in the order of the ids.
  """

  def __init__(self, manifest: manifest_lib.Manifest):
    self._fields = _with_vocabulary(manifest)
    self._found = {
      field.name: np.zeros(field.size, np.int64) for field in self._fields
    }

  def add(self, field: manifest_lib.Field, ids: np.ndarray) -> None:
    """Counts ids of the field's vocabulary."""
    if field.name in self._found:
      np.add.at(self._found[field.name], ids, 1)

  def check(self, directory: pathlib.Path) -> None:
    """Compares with the vocabularies of DATA.

    Raises:
      types.InputError: names file and row.
    """
    for field in self._fields:
      path = directory / 'vocabulary' / f'{field.name}.parquet'
      with parquet.open_file(path) as file:
        said = file.read(columns=['count'])
      wrong = said['count'].to_numpy() != self._found[field.name]
      if field.kind == 'multi_valued':
        wrong[0] = False  # also stands for no values at all
      if wrong.any():
        row = int(np.argmax(wrong))
        raise types.InputError(
          f"{path}: row {row + 1}, column 'count': {said['count'][row]}, but"
          f' train has id {row} {self._found[field.name][row]} times, expected'
          ' rows in the order of ids'
        )


def check(directory: pathlib.Path, manifest: manifest_lib.Manifest) -> int:
  """Checks every vocabulary that the manifest's fields have.

  Returns:
    The number of vocabularies.

  Raises:
    types.InputError: one that is missing, unreadable or wrong; names file,
      column and row, counted from 1 (the file's first row is id 0).
  """
  fields = _with_vocabulary(manifest)
  for field in fields:
    _check(directory / 'vocabulary' / f'{field.name}.parquet', field)
  return len(fields)


def read(path: pathlib.Path, field: manifest_lib.Field) -> pa.Table:
  """Reads `value` and, where it is there, `count`, in the order of ids.

  Less strict than `check`: predictions need no counts.

  Raises:
    types.InputError: the file is missing or unreadable, lacks text or has a
      value twice, has counts that are no numbers, or another number of rows
      than the manifest says.
  """
  with column_reader.one_line_errors(path), parquet.open_file(path) as file:
    schema = file.schema_arrow
    if schema.names.count('value') != 1:
      raise types.InputError(f"{path}: expected one column 'value'")
    has_counts = schema.names.count('count') == 1
    table = file.read(columns=['value', 'count'] if has_counts else ['value'])
  _check_size(path, field, len(table))
  found = schema.field('value').type
  if not parquet.is_text(found):
    raise types.InputError(f"{path}: column 'value': is {found}, expected text")
  if has_counts:
    found = schema.field('count').type
    if not (pa.types.is_integer(found) or pa.types.is_floating(found)):
      raise types.InputError(
        f"{path}: column 'count': is {found}, expected numbers"
      )
  _check_unique(path, table['value'][1:].combine_chunks())
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
  for field in _with_vocabulary(manifest):
    path = directory / 'vocabulary' / f'{field.name}.parquet'
    if path.exists():
      with column_reader.one_line_errors(path), parquet.open_file(path) as file:
        _check_size(path, field, file.metadata.num_rows)


def _check_size(
  path: pathlib.Path, field: manifest_lib.Field, found: int
) -> None:
  if found != field.size:
    raise types.InputError(
      f'{path}: has {found} rows, manifest.json says {field.size}'
    )


def _with_vocabulary(
  manifest: manifest_lib.Manifest,
) -> list[manifest_lib.Field]:
  """The fields that have a vocabulary of their own."""
  return [field for field in manifest.fields if field.has_vocabulary]


def _check(path: pathlib.Path, field: manifest_lib.Field) -> None:
  with column_reader.one_line_errors(path), parquet.open_file(path) as file:
    _check_types(path, file.schema_arrow)
  table = read(path, field)
  _check_values(path, table['value'])
  if 'order' in field.details:
    _check_order(path, field, table['value'].to_pylist()[1:])
  counts = table['count']
  wrong = counts.fill_null(-1).to_numpy() < 0
  if wrong.any():
    row = int(np.argmax(wrong))
    raise types.InputError(
      f"{path}: row {row + 1}, column 'count': {counts[row].as_py()}, expected"
      ' how many train rows have the value'
    )


def _check_types(path: pathlib.Path, schema: pa.Schema) -> None:
  for name, kinds in (
    ('value', (pa.string(), pa.large_string())),
    ('count', (pa.int64(),)),
  ):
    if schema.names.count(name) != 1:
      raise types.InputError(f'{path}: expected one column {name!r}')
    found = schema.field(name).type
    if found not in kinds:
      raise types.InputError(
        f'{path}: column {name!r}: is {found}, expected {kinds[0]}'
      )


def _check_values(path: pathlib.Path, values: pa.ChunkedArray) -> None:
  """Refuses values in row 0, and nothing in others."""
  if values[0].is_valid:
    _fail(
      path,
      1,
      f'{values[0].as_py()!r:.80}, expected null: row 0 stands for what is'
      ' missing, unseen or rare',
    )
  rest = values[1:].combine_chunks()
  lengths = pc.call_function('binary_length', [rest.fill_null('')])
  empty = lengths.to_numpy() == 0
  if empty.any():
    _fail(path, int(np.argmax(empty)) + 2, 'is empty, expected text')


def _check_unique(path: pathlib.Path, rest: pa.Array) -> None:
  """Refuses values behind row 0 that stand twice."""
  codes = rest.fill_null('').dictionary_encode().indices.to_numpy()
  # A value that is new has the next code.
  again = codes != np.arange(len(codes))
  if again.any():
    row = int(np.argmax(again))
    _fail(path, row + 2, f'{rest[row].as_py()!r:.80} stands twice')


def _check_order(
  path: pathlib.Path, field: manifest_lib.Field, values: list[str]
) -> None:
  """Refuses an order of bins that is not that of the vocabulary's rows."""
  order = list(map(str, field.details['order']))
  if len(order) != len(values):
    raise types.InputError(
      f'{path}: has {len(values)} bins, and their order in manifest.json'
      f' {len(order)}'
    )
  for row, (value, bin_number) in enumerate(zip(values, order, strict=True), 2):
    if value != bin_number:
      _fail(
        path,
        row,
        f'{value!r:.80}, and the order of bins in manifest.json says'
        f' {bin_number}',
      )


def _fail(path: pathlib.Path, row: int, fault: str) -> NoReturn:
  """Raises for a value of a vocabulary, row counted from 1."""
  raise types.InputError(f"{path}: row {row}, column 'value': {fault}")
