"""Comparisons, searches and reports from Python."""

import json

import pytest

import rmtl_jax
from rmtl_jax.runtime import progress
from tests.studies.comparison import test_compare

QUIET = progress.Progress(quiet=True)


@pytest.mark.slow
def test_a_comparison_leaves_results_and_a_page(tmp_path, data_dir):
  results = rmtl_jax.compare(
    tmp_path / 'comparison',
    data_dir,
    ['shared_bottom', 'esmm'],
    [5, 7],
    test_compare.CONFIG,
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


@pytest.mark.slow
def test_a_search_is_asked_for_in_plain_arguments(tmp_path, data_dir):
  record = rmtl_jax.tune(
    tmp_path / 'tuning',
    data_dir,
    ['pretrain.learning_rate=1e-4:0.05:log'],
    trials=1,
    seeds=[5],
    confirm=0,
    config=test_compare.CONFIG,
    live=QUIET,
  )
  assert [len(t['settings']) for t in record['trials']] == [0, 1]
  assert (tmp_path / 'tuning' / 'best.json').is_file()
