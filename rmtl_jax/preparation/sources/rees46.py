"""Reads REES46's shop logs from the raw files (`2019-Oct.csv`, … or .csv.gz).

Rows and labels as in `rmtl_jax.preparation.sources.pairs`; `remove_from_cart`
is ignored. Sessions are the log's own (`user_session`); events without one form
sessions of their user, cut at the idle time. An incomplete final record (a
download that was cut off) is dropped with a warning.
"""

from __future__ import annotations

import pathlib

from rmtl_jax import types
from rmtl_jax.config import prepare as prepare_config
from rmtl_jax.preparation import source, sql, windows
from rmtl_jax.preparation.raw import csv as raw_csv
from rmtl_jax.preparation.raw import files as raw
from rmtl_jax.preparation.raw import times
from rmtl_jax.preparation.sources import pairs

_COLUMNS = {
  'event_time': 'TIMESTAMPTZ',
  'event_type': 'VARCHAR',
  'product_id': 'BIGINT',
  'category_id': 'BIGINT',
  'category_code': 'VARCHAR',
  'brand': 'VARCHAR',
  'price': 'DOUBLE',
  'user_id': 'BIGINT',
  'user_session': 'VARCHAR',
}
_NO_EVENT = -1
_CODES = {
  'view': pairs.VIEW,
  'cart': pairs.CART,
  'purchase': pairs.PURCHASE,
  'remove_from_cart': _NO_EVENT,
}
EVENTS = pairs.shop_events('event_type', 'view', 'cart', 'purchase')
_CATEGORICAL = {
  'user': 'p."user"',
  'product': 'p.item',
  'category': 'e.category_id',
  # Whole paths: `accessories` of two parents are two categories.
  'category_level_1': "split_part(e.category_code, '.', 1)",
  'category_level_2': "array_to_string(string_split(e.category_code, '.')[:2],"
  " '.')",
  'category_code': 'e.category_code',
  'brand': 'e.brand',
}


def read(
  connection: sql.Connection,
  raw_dir: pathlib.Path,
  options: prepare_config.PrepareConfig,
) -> source.SourceTable:
  """Reads files in name order; options `idle_minutes` and `keep_unviewed`."""
  what = 'a directory with CSV files such as 2019-Oct.csv'
  paths = raw.find_files(raw_dir, ['*.csv', '*.csv.gz'], what)
  if not paths:
    raise types.InputError(f'{raw_dir}: no *.csv or *.csv.gz, expected {what}')
  table, events, warnings = _read_events(connection, paths)
  found = pairs.make_pairs(
    connection,
    events,
    pairs.SHOP,
    round(options.idle_minutes * 60_000),
    has_session=True,
    identity=(raw.ROW_HASH,),
    keep_unviewed=options.keep_unviewed,
    window=windows.of(options),
  )
  categorical = _CATEGORICAL | times.parts('p.timestamp')
  # Some logs have prices below zero, which are missing values.
  price = 'CASE WHEN e.price >= 0 THEN e.price END'
  view = pairs.make_view(
    connection,
    found,
    {
      'user': 'p."user"',
      **{f'f_{name}': value for name, value in categorical.items()},
      'x_price': price,
    },
    f'JOIN {table.name} e ON p.row_id = e.rowid',
  )
  dropped, counts = pairs.count_pairs(found, options.keep_unviewed)
  removals = sql.count_rows(connection, table.name, f'event = {_NO_EVENT}')
  if removals:
    dropped['remove_from_cart event'] = removals
  return source.SourceTable(
    view=view,
    fields=(
      *(source.field_of(f'f_{name}') for name in categorical),
      source.field_of('x_price', 'log1p'),
    ),
    tasks=pairs.TASKS,
    table=table,
    keys=found.table,
    open_events=found.open_events,
    files=tuple(paths),
    has_session=True,
    time_column='event_time',
    time_unit='iso',
    key_column='user_session',
    user_field='user',
    item_field='product',
    dropped=dropped,
    counts=counts,
    warnings=warnings,
    options={'keep_unviewed': options.keep_unviewed},
  )


def _read_events(
  connection: sql.Connection, paths: list[pathlib.Path]
) -> tuple[raw.RawTable, str, tuple[str, ...]]:
  """The raw table, a view as pairs.make_pairs asks for, and warnings."""
  codes = ' '.join(f"WHEN '{name}' THEN {n}" for name, n in _CODES.items())
  table = raw_csv.load(
    connection,
    paths,
    _COLUMNS,
    select='epoch_ms(event_time) AS event_time, product_id, category_id,'
    ' category_code, brand, price, user_id, user_session,'
    f' CAST(CASE event_type {codes} END AS TINYINT) AS event',
    row_hash=True,
    drop_cut_off=True,
  )
  warnings = tuple(
    warning
    for file in table.files
    if (warning := _drop_short_end(connection, table, file))
  )
  raw.check(
    connection,
    table,
    [
      ('event_time', 'event_time IS NULL', raw.EXPECTED['TIMESTAMPTZ']),
      ('event_type', 'event IS NULL', f'one of {", ".join(_CODES)}'),
      ('product_id', 'product_id IS NULL', 'a whole number'),
      ('user_id', 'user_id IS NULL', 'a whole number'),
    ],
  )
  view = sql.create_view(
    connection,
    'SELECT rowid AS row_id, user_session AS session, user_id AS "user",'
    ' user_id AS visitor, event_time AS timestamp, product_id AS item, event,'
    f' {raw.ROW_HASH} FROM {table.name} WHERE event <> {_NO_EVENT}',
  )
  return table, view, warnings


def _drop_short_end(
  connection: sql.Connection, table: raw.RawTable, file: raw.RawFile
) -> str:
  """Drops a final record that was cut within its last value.

  Such a record has all its columns, but no line end follows it and its session
  id is shorter than all others.
  """
  if file.rows < 2 or raw_csv.ends_with_newline(file.path):
    return ''
  last = file.first_row + file.rows - 1
  short = sql.fetch_value(
    connection,
    'SELECT min(n) FILTER (WHERE row < '
    f'{last}) > min(n) FILTER (WHERE row = {last}) FROM ('
    " SELECT rowid AS row, len(coalesce(user_session, '')) AS n"
    f' FROM {table.name} WHERE rowid >= {file.first_row} AND rowid <= {last})',
  )
  if not short:
    return ''
  connection.execute(f'DELETE FROM {table.name} WHERE rowid = {last}')
  row = file.rows + file.header_rows
  return f'{file.path.name}: row {row} is incomplete; dropped'
