"""The tables and the page of a comparison."""

import json

import pytest

from rmtl_jax.config import values as config_values
from rmtl_jax.report import comparison_report, pages
from tests import paper, tiny
from tests.report import example_comparison, reading


def write(path, results):
  tiny.write_prepared(path)
  config = config_values.to_dict(paper.config())
  (path / 'results.json').write_text(json.dumps(results | {'config': config}))


def row(rows, *labels):
  (found,) = (r for r in rows if tuple(r[: len(labels)]) == labels)
  return dict(zip(rows[0], found, strict=True))


def test_the_page_has_verdict_means_and_paired_differences(tmp_path):
  judged = ('ple+critic', 'esmm+critic', 'ple+label_times_q')
  results = example_comparison.build(judged=judged)
  results['warnings'] = ['critics of ple: <b>collapsed</b>']
  write(tmp_path, results)
  found = reading.Reader(pages.html(comparison_report.page(tmp_path)))
  before = found.text.split('Metrics')[0]
  assert 'Passes on every task: ple+critic' in before
  assert 'critics of ple: <b>collapsed</b>' in before
  rows = found.tables['click, test split']
  names = [r[0] for r in rows[1:]]
  assert names[0] == 'user rate x item rate' and names[-1] == 'oracle'
  backbones = [name.partition('+')[0] for name in names[1:-1]]
  assert backbones == ['ple'] * 6 + ['esmm'] * 5
  (mean,) = (
    s
    for s in results['summary']
    if (s['method'], s['task'], s['metric']) == ('ple+critic', 'click', 'auc')
  )
  shown = row(rows, 'ple+critic')
  assert shown['AUC'] == f'{mean["mean"]:.4f} ± {mean["standard_error"]:.4f}'
  (one,) = (
    d
    for d in results['differences']
    if (d['method'], d['control']) == ('ple+critic', 'ple')
    and (d['task'], d['metric']) == ('click', 'auc')
  )
  table = found.tables['click: difference of AUC (higher is better)']
  shown = row(table, 'ple+critic', 'ple')
  assert shown['AUC, 1e-4'].startswith(f'{one["mean"] / 1e-4:+.1f} ±')
  assert shown['p after Holm'] == f'{one["p_holm"]:.3g}' or '<' in shown['p']


@pytest.mark.parametrize('seeds', [1, 2])
def test_few_seeds_have_figures_and_no_claim(tmp_path, seeds):
  results = example_comparison.build(seeds=seeds)
  text = comparison_report.text(results)
  assert 'no claims' in text
  assert max(map(len, text.splitlines())) <= 80
  write(tmp_path, results)
  assert 'no claims' in pages.html(comparison_report.page(tmp_path))
