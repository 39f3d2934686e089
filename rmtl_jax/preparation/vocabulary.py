"""Builds vocabularies from train rows.

Row 0 stands for values that are missing, unseen in train or rarer than
`min_count`; the others follow by descending count, then by text. A field with
buckets has rows after them, which unseen and rare values share by their hash;
row 0 is then what is missing.
"""

from __future__ import annotations

import dataclasses
import hashlib
import pathlib
from collections.abc import Mapping, Sequence

from rmtl_jax.preparation import sql

# Columns of one pass; GROUPING_ID has 64 bits.
_COLUMNS_AT_ONCE = 32
# A whole number with a fraction, or crossed with other values.
_FRACTION = rf'(^|{sql.CROSS})-?\d+\.0+($|{sql.CROSS})'


@dataclasses.dataclass(frozen=True)
class Vocabulary:
  """One field's vocabulary in DuckDB.

  Attributes:
    table: has `key` (the source's value), `value` VARCHAR (the key as
      sql.value_text writes it), `count` BIGINT (in train) and `id` INTEGER
      (from 1).
    size: rows, row 0 and buckets included.
    rest: number of train values that are row 0.
    buckets: rows at the end, for the values that have none of their own.
    others: train values in each of them.
    fractions: whether some of those are text such as 118.0, so that it isn't
      118 there: of a column of words, which no reader takes for numbers.
  """

  table: str
  size: int
  rest: int
  buckets: int = 0
  others: tuple[int, ...] = ()
  fractions: bool = False

  def id_sql(self, value: str, found: str) -> str:
    """SQL of a value's row.

    Args:
      found: SQL of its `id` in the table, NULL where the table lacks it.
    """
    if not self.buckets:
      return f'coalesce({found}, 0)'
    bucket = bucket_sql(sql.value_text(value), self.buckets)
    other = f'CAST({self.size - self.buckets} + {bucket} AS INTEGER)'
    given = f'{sql.null_if_empty(value)} IS NOT NULL'
    return f'coalesce({found}, CASE WHEN {given} THEN {other} ELSE 0 END)'

  def write(self, connection: sql.Connection, path: pathlib.Path) -> None:
    """Writes `value` (null in row 0) and `count`, in the order of ids."""
    buckets = ''.join(
      f' UNION ALL SELECT {self.size - self.buckets + i},'
      f' {sql.literal(f"(bucket {i})")}, {count}::BIGINT'
      for i, count in enumerate(self.others)
    )
    # Sorted again: a large union keeps no order by itself.
    connection.execute(
      'COPY (SELECT value, count FROM (SELECT 0 AS id, NULL::VARCHAR AS value,'
      f' {self.rest}::BIGINT AS count UNION ALL SELECT id, value, count FROM'
      f' {self.table}{buckets}) ORDER BY id)'
      f' TO {sql.literal(str(path))} (FORMAT parquet, COMPRESSION zstd)'
    )


def bucket_sql(text: str, buckets: int) -> str:
  """SQL of a text's bucket, from 0: the first 32 bits of its MD5."""
  return f"(('0x' || left(md5({text}), 8))::UINTEGER % {buckets})"


def bucket_of(text: str, buckets: int) -> int:
  """As `bucket_sql`.

  Examples:
    >>> bucket_of('abc', 10)
    2
  """
  digest = hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
  return int(digest[:8], 16) % buckets


def build(
  connection: sql.Connection, counts: str, min_count: int, buckets: int = 0
) -> Vocabulary:
  """Numbers the values with at least `min_count` train rows.

  Args:
    counts: query that gives `key` and `count` BIGINT of train values.
    min_count: least count of a value with a row of its own.
    buckets: rows for the other values.
  """
  table = _number(connection, counts, min_count)
  ((size, rest),) = _sizes(connection, [table])
  return _vocabulary(connection, table, size, rest, buckets)


def _number(
  connection: sql.Connection, counts: str, min_count: int, kind: str = ''
) -> str:
  """Makes the table of a vocabulary, as `build` does; `kind` is the key's."""
  table = sql.unique_name('vocabulary')
  is_given = f'{sql.null_if_empty("key", kind)} IS NOT NULL'
  # Kept values stand first, so that `rowid` numbers them without a window.
  connection.execute(
    f'CREATE TABLE {table}_0 AS'
    f' SELECT key, {sql.value_text("key", kind)} AS value, count,'
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


def _vocabulary(
  connection: sql.Connection, table: str, size: int, rest: int, buckets: int
) -> Vocabulary:
  """A table of `_number`, its values of no row dealt out to the buckets."""
  if not buckets:
    return Vocabulary(table, size + 1, rest)
  others, missing, fractions = [0] * buckets, 0, False
  for bucket, count, holds in connection.execute(
    f'SELECT CASE WHEN {sql.null_if_empty("key")} IS NOT NULL THEN'
    f' {bucket_sql("value", buckets)} END AS bucket, sum(count)::BIGINT,'
    f' bool_or(regexp_matches(value, {sql.literal(_FRACTION)}))'
    f' FROM {table}_0 WHERE NOT kept GROUP BY bucket'
  ).fetchall():
    if bucket is None:
      missing = count
    else:
      others[bucket] = count
      fractions |= holds
  size += 1 + buckets
  return Vocabulary(table, size, missing, buckets, tuple(others), fractions)


def build_categorical(
  connection: sql.Connection,
  rows: str,
  min_counts: Mapping[str, int],
  buckets: Mapping[str, int] | None = None,
) -> dict[str, Vocabulary]:
  """Builds vocabularies of single-valued columns in one pass over the rows.

  Args:
    rows: table or view with the columns and `split` (0 is train).
    min_counts: least count of a value with a row of its own, per column.
    buckets: rows for other values, of the columns that have some.
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
    kinds = sql.column_types(connection, table)
    everything = 2 ** len(group) - 1
    tables = []
    for i, name in enumerate(group):
      # The first column is the highest bit; a bit is 0 where it is grouped.
      others = everything - 2 ** (len(group) - 1 - i)
      counts = (
        f'SELECT {sql.quote(name)} AS key, count FROM {table}'
        f' WHERE others = {others}'
      )
      tables.append(_number(connection, counts, min_counts[name], kinds[name]))
    sql.drop_tables(connection, table)
    sizes = _sizes(connection, tables)
    for name, made, (size, rest) in zip(group, tables, sizes, strict=True):
      own = (buckets or {}).get(name, 0)
      found[name] = _vocabulary(connection, made, size, rest, own)
  return found
