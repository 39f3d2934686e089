"""Parquet files, opened by their names alone, and their types."""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq

from rmtl_jax import types


def open_file(path: str | pathlib.Path, buffer_size: int = 0) -> pq.ParquetFile:
  """Opens the Parquet file of that name.

  Args:
    path: where it is. Arrow would take a relative one such as `file:/x` or
      `s3:/x` for a URL.
    buffer_size: bytes that are read at once; 0 for whole column chunks.

  Raises:
    OSError: no such file.
    pyarrow.ArrowException: not a Parquet file.
    types.InputError: the name of a column is no text.
  """
  try:
    return pq.ParquetFile(
      pathlib.Path(path).absolute(), buffer_size=buffer_size
    )
  except UnicodeError:
    raise not_text(path) from None


@contextlib.contextmanager
def one_line_errors(path: str | pathlib.Path, kind: str = '') -> Iterator[None]:
  """Turns errors of reading a file into one line.

  Args:
    kind: what it should be.

  Raises:
    types.InputError: the file is missing or unreadable.
  """
  try:
    yield
  except FileNotFoundError:
    raise types.InputError(f'{path}: not found') from None
  except (OSError, pa.ArrowException, ValueError) as error:
    first = types.first_line(error)
    what = f'not readable as {kind}' if kind else 'not readable'
    raise types.InputError(f'{path}: {what}: {first}') from None


def not_text(path: str | pathlib.Path) -> types.InputError:
  """The error of a table in which the name of a column is no text."""
  return types.InputError(f'{path}: the name of a column is not valid UTF-8')


def is_text(kind: pa.DataType) -> bool:
  """Whether values of the type are text, plain or as a dictionary."""
  if pa.types.is_dictionary(kind):
    kind = kind.value_type
  return (
    pa.types.is_string(kind)
    or pa.types.is_large_string(kind)
    or pa.types.is_string_view(kind)
  )


def release_memory() -> None:
  """Gives back what reading has taken and freed, which Arrow would keep."""
  pa.default_memory_pool().release_unused()
