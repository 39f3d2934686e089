"""Whole runs on tiny data: results, resume, restore, refusals."""

import dataclasses
import functools
import json
import os
import re
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rmtl_jax import run, types
from rmtl_jax.config import values as config_values
from rmtl_jax.evaluation import calibration, metrics
from rmtl_jax.results import run_record, trained_ensemble
from rmtl_jax.runtime import workdir, writers
from rmtl_jax.training import split_data
from tests import signals, tiny
from tests.tiny import CONFIG, QUIET


def test_metrics_have_the_promised_keys(paper_run):
  _, record = paper_run
  assert record['backbone'] == 'mmoe' and record['weighting'] == 'critic'
  assert record['tasks'] == list(tiny.TASKS) and record['split'] == 'test'
  assert list(record['stages']) == ['pretrain', 'constant', 'finetune']
  for values in (*record['stages'].values(), record['oracle']):
    for task in tiny.TASKS:
      for name in ('auc', 'logloss', 'session_logloss'):
        assert values[task][name] > 0.0
  for name in ('mean_q', 'std_q', 'collapsed'):
    assert set(record['critic'][name]) == set(tiny.TASKS)
  assert all(q < 0 for q in record['critic']['mean_q'].values())
  assert {'pretrain', 'critic', 'constant', 'finetune'} <= set(
    record['seconds']
  )
  assert record['versions']['jax'] and record['device']


def test_evaluate_restores_what_training_measured(paper_run):
  path, record = paper_run
  again = run_record.evaluate(path)
  for key in ('stages', 'oracle', 'critic', 'baseline', 'difference'):
    assert again[key] == record[key], key
  on_disk = json.loads((path / 'evaluation' / 'test.json').read_text())
  assert on_disk['stages'] == record['stages']


def test_calibration_is_fitted_on_validation_and_kept(paper_run, data_dir):
  path, record = paper_run
  after = run_record.evaluate(path, 'validation')['stages']
  found = workdir.read(path)
  rows = split_data.read(
    data_dir, found.manifest, 'validation', found.config.batch
  )
  trained = trained_ensemble.restore(found)
  for stage, maps in record['calibration'].items():
    raw = trained.probabilities(stage, rows)
    for k, task in enumerate(tiny.TASKS):
      fitted = calibration.from_json(maps[task])
      if fitted != calibration.Platt():
        y, p = rows.host.labels[:, k], raw[:, k]
        assert fitted.slope > 0
        assert after[stage][task]['logloss'] < metrics.logloss(y, p)
        assert after[stage][task]['auc'] == metrics.auc(y, p)


@pytest.mark.slow
@pytest.mark.parametrize(
  ('calls', 'source'), [(1, 'resident'), (7, 'streaming')]
)
def test_an_interrupted_run_ends_as_an_undisturbed_one(
  tmp_path, data_dir, paper_run, calls, source
):
  _, record = paper_run
  config = config_values.from_dict({'batch': {'input': source}}, CONFIG)
  train = functools.partial(run.train, config, tmp_path, data_dir, live=QUIET)
  again, interruptions = signals.train_in_pieces(train, lambda n: calls + 5 * n)
  assert interruptions >= 1
  assert signals.without_times(again) == signals.without_times(record)
  records = [
    {k: v for k, v in r.items() if k != 'seconds'}
    for r in writers.read_history(tmp_path)
  ]
  assert records == [
    {k: v for k, v in r.items() if k != 'seconds'}
    for r in writers.read_history(paper_run[0])
  ]


@pytest.mark.slow
def test_the_papers_model_is_in_the_record(tmp_path, data_dir, paper_run):
  """A run of stage 1 in RUN/paper, which is there before RUN."""
  paper = config_values.with_settings(CONFIG, {'backbone': 'esmm'})
  own = run.train(paper, tmp_path / 'paper', data_dir, ('pretrain',), QUIET)
  record = run.train(CONFIG, tmp_path, data_dir, live=QUIET)
  assert record.pop('paper_model') == {
    'backbone': 'esmm',
    'metrics': own['stages']['pretrain'],
  }
  assert signals.without_times(record) == signals.without_times(paper_run[1])


