"""What a report gathers from a run's directory."""

import dataclasses
import json
import re
import shutil

import numpy as np
import pytest

from rmtl_jax import cli, run, types
from rmtl_jax.results import report_record
from rmtl_jax.runtime import progress, stages, workdir, writers
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
def test_what_was_measured_is_taken_as_it_is(trained, gathered):
  on_disk = json.loads((trained / 'metrics.json').read_text())
  assert gathered['metrics'] == on_disk
  assert gathered['history'] == writers.read_history(trained)
  assert gathered['stages'] == list(stages.LEAVES)
  assert gathered['data']['splits']['test']['sessions'] == 40
  assert gathered['config']['pretrain.max_epochs'] == 2
  assert gathered['defaults']['pretrain.max_epochs'] == 20
  assert gathered['missing'] == ''


@pytest.mark.slow
def test_points_are_those_of_the_calibration_error(gathered):
  points = gathered['reliability']['points']
  assert gathered['reliability']['stage'] == 'finetune'
  for task in tiny.TASKS:
    for version, where in (('raw', 'stages'), ('calibrated', 'calibrated')):
      found = points[task][version]
      rows = sum(p['rows'] for p in found)
      distance = sum(
        p['rows'] * abs(p['predicted'] - p['actual']) for p in found
      )
      expected = gathered['metrics'][where]['finetune'][task]
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


def test_by_position_without_rows_that_lack_the_label():
  # Twenty-one sessions of two rows; half of a's second rows tell nothing.
  starts = np.arange(0, 44, 2)
  weights = np.ones((42, 2), np.float32)
  weights[1::2] = 3.0
  weights[::2][20] = 22.0
  sample_weight = np.ones((42, 2), np.float32)
  sample_weight[1::4, 0] = 0.0
  sample_weight[::2, 1] = 0.0
  sample_weight[40, 0] = 0.0
  found = report_record.by_position(
    [weights], starts, ['a', 'b'], sample_weight
  )
  assert found == {
    'a': {'mean': [1.0], 'low': [1.0], 'high': [1.0], 'rows': [20]}
  }


@pytest.mark.slow
def test_without_its_data_a_run_has_what_it_measured(trained, tmp_path):
  path = tmp_path / 'run'
  shutil.copytree(trained, path)
  config = json.loads((path / 'config.json').read_text())
  config['data_dir'] = str(tmp_path / 'gone')
  (path / 'config.json').write_text(json.dumps(config))
  record = report_record.gather(path)
  assert 'gone' in record['missing']
  assert record['weights'] == {} and record['reliability'] == {}
  assert record['drift'] == []
  assert record['metrics']['stages'].keys() == {
    'pretrain',
    'constant',
    'finetune',
  }
  again = report_record.gather(path, trained.parent / 'data')
  assert again['missing'] == '' and again['weights']
  assert [field['name'] for field in again['drift']] == [
    *('user', 'item', 'tags', 'price')
  ]
  with pytest.raises(types.InputError, match='nowhere'):
    report_record.gather(path, tmp_path / 'nowhere')
  tiny.write_prepared(tmp_path / 'other', seed=5)
  with pytest.raises(types.InputError, match='not the data'):
    report_record.gather(path, tmp_path / 'other')
  (path / 'metrics.json').unlink()
  with pytest.raises(types.InputError, match=r'metrics\.json alone'):
    report_record.gather(path)


@pytest.mark.slow
def test_a_run_that_has_not_been_evaluated_is(trained, tmp_path):
  path = tmp_path / 'run'
  shutil.copytree(trained, path)
  (path / 'metrics.json').unlink()
  for stage in ('critic', 'constant', 'finetune'):
    shutil.rmtree(path / 'checkpoints' / stage)
  record = report_record.gather(path)
  assert list(record['metrics']['stages']) == ['pretrain']
  assert record['reliability']['stage'] == 'pretrain'
  assert record['weights'] == {}
  shutil.rmtree(path / 'checkpoints' / 'pretrain')
  with pytest.raises(types.InputError, match='no finished stage'):
    report_record.gather(path)


@pytest.mark.parametrize(
  ('kind', 'said'),
  [('comparison', 'no finished comparison'), ('search', 'rmtl tune')],
)
def test_what_is_no_run_is_told(tmp_path, kind, said):
  path = tmp_path / 'it'
  tiny.write_prepared(tmp_path / 'data', sessions=30)
  path.mkdir()
  workdir.create(path, test_run.CONFIG, tmp_path / 'data')
  file = path / 'config.json'
  record = json.loads(file.read_text()) | {'kind': kind}
  file.write_text(json.dumps(record))
  with pytest.raises(types.InputError, match=said):
    report_record.gather(path)
  with pytest.raises(types.InputError, match=f'holds a {kind}, expected a run'):
    workdir.read_run(path)


@pytest.mark.slow
def test_damaged_files_are_named(trained, tmp_path):
  path = tmp_path / 'run'
  shutil.copytree(trained, path)
  (path / 'metrics.jsonl').write_text('{"stage": ')
  with pytest.raises(types.InputError, match=r'metrics\.jsonl'):
    report_record.gather(path)
  record = json.loads((path / 'metrics.json').read_text())
  record['calibration']['finetune']['click']['slope'] = 0.5
  (path / 'metrics.json').write_text(json.dumps(record))
  with pytest.raises(types.InputError, match=r'json: is not as it was written'):
    report_record.gather(path)
  del record['record_digest']  # as earlier versions wrote it
  (path / 'metrics.json').write_text(json.dumps(record))
  with pytest.raises(types.InputError, match=r'metrics\.jsonl'):
    report_record.gather(path)
  (path / 'metrics.json').write_text('{')
  with pytest.raises(types.InputError, match=r'metrics\.json'):
    report_record.gather(path)


def test_what_is_a_comparison(tmp_path):
  assert not report_record.is_comparison(tmp_path)
  (tmp_path / 'results.json').write_text('{"tasks": []}')
  assert report_record.is_comparison(tmp_path)
  with pytest.raises(types.InputError, match=r"results\.json: lacks 'split'"):
    report_record.comparison(tmp_path)


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


def test_the_command_refuses_in_one_line(tmp_path, capsys):
  for path, said in ((tmp_path, 'is not a run'), (tmp_path / 'no', 'a run')):
    assert cli.main(['rmtl', 'report', f'--workdir={path}']) == 2
    error = capsys.readouterr().err
    assert error.count('\n') == 1 and said in error
  assert cli.main(['rmtl', 'report']) == 2
  assert '--workdir' in capsys.readouterr().err
