"""The figures of docs/speed.md beside the file that they come from."""

from __future__ import annotations

import json
import pathlib

import pytest

from benchmarks import latency

ROOT = pathlib.Path(__file__).parents[2]
RESULT = ROOT / 'benchmarks' / 'results' / 'latency.json'
PAGE = ROOT / 'docs' / 'speed.md'


def test_the_page_has_the_table():
  results = json.loads(RESULT.read_text())['results']
  assert latency.markdown(results) in PAGE.read_text(encoding='utf-8')


def test_a_run_takes_at_most_twice_the_time_of_its_export():
  rows = json.loads(RESULT.read_text())['results']
  assert len(rows) == 12
  for row in rows:
    assert row['run']['median'] <= 2.0 * row['export']['median'], row['model']


def test_median_and_percentile():
  found = latency.described([0.001 * n for n in range(101)])
  assert found == pytest.approx({'median': 50.0, 'p95': 95.0})


def test_table():
  figures = {'median': 1.25, 'p95': 12.0}
  row = {'model': 'm', 'rows': 1000, 'run': figures, 'export': figures}
  assert latency.markdown([row]).splitlines()[2:] == [
    '| m | 1,000 | 1.2 (12.0) | 1.2 (12.0) | | |'
  ]
