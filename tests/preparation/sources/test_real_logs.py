"""Runs over real logs, where the environment says where they are."""

from __future__ import annotations

import collections
import csv
import os
import pathlib

import pytest

from rmtl_jax.data import manifest as manifest_lib
from tests.preparation import raw_files

pytestmark = pytest.mark.slow

REAL = os.environ.get('RMTL_REAL_DATA', '')
pytestmark = pytest.mark.skipif(
  not REAL, reason='RMTL_REAL_DATA does not name a directory of real logs'
)


def test_retailrocket_against_a_plain_loop(tmp_path):
  raw_dir = pathlib.Path(REAL) / 'retailrocket'
  manifest = raw_files.run(tmp_path, 'retailrocket', raw_dir)
  with (raw_dir / 'events.csv').open(newline='') as file:
    events = [
      (
        int(r['visitorid']),
        int(r['timestamp']),
        i,
        int(r['itemid']),
        r['event'],
      )
      for i, r in enumerate(csv.DictReader(file))
    ]
  ends = [split.end_ms or 10**15 for split in manifest.splits.values()]
  expected = plain_rows(events, ends)
  items = raw_files.vocabulary(tmp_path, 'item')
  found = {}
  for split, name in enumerate(manifest_lib.SPLITS):
    for row in raw_files.read(tmp_path, name):
      item = items[row['f_item']]
      found[row['row_id']] = (
        split,
        row['user_id'],
        row['timestamp'],
        row['y_click'],
        row['y_conversion'],
      )
      assert item is None or int(item) == events[row['row_id']][3]
  assert found == expected
  report = manifest.report
  assert (report['raw_rows'], report['pairs']) == (97_381, 79_995)
  assert report['dropped']['(session, item) pair without a view'] == 4_621


def plain_rows(events, ends):
  """{row of the first view: (split, user, time, click, conversion)}."""
  pairs = collections.defaultdict(list)
  starts = {}
  session, last = None, (None, 0)
  for user, time, row, item, event in sorted(events):
    if user != last[0] or time - last[1] > 1_800_000:
      session = row
    last = (user, time)
    pairs[session, item].append((time, row, event, user))
  viewed = {
    key: next(e for e in found if e[2] == 'view')
    for key, found in pairs.items()
    if any(e[2] == 'view' for e in found)
  }
  for (session, _), (time, *_) in viewed.items():
    starts[session] = min(time, starts.get(session, time))
  rows = {}
  for key, (time, row, _, user) in viewed.items():
    split = sum(starts[key[0]] >= end for end in ends[:2])
    if time < ends[split]:
      known = {e[2] for e in pairs[key] if e[0] < ends[split]}
      rows[row] = (
        split,
        user,
        time,
        float(bool(known - {'view'})),
        float('transaction' in known),
      )
  return rows
