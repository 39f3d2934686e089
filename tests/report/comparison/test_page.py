"""The page of a comparison: what rmtl compare says, in the same design."""

import json

import pytest

from rmtl_jax import config as config_lib
from rmtl_jax.config import values as config_values
from rmtl_jax.report.comparison import page as comparison_page
from rmtl_jax.report.page import html, markdown
from rmtl_jax.results import report_record
from tests import tiny
from tests.report.comparison import example
from tests.report.page import reading


@pytest.fixture
def directory(tmp_path):
  tiny.write_prepared(tmp_path)
  results = example.build()
  results['config'] = config_values.to_dict(config_lib.Config())
  results['warnings'] = ['critics of ple: <b>collapsed</b>']
  (tmp_path / 'results.json').write_text(json.dumps(results))
  return tmp_path


def test_the_verdict_comes_first_and_figures_follow(directory):
  results = report_record.comparison(directory)
  built = comparison_page.build(results)
  found = reading.Reader(html.render(built))
  assert [text for level, text in found.headings if level < 3] == [
    f'Comparison {directory.name}',
    'Verdict',
    'Setting',
    'Data',
    'Metrics',
    'Differences to the controls',
    'Learning',
    'Critics and weights',
    'How this was made',
  ]
  before = found.text.split('Setting')[0]
  assert 'Passes on every task: ple+critic.' in before
  assert 'critics of ple: <b>collapsed</b>' in before
  means = {
    (s['method'], s['metric']): s['mean']
    for s in results['summary']
    if s['task'] == 'click'
  }
  rows = {row[0]: row for row in found.tables['click, test split'][1:]}
  for method in results['methods']:
    mean = means[method['name'], 'auc']
    assert rows[method['name']][3].startswith(f'{mean:.4f} ±')
  assert len(found.pictures) == 4
  assert all(title and alt for title, alt in found.pictures)
  assert reading.markdown_tables(markdown.render(built)) == found.tables
