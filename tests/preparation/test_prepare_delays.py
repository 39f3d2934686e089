"""Labels that are known only after their split's end are not observed."""

from __future__ import annotations

import math

import pytest

from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.preparation import contract
from rmtl_jax.preparation import summary as summary_lib
from tests.preparation import raw_files

DAY = 86_400_000
SCHEMA = {
  'session': 'visit',
  'user': 'user',
  'item': 'item',
  'time': {'column': 'ts'},
  'categorical': ['user', 'item'],
}
_LONGER = '; --split_dates or --split can make validation longer than that'


def run(tmp_path, delays, visits=20, item=lambda day: f'i{day}', **options):
  """Prepares a visit a day with rows at its start and half a day later.

  Train ends at day 12, validation at day 16. Everything is clicked, and bought
  on odd days; labels are known so many days after their rows, or nobody says.
  """
  header = 'visit,user,item,ts,clicked,bought'
  lines = [
    f'{day},u{day % 2},{item(day)},{day * DAY + half * DAY // 2},1,{day % 2}'
    for day in range(visits)
    for half in range(2)
  ]
  tasks = [{'name': 'click', 'column': 'clicked'}, {'column': 'bought'}]
  for task, delay in zip(tasks, delays, strict=True):
    if delay is not None:
      task['known_after_seconds'] = delay * DAY / 1000
  schema = raw_files.write_schema(
    tmp_path / 'schema.json', SCHEMA | {'tasks': tasks}
  )
  return raw_files.run_table(
    tmp_path, [header, *lines], schema=schema, **options
  )


def told(manifest):
  """What is warned of, but for clicks, of which all are positive."""
  return [
    warning
    for warning in manifest.report['warnings']
    if not warning.startswith("task 'click' has no negative in train and")
  ]


def days(tmp_path, split):
  return [row['timestamp'] / DAY for row in raw_files.read(tmp_path, split)]


def test_rows_whose_label_is_not_known_at_the_end_are_left_out(tmp_path):
  manifest = run(tmp_path, (2.5, 2.5))
  assert [manifest.splits[s].end_ms for s in manifest_lib.SPLITS] == [
    12 * DAY,
    16 * DAY,
    None,
  ]
  # The label of the row at day 9.5 is known at day 12, which is too late.
  assert days(tmp_path, 'train') == [half / 2 for half in range(19)]
  assert days(tmp_path, 'validation') == [12, 12.5, 13]
  # The log ends with the test split, and holds all of its labels.
  assert days(tmp_path, 'test') == [half / 2 for half in range(32, 40)]
  assert [manifest.splits[s].rows for s in manifest_lib.SPLITS] == [19, 3, 8]
  assert [manifest.splits[s].sessions for s in manifest_lib.SPLITS] == [
    10,
    2,
    4,
  ]
  assert manifest.splits['train'].positives == {'click': 19, 'bought': 9}
  assert manifest.report['dropped'] == {
    'exact duplicate': 0,
    'label not yet known at the end of train': 5,
    'label not yet known at the end of validation': 5,
  }
  assert told(manifest) == [
    f'{share}% of the rows of {split} are left out, as their labels are not'
    " known at its end: task 'click' is known 2.5 days after its row"
    f' (known_after_seconds){more}'
    for share, split, more in ((21, 'train', ''), (62, 'validation', _LONGER))
  ]
  shown = summary_lib.summary(manifest)
  assert 'dropped, label not yet known at the end of train: 5' in shown
  contract.check(tmp_path / 'out')


def test_a_late_label_is_not_observed_and_its_row_stays(tmp_path):
  manifest = run(tmp_path, (0, 2.5))
  train, validation = (
    raw_files.read(tmp_path, split) for split in ('train', 'validation')
  )
  # The label of the row at day 9.5 is known at day 12, which is too late.
  for row in train:
    is_known = row['timestamp'] < 9.5 * DAY
    assert row['w_bought'] == is_known
    assert row['y_bought'] == (is_known and row['timestamp'] // DAY % 2)
  assert [row['w_bought'] for row in validation] == [1, 1, 1, *[0] * 5]
  assert [manifest.splits[s].rows for s in manifest_lib.SPLITS] == [24, 8, 8]
  assert manifest.splits['train'].observed == {'bought': 19}
  assert manifest.splits['train'].positives == {'click': 24, 'bought': 9}
  assert manifest.splits['test'].observed == {'bought': 8}
  assert manifest.report['dropped'] == {'exact duplicate': 0}
  assert told(manifest) == [
    f'{share}% of the labels of {split} are not observed, as they are not'
    " known at its end: task 'bought' is known 2.5 days after its row"
    f' (known_after_seconds){more}'
    for share, split, more in ((21, 'train', ''), (62, 'validation', _LONGER))
  ]
  contract.check(tmp_path / 'out')


def prepared_within(tmp_path, **task):
  """A visit a day, bought 3 days later on odd days, final after 2 or 4."""
  header = 'visit,user,item,ts,bought_at'
  lines = [
    f'{day},u{day % 2},i,{day * DAY},{(day + 3) * DAY if day % 2 else ""}'
    for day in range(20)
  ]
  task = {'name': 'buy', 'time_column': 'bought_at', **task}
  schema = raw_files.write_schema(
    tmp_path / 'schema.json', SCHEMA | {'tasks': [task]}
  )
  return raw_files.run_table(tmp_path, [header, *lines], schema=schema)


def test_a_label_is_final_within_its_horizon(tmp_path):
  manifest = prepared_within(tmp_path, within_seconds=4 * DAY / 1000)
  assert manifest.tasks[0].within_seconds == 4 * 86_400
  ends = {'train': 12, 'validation': 16, 'test': 22 + 1e-3 / 86_400}
  for split, end in ends.items():
    for row in raw_files.read(tmp_path, split):
      day = row['timestamp'] / DAY
      final = day + 4 < end
      bought = day % 2 == 1
      assert row['age'] == pytest.approx((end - day) * 86_400)
      assert row['w_buy'] == final
      assert row['y_buy'] == (final and bought)
      # A refit of train rows knows what validation's end has seen.
      seen = bought and day + 3 < max(end, 16)
      delay = 3 * 86_400 if seen else math.nan
      assert row['d_buy'] == pytest.approx(delay, nan_ok=True)
  contract.check(tmp_path / 'out')
