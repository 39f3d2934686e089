"""Reads RetailRocket's shop log from the files of Kaggle.

`events.csv`, and if they exist `item_properties_part*.csv` (weekly snapshots,
each row valid from its time on) and `category_tree.csv`. Rows and labels are
those of `rmtl_jax.preparation.sources.pairs`. A row has the newest values of
its item's properties at or before its time: later ones would leak.
"""

from __future__ import annotations

import pathlib

from rmtl_jax.config import prepare as prepare_config
from rmtl_jax.preparation import source, sql, windows
from rmtl_jax.preparation.raw import csv as raw_csv
from rmtl_jax.preparation.raw import files as raw
from rmtl_jax.preparation.raw import times
from rmtl_jax.preparation.sources import pairs

# Field name -> property, the ones that the paper's data has.
PROPERTIES = {
  'category': 'categoryid',
  'available': 'available',
  'property_364': '364',
  'property_591': '591',
  'property_776': '776',
  'property_785': '785',
  'property_814': '814',
}
_CODES = {
  'view': pairs.VIEW,
  'addtocart': pairs.CART,
  'transaction': pairs.PURCHASE,
}
EVENTS = pairs.shop_events('event', *_CODES)
_EVENTS = {
  'timestamp': 'BIGINT',
  'visitorid': 'BIGINT',
  'event': 'VARCHAR',
  'itemid': 'BIGINT',
  'transactionid': 'VARCHAR',
}


def read(
  connection: sql.Connection,
  raw_dir: pathlib.Path,
  options: prepare_config.PrepareConfig,
) -> source.SourceTable:
  """Reads the log; options `idle_minutes` and `keep_unviewed`."""
  properties = raw.find_files(
    raw_dir, ['item_properties_part*.csv*'], 'a directory with events.csv'
  )
  files = [raw_dir / 'events.csv', *properties]
  table, events = _read_events(connection, files[0])
  found = pairs.make_pairs(
    connection,
    events,
    pairs.SHOP,
    round(options.idle_minutes * 60_000),
    has_session=False,
    identity=('user', 'item', 'event', 'transactionid'),
    keep_unviewed=options.keep_unviewed,
    window=windows.of(options),
  )
  columns = {'visitor': 'p."user"', 'item': 'p.item'}
  joins = ''
  if properties:
    history = _read_properties(connection, properties, found)
    joins = f'JOIN {_as_of(connection, found, history)} a USING (row_id)'
    columns |= {name: f'a.{name}' for name in PROPERTIES}
    tree = raw_dir / 'category_tree.csv'
    if tree.is_file():
      parents = _read_tree(connection, tree)
      joins += f' LEFT JOIN {parents} c ON a.category = c.category'
      columns['category_parent'] = 'c.parent'
      files.append(tree)
  columns |= times.parts('p.timestamp')
  columns = {f'f_{name}': value for name, value in columns.items()}
  view = pairs.make_view(
    connection, found, {'user': 'p."user"'} | columns, joins
  )
  dropped, counts = pairs.count_pairs(found, options.keep_unviewed)
  return source.SourceTable(
    view=view,
    fields=tuple(map(source.field_of, columns)),
    tasks=pairs.TASKS,
    table=table,
    keys=found.table,
    open_events=found.open_events,
    files=tuple(files),
    has_session=True,
    user_field='visitor',
    item_field='item',
    dropped=dropped,
    counts=counts,
    options={'keep_unviewed': options.keep_unviewed},
  )


def _read_events(
  connection: sql.Connection, path: pathlib.Path
) -> tuple[raw.RawTable, str]:
  """The raw table and a view in the form that pairs.make_pairs asks for."""
  codes = ' '.join(f"WHEN '{name}' THEN {n}" for name, n in _CODES.items())
  table = raw_csv.load(
    connection,
    [path],
    _EVENTS,
    select='timestamp, visitorid, itemid, transactionid,'
    f' CAST(CASE event {codes} END AS TINYINT) AS event',
  )
  raw.require_values(
    connection,
    table,
    {
      'timestamp': 'a time in ms',
      'visitorid': 'a whole number',
      'itemid': 'a whole number',
      'event': f'one of {", ".join(_CODES)}',
    },
  )
  view = sql.create_view(
    connection,
    'SELECT rowid AS row_id, NULL AS session, visitorid AS "user",'
    ' visitorid AS visitor, timestamp, itemid AS item, event, transactionid'
    f' FROM {table.name}',
  )
  return table, view


def _read_properties(
  connection: sql.Connection, paths: list[pathlib.Path], found: pairs.Pairs
) -> str:
  """Makes a table of property values over time, for items with rows."""
  wanted = ', '.join(map(sql.literal, PROPERTIES.values()))
  return raw_csv.load(
    connection,
    paths,
    {
      'timestamp': 'BIGINT',
      'itemid': 'BIGINT',
      'property': 'VARCHAR',
      'value': 'VARCHAR',
    },
    where=f'property IN ({wanted})'
    f' AND itemid IN (SELECT item FROM {found.table})',
  ).name


def _as_of(connection: sql.Connection, found: pairs.Pairs, history: str) -> str:
  """Makes a table of each row's newest property values up to its time."""
  changed = ', '.join(
    # A property can have two values at one time; the greater one is taken, so
    # that the result does not depend on the order of rows.
    f'max(value) FILTER (WHERE property = {sql.literal(key)}) AS {name}'
    for name, key in PROPERTIES.items()
  )
  newest = ', '.join(
    f'last_value({name} IGNORE NULLS) OVER past AS {name}'
    for name in PROPERTIES
  )
  # One version per change, with all properties carried forward, so that a
  # single as-of join serves all of them.
  versions = sql.create_table(
    connection,
    f'SELECT itemid AS item, timestamp, {newest}'
    f' FROM (SELECT itemid, timestamp, {changed} FROM {history}'
    '  GROUP BY itemid, timestamp) WINDOW past AS (PARTITION BY itemid'
    '  ORDER BY timestamp ROWS UNBOUNDED PRECEDING)',
  )
  table = sql.create_table(
    connection,
    'SELECT p.row_id, v.* EXCLUDE (item, timestamp)'
    f' FROM {found.table} p ASOF LEFT JOIN {versions} v'
    ' ON p.item = v.item AND p.timestamp >= v.timestamp',
  )
  sql.drop_tables(connection, history, versions)
  return table


def _read_tree(connection: sql.Connection, path: pathlib.Path) -> str:
  """A table of every category's parent."""
  tree = raw_csv.load(
    connection, [path], {'categoryid': 'VARCHAR', 'parentid': 'VARCHAR'}
  )
  return sql.create_table(
    connection,
    'SELECT categoryid AS category,'
    f' max(parentid) AS parent FROM {tree.name} GROUP BY categoryid',
  )
