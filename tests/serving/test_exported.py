"""What `rmtl export` writes, served again: equal to `predict`."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import rmtl_jax
from rmtl_jax import cli, types
from rmtl_jax import config as config_lib
from rmtl_jax.evaluation import calibration
from rmtl_jax.serving import export, exported, predictor
from tests.serving import past_run, table_run

pytest.importorskip('flatbuffers')

MAPS = {
  'click': calibration.Platt(1.7, -0.4),
  'conversion': calibration.Isotonic((0.2, 0.5, 0.9), (0.01, 0.3, 0.8)),
}


def check_round_trip(scorer, directory, *args):
  export.export(scorer, directory)
  expected = scorer.predict(*args)
  found = rmtl_jax.load(directory).predict(*args)
  assert list(found) == list(expected)
  for task, values in expected.items():
    assert np.ptp(values) > 1e-3
    np.testing.assert_allclose(found[task], values, rtol=0.0, atol=1e-6)


@pytest.mark.parametrize('backbone', config_lib.BACKBONES)
def test_every_backbone(run_dir, tmp_path, backbone):
  raw = table_run.table(60)
  columns = {name: raw[name].to_pylist() for name in table_run.FEATURES}
  scorer = past_run.untrained(run_dir, backbone=backbone)
  check_round_trip(scorer, tmp_path / 'out', columns)


def test_an_ensemble_calibrated_with_fields_that_are_ignored(run_dir, tmp_path):
  settings = {
    'ensemble': 3,
    'backbone': 'shared_bottom',
    'network.ignore': 'user+discount',
    # Value-dependent shapes are not exported, parameters are the same.
    'network.first_layer': 'distinct',
  }
  scorer = past_run.untrained(run_dir, maps=MAPS, **settings)
  raw = table_run.table(300).drop_columns(['Customer No', 'discount'])
  check_round_trip(scorer, tmp_path / 'out', raw)
  record = json.loads((tmp_path / 'out' / 'export.json').read_text())
  assert record['calibrated'] and record['ignored'] == ['discount', 'user']
  assert record['platforms'] == ['cpu', 'cuda', 'tpu']
  assert record['inputs'][0] == {
    'name': 'categorical',
    'shape': ['b', 3],
    'dtype': 'int32',
  }


@pytest.mark.parametrize(
  'changes',
  [
    {'network.session_encoder': 'mean'},
    {'network.session_encoder': 'target_attention'},
    {'network.session_encoder': 'gru'},
    {'network.session_encoder': 'transformer'},
    {
      'network.session_encoder': 'none',
      'network.affinity_dim': 3,
      'network.affinity_state': 'session',
    },
  ],
)
def test_sessions_and_the_past(past_dir, tmp_path, changes):
  raw = past_run.log()
  scorer = past_run.untrained(past_dir, **changes)
  check_round_trip(
    scorer, tmp_path / 'out', raw.slice(1200), raw.slice(0, 1200)
  )
  record = json.loads((tmp_path / 'out' / 'export.json').read_text())
  assert [i['name'] for i in record['inputs'][3:]] == ['segment', 'time']


FRESH = """
import json, sys
from rmtl_jax.serving import exported
model = exported.load(sys.argv[1])
import pyarrow.parquet as pq
found = model.predict(pq.read_table(sys.argv[2]))
gone = ['flax', 'optax', 'orbax', 'rmtl_jax.training', 'rmtl_jax.networks']
json.dump([[m for m in gone if m in sys.modules],
           {k: v.tolist() for k, v in found.items()}], sys.stdout)
