"""The recommended model: its record, page, picture and export."""

import json

import numpy as np

import rmtl_jax
from rmtl_jax import cli
from rmtl_jax.config import values as config_values
from rmtl_jax.config import variants
from rmtl_jax.serving import exported, predictor
from rmtl_jax.serving.export import export_writer
from tests.library import small


def test_members_are_networks_and_trees_and_evaluation_repeats(recommended_run):
  config = json.loads((recommended_run / 'config.json').read_text())['config']
  members = variants.of_members(config_values.from_dict(config))
  assert {one.backbone for one in members} == {'ple', 'lightgbm'}
  record = json.loads((recommended_run / 'metrics.json').read_text())
  again = rmtl_jax.evaluate(recommended_run)
  for name in ('stages', 'member_weights'):
    assert again[name] == record[name], name


def test_a_page(recommended_run, tmp_path):
  line = ['report', f'--workdir={recommended_run}', f'--output={tmp_path}/page']
  assert cli.main(['rmtl', *line, '--nocompilation_cache']) == 0
  page = (tmp_path / 'page' / 'report.html').read_text()
  assert page.rstrip().endswith('</html>') and 'click' in page


def test_an_export_predicts_as_the_run_does(recommended_run, tmp_path):
  scorer = predictor.load(recommended_run)
  export_writer.export(scorer, tmp_path / 'out')
  given = small.new_rows(), small.table()
  found = exported.load(tmp_path / 'out').predict(*given)
  for task, values in scorer.predict(*given).items():
    np.testing.assert_allclose(found[task], values, rtol=1e-5)
