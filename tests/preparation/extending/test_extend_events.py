"""New days of a log of events: sessions of events go on over the seam."""

from __future__ import annotations

import numpy as np
import pytest

from rmtl_jax.config import prepare_settings
from rmtl_jax.data import manifest_file
from rmtl_jax.preparation import contract, prepare_log, time_window
from tests.preparation import raw_files
from tests.preparation.extending import at_once

MINUTE, DAY = 60_000, 86_400_000
# A Monday.
START = 1_433_116_800_000
SCHEMA = {
  'user': 'visitorid',
  'item': 'itemid',
  'time': {'column': 'timestamp'},
  'categorical': ['visitorid', 'itemid'],
  'tasks': [{'name': 'click'}, {'name': 'conversion', 'after': 'click'}],
  'events': {
    'column': 'event',
    'impressions': ['view'],
    'labels': {
      'click': ['addtocart', 'transaction'],
      'conversion': ['transaction'],
    },
  },
}


def write_log(tmp_path, seed, days=6, users=25, items=9):
  """Events of users over days, in one file, in no order."""
  rng = np.random.default_rng(seed)
  lines = []
  for user in range(users):
    time = START + int(rng.integers(0, DAY))
    while time < START + days * DAY:
      event = rng.choice(
        ['view', 'addtocart', 'transaction'], p=[0.7, 0.2, 0.1]
      )
      item = rng.integers(0, items)
      lines.append(f'{time},{user},{event},{item},')
      far = rng.random() < 0.3
      time += int(rng.integers(*((40, 900) if far else (1, 29))) * MINUTE)
  rng.shuffle(lines)
  header = 'timestamp,visitorid,event,itemid,transactionid'
  raw_files.write(tmp_path / 'raw' / 'events.csv', [header, *lines])
  return len(lines)


def settings(tmp_path, name, source, first, last, **options):
  if first:
    options['since'] = time_window.shown(START + first * DAY)
  if 'extend' not in options:
    options['source'] = source
  if 'extend' not in options and source == 'table':
    options['schema'] = raw_files.write_schema(tmp_path / 'schema.json', SCHEMA)
  return prepare_settings.PrepareConfig(
    raw_dir=str(tmp_path / 'raw'),
    data_dir=str(tmp_path / name),
    until=time_window.shown(START + last * DAY),
    **options,
  )


def compare(tmp_path, name, source, last, shift):
  once = at_once.prepare_at_once(
    settings(tmp_path, 'all', source, 0, last, overwrite=True), tmp_path / name
  )
  extended = manifest_file.read(tmp_path / name)
  new = at_once.read(tmp_path / name, extended, 'test')
  expected = at_once.read(tmp_path / 'all', once, 'test')
  assert len(new) == len(expected) > 20
  for row, other in zip(new, expected, strict=True):
    # Row ids count on from those of the data before.
    assert row.pop('row_id') == other.pop('row_id') + shift
    assert row == {field: other[field] for field in row}


@pytest.mark.parametrize(
  'seed, source',
  [
    (0, 'retailrocket'),
    pytest.param(1, 'table', marks=pytest.mark.slow),
  ],
)
def test_new_days_of_events_equal_data_prepared_at_once(tmp_path, seed, source):
  rows = write_log(tmp_path, seed)
  prepare_log.prepare(settings(tmp_path, 'old', source, 0, 4))
  before, shift = 'old', 0
  for name, day in (('new', 4), ('more', 5)):
    prepare_log.prepare(
      settings(
        tmp_path, name, source, day, day + 1, extend=str(tmp_path / before)
      )
    )
    contract.check(tmp_path / name)
    before, shift = name, shift + rows
    compare(tmp_path, name, source, day + 1, shift)
