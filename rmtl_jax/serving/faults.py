"""Values of raw rows that can't be used: the first one, in one line."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

import duckdb

from rmtl_jax import types
from rmtl_jax.preparation import sql
from rmtl_jax.preparation.raw import files as raw
from rmtl_jax.serving import rows


def check(
  connection: duckdb.DuckDBPyConnection,
  chunk: rows.Chunk,
  relation: str,
  faults: Sequence[tuple[str, str, str]],
) -> None:
  """Raises for the first row at fault.

  Args:
    connection: holds the relation.
    chunk: the raw rows that it was made of.
    relation: SQL of rows with `position`, the row of the chunk.
    faults: (raw column, SQL condition that is true of a fault, what was
      expected).

  Raises:
    types.InputError: names file, column and row.
  """
  if not faults:
    return
  firsts = ', '.join(
    f'min(position) FILTER (WHERE {condition})' for _, condition, _ in faults
  )
  found = sql.fetch_row(connection, f'SELECT {firsts} FROM ({relation})')
  wrong = [i for i, row in enumerate(found) if row is not None]
  if wrong:
    first = min(wrong, key=lambda i: found[i])
    row, (column, _, expected) = found[first], faults[first]
    value = None
    if column in chunk.table.column_names:
      value = chunk.table[column][row].as_py()
    raise types.InputError(
      raw.error_line(
        pathlib.Path(chunk.path), chunk.lines[row], column, value, expected
      )
    )
