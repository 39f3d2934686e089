"""As-of features in prepared data: bins, manifest, leaks, errors."""

from __future__ import annotations

import numpy as np

from tests.preparation import raw_files

MINUTE, DAY = 60_000, 86_400_000
HEADER = 'session,user,item,ts,clicked'
SCHEMA = {
  'session': 'session',
  'user': 'user',
  'item': 'item',
  'time': {'column': 'ts'},
  'categorical': ['user', 'item'],
  'tasks': [{'name': 'click', 'column': 'clicked'}],
}


def run(tmp_path, rows, schema=SCHEMA, **options):
  """Prepares rows (session, user, item, ts, clicked)."""
  lines = [HEADER, *(','.join(map(str, row)) for row in rows)]
  path = raw_files.write_schema(tmp_path / 'schema.json', schema)
  return raw_files.run_table(tmp_path, lines, schema=path, **options)


def visits(rows=20):
  """One session a day with one row; users and items take turns."""
  return [(i, f'u{i % 3}', f'i{i % 4}', i * DAY, i % 2) for i in range(rows)]


def test_bins_of_train_are_in_the_manifest(tmp_path):
  # Sessions of a user with rows at 0, 1, 3, 6 and 10 s: gaps 1, 2, 3, 4 s.
  rows = [
    (s, f'u{s}', 'i', s * DAY + t * 1000, 0)
    for s in range(10)
    for t in (0, 1, 3, 6, 10)
  ]
  manifest = run(tmp_path, rows, as_of=('gap',))
  assert manifest.options['as_of'] == ['gap']
  field = manifest.fields[-1]
  assert (field.name, field.kind, field.size) == ('asof_gap', 'categorical', 5)
  # An edge between two neighbours each, and none around bins without rows.
  edges = np.array(field.details['edges'])
  assert np.all((edges > [1000, 2000, 3000]) & (edges <= [2000, 3000, 4000]))
  assert field.details['as_of'] == 'gap'
  assert not (tmp_path / 'out' / 'vocabulary' / 'asof_gap.parquet').exists()
  ids = [row['f_asof_gap'] for row in raw_files.read(tmp_path, 'test')]
  assert ids == [0, 1, 2, 3, 4] * 2


def as_of_fields(manifest):
  return [f.name for f in manifest.fields if 'as_of' in f.details]


def test_auto_makes_what_the_log_supports_and_what_varies(tmp_path):
  # Twelve train rows: no session has two, nobody sees an item again.
  manifest = run(tmp_path, visits(), as_of=('auto',))
  assert manifest.options['as_of'] == SUPPORTED
  assert manifest.options['history_items'] == 20
  assert as_of_fields(manifest) == [
    'asof_history',
    'asof_user_rows',
    'asof_item_rows',
    'asof_user_click_rate',
    'asof_item_click_rate',
    'asof_user_gap',
  ]
  assert manifest.report['warnings'] == []
  assert manifest.report['as_of_left_out'] == {
    'recency of click': 'no label times',
    'tastes': 'no field differs within users',
    'feedback': 'no label times',
    'slate': 'no number',
    **dict.fromkeys(('gap', 'position', 'views'), 'one value in train'),
  }
  words = {path.stem for path in (tmp_path / 'out' / 'vocabulary').iterdir()}
  assert words == {f.name for f in manifest.with_vocabulary}


SUPPORTED = ['counts', 'rates', 'recency', 'history']
