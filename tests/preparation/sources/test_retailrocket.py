from __future__ import annotations

from tests.preparation import raw_files

HEADER = 'timestamp,visitorid,event,itemid,transactionid'
PROPERTY_HEADER = 'timestamp,itemid,property,value'
DAY = 86_400_000
# Monday 2015-06-01, 00:00 UTC.
START = 1_433_116_800_000


def filler(days=9, visitor=1000):
  """One viewed pair a day for each of ten visitors: material for a split."""
  return [
    f'{START + day * DAY + v},{visitor + v},view,{v % 3},'
    for day in range(days)
    for v in range(10)
  ]


def prepare(tmp_path, events, **options):
  raw_dir = tmp_path / 'raw'
  raw_files.write(raw_dir / 'events.csv', [HEADER, *events])
  return raw_files.run(tmp_path, 'retailrocket', raw_dir, **options)


def write_properties(tmp_path, *parts, tree=()):
  for i, lines in enumerate(parts):
    path = tmp_path / 'raw' / f'item_properties_part{i + 1}.csv'
    raw_files.write(path, [PROPERTY_HEADER, *lines])
  if tree:
    raw_files.write(
      tmp_path / 'raw' / 'category_tree.csv', ['categoryid,parentid', *tree]
    )


def field_of(tmp_path, name, visitors=range(7, 12)):
  rows = raw_files.read(tmp_path)
  values = raw_files.decoded(tmp_path, name)
  return [
    value
    for value, row in zip(values, rows, strict=True)
    if row['user_id'] in visitors
  ]


def test_properties_are_the_newest_at_or_before_the_row(tmp_path):
  write_properties(
    tmp_path,
    [
      f'{START + 2 * DAY},50,785,new n5.000',
      f'{START},50,categoryid,11',
      f'{START + DAY},50,888,of no interest',
    ],
    [
      f'{START + DAY},50,785,old',
      f'{START + DAY},51,785,of another item',
      f'{START + DAY},50,available,1',
    ],
    tree=['11,3', '3,', '12,3'],
  )
  events = [
    f'{START + DAY - 1},7,view,50,',
    f'{START + DAY},8,view,50,',
    f'{START + 2 * DAY - 1},9,view,50,',
    f'{START + 2 * DAY},10,view,50,',
    f'{START + 3 * DAY},11,view,51,',
  ]
  manifest = prepare(tmp_path, events + filler())
  assert field_of(tmp_path, 'property_785') == [
    None,
    'old',
    'old',
    'new n5.000',
    'of another item',
  ]
  assert field_of(tmp_path, 'category') == ['11', '11', '11', '11', None]
  assert field_of(tmp_path, 'category_parent') == ['3', '3', '3', '3', None]
  assert field_of(tmp_path, 'available') == [None, '1', '1', '1', None]
  assert field_of(tmp_path, 'property_364') == [None] * 5
  assert [f.name for f in manifest.fields][2:4] == [
    'category',
    'available',
  ]
  assert {file['name'] for file in manifest.source_files} == {
    'events.csv',
    'item_properties_part1.csv',
    'item_properties_part2.csv',
    'category_tree.csv',
  }
