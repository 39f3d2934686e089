from __future__ import annotations

import pytest

from tests.preparation import raw_files

HEADER = (
  'event_time,event_type,product_id,category_id,category_code,brand,price,'
  'user_id,user_session'
)
REASON = '(session, item) pair without a view'


def event(
  time, kind, product, session='s1', user=7, code='', brand='', price='1.5'
):
  """One raw line; time is `hh:mm:ss` of 2019-10-01."""
  return (
    f'2019-10-01 {time} UTC,{kind},{product},900{product},{code},{brand},'
    f'{price},{user},{session}'
  )


def filler():
  """30 sessions of one view each, from 06:00 on."""
  return [
    event(f'{6 + i // 6:02d}:{i % 6}0:00', 'view', i % 3, f'f{i}', 100 + i)
    for i in range(30)
  ]


def prepare(tmp_path, events, name='2019-Oct.csv', end='\r\n', **options):
  raw_files.write(tmp_path / 'raw' / name, [HEADER, *events, *filler()], end)
  return raw_files.run(tmp_path, 'rees46', tmp_path / 'raw', **options)


def of_user(tmp_path, user=7):
  """(product, minute of the day, click, conversion) of a user's rows."""
  products = raw_files.vocabulary(tmp_path, 'product')
  return [
    (
      products[row['f_product']],
      row['timestamp'] // 60_000 % 1440,
      row['y_click'],
      row['y_conversion'],
    )
    for row in raw_files.read(tmp_path)
    if row['user_id'] == user
  ]


@pytest.mark.parametrize(
  'name, end', [('2019-Oct.csv', '\r\n'), ('2019-Nov.csv.gz', '\n')]
)
def test_rows_are_viewed_pairs_of_native_sessions(tmp_path, name, end):
  manifest = prepare(
    tmp_path,
    [
      event('00:00:00', 'view', 50),
      event('05:00:00', 'purchase', 50),  # far later, yet the same session
      event('05:10:00', 'view', 51),
      event('05:10:01', 'cart', 51),
      event('05:10:00', 'view', 51, 's2'),
      event('05:10:00', 'cart', 52, 's2'),
      event('05:11:00', 'remove_from_cart', 51, 's2'),
    ],
    name,
    end,
  )
  assert of_user(tmp_path) == [
    ('50', 0, 1, 1),
    ('51', 310, 1, 0),
    ('51', 310, 0, 0),
  ]
  assert manifest.report['dropped'][REASON] == 1
  assert manifest.report['dropped']['event of another kind'] == 1
  assert manifest.report['sessions_of_the_log'] == 32
  assert (manifest.user_field, manifest.item_field) == ('user', 'product')
  assert 'dropped' not in ' '.join(manifest.report['warnings'])


def test_fields(tmp_path):
  manifest = prepare(
    tmp_path,
    [
      event('00:00:00', 'view', 50, 'a', 7, 'home.kitchen.mixer', 'acme', '9'),
      event('01:00:00', 'view', 51, 'b', 7, 'home.bed', '', '-4.2'),
      event('02:00:00', 'view', 52, 'c', 7, '', '', ''),
    ],
  )
  assert [f.name for f in manifest.fields] == [
    'user',
    'product',
    'category',
    'category_level_1',
    'category_level_2',
    'category_code',
    'brand',
    'hour',
    'weekday',
    'price',
  ]
  found = {
    name: raw_files.decoded(tmp_path, name)[:3]
    for name in ('category', 'category_level_1', 'category_level_2', 'brand')
  }
  assert found == {
    'category': ['90050', '90051', '90052'],
    'category_level_1': ['home', 'home', None],
    'category_level_2': ['home.kitchen', 'home.bed', None],
    'brand': ['acme', None, None],
  }
  codes = raw_files.decoded(tmp_path, 'category_code')
  assert codes[:3] == ['home.kitchen.mixer', 'home.bed', None]
  # A price below zero is missing.
  prices = [row['x_price'] for row in raw_files.read(tmp_path)]
  assert prices[0] > 0 and all(p != p for p in prices[1:3])
  assert manifest.fields[-1].details['transform'] == 'log1p'


def session_id(i):
  return f'72d76fde-8bb3-4e00-8c23-{i:012d}'


def write_cut(tmp_path, missing):
  """A log of native ids whose last record lacks so many characters."""
  lines = [HEADER]
  lines += [
    event(f'{i:02d}:00:00', 'view', 5, session_id(i), i) for i in range(20)
  ]
  data = '\r\n'.join(lines)
  (tmp_path / 'raw').mkdir()
  (tmp_path / 'raw' / 'log.csv').write_text(data[: len(data) - missing])


@pytest.mark.parametrize('missing', [37, 80])
def test_incomplete_final_record_is_dropped(tmp_path, missing):
  write_cut(tmp_path, missing)
  manifest = raw_files.run(tmp_path, 'rees46', tmp_path / 'raw')
  assert manifest.report['warnings'][0] == (
    'log.csv: row 21 is incomplete; dropped'
  )
  assert sum(split.rows for split in manifest.splits.values()) == 19


@pytest.mark.parametrize(
  ('line', 'words'),
  [
    (event('soon', 'view', 5), ("column 'event_time': '2019-10-01 soon UTC'",)),
    (event('00:00:00', 'view', 5, price='x'), ("'price': 'x', expected",)),
    (event('00:00:00', 'view', ''), ("'product_id': nothing",)),
    (event('00:00:00', 'view', 5)[:40], ('values, expected 9',)),
  ],
)
def test_malformed_records_within_are_errors(tmp_path, line, words):
  lines = [HEADER, *filler()[:9], line, *filler()[9:]]
  raw_files.write(tmp_path / 'raw' / 'log.csv', lines, '\r\n')
  call = lambda: raw_files.run(tmp_path, 'rees46', tmp_path / 'raw')
  raw_files.fails(tmp_path, call, 'log.csv: row 11', *words)
