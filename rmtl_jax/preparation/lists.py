"""Encodes multi-valued fields, each distinct list once."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from rmtl_jax.preparation import sql, vocabulary


@dataclasses.dataclass(frozen=True)
class ListEncoding:
  """The vocabulary and encoded lists of a multi-valued field.

  Attributes:
    table: has `key` (a list of the source) and `ids` INTEGER[], 1 to `width`
      of them.
    values: the vocabulary of the values.
    width: slots: length of train's longest list, capped.
    cut: number of values beyond the slots, over all rows.
  """

  table: str
  values: vocabulary.Vocabulary
  width: int
  cut: int


def encode_lists(
  connection: sql.Connection,
  rows: str,
  column: str,
  build: Callable[[str], vocabulary.Vocabulary],
  max_values: int,
  width: int = 0,
) -> ListEncoding:
  """Encodes a multi-valued field by the vocabulary of its values.

  Values beyond the slots are neither kept nor counted in the vocabulary.

  Args:
    rows: table or view with the column and `split` (0 is train).
    build: makes the vocabulary of a query that gives `key` and `count` of the
      values within the slots, of train or where slots are known of all rows.
    max_values: most slots.
    width: slots, where they are known; 0 for the longest list of train.
  """
  keys = _distinct(connection, rows, column)
  counted = 'count' if width else 'train'
  if not width:
    width = sql.fetch_value(
      connection,
      f'SELECT greatest(1, least({max_values}, coalesce(max('
      f'array_length(key)), 1))) FROM {keys} WHERE train > 0',
    )
  cut = sql.fetch_value(
    connection,
    f'SELECT coalesce(sum(greatest(array_length(key) - {width}, 0) * count), 0)'
    f'::BIGINT FROM {keys}',
  )
  flat = sql.create_table(
    connection,
    'SELECT list, train, count, key[slot] AS value, slot'
    f' FROM {_slots(keys, f"least(array_length(key), {width})")}',
  )
  values = build(
    f'SELECT value AS key, sum({counted})::BIGINT AS count FROM {flat}'
    ' GROUP BY value'
  )
  table = sql.create_table(
    connection,
    'SELECT any_value(k.key) AS key,'
    ' list(coalesce(v.id, 0) ORDER BY f.slot) AS ids'
    f' FROM {flat} f JOIN {keys} k ON f.list = k.rowid'
    f' LEFT JOIN {values.table} v ON f.value = v.key GROUP BY f.list',
  )
  sql.drop_tables(connection, flat, keys)
  return ListEncoding(table, values, width, cut)


def encode_sequences(
  connection: sql.Connection,
  rows: str,
  column: str,
  values: vocabulary.Vocabulary,
  max_values: int,
  width: int = 0,
) -> ListEncoding:
  """Encodes lists of earlier values, most recent last, by a field's vocabulary.

  Unknown values are dropped before a list is cut; the most recent ones stay.

  Args:
    rows: table or view with the column and `split` (0 is train).
    values: the vocabulary of the field that they share.
    max_values: most slots.
    width: slots, where they are known; 0 for the longest list of train.
  """
  keys = _distinct(connection, rows, column)
  flat = sql.create_table(
    connection,
    f'SELECT f.list, list(v.id ORDER BY f.slot) AS ids'
    f' FROM {_slots(keys, "array_length(key)")} f'
    # A sequence is text whatever the type of the field that it shares.
    f' JOIN {values.table} v ON f.key[f.slot] = v.value GROUP BY f.list',
  )
  longest, cut = sql.fetch_row(
    connection,
    'SELECT greatest(1, least(any_value(w.most), coalesce(max('
    ' array_length(ids)) FILTER (WHERE train > 0), 1))), coalesce(sum('
    ' greatest(array_length(ids) - w.most, 0) * count), 0)::BIGINT'
    f' FROM (SELECT {max_values} AS most) w LEFT JOIN ('
    f'  FROM {flat} f JOIN {keys} k ON f.list = k.rowid) ON true',
  )
  width = width or longest
  table = sql.create_table(
    connection,
    f'SELECT k.key, f.ids[-{width}:] AS ids'
    f' FROM {flat} f JOIN {keys} k ON f.list = k.rowid',
  )
  sql.drop_tables(connection, flat, keys)
  return ListEncoding(table, values, width, cut)


def _distinct(connection: sql.Connection, rows: str, column: str) -> str:
  """Makes a table of lists that are not empty, counted over all and train."""
  # Lists repeat (an item's tags come with each of its rows), so each distinct
  # one is counted, unnested and looked up once.
  return sql.create_table(
    connection,
    f'SELECT {sql.quote(column)} AS key, count(*) AS count,'
    ' count(*) FILTER (WHERE split = 0) AS train'
    f' FROM {rows} WHERE array_length({sql.quote(column)}) > 0'
    ' GROUP BY key',
  )


def _slots(keys: str, slots: str) -> str:
  """SQL of lists (`list` their number), once for each of so many slots."""
  return (
    '(SELECT rowid AS list, key, train, count,'
    f' unnest(range(1, {slots} + 1)) AS slot FROM {keys})'
  )


def split_values(
  value: str, separator: str = '', missing: Sequence[str] = ()
) -> str:
  """SQL of a list of text without empty values.

  Args:
    value: SQL of a list of text, or of text if there is a separator.
    separator: what stands between the values of a text.
    missing: values that are left out, too.
  """
  if separator:
    value = f'string_split({value}, {sql.literal(separator)})'
  trimmed = f'list_transform({value}, lambda v: trim(v))'
  nothing = ', '.join(map(sql.literal, ('', *missing)))
  return f'list_filter({trimmed}, lambda v: v NOT IN ({nothing}))'
