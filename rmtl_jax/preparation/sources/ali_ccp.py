r"""Reads Ali-CCP, Alibaba's click and conversion log (Tianchi, data set 408).

`sample_skeleton_train.csv` and `_test.csv`, without a header, a row per
impression: its id, click, purchase, the id of its common features, the number
of its own features, and these as `field \x02 id \x03 value`, with \x01 between
features. `common_features_train.csv` and `_test.csv`: the id, the number of
features and the features of a user's visit, which many impressions share.

A session is the impressions that share their common features. Rows have no
time and are split by files. Impressions bought without a click are dropped, as
the literature does. Of a field with one id per row the id is taken, of crossed
fields the value too, of lists the ids without their values.
"""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence

from rmtl_jax.config import prepare as prepare_config
from rmtl_jax.preparation import source, sql
from rmtl_jax.preparation.raw import csv as raw_csv
from rmtl_jax.preparation.raw import files as raw
from rmtl_jax.preparation.sources import official

_SKELETON = (
  'sample_id',
  'click',
  'buy',
  'common_feature_index',
  'feature_num',
  'features',
)
_COMMON = ('common_feature_index', 'feature_num', 'features')
_KEY = 'common_feature_index'
# Fields by the number that the files have for them.
_OF_USER = {
  '101': 'user_id',
  '121': 'profile',
  '122': 'profile_group',
  '124': 'gender',
  '125': 'age',
  '126': 'consumption_1',
  '127': 'consumption_2',
  '128': 'occupation',
  '129': 'geography',
}
_LISTS_OF_USER = {
  '109_14': 'past_categories',
  '110_14': 'past_shops',
  '127_14': 'past_brands',
  '150_14': 'past_intentions',
}
_OF_ROW = {
  '205': 'item_id',
  '206': 'category',
  '207': 'shop',
  '216': 'brand',
  '301': 'position',
}
# A past category, shop or brand of the user that is the item's; its value is
# how much the user had to do with it.
_CROSSED = {
  '508': 'category_match',
  '509': 'shop_match',
  '702': 'brand_match',
}
# An item may have several intentions.
_LISTS_OF_ROW = {'210': 'intentions', '853': 'intention_matches'}
_WHAT = (
  'a directory with sample_skeleton_train.csv, common_features_train.csv,'
  ' sample_skeleton_test.csv and common_features_test.csv'
)
# Columns of the raw tables: whether a feature string has all its separators,
# and whether one of its lists is longer than what is kept.
_WHOLE, _IS_CUT = 'is_whole', 'is_cut'


def read(
  connection: sql.Connection,
  raw_dir: pathlib.Path,
  options: prepare_config.PrepareConfig,
) -> source.SourceTable:
  """Reads impressions and joins their common features; option `max_values`."""
  paths = {
    kind: official.find_pair(
      raw_dir, f'{kind}_train.csv', f'{kind}_test.csv', _WHAT
    )
    for kind in ('sample_skeleton', 'common_features')
  }
  rows = _read_rows(connection, paths['sample_skeleton'])
  visits, cut = _read_visits(
    connection, paths['common_features'], options.max_values
  )
  shown = f'(FROM {official.rows_sql(rows)} WHERE click >= buy) i'
  join = f'{visits} u USING (split, {_KEY})'
  of_user = _view_columns(_OF_USER, _LISTS_OF_USER)
  of_row = _view_columns(_OF_ROW | _CROSSED, _LISTS_OF_ROW)
  of_row += tuple(f'x_{name}_value' for name in _CROSSED.values())
  columns = {
    'row_id': 'i.row_id',
    'session': f'i.{_KEY}',
    'user': 'u.f_user_id',
    'timestamp': '0::BIGINT',
    'split': 'i.split',
  }
  keys = source.make_view(connection, columns, f'{shown} JOIN {join}')
  columns |= {n: f'u.{n}' for n in of_user} | {n: f'i.{n}' for n in of_row}
  columns |= {'y_click': 'i.click', 'y_conversion': 'i.buy'}
  kept = sql.count_rows(connection, keys)
  clicked = sql.count_rows(connection, rows.name, 'click >= buy')
  return source.SourceTable(
    view=source.make_view(connection, columns, f'{shown} JOIN {join}'),
    keys=keys,
    fields=_fields(),
    tasks=(
      source.SourceTask('click', None, 'click'),
      source.SourceTask('conversion', 'click', 'buy'),
    ),
    table=rows,
    files=(*paths['sample_skeleton'], *paths['common_features']),
    has_session=True,
    has_time=False,
    has_split=True,
    key_column=_KEY,
    user_field='user_id',
    item_field='item_id',
    dropped={
      'bought without a click': rows.rows - clicked,
      'impression without its common features': clicked - kept,
    },
    counts={'common_features_with_longer_lists': cut},
  )


