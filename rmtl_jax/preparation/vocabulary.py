"""Vocabularies from train rows, and the SQL that looks values up in them.

Row 0 stands for what is missing, unseen in train or rarer than `min_count`;
the others follow by descending count, then by value as text.
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping

import duckdb

from rmtl_jax.preparation import sql

# GROUPING_ID answers in 64 bits.
_TOGETHER = 32


@dataclasses.dataclass(frozen=True)
class Vocabulary:
  """One field's vocabulary in DuckDB.

  Attributes:
    table: has `key` (a value as the source gives it), `value` VARCHAR, `count`
      BIGINT (of train) and `id` INTEGER (from 1); `value` is the key as
      sql.value_text writes it.
    size: rows, row 0 included.
    rest: how many train values row 0 stands for.
  """

  table: str
  size: int
  rest: int

  def write(
    self, connection: duckdb.DuckDBPyConnection, path: pathlib.Path
  ) -> None:
    """Writes `value` (null in row 0) and `count`, in the order of ids."""
    # A union keeps no order by itself, once a part has many rows.
    connection.execute(
      'COPY (SELECT value, count FROM (SELECT 0 AS id, NULL::VARCHAR AS value,'
      f' {self.rest}::BIGINT AS count UNION ALL SELECT id, value, count FROM'
      f' {self.table}) ORDER BY id)'
      f' TO {sql.literal(str(path))} (FORMAT parquet, COMPRESSION zstd)'
    )


def build(
  connection: duckdb.DuckDBPyConnection, counts: str, min_count: int
) -> Vocabulary:
  """Numbers the values that are frequent enough.

  Args:
    connection: where the table is made.
    counts: query that gives `key` and `count` BIGINT of train values.
    min_count: least count of a value with a row of its own.
  """
  table = sql.unique_name('vocabulary')
  # What is kept stands first, so that `rowid` numbers it.
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
  """Vocabularies of single-valued columns, counted in one pass over the rows.

  Args:
    connection: holds the rows.
    rows: table or view with the columns and `split` (0 is train).
    min_counts: least count of a value with a row of its own, per column.

  Returns:
    A vocabulary per column.
  """
  columns = list(min_counts)
  found: dict[str, Vocabulary] = {}
  for begin in range(0, len(columns), _TOGETHER):
    group = columns[begin : begin + _TOGETHER]
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
