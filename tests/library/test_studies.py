"""Comparisons, searches and reports from Python."""

import json

import pytest

import rmtl_jax
from rmtl_jax.runtime import progress
from tests.studies import test_comparing

QUIET = progress.Progress(quiet=True)


@pytest.mark.slow
def test_a_comparison_leaves_results_and_a_page(tmp_path, data_dir):
  results = rmtl_jax.compare(
    tmp_path / 'comparison',
    data_dir,
    ['shared_bottom', 'esmm'],
    [5, 7],
    test_comparing.CONFIG,
    QUIET,
  )
  assert results['seeds'] == [5, 7]
  path = tmp_path / 'comparison'
  assert json.loads((path / 'results.json').read_text()) == json.loads(
    json.dumps(results)
  )
  page = rmtl_jax.write_report(path)
  assert page == path / 'report' / 'report.html'
  assert page.read_text(encoding='utf-8').startswith('<!DOCTYPE html>')