def _read_rows(
  connection: sql.Connection, paths: Sequence[pathlib.Path]
) -> raw.RawTable:
  columns = {f'f_{name}': _one(code) for code, name in _OF_ROW.items()}
  columns |= {f'f_{name}': _one(code) for code, name in _CROSSED.items()}
  columns |= {f'm_{name}': _many(code) for code, name in _LISTS_OF_ROW.items()}
  columns |= {
    f'x_{name}_value': f'TRY_CAST({_value(code)} AS DOUBLE)'
    for code, name in _CROSSED.items()
  }
  return _load(
    connection, paths, _SKELETON, columns, ['click', 'buy'], ('205', 'item id')
  )


def _read_visits(
  connection: sql.Connection, paths: Sequence[pathlib.Path], width: int
) -> tuple[str, int]:
  """Makes a table of common features with `split`, one row per id.

  Lists of hundreds of values would be copied to every impression, so they are
  cut here.

  Returns:
    The table, and how many rows of the files have a longer list.
  """
  columns = {f'f_{name}': _one(code) for code, name in _OF_USER.items()}
  columns |= {
    f'm_{name}': f'{_many(code)}[:{width}]'
    for code, name in _LISTS_OF_USER.items()
  }
  lengths = ', '.join(f'len({_many(code)})' for code in _LISTS_OF_USER)
  columns[_IS_CUT] = f'greatest({lengths}) > {width}'
  loaded = _load(connection, paths, _COMMON, columns, [], ('101', 'user id'))
  cut = sql.count_rows(connection, loaded.name, _IS_CUT)
  return official.first_rows(connection, loaded, _KEY), cut


def _load(
  connection: sql.Connection,
  paths: Sequence[pathlib.Path],
  names: Sequence[str],
  columns: Mapping[str, str],
  labels: Sequence[str],
  required: tuple[str, str],
) -> raw.RawTable:
  """Reads and checks files of one form, their features taken apart.

  `columns` is SQL of what to take from `features`, by name; of the `required`
  field every row has a feature.
  """
  code, what = required
  # The strings are the bulk of the files: only what is taken from them is kept.
  kept = {
    _KEY: _KEY,
    **{name: name for name in labels},
    **columns,
    _WHOLE: _is_whole(),
    'has_id': f"{_one(code)} <> ''",
  }
  table = raw_csv.load(
    connection,
    paths,
    {_KEY: 'VARCHAR', 'features': 'VARCHAR', **dict.fromkeys(labels, 'DOUBLE')},
    select=', '.join(f'{value} AS {name}' for name, value in kept.items()),
    names=names,
  )
  features = 'features: field \\x02 id \\x03 value, and \\x01 between features'
  faults: list[raw.Fault] = [
    (_KEY, f'{_KEY} IS NULL', 'an id of common features'),
    ('features', f'NOT coalesce({_WHOLE}, false)', features),
    (
      'features',
      'NOT coalesce(has_id, false)',
      f'a feature of field {code}, the {what}',
    ),
    *(
      (name, f'{name} IS NULL OR {name} NOT IN (0, 1)', '0 or 1')
      for name in labels
    ),
  ]
  raw.check(connection, table, faults)
  return table


def _is_whole() -> str:
  """SQL of whether every feature has its two separators."""
  field, value, between = (
    f"len(features) - len(replace(features, chr({sign}), ''))"
    for sign in (2, 3, 1)
  )
  return f'({field} = {value} AND {field} = 1 + {between})'


def _after(code: str) -> str:
  """SQL of a text and a separator; what follows each is an id of the field."""
  return f"chr(1) || features, chr(1) || '{code}' || chr(2)"


def _one(code: str) -> str:
  """SQL of a field's id; NULL if the row has none."""
  return f"nullif(split_part(split_part({_after(code)}, 2), chr(3), 1), '')"


def _value(code: str) -> str:
  """SQL of a field's value as text."""
  rest = f'split_part(split_part({_after(code)}, 2), chr(3), 2)'
  return f'split_part({rest}, chr(1), 1)'


def _many(code: str) -> str:
  """SQL of the list of a field's ids."""
  return (
    f'list_transform(string_split({_after(code)})[2:],'
    ' lambda piece: split_part(piece, chr(3), 1))'
  )


def _view_columns(
  single: Mapping[str, str], lists: Mapping[str, str]
) -> tuple[str, ...]:
  return (
    *(f'f_{name}' for name in single.values()),
    *(f'm_{name}' for name in lists.values()),
  )


def _fields() -> tuple[source.SourceField, ...]:
  return (
    *(
      source.SourceField(name, 'categorical', code)
      for code, name in (_OF_USER | _OF_ROW | _CROSSED).items()
    ),
    *(
      source.SourceField(name, 'multi_valued', code)
      for code, name in (_LISTS_OF_USER | _LISTS_OF_ROW).items()
    ),
    *(
      source.SourceField(f'{name}_value', 'numeric', code, 'standard')
      for code, name in _CROSSED.items()
    ),
  )
