"""What a report gathers from a run's directory."""

import re

import numpy as np
import pytest

from rmtl_jax import cli
from rmtl_jax.results import report_record
from tests import tiny


@pytest.fixture(scope='module')
def gathered(paper_run):
  return report_record.gather(paper_run[0])


def test_points_are_those_of_the_calibration_error(gathered):
  points = gathered['metrics']['reliability']
  stage = gathered['metrics']['served']['stage']
  for task in tiny.TASKS:
    found = points[task]
    rows = sum(p['rows'] for p in found)
    distance = sum(p['rows'] * abs(p['predicted'] - p['actual']) for p in found)
    expected = gathered['metrics']['calibrated'][stage][task]
    np.testing.assert_allclose(
      distance / rows, expected['calibration_error'], rtol=1e-4
    )


def test_the_command_writes_a_page(paper_run, tmp_path, capsys):
  trained, record = paper_run
  output = tmp_path / 'out'
  arguments = [f'--workdir={trained}', '--nocompilation_cache']
  assert cli.main(['rmtl', 'report', *arguments, f'--output={output}']) == 0
  assert str(output / 'report.html') in capsys.readouterr().out
  page = (output / 'report.html').read_text(encoding='utf-8')
  for task in tiny.TASKS:
    value = record['stages']['finetune'][task]['auc']
    assert page.count(f'{value:.4f} (') and task in page
  text = (output / 'report.md').read_text(encoding='utf-8')
  named = re.findall(r'\]\(pictures/([\w-]+\.svg)\)', text)
  assert len(named) == len(set(named)) > 8
  files = [file.name for file in (output / 'pictures').iterdir()]
  assert sorted(named) == sorted(files)
