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
