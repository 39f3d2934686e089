"""Types of columns of Parquet files and tables."""

from __future__ import annotations

import pathlib

import pyarrow as pa

from rmtl_jax import types
from rmtl_jax.data import parquet
from rmtl_jax.preparation.raw import raw_files as raw


def read_schema(path: pathlib.Path) -> pa.Schema:
  """The columns of a Parquet file.

  Raises:
    types.InputError: it can't be read.
  """
  reading = parquet.one_line_errors(path, 'Parquet')
  with reading, parquet.open_file(path) as file:
    return file.schema_arrow


def check_type(
  path: pathlib.Path, name: str, found: pa.DataType, wanted: str
) -> None:
  """Refuses a column whose type can't become the wanted one.

  Args:
    wanted: as for `load.Columns`.

  Raises:
    types.InputError: names file, column and both types.
  """
  nested = pa.types.is_nested(found) and not pa.types.is_run_end_encoded(found)
  text = parquet.is_text(found)
  number = (
    pa.types.is_integer(found)
    or pa.types.is_floating(found)
    or pa.types.is_decimal(found)
    or pa.types.is_boolean(found)
  )
  fits = {
    'BIGINT': number or text,
    'DOUBLE': number or text,
    'FLOAT': number or text,
    'TIMESTAMPTZ': text
    or pa.types.is_timestamp(found)
    or pa.types.is_date(found),
    'VARCHAR': not nested,
    'VARCHAR[]': nested
    and not pa.types.is_struct(found)
    and not pa.types.is_map(found),
    '': not nested,
  }
  # A column without any value has the type of none.
  if not (fits[wanted] or pa.types.is_null(found)):
    expected = raw.EXPECTED.get(wanted, 'single values')
    expected = 'a list' if wanted == 'VARCHAR[]' else expected
    raise types.InputError(
      f'{path}: column {name!r} is of type {found}, expected {expected}'
    )
