"""The rows of prepared data's splits, as DuckDB reads them."""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import Iterator

from rmtl_jax import types
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.preparation import sql


@contextlib.contextmanager
def scan(
  data_dir: pathlib.Path, manifest: manifest_lib.Manifest
) -> Iterator[dict[str, str]]:
  """SQL of the rows of every split, read from the files as it runs.

  Raises:
    types.InputError: a file that can't be read, or lacks a column.
  """
  with contextlib.ExitStack() as stack:
    stack.enter_context(sql.translate_errors())
    stack.enter_context(sql.name_errors(data_dir, 'not readable'))
    yield {
      name: stack.enter_context(
        sql.scan_files(
          [data_dir / file for file in manifest.splits[name].files], 'parquet'
        )
      )
      for name in manifest_lib.SPLITS
    }


def broken(where: pathlib.Path, column: str, what: str) -> types.InputError:
  """The error of a split with values that its column may not have."""
  return types.InputError(
    f'{where}: column {column!r} has {what}; rmtl prepare --check says where'
  )
