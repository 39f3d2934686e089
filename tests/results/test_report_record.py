"""What a report gathers from a run's directory."""

import dataclasses
import json
import re

import numpy as np
import pytest

from rmtl_jax import cli, run
from rmtl_jax.results import report_record
from rmtl_jax.runtime import progress
from tests import test_run, tiny

QUIET = progress.Progress(quiet=True)


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
  path = tmp_path_factory.mktemp('report')
  tiny.write_prepared(path / 'data')
  # Their mean weight is 1 over the rows, where RMTL's are above 1.
  weighting = dataclasses.replace(test_run.CONFIG.weighting, name='advantage')
  config = dataclasses.replace(test_run.CONFIG, weighting=weighting)
  run.train(config, path / 'run', path / 'data', live=QUIET)
  return path / 'run'


@pytest.fixture(scope='module')
def gathered(trained):
  return report_record.gather(trained)


@pytest.mark.slow
def test_points_are_those_of_the_calibration_error(gathered):
  points = gathered['reliability']['points']
  stage = gathered['reliability']['stage']
  assert stage == gathered['metrics']['served']['stage']
  for task in tiny.TASKS:
    found = points[task]
    rows = sum(p['rows'] for p in found)
    distance = sum(p['rows'] * abs(p['predicted'] - p['actual']) for p in found)
    expected = gathered['metrics']['calibrated'][stage][task]
    np.testing.assert_allclose(
      distance / rows, expected['calibration_error'], rtol=1e-4
    )


@pytest.mark.slow
def test_weights_are_those_of_the_curve_that_training_kept(gathered):
  assert gathered['weights']['lambdas'] == [0.7]
  assert gathered['metrics']['curves']['weights'].startswith(
    'weights 1 - lambd'
  )
  for task in tiny.TASKS:
    curve = gathered['weights']['by_position'][task]
    kept = gathered['metrics']['curves']['weight_by_step'][task]
    np.testing.assert_allclose(
      curve['mean'], kept[: len(curve['mean'])], rtol=1e-4
    )
    assert curve['rows'][0] == 40 and min(curve['rows']) >= 20
    assert np.all(np.array(curve['low']) <= curve['high'])


def test_by_position_by_hand():
  # Twenty sessions of two rows, one of three.
  lengths = [2] * 20 + [3]
  starts = np.append(0, np.cumsum(lengths))
  weights = np.ones((starts[-1], 1), np.float32)
  weights[starts[:-1] + 1] = np.arange(21)[:, None]
  curve = report_record.by_position([weights, weights], starts, ['a'])['a']
  assert curve['rows'] == [21, 21]  # and one row at the third position
  assert curve['mean'] == [1.0, 10.0]
  assert curve['low'] == [1.0, 2.0] and curve['high'] == [1.0, 18.0]


@pytest.mark.slow
def test_the_command_writes_a_page(trained, tmp_path, capsys):
  output = tmp_path / 'out'
  arguments = [f'--workdir={trained}', '--nocompilation_cache']
  assert cli.main(['rmtl', 'report', *arguments, f'--output={output}']) == 0
  assert str(output / 'report.html') in capsys.readouterr().out
  page = (output / 'report.html').read_text(encoding='utf-8')
  record = json.loads((trained / 'metrics.json').read_text())
  for task in tiny.TASKS:
    value = record['stages']['finetune'][task]['auc']
    assert page.count(f'{value:.4f} (') and task in page
  text = (output / 'report.md').read_text(encoding='utf-8')
  named = re.findall(r'\]\(pictures/([\w-]+\.svg)\)', text)
  assert len(named) == len(set(named)) == 2 * 4 + 4
  files = [file.name for file in (output / 'pictures').iterdir()]
  assert sorted(named) == sorted(files)
  assert cli.main(['rmtl', 'report', *arguments]) == 0
  assert (trained / 'report' / 'report.html').read_text() == page