"""


def test_a_fresh_process_without_training_code(run_dir, tmp_path):
  target = tmp_path / 'out'
  argv = ['rmtl', 'export', f'--workdir={run_dir}', '--nocompilation_cache']
  assert cli.main([*argv, f'--output={target}']) == 0
  raw = table_run.table(50).select(table_run.FEATURES)
  pq.write_table(raw, tmp_path / 'in.parquet')
  done = subprocess.run(
    [sys.executable, '-c', FRESH, target, tmp_path / 'in.parquet'],
    capture_output=True,
    text=True,
    check=True,
  )
  loaded, found = json.loads(done.stdout)
  assert loaded == []
  expected = rmtl_jax.load(run_dir).predict(raw)
  for task, values in expected.items():
    np.testing.assert_allclose(found[task], values, rtol=0.0, atol=1e-6)


def test_the_command_predict_takes_it(run_dir, tmp_path):
  target = tmp_path / 'out'
  export.export(predictor.load(run_dir), target)
  raw = table_run.table(30)
  pq.write_table(raw, tmp_path / 'in.parquet')
  argv = ['rmtl', 'predict', f'--workdir={target}', '--nocompilation_cache']
  files = [
    f'--input={tmp_path / "in.parquet"}',
    f'--output={tmp_path / "found.csv"}',
  ]
  assert cli.main([*argv, *files]) == 0
  assert len((tmp_path / 'found.csv').read_text().splitlines()) == 31
  assert cli.main([*argv, *files, '--stage=pretrain']) == 2


def test_encoded_rows(run_dir, tmp_path):
  scorer = past_run.untrained(run_dir)
  export.export(scorer, tmp_path / 'out')
  model = exported.load(tmp_path / 'out')
  rows = 3
  slots = sum(f.width for f in scorer.manifest.of_kind('multi_valued'))
  inputs = types.Inputs(
    np.ones((rows, 3), np.int32),
    np.full((rows, slots), -1, np.int32),
    np.zeros((rows, 2), np.float32),
  )
  np.testing.assert_allclose(
    model.network(*inputs[:3]),
    scorer.infer(inputs, np.array([0, rows])),
    atol=1e-6,
  )


def changed(directory, name, change):
  path = directory / name
  path.write_bytes(change(path.read_bytes()))


def with_record(change):
  def apply(data):
    record = json.loads(data)
    change(record)
    return json.dumps(record).encode()

  return apply


BAD = {
  'no record': (lambda d: (d / 'export.json').unlink(), 'not an exported'),
  'no JSON': (lambda d: changed(d, 'export.json', lambda b: b[9:]), 'readable'),
  'another version': (
    lambda d: changed(
      d, 'export.json', with_record(lambda r: r.update(format_version=9))
    ),
    'format_version is 9',
  ),
  'sessions of the first version': (
    lambda d: changed(
      d,
      'export.json',
      with_record(lambda r: r.update(format_version=1, sessions=True)),
    ),
    'rows of the same time; export the run again',
  ),
  'a part missing': (
    lambda d: changed(
      d, 'export.json', with_record(lambda r: r.pop('sessions'))
    ),
    'sessions is missing',
  ),
  'a flipped bit': (
    lambda d: changed(d, 'model.bin', lambda b: b[:-1] + bytes([b[-1] ^ 1])),
    'model.bin: is not what was exported',
  ),
  'a file gone': (
    lambda d: (d / 'vocabulary' / 'item.parquet').unlink(),
    'item.parquet: No such file',
  ),
}


@pytest.fixture(scope='module')
def model_dir(run_dir, tmp_path_factory):
  directory = tmp_path_factory.mktemp('model') / 'out'
  export.export(predictor.load(run_dir, 'pretrain'), directory)
  return directory


@pytest.mark.parametrize('name', BAD)
def test_what_is_no_exported_model_is_refused(model_dir, tmp_path, name):
  spoil, message = BAD[name]
  shutil.copytree(model_dir, tmp_path / 'out')
  spoil(tmp_path / 'out')
  with pytest.raises(types.InputError, match=r'^[^\n]*\Z') as error:
    exported.load(tmp_path / 'out')
  assert message in str(error.value)


def test_the_first_version_serves_what_reads_no_sessions(model_dir, tmp_path):
  raw = table_run.table(20)
  shutil.copytree(model_dir, tmp_path / 'out')
  older = with_record(lambda r: r.update(format_version=1))
  changed(tmp_path / 'out', 'export.json', older)
  found = exported.load(tmp_path / 'out').predict(raw)
  for task, values in exported.load(model_dir).predict(raw).items():
    np.testing.assert_array_equal(found[task], values)


def test_the_output_is_all_or_nothing(run_dir, tmp_path, monkeypatch):
  scorer = predictor.load(run_dir, 'pretrain')
  (tmp_path / 'file').write_text('x')
  (tmp_path / 'full').mkdir()
  (tmp_path / 'full' / 'x').write_text('x')
  for name, part in (('file', 'is a file'), ('full', 'is not empty')):
    with pytest.raises(types.InputError, match=part):
      export.export(scorer, tmp_path / name)

  def fail(scorer):
    raise KeyboardInterrupt

  monkeypatch.setattr(export, 'serialize', fail)
  with pytest.raises(KeyboardInterrupt):
    export.export(scorer, tmp_path / 'out')
  assert sorted(p.name for p in tmp_path.iterdir()) == ['file', 'full']
  monkeypatch.undo()
  (tmp_path / 'out').mkdir()
  record = export.export(scorer, tmp_path / 'out')
  assert record['stage'] == 'pretrain' and not record['calibrated']
  parameters = {entry['file'] for entry in record['parameters']}
  assert 'parameters/first.table.npy' in parameters
  assert parameters < record['files'].keys()


def test_calibration_of_a_run(run_dir, tmp_path):
  raw = table_run.table(40)
  argv = ['rmtl', 'export', f'--workdir={run_dir}', '--nocompilation_cache']
  target = tmp_path / 'out'
  assert cli.main([*argv, f'--output={target}', '--calibrated']) == 0
  plain = rmtl_jax.load(run_dir)
  loaded = rmtl_jax.load(run_dir, calibrated=True)
  found = rmtl_jax.load(target).predict(raw)
  for task, values in plain.predict(raw).items():
    fitted = loaded.maps[task].apply(values)
    assert np.abs(fitted - values).max() > 1e-4
    np.testing.assert_allclose(found[task], fitted, rtol=0.0, atol=1e-6)
    np.testing.assert_allclose(
      loaded.predict(raw)[task], fitted, rtol=0.0, atol=1e-6
    )
  with pytest.raises(types.InputError, match='leave them out'):
    rmtl_jax.load(target, calibrated=True)
  assert pa.table(found).num_rows == 40
