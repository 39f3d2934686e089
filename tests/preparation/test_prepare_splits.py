"""Splits other than by ratio of time, and logs without time or session."""

from __future__ import annotations

import pytest

from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.data import manifest_file
from rmtl_jax.preparation import contract
from tests.preparation import raw_files

HEADER = 'who,item,at,part,clicked'
# 2001-09-09, as whole days since 1970.
DAY = 11_574
DAY_MS = 86_400_000


def lines(rows=40, parts=('train', 'test')):
  """Row i: user i % 8, the i-th half day, parts in turn; every 3rd clicked."""
  return [HEADER] + [
    f'u{i % 8},i{i % 5},{DAY * DAY_MS + i * DAY_MS // 2},'
    f'{parts[i % len(parts)]},{int(i % 3 == 0)}'
    for i in range(rows)
  ]


def schema(tmp_path, **changes):
  record = {
    'categorical': ['item'],
    'tasks': [{'name': 'click', 'column': 'clicked'}],
    **changes,
  }
  return raw_files.write_schema(tmp_path / 'schema.json', record)


def run(tmp_path, log=None, columns=(), **options):
  known = {
    'user': {'user': 'who'},
    'session': {'session': 'who'},
    'item': {'item': 'item'},
    'time': {'time': {'column': 'at'}},
    'who': {'categorical': ['item', 'who']},
  }
  changes = {k: v for name in columns for k, v in known[name].items()}
  manifest = raw_files.run_table(
    tmp_path,
    log or lines(),
    schema=schema(tmp_path, **changes),
    **options,
  )
  contract.check(tmp_path / 'out')
  return manifest


def rows_of(tmp_path):
  """Raw rows of each split, in order."""
  return [
    [row['row_id'] for row in raw_files.read(tmp_path, name)]
    for name in manifest_lib.SPLITS
  ]


def test_a_row_without_time_and_session_is_a_session(tmp_path):
  manifest = run(tmp_path)
  assert [s.rows for s in manifest.splits.values()] == [24, 8, 8]
  assert [s.sessions for s in manifest.splits.values()] == [24, 8, 8]
  assert not manifest.has_time and not manifest.split_by_time
  assert manifest.options['split_by'] == 'random'
  assert 'critics have no later row to foresee' in ' '.join(
    manifest.report['warnings']
  )
  assert {row['timestamp'] for row in raw_files.read(tmp_path)} == {0}
  assert manifest_file.read(tmp_path / 'out') == manifest
  found = rows_of(tmp_path)
  assert sorted(row for some in found for row in some) == list(range(40))
  # A seed draws one split, another one another.
  run(tmp_path, overwrite=True)
  assert rows_of(tmp_path) == found
  run(tmp_path, overwrite=True, seed=1)
  assert rows_of(tmp_path) != found


def test_dates(tmp_path):
  manifest = run(
    tmp_path,
    columns=['time', 'user'],
    split_dates=('2001-09-19', '2001-09-24T12:00+00:00'),
  )
  # Day 10 begins with row 20; 15 days and a half with row 31.
  assert rows_of(tmp_path) == [[*range(20)], [*range(20, 31)], [*range(31, 40)]]
  ends = [split.end_ms for split in manifest.splits.values()]
  assert ends == [(DAY + 10) * DAY_MS, (2 * DAY + 31) * DAY_MS // 2, None]
  assert manifest.options['split_by'] == 'dates'
  assert manifest.options['split_dates'] == [
    '2001-09-19T00:00:00+00:00',
    '2001-09-24T12:00:00+00:00',
  ]


def test_users_stay_whole(tmp_path):
  manifest = run(
    tmp_path, columns=['time', 'user'], split_by='user', split=(6, 1, 1)
  )
  users = [{row % 8 for row in found} for found in rows_of(tmp_path)]
  assert [len(some) for some in users] == [6, 1, 1]
  assert sum(map(len, users)) == len(set.union(*users))
  # Sessions of a split stand by start; splits overlap in time.
  assert not manifest.split_by_time
  assert manifest.splits['train'].end_ms is None


def test_a_column_and_validation_carved_from_the_end_of_train(tmp_path):
  manifest = run(
    tmp_path,
    columns=['time', 'user'],
    split_column='part',
  )
  even, odd = [*range(0, 40, 2)], [*range(1, 40, 2)]
  assert rows_of(tmp_path) == [even[:18], even[18:], odd]
  assert manifest.options['split_by'] == 'column'


@pytest.mark.parametrize('with_validation', [True, False])
def test_files(tmp_path, with_validation):
  for name, rows in (('a', 20), ('b', 6), ('c', 10)):
    raw_files.write(tmp_path / name / f'{name}.csv', lines(rows))
  places = {'validation_dir': str(tmp_path / 'b')} if with_validation else {}
  manifest = raw_files.run(
    tmp_path,
    'table',
    tmp_path / 'a',
    schema=schema(tmp_path),
    test_dir=str(tmp_path / 'c'),
    **places,
  )
  contract.check(tmp_path / 'out')
  found = [split.rows for split in manifest.splits.values()]
  assert found == ([20, 6, 10] if with_validation else [18, 2, 10])
  assert manifest.options['split_by'] == 'files'
  # Rows are numbered over all files.
  first = 26 if with_validation else 20
  assert sorted(rows_of(tmp_path)[2]) == [*range(first, first + 10)]


def test_users_rates_where_users_are_drawn(tmp_path):
  """All rows of a user are in one split, so no train row's counts others."""
  log = lines(120)
  log = [line.replace('u', f'u{i // 40}') for i, line in enumerate(log)]
  settings = {'columns': ['time', 'user', 'item', 'who'], 'split_by': 'user'}
  manifest = run(tmp_path / 'log', log, as_of=('auto',), **settings)
  assert manifest.report['as_of_left_out']['rates of items'] == (
    'splits overlap in time'
  )
  made = [f.name for f in manifest.fields]
  assert 'asof_user_click_rate' in made
  assert 'asof_item_rows' in made and 'asof_item_click_rate' not in made
  # The labels of other splits change nothing of train.
  other = {i for part in rows_of(tmp_path / 'log')[1:] for i in part}
  flipped = [
    line[:-1] + str(1 - int(line[-1])) if i - 1 in other else line
    for i, line in enumerate(log)
  ]
  run(tmp_path / 'other', flipped, as_of=('auto',), **settings)
  assert flipped != log
  found, expected = (
    raw_files.read(tmp_path / name, 'train') for name in ('other', 'log')
  )
  assert found == expected
