"""Reads AliExpress' search log (NL, ES, FR, US, RU), raw or joined.

Raw, as on Tianchi (data set 74690), all without a header: `nl_user_train.csv`
and `nl_user_test.csv`, a row per search (its id and 32 features), and
`nl_item_train.csv` and `nl_item_test.csv`, a row per shown item (search id, 47
features, and 0, 1 or 2: nothing, a click, a purchase). Joined: `train.csv` and
`test.csv` with the columns that MTReclib's preprocess.py gives them
(`search_id`, `categorical_1..16`, `numerical_1..63`, `click`, `conversion`).
Both make the same rows and fields; which raw columns are categorical is
MTReclib's choice.

A session is a search. Rows have no time, but the test file is later.
"""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

from rmtl_jax import types
from rmtl_jax.config import prepare as prepare_config
from rmtl_jax.preparation import checks, source, sql
from rmtl_jax.preparation.raw import csv as raw_csv
from rmtl_jax.preparation.raw import files as raw
from rmtl_jax.preparation.sources import official

USER = tuple(f'user_{i}' for i in range(1, 34))
ITEM = tuple(f'item_{i}' for i in range(1, 50))
_SEARCH, _SHOWN, _LABEL = USER[0], ITEM[0], ITEM[-1]
# Raw columns of the fields, in the order of the joined files.
_CATEGORICAL = (
  *USER[1:8],
  *USER[31:],
  *(f'item_{i}' for i in (19, 34, 35, 36, 40, 41, 42)),
)
_NUMERIC = (
  *USER[8:31],
  *(name for name in ITEM[1:-1] if name not in _CATEGORICAL),
)
# Field by raw column.
FIELDS = {
  **{name: f'categorical_{i + 1}' for i, name in enumerate(_CATEGORICAL)},
  **{name: f'numerical_{i + 1}' for i, name in enumerate(_NUMERIC)},
}
_WHAT = (
  'a directory with nl_user_train.csv, nl_item_train.csv, nl_user_test.csv and'
  ' nl_item_test.csv (or es, fr, us, ru), or with train.csv and test.csv'
)


def read(
  connection: sql.Connection,
  raw_dir: pathlib.Path,
  options: prepare_config.PrepareConfig,
) -> source.SourceTable:
  """Reads the files of one country, the option `variant`."""
  country = _find_country(raw_dir, options.variant)
  if country:
    return _read_raw(connection, raw_dir, country)
  return _read_joined(connection, raw_dir)


def _find_country(raw_dir: pathlib.Path, variant: str) -> str:
  """The country of the raw files; empty for joined files."""
  found = sorted(
    {
      path.name[:2].lower()
      for path in raw.find_files(raw_dir, ['??_item_*.csv*'], _WHAT)
    }
  )
  if variant != 'auto':
    return variant
  if len(found) > 1:
    raise types.InputError(
      f'{raw_dir}: has files of {", ".join(found)}; choose one with variant'
    )
  return found[0] if found else ''


