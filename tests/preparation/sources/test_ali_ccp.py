from __future__ import annotations

from tests.preparation import raw_files

ITEM = (('205', 11), ('206', 12), ('207', 13), ('216', 14), ('301', 9))
USER = (('101', 21), ('121', 22), ('124', 1))


def features(*triples):
  """A feature string of (field, id) or (field, id, value)."""
  return '\x01'.join(
    f'{field}\x02{one}\x03{value[0] if value else 1.0}'
    for field, one, *value in triples
  )


def row(click=0, buy=0, visit='a', triples=ITEM, number=0):
  return f'{number},{click},{buy},{visit},{len(triples)},{features(*triples)}'


def visit(name='a', triples=USER):
  return f'{name},{len(triples)},{features(*triples)}'


def write(tmp_path, train, test=(), visits=(), test_visits=()):
  raw_dir = tmp_path / 'raw'
  for name, lines in (
    ('sample_skeleton_train.csv', train),
    ('sample_skeleton_test.csv', test or [row()]),
    ('common_features_train.csv', visits or [visit()]),
    ('common_features_test.csv', test_visits or [visit()]),
  ):
    raw_files.write(raw_dir / name, lines)
  return raw_dir


def read(raw_dir):
  return raw_files.read_source('ali_ccp', raw_dir)


def test_features_of_rows_and_visits(tmp_path):
  item = (
    *ITEM,
    ('210', 31),
    ('210', 32),
    ('508', 41, 2.5),
    ('853', 51, 0.5),
    # A field's number within another's, and ids that look like fields.
    ('2205', 99),
    ('702', 205),
  )
  user = (*USER, ('109_14', 61, 3.0), ('109_14', 62), ('110_14', 63))
  _, rows = read(
    write(tmp_path, [row(1, 1, triples=item)], visits=[visit('a', user)])
  )
  first = rows[0]
  assert (first['f_item_id'], first['f_category'], first['f_position']) == (
    '11',
    '12',
    '9',
  )
  assert first['m_intentions'] == ['31', '32']
  assert first['m_intention_matches'] == ['51']
  assert (first['f_category_match'], first['x_category_match_value']) == (
    '41',
    2.5,
  )
  assert (first['f_brand_match'], first['x_brand_match_value']) == ('205', 1.0)
  assert (first['f_shop_match'], first['x_shop_match_value']) == (None, None)
  assert (first['f_user_id'], first['user'], first['session']) == (
    '21',
    '21',
    'a',
  )
  assert (first['f_gender'], first['f_age']) == ('1', None)
  assert first['m_past_categories'] == ['61', '62']
  assert first['m_past_shops'] == ['63']
  assert first['m_past_brands'] == []
  assert (first['y_click'], first['y_conversion']) == (1, 1)


def test_rows_without_a_click_or_a_visit_are_dropped(tmp_path):
  train = [row(1, 0), row(0, 1), row(1, 1, 'b'), row(0, 0)]
  table, rows = read(write(tmp_path, train))
  assert [r['row_id'] for r in rows] == [0, 3, 4]
  assert [r['split'] for r in rows] == [0, 0, 2]
  assert table.dropped == {'left out by the SQL of the schema': 2}
