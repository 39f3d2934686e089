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


def example(tmp_path, **changes):
  """Searches of three items; each first is clicked, every other bought."""
  train = [item(i // 3, [2, 1][i % 2] * (i % 3 == 0)) for i in range(36)]
  test = [item(i // 3, [2, 1][i % 2] * (i % 3 == 0)) for i in range(12)]
  return write(tmp_path, train, test, **changes)


def read(raw_dir, source='aliexpress'):
  return raw_files.read_source(source, raw_dir)


def joined(raw_dir, directory):
  """Writes train.csv and test.csv as MTReclib joins the raw files."""
  names = (
    ['search_id']
    + [f'categorical_{i}' for i in range(1, 17)]
    + [f'numerical_{i}' for i in range(1, 64)]
  )
  # Positions in a line of user columns, then item columns.
  categorical = [*range(1, 8), 31, 32]
  categorical += [33 + i - 1 for i in (19, 34, 35, 36, 40, 41, 42)]
  numerical = [i for i in range(8, 31)]
  numerical += [i for i in range(34, 81) if i not in categorical]
  for kind in ('train', 'test'):
    users = {
      line.split(',')[0]: line.split(',')
      for line in (raw_dir / f'nl_user_{kind}.csv').read_text().split()
    }
    lines = [','.join([*names, 'click', 'conversion'])]
    for line in (raw_dir / f'nl_item_{kind}.csv').read_text().split():
      values = line.split(',')
      both = users[values[0]] + values
      kept = [both[i] for i in (0, *categorical, *numerical)]
      label = int(values[-1])
      lines.append(','.join([*kept, str(int(label > 0)), str(label // 2)]))
    raw_files.write(directory / f'{kind}.csv', lines)


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


def test_the_joined_files_give_the_same_rows(tmp_path):
  raw_dir = example(tmp_path)
  joined(raw_dir, tmp_path / 'joined')
  _, rows = read(raw_dir)
  _, found = read(tmp_path / 'joined', 'aliexpress_joined')
  names = [f'f_{n}' for n in SCHEMA['categorical']]
  names += [f'x_{n}' for n in SCHEMA['numeric']]
  renamed = [f'f_categorical_{i}' for i in range(1, 17)]
  renamed += [f'x_numerical_{i}' for i in range(1, 64)]
  for row, one in zip(rows, found, strict=True):
    assert [one[n] for n in renamed] == [row[n] for n in names]
    keys = ('row_id', 'session', 'split', 'y_click', 'y_conversion')
    assert [one[n] for n in keys] == [row[n] for n in keys]