def _read_raw(
  connection: sql.Connection, raw_dir: pathlib.Path, country: str
) -> source.SourceTable:
  """Joins items to their searches."""
  paths = {
    kind: official.find_pair(
      raw_dir,
      f'{country}_{kind}_train.csv',
      f'{country}_{kind}_test.csv',
      _WHAT,
    )
    for kind in ('user', 'item')
  }
  items = raw_csv.load(
    connection,
    paths['item'],
    {name: _type(FIELDS.get(name, '')) for name in ITEM},
    names=ITEM,
  )
  faults: list[raw.Fault] = [
    (_SHOWN, f'{_SHOWN} IS NULL', raw.EXPECTED['BIGINT']),
    (_LABEL, f'{_LABEL} IS NULL OR {_LABEL} NOT IN (0, 1, 2)', '0, 1 or 2'),
  ]
  raw.check(connection, items, faults)
  searches = _read_searches(connection, paths['user'])
  shown = f'{official.rows_sql(items)} i'
  join = f'{searches} s ON s.{_SEARCH} = i.{_SHOWN} AND s.split = i.split'
  columns = _keys(_SHOWN)
  keys = source.make_view(connection, columns, f'{shown} SEMI JOIN {join}')
  columns |= {_column(FIELDS[name]): name for name in FIELDS}
  columns['y_click'] = f'({_LABEL} >= 1)::DOUBLE'
  columns['y_conversion'] = f'({_LABEL} = 2)::DOUBLE'
  kept = sql.count_rows(connection, keys)
  return source.SourceTable(
    view=source.make_view(connection, columns, f'{shown} JOIN {join}'),
    keys=keys,
    fields=tuple(_field(field, name) for name, field in FIELDS.items()),
    tasks=(
      source.SourceTask('click', None, _LABEL),
      source.SourceTask('conversion', 'click', _LABEL),
    ),
    table=items,
    files=(*paths['user'], *paths['item']),
    has_session=True,
    has_user=False,
    has_time=False,
    has_split=True,
    key_column=_SHOWN,
    dropped={'item of a search without features': items.rows - kept},
    options={'variant': country},
  )


def _read_joined(
  connection: sql.Connection, raw_dir: pathlib.Path
) -> source.SourceTable:
  """Reads the files in which items and searches are joined."""
  paths = official.find_pair(raw_dir, 'train.csv', 'test.csv', _WHAT)
  names = tuple(FIELDS.values())
  labels = ('click', 'conversion')
  table = raw_csv.load(
    connection,
    paths,
    {
      'search_id': 'BIGINT',
      **{name: _type(name) for name in names},
      **dict.fromkeys(labels, 'DOUBLE'),
    },
  )
  shown = f'{official.rows_sql(table)} i'
  keys = _keys('search_id')
  columns = keys | {_column(name): name for name in names}
  columns |= {f'y_{name}': name for name in labels}
  return source.SourceTable(
    view=source.make_view(connection, columns, shown),
    keys=source.make_view(connection, keys, shown),
    fields=tuple(_field(name, name) for name in names),
    tasks=(
      source.SourceTask('click', None, 'click'),
      source.SourceTask('conversion', 'click', 'conversion'),
    ),
    table=table,
    files=tuple(paths),
    has_session=True,
    has_user=False,
    has_time=False,
    has_split=True,
    key_column='search_id',
  )


def _read_searches(
  connection: sql.Connection, paths: Sequence[pathlib.Path]
) -> str:
  """Makes a table of searches with `split`, one row each."""
  kinds = {name: _type(FIELDS.get(name, '')) for name in USER}
  loaded = raw_csv.load(connection, paths, kinds, names=USER)
  faults: list[raw.Fault] = [
    (_SEARCH, f'{_SEARCH} IS NULL', raw.EXPECTED['BIGINT']),
    # The checks of the view would look for these in the files of items.
    *(
      checks.number_fault(name, name) for name in USER if kinds[name] == 'FLOAT'
    ),
  ]
  raw.check(connection, loaded, faults)
  return official.first_rows(connection, loaded, _SEARCH)


def _keys(session: str) -> dict[str, str]:
  """SQL of the view's columns that are no features, over rows `i`."""
  return {
    'row_id': 'i.row_id',
    'session': f'i.{session}',
    'user': 'NULL',
    'timestamp': '0::BIGINT',
    'split': 'i.split',
  }


def _type(field: str) -> str:
  # Half the memory of DOUBLE; MTReclib reads them so, too.
  return 'FLOAT' if field.startswith('numerical') else 'BIGINT'


def _column(field: str) -> str:
  return ('x_' if field.startswith('numerical') else 'f_') + field


def _field(field: str, column: str) -> source.SourceField:
  if field.startswith('numerical'):
    return source.SourceField(field, 'numeric', column, 'standard')
  return source.SourceField(field, 'categorical', column)
