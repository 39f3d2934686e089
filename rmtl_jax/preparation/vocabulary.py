"""Builds vocabularies from train rows.

Row 0 means values that are missing, unseen in train or rarer than
`min_count`; the others follow by descending count, then by text.
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence

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

  def write(self, connection: sql.Connection, path: pathlib.Path) -> None:
    """Writes `value` (null in row 0) and `count`, in the order of ids."""
    # Sorted again: a large union keeps no order by itself.
    connection.execute(
      'COPY (SELECT value, count FROM (SELECT 0 AS id, NULL::VARCHAR AS value,'
      f' {self.rest}::BIGINT AS count UNION ALL SELECT id, value, count FROM'
      f' {self.table}) ORDER BY id)'
      f' TO {sql.literal(str(path))} (FORMAT parquet, COMPRESSION zstd)'
    )


def build(
  connection: sql.Connection, counts: str, min_count: int
) -> Vocabulary:
  """Numbers the values with at least `min_count` train rows.

  Args:
    counts: query that gives `key` and `count` BIGINT of train values.
    min_count: least count of a value with its own row.
  """
  table = _number(connection, counts, min_count)
  ((size, rest),) = _sizes(connection, [table])
  return Vocabulary(table, size + 1, rest)


def _number(connection: sql.Connection, counts: str, min_count: int) -> str:
  """Makes the table of a vocabulary, as `build` does."""
  table = sql.unique_name('vocabulary')
  is_given = f'{sql.null_if_empty("key")} IS NOT NULL'
  # Kept values stand first, so that `rowid` numbers them without a window.
  connection.execute(
    f'CREATE TABLE {table}_0 AS'
    f' SELECT key, {sql.value_text("key")} AS value, count,'
    f' {is_given} AND count >= {min_count} AS kept'
    f' FROM ({counts}) WHERE count > 0'
    ' ORDER BY kept DESC, count DESC, value'
  )
  connection.execute(
    f'CREATE VIEW {table} AS SELECT key, value, count,'
    f' CAST(rowid + 1 AS INTEGER) AS id FROM {table}_0 WHERE kept'
  )
  return table


def _sizes(
  connection: sql.Connection, tables: Sequence[str]
) -> list[tuple[int, int]]:
  """Kept values, and train values of no row, of each vocabulary's table."""
  counts = ' UNION ALL '.join(
    f'SELECT {i} AS place, count(*) FILTER (WHERE kept) AS size,'
    ' coalesce(sum(count) FILTER (WHERE NOT kept), 0)::BIGINT AS rest'
    f' FROM {table}_0'
    for i, table in enumerate(tables)
  )
  return connection.execute(
    f'SELECT size, rest FROM ({counts}) ORDER BY place'
  ).fetchall()


def build_categorical(
  connection: sql.Connection,
  rows: str,
  min_counts: Mapping[str, int],
) -> dict[str, Vocabulary]:
  """Builds vocabularies of single-valued columns in one pass over the rows.

  Args:
    rows: table or view with the columns and `split` (0 is train).
    min_counts: least count of a value with its own row, per column.
  """
  # Grouping sets count all columns while the rows are read once; the view may
  # join several tables, so every pass is dear.
  columns = list(min_counts)
  found: dict[str, Vocabulary] = {}
  for begin in range(0, len(columns), _COLUMNS_AT_ONCE):
    group = columns[begin : begin + _COLUMNS_AT_ONCE]
    names = sql.quote_all(group)
    sets = ', '.join(f'({sql.quote(name)})' for name in group)
    table = sql.create_table(
      connection,
      f'SELECT {names}, count(*) AS count, GROUPING_ID({names}) AS others'
      f' FROM {rows} WHERE split = 0 GROUP BY GROUPING SETS ({sets})',
    )
    everything = 2 ** len(group) - 1
    tables = []
    for i, name in enumerate(group):
      # The first column is the highest bit; a bit is 0 where it is grouped.
      others = everything - 2 ** (len(group) - 1 - i)
      counts = (
        f'SELECT {sql.quote(name)} AS key, count FROM {table}'
        f' WHERE others = {others}'
      )
      tables.append(_number(connection, counts, min_counts[name]))
    sql.drop_tables(connection, table)
    sizes = _sizes(connection, tables)
    for name, made, (size, rest) in zip(group, tables, sizes, strict=True):
      found[name] = Vocabulary(made, size + 1, rest)
  return found


@dataclasses.dataclass(frozen=True)
class Grown:
  """A vocabulary that kept its ids and got new ones at its end.

  Attributes:
    values: for looking up new rows; `table` has the values that these have.
    everything: table of `id`, `value` and `count` of every id.
    added: number of new ids.
  """

  values: Vocabulary
  everything: str
  added: int

  def write(
    self, connection: sql.Connection, path: pathlib.Path, ids: str
  ) -> None:
    """Writes `value` and `count` in the order of ids.

    Args:
      ids: query of the `id` of values to add to the counts.
    """
    connection.execute(
      f'UPDATE {self.everything} e SET count = e.count + c.count FROM'
      f' (SELECT id, count(*) AS count FROM ({ids}) GROUP BY id) c'
      ' WHERE e.id = c.id'
    )
    connection.execute(
      f'COPY (SELECT value, count FROM {self.everything} ORDER BY id)'
      f' TO {sql.literal(str(path))} (FORMAT parquet, COMPRESSION zstd)'
    )


def grow(
  connection: sql.Connection,
  path: pathlib.Path,
  size: int,
  counts: str,
  min_count: int,
) -> Grown:
  """Appends the values of new rows to a vocabulary.

  A value without an id gets one where it is counted `min_count` times. New ids
  come after the old ones, by descending count, then by text. The vocabulary's
  counts are those of train, in which new rows are none yet: 0 for a new value.

  Args:
    path: file of the vocabulary, of `size` rows.
    counts: query that gives `key` and `count` BIGINT of values, 0 of those that
      are only to be looked up.
    min_count: least count of a value that gets an id.

  Raises:
    types.InputError: a file that can't be read.
  """
  with (
    sql.name_errors(path, 'not readable'),
    sql.scan_file(path, 'parquet', 'file_row_number = true') as scan,
  ):
    old = sql.create_table(
      connection,
      'SELECT CAST(file_row_number AS INTEGER) AS id, value, count'
      f' FROM {scan} ORDER BY id',
    )
  grows = f'id IS NULL AND count >= {min_count}'
  # New values stand first, so that `rowid` numbers them without a window.
  counted = sql.create_table(
    connection,
    f'SELECT key, value, count, id, {grows} AS new'
    f' FROM (SELECT key, {sql.value_text("key")} AS value, count'
    f'  FROM ({counts}) WHERE {sql.null_if_empty("key")} IS NOT NULL) LEFT JOIN'
    f' (SELECT id, value FROM {old} WHERE id > 0) USING (value)'
    ' ORDER BY new DESC, count DESC, value',
  )
  found = sql.create_table(
    connection,
    'SELECT key, value, count,'
    f' CASE WHEN new THEN CAST({size} + rowid AS INTEGER) ELSE id END AS id'
    f' FROM {counted} WHERE new OR id IS NOT NULL',
  )
  added = sql.count_rows(connection, counted, 'new')
  everything = sql.create_table(
    connection,
    f'FROM {old} UNION ALL SELECT id, value, 0 FROM {found} WHERE id >= {size}',
  )
  sql.drop_tables(connection, counted, old)
  return Grown(Vocabulary(found, size + added, 0), everything, added)
