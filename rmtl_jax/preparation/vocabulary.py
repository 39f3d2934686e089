"""Builds vocabularies from train rows.

Row 0 stands for values that are missing, unseen in train or rarer than
`min_count`; the others follow by descending count, then by text.
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping

import duckdb

from rmtl_jax.preparation import sql

# Columns of one pass; GROUPING_ID has 64 bits.
_COLUMNS_AT_ONCE = 32


@dataclasses.dataclass(frozen=True)
class Vocabulary:
  """One field's vocabulary in DuckDB.

  Attributes:
    table: has `key` (the source's value), `value` VARCHAR (the key as
      sql.value_text writes it), `count` BIGINT (in train) and `id` INTEGER
      (from 1).
    size: rows, row 0 included.
    rest: number of train values that are row 0.
  """

  table: str
  size: int
  rest: int

  def write(
    self, connection: duckdb.DuckDBPyConnection, path: pathlib.Path
  ) -> None:
    """Writes `value` (null in row 0) and `count`, in the order of ids."""
    # Sorted again: a large union keeps no order by itself.
    connection.execute(
      'COPY (SELECT value, count FROM (SELECT 0 AS id, NULL::VARCHAR AS value,'
      f' {self.rest}::BIGINT AS count UNION ALL SELECT id, value, count FROM'
      f' {self.table}) ORDER BY id)'
      f' TO {sql.literal(str(path))} (FORMAT parquet, COMPRESSION zstd)'
    )


def build(
  connection: duckdb.DuckDBPyConnection, counts: str, min_count: int
) -> Vocabulary:
  """Numbers the values with at least `min_count` train rows.

  Args:
    connection: where the table is made.
    counts: query that gives `key` and `count` BIGINT of train values.
    min_count: least count of a value with a row of its own.
  """
  table = sql.unique_name('vocabulary')
  # Kept values stand first, so that `rowid` numbers them without a window.
  connection.execute(
    f'CREATE TABLE {table}_0 AS SELECT key, {sql.value_text("key")} AS value,'
    f' count, {sql.null_if_empty("key")} IS NOT NULL AND count >= {min_count}'
    ' AS kept'
    f' FROM ({counts}) WHERE count > 0'
    ' ORDER BY kept DESC, count DESC, value'
  )
  connection.execute(
    f'CREATE VIEW {table} AS SELECT key, value, count,'
    f' CAST(rowid + 1 AS INTEGER) AS id FROM {table}_0 WHERE kept'
  )
  size, rest = sql.fetch_row(
    connection,
    'SELECT count(*) FILTER (WHERE kept),'
    ' coalesce(sum(count) FILTER (WHERE NOT kept), 0)::BIGINT'
    f' FROM {table}_0',
  )
  return Vocabulary(table, size + 1, rest)


def build_categorical(
  connection: duckdb.DuckDBPyConnection,
  rows: str,
  min_counts: Mapping[str, int],
) -> dict[str, Vocabulary]:
  """Builds vocabularies of single-valued columns in one pass over the rows.

  Args:
    connection: holds the rows.
    rows: table or view with the columns and `split` (0 is train).
    min_counts: least count of a value with a row of its own, per column.

  Returns:
    A vocabulary per column.
  """
  # Grouping sets count all columns while the rows are read once; the view may
  # join several tables, so every pass is dear.
  columns = list(min_counts)
  found: dict[str, Vocabulary] = {}
  for begin in range(0, len(columns), _COLUMNS_AT_ONCE):
    group = columns[begin : begin + _COLUMNS_AT_ONCE]
    names = sql.quote_all(group)
    sets = ', '.join(f'({sql.quote(name)})' for name in group)
    table = sql.unique_name('groups')
    connection.execute(
      f'CREATE TABLE {table} AS SELECT {names}, count(*) AS count,'
      f' GROUPING_ID({names}) AS others FROM {rows} WHERE split = 0'
      f' GROUP BY GROUPING SETS ({sets})'
    )
    everything = 2 ** len(group) - 1
    for i, name in enumerate(group):
      # The first column is the highest bit; a bit is 0 where it is grouped.
      others = everything - 2 ** (len(group) - 1 - i)
      found[name] = build(
        connection,
        f'SELECT {sql.quote(name)} AS key, count FROM {table}'
        f' WHERE others = {others}',
        min_counts[name],
      )
    connection.execute(f'DROP TABLE {table}')
  return found
