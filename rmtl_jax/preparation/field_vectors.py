"""Vectors learnt elsewhere, of the values of a field: Parquet to DATA/vectors.

The file has a row per value: the value, and a list of numbers, as long in every
row. Vectors of the vocabulary's values are centred and scaled to a mean square
of 1, so that no unit of theirs drowns other features; values without a vector
have zeros, the mean.
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from rmtl_jax import types
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.data import parquet
from rmtl_jax.data import vectors as data_vectors
from rmtl_jax.preparation import sql, vocabulary
from rmtl_jax.preparation.raw import raw_files as raw

# A smaller share of train's values with a vector is worth a warning.
_USUAL_SHARE = 0.5
# Numbers of a vector at most.
_WIDEST = 8192


def write(
  connection: sql.Connection,
  fields: Sequence[manifest_lib.Field],
  vocabularies: dict[str, vocabulary.Vocabulary],
  directory: pathlib.Path,
) -> tuple[tuple[manifest_lib.Field, ...], tuple[str, ...]]:
  """Writes DIRECTORY/vectors/<field>.parquet of each field that has a file.

  Args:
    fields: `vectors` in their details names the `file`, its columns `key` and
      `vector`, and whether they are `trained`.
    vocabularies: by field.

  Returns:
    The fields for the manifest, and warnings for the report.

  Raises:
    types.InputError: a file or a vector that can't be used; names file, column
      and row.
  """
  new_fields, warnings = [], []
  for field in fields:
    asked = field.details.get('vectors')
    if asked:
      known = vocabularies[field.name]
      values, share = _read(connection, asked, known)
      (directory / data_vectors.FOLDER).mkdir(exist_ok=True)
      _write(values, directory / data_vectors.file_name(field))
      details = {**asked, 'width': values.shape[1], 'share': share}
      field = dataclasses.replace(
        field, details=field.details | {'vectors': details}
      )
      if share < _USUAL_SHARE:
        warnings.append(
          f'field {field.name!r}: {share:.0%} of the train rows have a'
          f' value with a vector in {asked["file"]}'
        )
    new_fields.append(field)
  return tuple(new_fields), tuple(warnings)


def extend(
  data_dir: pathlib.Path,
  manifest: manifest_lib.Manifest,
  fields: Sequence[manifest_lib.Field],
  directory: pathlib.Path,
) -> None:
  """Writes the vectors of vocabularies that have grown.

  Those of known values were centred and scaled with train's, and stay; new
  values get zeros, the mean.

  Args:
    data_dir: the data that is extended.
    fields: of extended data.
    directory: of extended data.
  """
  known = data_vectors.read(data_dir, manifest)
  for field in fields:
    if field.name in known:
      (directory / data_vectors.FOLDER).mkdir(exist_ok=True)
      values = known[field.name]
      added = field.size - len(values)
      _write(
        np.pad(values, ((0, added), (0, 0))),
        directory / data_vectors.file_name(field),
      )


def _read(
  connection: sql.Connection,
  asked: dict[str, Any],
  known: vocabulary.Vocabulary,
) -> tuple[np.ndarray, float]:
  """Vectors of a vocabulary, f32[size, width], and how many rows have one.

  That is the share of train's rows with such a value.
  """
  path = pathlib.Path(asked['file'])
  _check_columns(path, asked)
  key, vector = sql.quote(asked['key']), sql.quote(asked['vector'])
  with (
    sql.name_errors(path, 'not readable'),
    sql.scan_file(path, 'parquet') as source,
  ):
    table = sql.create_table(
      connection,
      f'SELECT {sql.value_text(key)} AS value,'
      f' CAST({vector} AS FLOAT[]) AS vector FROM {source}',
    )
  width = _check(connection, table, path, asked)
  values = np.zeros((known.size, width), np.float32)
  counts = np.zeros(known.size, np.int64)
  total = known.rest
  found = connection.sql(
    f'SELECT v.id, v.count, t.vector FROM {known.table} v'
    f' LEFT JOIN {table} t ON v.value = t.value'
  ).to_arrow_table()
  sql.drop_tables(connection, table)
  ids = found['id'].to_numpy()
  total += int(np.sum(found['count'].to_numpy()))
  given = found['vector'].combine_chunks()
  has = given.is_valid().to_numpy(zero_copy_only=False)
  rows = given.drop_null().flatten().to_numpy().reshape(-1, width)
  if len(rows):
    rows = rows - rows.mean(axis=0, dtype=np.float64).astype(np.float32)
    size = float(np.sqrt(np.mean(np.square(rows, dtype=np.float64))))
    values[ids[has]] = rows / size if size else rows
    counts[ids[has]] = found['count'].to_numpy()[has]
  return values, round(float(counts.sum()) / max(total, 1), 4)


def _check_columns(path: pathlib.Path, asked: dict[str, Any]) -> None:
  with parquet.one_line_errors(path), parquet.open_file(path) as file:
    schema = file.schema_arrow
  for column in (asked['key'], asked['vector']):
    if schema.names.count(column) != 1:
      raise types.InputError(
        f'{path}: no column {column!r}; it has {", ".join(schema.names):.200}'
      )
  kind = schema.field(asked['vector']).type
  if not (
    pa.types.is_list(kind)
    or pa.types.is_large_list(kind)
    or pa.types.is_fixed_size_list(kind)
  ) or not (
    pa.types.is_floating(kind.value_type)
    or pa.types.is_integer(kind.value_type)
  ):
    raise types.InputError(
      f'{path}: column {asked["vector"]!r}: is {kind}, expected lists of'
      ' numbers'
    )


def _check(
  connection: sql.Connection,
  table: str,
  path: pathlib.Path,
  asked: dict[str, Any],
) -> int:
  """The width of all vectors, if they can be used."""
  width = sql.fetch_value(
    connection, f'SELECT coalesce(len(any_value(vector)), 0) FROM {table}'
  )
  if not 1 <= width <= _WIDEST:
    raise types.InputError(
      f'{path}: column {asked["vector"]!r}: has vectors of {width} numbers,'
      f' expected 1 to {_WIDEST}'
    )
  bad = (
    'list_bool_or(list_transform(vector,'
    ' lambda x: x IS NULL OR isnan(x) OR isinf(x)))'
  )
  faults = [
    (asked['key'], 'value IS NULL', 'a value'),
    (
      asked['vector'],
      f'vector IS NULL OR len(vector) <> {width} OR {bad}',
      f'{width} finite numbers',
    ),
  ]
  if found := raw.find_first(connection, faults, table, 'rowid'):
    row, (column, _, expected) = found
    raise types.InputError(
      f'{path}: row {row + 1}, column {column!r}: expected {expected}'
    )
  again = sql.fetch_value(
    connection,
    f'SELECT min(last) FROM (SELECT max(rowid) AS last FROM {table}'
    ' GROUP BY value HAVING count(*) > 1)',
  )
  if again is not None:
    raise types.InputError(
      f'{path}: row {again + 1}, column {asked["key"]!r}: the value stands'
      ' twice'
    )
  return width


def _write(values: np.ndarray, path: pathlib.Path) -> None:
  rows, width = values.shape
  offsets = pa.array(np.arange(rows + 1, dtype=np.int32) * width)
  lists = pa.ListArray.from_arrays(offsets, pa.array(values.reshape(-1)))
  pq.write_table(pa.table({data_vectors.COLUMN: lists}), path)
