"""Errors for values of raw rows that a model can't use."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

from rmtl_jax import types
from rmtl_jax.preparation import sql
from rmtl_jax.preparation.raw import files as raw
from rmtl_jax.serving import rows


def check(
  connection: sql.Connection,
  chunk: rows.Chunk,
  relation: str,
  faults: Sequence[raw.Fault],
) -> None:
  """Raises for the first row at fault.

  Args:
    relation: SQL of rows with `position`, the row of the chunk.
    faults: (raw column, SQL condition that is true of a fault, what was
      expected).

  Raises:
    types.InputError: names file, column and row.
  """
  found = raw.find_first(connection, faults, f'({relation})', 'position')
  if found is None:
    return
  row, (column, _, expected) = found
  # The user of a row may be missing because the whole column is.
  value = None
  if column in chunk.table.column_names:
    value = chunk.table[column][row].as_py()
  path, line = pathlib.Path(chunk.path), chunk.lines[row]
  raise types.InputError(
    raw.error_line(path, line, column, value, str(expected))
  )
