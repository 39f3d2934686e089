"""Vocabularies that keep their ids and grow by the values of new rows.

A value without an id gets one where `min_count` new rows have it, of a user or
an item `min_count` rows so far. New ids come after the old ones, by descending
count, then by text.  Counts are those of
train, in which new rows are none yet, so a new value's is 0.
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Sequence

from rmtl_jax import types
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.preparation import sql, vocabulary


@dataclasses.dataclass(frozen=True)
class Grown:
  """A vocabulary after new rows were seen.

  Attributes:
    values: for looking up new rows; `table` has the values that these have.
    everything: table of `id`, `value` and `count` of every id.
    added: number of new ids.
  """

  values: vocabulary.Vocabulary
  everything: str
  added: int


def grow(
  connection: sql.Connection,
  path: pathlib.Path,
  field: manifest_lib.Field,
  counts: str,
  min_count: int,
) -> Grown:
  """Appends the values of new rows to a vocabulary.

  Args:
    counts: query that gives `key` and `count` BIGINT of values, 0 of those that
      are only to be looked up.
    min_count: least count of a value that gets an id.

  Raises:
    types.InputError: a file that can't be read, or has another size.
  """
  old = _read(connection, path, field)
  size = field.size
  known = f'(FROM {old} WHERE id > 0)'
  grows = f'id IS NULL AND count >= {min_count}'
  # New values stand first, so that `rowid` numbers them without a window.
  counted = sql.create_table(
    connection,
    f'SELECT key, value, count, id, {grows} AS new'
    f' FROM (SELECT key, {sql.value_text("key")} AS value, count'
    f'  FROM ({counts}) WHERE {sql.null_if_empty("key")} IS NOT NULL) LEFT JOIN'
    f' (SELECT id, value FROM {known}) USING (value)'
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
  return Grown(
    vocabulary.Vocabulary(found, size + added, 0),
    everything,
    added,
  )


def _read(
  connection: sql.Connection, path: pathlib.Path, field: manifest_lib.Field
) -> str:
  """Makes a table of `id`, `value` and `count` of a vocabulary's file."""
  with (
    sql.name_errors(path, 'not readable'),
    sql.scan_file(path, 'parquet', 'file_row_number = true') as scan,
  ):
    table = sql.create_table(
      connection,
      'SELECT CAST(file_row_number AS INTEGER) AS id, value, count'
      f' FROM {scan} ORDER BY id',
    )
  size = sql.count_rows(connection, table)
  if size != field.size:
    raise types.InputError(
      f'{path}: has {size} rows, manifest.json has {field.size}'
    )
  return table


def count_ids(field: manifest_lib.Field, rows: str) -> str:
  """A query of `id` and `count` of a field's ids in encoded rows."""
  column = sql.quote(field.column)
  values = f'SELECT {column} AS id FROM {rows}'
  if field.kind == 'multi_valued':
    # A list without values has row 0 alone, which stands for none of them.
    values = f'SELECT unnest({column}) AS id FROM {rows} WHERE {column} <> [0]'
  return f'SELECT id, count(*) AS count FROM ({values}) GROUP BY id'


def write(
  connection: sql.Connection,
  grown: Grown,
  field: manifest_lib.Field,
  joined: Sequence[pathlib.Path],
  path: pathlib.Path,
) -> None:
  """Writes a vocabulary, with the counts of the rows that joined train."""
  with (
    sql.name_errors(joined[0], 'not readable'),
    sql.scan_files(joined, 'parquet') as scan,
  ):
    connection.execute(
      f'UPDATE {grown.everything} e SET count = e.count + c.count FROM'
      f' ({count_ids(field, scan)}) c WHERE e.id = c.id'
    )
  connection.execute(
    f'COPY (SELECT value, count FROM {grown.everything} ORDER BY id)'
    f' TO {sql.literal(str(path))} (FORMAT parquet, COMPRESSION zstd)'
  )
