"""Events of one's own table as rows: by hand, and as the shops' readers."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest

from tests.preparation import raw_files
from tests.preparation.sources import test_retailrocket as retailrocket

MINUTE = 60_000
START = retailrocket.START
TASKS = [{'name': 'cart'}, {'name': 'buy', 'after': 'cart'}]
EVENTS = {
  'column': 'what',
  'impressions': ['view', 'glance'],
  'labels': {'cart': ['addtocart'], 'buy': ['transaction']},
}
SCHEMA = {
  'user': 'who',
  'item': 'item',
  'time': {'column': 'at'},
  'categorical': ['who', 'item', 'page'],
  'events': EVENTS,
  'tasks': TASKS,
}


def log(events, visitors=9):
  """Rows of events (who, minute, what, item), and one view of each visitor."""
  rows = [(who, START + m * MINUTE, what, i) for who, m, what, i in events]
  rows += [
    (f'v{n}', START + (day * 1440 + n) * MINUTE, 'view', 'x')
    for n in range(visitors)
    for day in range(9)
  ]
  who, at, what, item = map(list, zip(*rows, strict=True))
  page = [f'p{i % 2}' for i in range(len(rows))]
  return {'who': who, 'at': at, 'what': what, 'item': item, 'page': page}


def run(tmp_path, table, name='log.parquet', **changes):
  path = tmp_path / name
  if name.endswith('.csv'):
    pa_csv.write_csv(pa.table(table), path)
  else:
    pq.write_table(pa.table(table), path)
  return raw_files.run(
    tmp_path,
    'table',
    path,
    schema=raw_files.write_schema(tmp_path / 'schema.json', SCHEMA | changes),
    as_of=('none',),
  )


def of_rows(tmp_path, count):
  """(row, minute, cart, buy) of the rows of the first events."""
  rows = sorted(raw_files.read(tmp_path), key=lambda row: row['row_id'])
  return [
    (
      row['row_id'],
      (row['timestamp'] - START) // MINUTE,
      row['y_cart'],
      row['y_buy'],
    )
    for row in rows
    if row['row_id'] < count
  ]


EXAMPLE = [
  ('a', 1, 'view', 'x'),  # row 0: carted, bought
  ('a', 2, 'glance', 'y'),  # row 1: nothing
  ('a', 3, 'addtocart', 'x'),
  ('a', 4, 'view', 'x'),  # not the first
  ('a', 5, 'transaction', 'x'),
  ('a', 6, 'addtocart', 'z'),  # no impression
  ('a', 7, 'search', 'y'),  # of no interest
  ('a', 100, 'view', 'x'),  # row 7: another session
  ('b', 101, 'transaction', 'w'),
  ('b', 102, 'view', 'w'),  # row 9: viewed after it was bought
]


@pytest.mark.parametrize('name', ['log.parquet', 'log.csv'])
def test_rows_by_hand(tmp_path, name):
  manifest = run(tmp_path, log(EXAMPLE), name)
  assert of_rows(tmp_path, len(EXAMPLE)) == [
    (0, 1, 1, 1),
    (1, 2, 0, 0),
    (7, 100, 0, 0),
    (9, 102, 1, 1),
  ]
  # Features are those of the impression.
  pages = raw_files.vocabulary(tmp_path, 'page')
  found = {r['row_id']: pages[r['f_page']] for r in raw_files.read(tmp_path)}
  assert found[1] == 'p1' and found[7] == 'p1' and found[0] == 'p0'
  report = manifest.report
  assert report['raw_rows'] == len(EXAMPLE) + 81
  assert report['dropped'] == {
    'exact duplicate event': 0,
    '(session, item) pair without a view': 1,
    'event of another kind': 1,
  }
  assert report['pairs'] == 5 + 81 and manifest.tasks[1].after == 'cart'


def test_labels_end_with_the_split(tmp_path):
  """A purchase after train's end makes no row of train positive."""
  table = log([('a', 5760, 'view', 'x'), ('a', 9000, 'transaction', 'x')])
  table['visit'] = ['late', 'late'] + [None] * (len(table['who']) - 2)
  manifest = run(tmp_path, table, session='visit')
  end = manifest.splits['train'].end_ms
  assert START + 5760 * MINUTE < end < START + 9000 * MINUTE
  (row,) = [r for r in raw_files.read(tmp_path, 'train') if r['row_id'] == 0]
  assert row['y_buy'] == 0.0
