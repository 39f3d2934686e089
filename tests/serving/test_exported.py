"""What `rmtl export` writes, served again: equal to `predict`."""

from __future__ import annotations

import io
import json
import re
import shutil
import subprocess
import sys

import numpy as np
import pyarrow.parquet as pq
import pytest

import rmtl_jax
from rmtl_jax import cli, types
from rmtl_jax.evaluation import calibration
from rmtl_jax.serving import exported, predictor
from rmtl_jax.serving.export import export_writer
from tests.serving import forged, past_run, table_run

pytestmark = pytest.mark.slow

pytest.importorskip('flatbuffers')

MAPS = {
  'click': calibration.Platt(1.7, -0.4),
  'conversion': calibration.Platt(0.6, -1.2),
}


def check_round_trip(scorer, directory, *args):
  export_writer.export(scorer, directory)
  expected = scorer.predict(*args)
  found = rmtl_jax.load(directory).predict(*args)
  assert list(found) == list(expected)
  for task, values in expected.items():
    assert np.ptp(values) > 1e-3
    np.testing.assert_allclose(found[task], values, rtol=0.0, atol=1e-6)


@pytest.mark.parametrize('backbone', ['esmm', 'adatt'])
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
  assert record['ignored'] == ['discount', 'user']
  assert record['platforms'] == ['cpu', 'cuda', 'tpu']
  assert record['inputs'][0] == {
    'name': 'categorical',
    'shape': ['b', 3],
    'dtype': 'int32',
  }


def test_the_past(past_dir, tmp_path):
  raw = past_run.log()
  scorer = past_run.untrained(past_dir)
  check_round_trip(
    scorer, tmp_path / 'out', raw.slice(1200), raw.slice(0, 1200)
  )


FRESH = """
import json, sys
from rmtl_jax.serving import exported
model = exported.load(sys.argv[1])
import pyarrow.parquet as pq
found = model.predict(pq.read_table(sys.argv[2]))
gone = ['flax', 'optax', 'orbax', 'rmtl_jax.training',
        'rmtl_jax.networks.functional', 'rmtl_jax.networks.layers']
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


def changed(directory, name, change):
  path = directory / name
  path.write_bytes(change(path.read_bytes()))


def with_record(change):
  def apply(data):
    record = json.loads(data)
    change(record)
    return json.dumps(record).encode()

  return apply


def recorded(change):
  return lambda d: changed(d, 'export.json', with_record(change))


def unlisted(name):
  return recorded(lambda r: r['files'].pop(name)), f'files lacks {name!r}'


def replaced(name, make):
  """Puts something else in a file's place."""

  def spoil(directory):
    (directory / name).unlink()
    make(directory / name)

  return spoil


def renamed(name):
  """Records another path of the model."""

  def change(record):
    record['files'][name] = record['files'].pop('model.bin')

  return recorded(change)


def sealed(name, change):
  """Changes a file and its digest with it."""

  def spoil(directory):
    changed(directory, name, change)
    forged.seal(directory)

  return spoil


def saved(values, **header):
  """A .npy file, at times with another header than its values."""
  file = io.BytesIO()
  described = np.lib.format.header_data_from_array_1_0(values) | header
  np.lib.format.write_array_header_1_0(file, described)
  return file.getvalue() + values.tobytes()


def with_array(values, **header):
  """Puts another array in the place of the first parameter."""

  def spoil(directory):
    record = json.loads((directory / 'export.json').read_text())
    name = record['parameters'][0]['file']
    changed(directory, name, lambda b: saved(values, **header))
    forged.seal(directory)

  return spoil


def with_custom_call(text):
  return re.sub(
    r'stablehlo.negate (\S+) : (\S+)',
    r'stablehlo.custom_call @gemm(\1) : (\2) -> \2',
    text,
  )


BAD = {
  **{
    f'no digest of {name}': unlisted(name)
    for name in ('model.bin', 'vocabulary/item.parquet')
  },
  **{
    f'a name {name!r}': (renamed(name), 'is no path inside the directory')
    for name in (
      '../out/model.bin',
      '/dev/zero',
    )
  },
  'a link that leads out': (
    replaced('model.bin', lambda p: p.symlink_to('/dev/zero')),
    'model.bin: leads out of the directory',
  ),
  'a huge header': (
    with_array(np.zeros(2, np.float32), shape=(2**50,)),
    'not readable: ',
  ),
  'objects': (
    with_array(np.zeros(2, np.float32), descr='|O'),
    'not readable: ',
  ),
  'a custom call': (
    sealed('model.bin', lambda b: forged.with_text(b, with_custom_call)),
    "model.bin: has the custom call 'gemm', which is not run",
  ),
  'no record': (lambda d: (d / 'export.json').unlink(), 'not an exported'),
  'another version': (
    lambda d: changed(
      d, 'export.json', with_record(lambda r: r.update(format_version=9))
    ),
    'format_version is 9, this program reads 2; export the run again',
  ),
  'a flipped bit': (
    lambda d: changed(d, 'model.bin', lambda b: b[:-1] + bytes([b[-1] ^ 1])),
    'model.bin: is not what was exported',
  ),
}


@pytest.fixture(scope='module')
def model_dir(run_dir, tmp_path_factory):
  directory = tmp_path_factory.mktemp('model') / 'out'
  export_writer.export(predictor.load(run_dir, 'pretrain'), directory)
  return directory


@pytest.mark.parametrize('name', BAD)
def test_what_is_no_exported_model_is_refused(model_dir, tmp_path, name):
  spoil, message = BAD[name]
  shutil.copytree(model_dir, tmp_path / 'out')
  spoil(tmp_path / 'out')
  with pytest.raises(types.InputError, match=r'^[^\n]*\Z') as error:
    exported.load(tmp_path / 'out')
  assert message in str(error.value)


def test_the_output_is_all_or_nothing(run_dir, tmp_path, monkeypatch):
  scorer = predictor.load(run_dir, 'pretrain')
  (tmp_path / 'file').write_text('x')
  (tmp_path / 'full').mkdir()
  (tmp_path / 'full' / 'x').write_text('x')
  for name, part in (('file', 'is a file'), ('full', 'is not empty')):
    with pytest.raises(types.InputError, match=part):
      export_writer.export(scorer, tmp_path / name)

  def fail(scorer):
    raise KeyboardInterrupt

  monkeypatch.setattr(export_writer, 'serialize', fail)
  with pytest.raises(KeyboardInterrupt):
    export_writer.export(scorer, tmp_path / 'out')
  assert sorted(p.name for p in tmp_path.iterdir()) == ['file', 'full']
  monkeypatch.undo()
  (tmp_path / 'out').mkdir()
  record = export_writer.export(scorer, tmp_path / 'out')
  assert record['stage'] == 'pretrain'
  parameters = {entry['file'] for entry in record['parameters']}
  assert 'parameters/first.table.npy' in parameters
  assert parameters < record['files'].keys()
