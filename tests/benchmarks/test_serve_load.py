"""The table of docs/server.md is that of the result's file."""

from __future__ import annotations

import json
import pathlib

from benchmarks import serve_load

ROOT = pathlib.Path(__file__).parents[2]


def test_the_page_has_the_figures_of_the_file():
  path = ROOT / 'benchmarks' / 'results' / 'serve_load.json'
  results = json.loads(path.read_text())
  table = serve_load.markdown(results['predict'])
  assert table in (ROOT / 'docs' / 'server.md').read_text()


def test_no_request_failed_and_nothing_was_compiled():
  path = ROOT / 'benchmarks' / 'results' / 'serve_load.json'
  results = json.loads(path.read_text())
  for row in (*results['predict'], *results['events']):
    assert not row['failed'] and not row['socket_errors']
    assert not row['compiled']
