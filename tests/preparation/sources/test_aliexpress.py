from __future__ import annotations

from rmtl_jax import json_files
from rmtl_jax.preparation import sources
from tests.preparation import raw_files

SCHEMA = json_files.read(sources.PUBLIC / 'aliexpress.json')
USER = SCHEMA['raw']['searches']['header']
ITEM = SCHEMA['raw']['log']['header']


def item(search, label=0, number=1, **changes):
  """A row of an item file; categorical values are `number`."""
  return _line(ITEM, search, number, {'item_49': label} | changes)


def search(number, value=2, **changes):
  """A row of a user file; categorical values are `value`."""
  return _line(USER, number, value, changes)


def _line(names, key, value, changes):
  values = {
    name: value if name in SCHEMA['categorical'] else i / 2
    for i, name in enumerate(names)
  }
  values[names[0]] = key
  return ','.join(str(v) for v in (values | changes).values())


def write(tmp_path, train, test, searches=range(20), country='nl'):
  """Raw files; searches are the same in train and test."""
  raw_dir = tmp_path / 'raw'
  for kind, lines in (('train', train), ('test', test)):
    raw_files.write(raw_dir / f'{country}_item_{kind}.csv', lines)
    users = [search(number) for number in searches]
    raw_files.write(raw_dir / f'{country}_user_{kind}.csv', users)
  return raw_dir


def read(raw_dir, source='aliexpress'):
  return raw_files.read_source(source, raw_dir)


def test_items_get_their_search_and_both_labels(tmp_path):
  train = [item(7, 0, 5), item(7, 1, 6), item(3, 2, 4)]
  raw_dir = write(tmp_path, train, [item(7, 0, 9)])
  table, rows = read(raw_dir)
  assert [row['session'] for row in rows] == [7, 7, 3, 7]
  assert [row['split'] for row in rows] == [0, 0, 0, 2]
  assert [row['y_click'] for row in rows] == [0, 1, 1, 0]
  assert [row['y_conversion'] for row in rows] == [0, 0, 1, 0]
  # Categories of the search and of the item.
  assert [rows[1][f'f_{n}'] for n in ('user_2', 'item_42')] == [2, 6]
  # Half their position.
  assert [rows[1][f'x_{n}'] for n in ('user_9', 'item_48')] == [4, 23.5]
  kinds = [field.kind for field in table.fields]
  assert (kinds.count('categorical'), kinds.count('numeric')) == (16, 63)
  assert not (table.has_time or table.has_user)


def test_joined_files_need_no_join(tmp_path):
  names = ['search_id', *(f'categorical_{i}' for i in range(1, 17))]
  names += [f'numerical_{i}' for i in range(1, 64)]
  for kind, labels in (('train', '1,0'), ('test', '1,1')):
    line = ','.join(map(str, range(7, 7 + len(names))))
    raw_files.write(
      tmp_path / f'{kind}.csv',
      [','.join([*names, 'click', 'conversion']), f'{line},{labels}'],
    )
  _, rows = read(tmp_path, 'aliexpress_joined')
  assert [row['y_conversion'] for row in rows] == [0, 1]
  assert [row['split'] for row in rows] == [0, 2]
  assert rows[0]['session'] == 7 and rows[1]['f_categorical_1'] == 8
