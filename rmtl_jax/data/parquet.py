"""Parquet files, opened by their names alone."""

from __future__ import annotations

import pathlib

import pyarrow.parquet as pq


def open_file(path: str | pathlib.Path, buffer_size: int = 0) -> pq.ParquetFile:
  """The Parquet file of that name.

  Args:
    path: where it is. Arrow would take a relative one such as `file:/x` or
      `s3:/x` for a URL.
    buffer_size: bytes that are read at once; 0 for whole column chunks.

  Raises:
    OSError: no such file.
    pyarrow.ArrowException: not a Parquet file.
  """
  return pq.ParquetFile(pathlib.Path(path).absolute(), buffer_size=buffer_size)