def test_a_later_stage_needs_the_earlier(tmp_path, data_dir):
  for given in (('critic',), 'critic'):
    with pytest.raises(types.InputError, match='critic needs stage pretrain'):
      run.train(CONFIG, tmp_path, data_dir, given, QUIET)


def test_another_setting_in_the_same_directory_is_refused(paper_run, data_dir):
  other = dataclasses.replace(CONFIG, seed=1)
  with pytest.raises(types.InputError, match=r'config\.seed=0, not 1'):
    run.train(other, paper_run[0], data_dir, live=QUIET)


def test_other_data_in_the_same_directory_is_refused(paper_run, tmp_path):
  tiny.write_prepared(tmp_path / 'other', seed=5)
  with pytest.raises(types.InputError, match='other data'):
    run.train(CONFIG, paper_run[0], tmp_path / 'other', live=QUIET)


@pytest.mark.parametrize(
  ('settings', 'told'),
  [
    ({'backbone': 'pel'}, r"config\.backbone: 'pel' is not one of"),
    ({'network.num_experts': 0}, r'config\.network\.num_experts: 0 is not'),
    ({'network.ignore': 'itme'}, r"'itme' is neither a field .* mean item"),
    ({'network.id_dropout': 'itme=0.1'}, r"'itme' is not a field of the data"),
  ],
)
def test_settings_that_do_not_fit_leave_no_run(
  tmp_path, data_dir, settings, told
):
  config = CONFIG
  for name, value in settings.items():
    group, _, field = name.rpartition('.')
    if group:  # as Python does it, with no check of its own
      part = dataclasses.replace(getattr(config, group), **{field: value})
      field, value = group, part
    config = dataclasses.replace(config, **{field: value})
  with pytest.raises(types.InputError, match=told):
    run.train(config, tmp_path / 'run', data_dir, live=QUIET)
  assert not (tmp_path / 'run').exists()


@pytest.fixture
def moved(paper_run, data_dir, tmp_path):
  """A finished run and its data, copied."""
  path = shutil.copytree(paper_run[0], tmp_path / 'run')
  data = shutil.copytree(data_dir, tmp_path / 'data')
  record = json.loads((path / 'config.json').read_text())
  record['data_dir'] = str(data)
  (path / 'config.json').write_text(json.dumps(record))
  return path, data


def _flip_labels(file):
  """Another file in its place; its size and its columns' may be the same."""
  table = pq.read_table(file, partitioning=None)
  at = table.schema.get_field_index('y_click')
  labels = pa.array(table['y_click'].to_numpy()[::-1], pa.float32())
  pq.write_table(table.set_column(at, 'y_click', labels), f'{file}.new')
  os.replace(f'{file}.new', file)


@pytest.mark.parametrize('source', ['resident', 'streaming'])
def test_data_that_were_replaced_between_two_starts_are_refused(moved, source):
  path, data = moved
  config = config_values.from_dict({'batch': {'input': source}}, CONFIG)
  part = data / 'train/part-00000.parquet'
  _flip_labels(part)
  told = f'{part}: the data were replaced since {path} began'
  for call in (
    lambda: run.train(config, path, data, live=QUIET),
    lambda: run_record.evaluate(path),
  ):
    with pytest.raises(types.InputError, match=re.escape(told)):
      call()


def test_two_processes_in_one_directory(tmp_path, data_dir):
  with (
    workdir.locked(tmp_path),
    pytest.raises(types.InputError, match='another process'),
  ):
    run.train(CONFIG, tmp_path, data_dir, live=QUIET)


def test_nan_in_training_stops_and_keeps_the_last_checkpoint(
  tmp_path, data_dir
):
  config = dataclasses.replace(
    CONFIG,
    pretrain=dataclasses.replace(CONFIG.pretrain, learning_rate=2e9),
  )
  with pytest.raises(FloatingPointError, match='not finite'):
    run.train(config, tmp_path, data_dir, live=QUIET)
  assert not (tmp_path / 'metrics.json').exists()
