"""DATA/vectors: what was learnt elsewhere of the values of a vocabulary.

One Parquet file for each field that has some, a row per row of the field's
vocabulary: `vector`, a list of as many float32 as the manifest says. Row 0 and
values without a vector have zeros.
"""

from __future__ import annotations

import os
import pathlib

import numpy as np
import pyarrow as pa

from rmtl_jax import types
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.data import parquet

FOLDER = 'vectors'
COLUMN = 'vector'


def file_name(field: manifest_lib.Field | types.Pretrained) -> str:
  """The file of a field's vectors, relative to DATA."""
  return f'{FOLDER}/{field.name}.parquet'


def read(
  data_dir: str | os.PathLike[str], manifest: manifest_lib.Manifest
) -> dict[str, np.ndarray]:
  """The vectors of all fields that have some.

  Returns:
    f32[size, width] by field.

  Raises:
    types.InputError: a file that is missing or unreadable, or differs from
      the manifest; names file and row.
  """
  spec = manifest.feature_spec()
  return {
    field.name: _read(
      pathlib.Path(data_dir) / file_name(field),
      spec.categorical[field.place],
      field.width,
    )
    for field in spec.pretrained
  }


def _read(path: pathlib.Path, rows: int, width: int) -> np.ndarray:
  expected = (
    f'{path}: expected one column {COLUMN!r}, {rows} lists of {width} finite'
    ' float32, and zeros in the first, which stands for no value'
  )
  with parquet.one_line_errors(path), parquet.open_file(path) as file:
    found = file.schema_arrow
    if found.names.count(COLUMN) != 1 or not _is_vector(
      found.field(COLUMN).type
    ):
      raise types.InputError(expected)
    column = file.read(columns=[COLUMN])[COLUMN].combine_chunks()
  lengths = column.value_lengths().fill_null(-1).to_numpy()
  if len(column) != rows or (lengths != width).any():
    raise types.InputError(expected)
  values = column.flatten().to_numpy(zero_copy_only=False)
  values = values.reshape(rows, width)
  if values[0].any() or not np.isfinite(values).all():
    raise types.InputError(expected)
  return values


def _is_vector(kind: pa.DataType) -> bool:
  return pa.types.is_list(kind) and pa.types.is_float32(kind.value_type)
