"""New days of a table: equal to data that is prepared at once."""

from __future__ import annotations

import pathlib

import numpy as np
import pytest

from rmtl_jax.config import prepare_settings
from rmtl_jax.data import manifest_file
from rmtl_jax.preparation import contract, prepare_log, time_window
from tests import tiers
from tests.preparation import raw_files
from tests.preparation.extending import at_once

MINUTE, DAY = 60_000, 86_400_000
START = 1_700_000_000_000 // DAY * DAY
HEADER = 'visit,user,item,brand,tags,price,ts,clicked,bought,spent'
SCHEMA = {
  'user': 'user',
  'item': 'item',
  'time': {'column': 'ts'},
  'categorical': ['user', 'item', 'brand'],
  'multi_valued': [{'column': 'tags', 'separator': '|'}],
  'numeric': ['price'],
  'tasks': [
    {'name': 'click', 'column': 'clicked'},
    {'name': 'conversion', 'column': 'bought', 'after': 'click'},
  ],
}


def log(seed, days=6, users=7, items=9, named=False):
  """Lines of a log of rows by day; sessions run over midnight."""
  rng = np.random.default_rng(seed)
  found = [[] for _ in range(days)]
  visit = 0
  for user in range(users):
    time = START + int(rng.integers(0, DAY // 4))
    while True:
      long = rng.random() < 0.3
      time += int(
        rng.integers(40, 400) * MINUTE if long else rng.integers(1, 29) * MINUTE
      )
      visit += long
      day = (time - START) // DAY
      if day >= days:
        break
      item = int(rng.integers(0, items)) + (
        3 * day if rng.random() < 0.2 else 0
      )
      tags = '|'.join(
        f't{t}' for t in rng.integers(0, 4 + day, rng.integers(0, 3))
      )
      click = int(rng.random() < 0.4)
      buy = int(click and rng.random() < 0.4)
      session = f'v{user}-{visit}' if named and rng.random() < 0.95 else ''
      brand = f'b{(item + visit) % 4}' if (item + visit) % 5 else ''
      price = '' if rng.random() < 0.1 else round(float(rng.lognormal()), 3)
      found[day].append(
        (
          time,
          f'{session},u{user},i{item},{brand},{tags},{price},{time},{click},'
          f'{buy},{price if click else 0}',
        )
      )
  return [[line for _, line in sorted(rows)] for rows in found]


def schema_of(named=False, late=(None, None)):
  schema = {k: v for k, v in SCHEMA.items()}
  if named:
    schema['session'] = 'visit'
  tasks = [dict(task) for task in SCHEMA['tasks']]
  for task, minutes in zip(tasks, late, strict=True):
    if minutes is not None:
      task['known_after_seconds'] = minutes * 60
  # A number, whose ranks features count, which many rows have no label of.
  tasks.append(
    tasks[1]
    | {'name': 'spent', 'column': 'spent', 'kind': 'regression'}
    | {'only_after': True, 'null': 'not_observed'}
  )
  return schema | {'tasks': tasks}


def settings(tmp_path, name, days, lines, schema, **options):
  raw_dir = tmp_path / f'raw-{name}'
  for day in days:
    raw_files.write(raw_dir / f'day{day}.csv', [HEADER, *lines[day]])
  if 'extend' not in options:
    path = raw_files.write_schema(tmp_path / 'schema.json', schema)
    options['schema'] = str(path)
  return prepare_settings.PrepareConfig(
    raw_dir=str(raw_dir),
    data_dir=str(tmp_path / name),
    **options,
  )


def until(day):
  return time_window.shown(START + day * DAY)


def compare(tmp_path, name, whole):
  """Compares the rows of extended data with those prepared at once."""
  extended = manifest_file.read(tmp_path / name)
  once = at_once.prepare_at_once(whole, tmp_path / name)
  place = pathlib.Path(whole.data_dir)
  new = at_once.read(tmp_path / name, extended, 'test')
  expected = at_once.read(place, once, 'test')
  numbers = {}
  assert len(new) == len(expected) > 20
  for row, other in zip(new, expected, strict=True):
    # Users that are no numbers are numbered in another order.
    user = other.pop('user_id')
    assert numbers.setdefault(row.pop('user_id'), user) == user
    assert row == {name: other[name] for name in row}
  assert len(set(numbers.values())) == len(numbers) > 1
  # Old rows keep their sessions and steps, if not their splits' ends.
  for split in ('train', 'validation'):
    known = {r['row_id']: r for r in at_once.read(place, once, split)}
    for row in at_once.read(tmp_path / name, extended, split):
      other = known[row['row_id']]
      assert [row[k] for k in ('session_id', 'step', 'timestamp')] == [
        other[k] for k in ('session_id', 'step', 'timestamp')
      ]


@pytest.mark.parametrize(
  'seed, named, late',
  tiers.some(
    [
      (0, False, (None, None)),
      (1, True, (0, 0)),
      (2, False, (10, 300)),
      (3, True, (45, 45)),
      (4, False, (0, 0)),
      (5, True, (None, None)),
      (6, True, (10, 300)),
      (7, False, (45, 45)),
    ],
    quick=[(3, True, (45, 45))],
  ),
)
def test_new_days_equal_data_prepared_at_once(tmp_path, seed, named, late):
  lines, schema = log(seed, named=named), schema_of(named, late)
  old = settings(
    tmp_path,
    'old',
    range(4),
    lines,
    schema,
    until=until(4),
    as_of=('auto', 'tastes'),
  )
  before = prepare_log.prepare(old)
  assert 'tastes' in before.options['as_of']
  new = settings(
    tmp_path, 'new', [4], lines, schema, until=until(5), extend=old.data_dir
  )
  manifest = prepare_log.prepare(new)
  contract.check(tmp_path / 'new')
  whole = settings(tmp_path, 'all', range(5), lines, schema, until=until(5))
  compare(tmp_path, 'new', whole)
  assert manifest.splits['train'].rows == (
    before.splits['train'].rows + before.splits['validation'].rows
  )
  # And once more, on data that was extended.
  more = settings(
    tmp_path, 'more', [5], lines, schema, until=until(6), extend=new.data_dir
  )
  prepare_log.prepare(more)
  contract.check(tmp_path / 'more')
  whole = settings(
    tmp_path, 'all', range(6), lines, schema, until=until(6), overwrite=True
  )
  compare(tmp_path, 'more', whole)
