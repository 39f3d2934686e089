"""Predictions from Python against those of evaluation."""

import shutil

import numpy as np
import pyarrow as pa
import pytest

import rmtl_jax
from rmtl_jax import types
from rmtl_jax.data import columns as columns_lib
from rmtl_jax.results import calibrations, trained_ensemble
from rmtl_jax.runtime import workdir
from rmtl_jax.training import models as models_lib
from rmtl_jax.training import split_data
from tests import tiers
from tests.serving import table_run


def _evaluated(run_dir, stage):
  """{row of the raw file: probabilities} of the test rows."""
  run = workdir.read(run_dir)
  models = models_lib.Models(run.manifest.feature_spec())
  params = trained_ensemble.restore(run, models).actors[stage]
  host = columns_lib.read_split(run_dir.parent / 'data', run.manifest, 'test')
  split = split_data.place(host, run.config.batch)
  found = models.predict(run.config, params, split)
  for k, one in enumerate(calibrations.saved(run)[stage].values()):
    found[:, k] = one.apply(found[:, k])
  return dict(zip(host.row_id.tolist(), found, strict=True))


@pytest.mark.parametrize(
  'stage',
  tiers.some(('', 'finetune', 'constant', 'pretrain'), ('',)),
)
def test_equals_evaluation(run_dir, stage):
  _check_equals_evaluation(run_dir, stage)


def _check_equals_evaluation(run_dir, stage):
  expected = _evaluated(run_dir, stage or 'pretrain')
  rows = np.array(sorted(expected))
  raw = table_run.table().take(pa.array(rows)).select(table_run.FEATURES)
  found = rmtl_jax.load(run_dir, stage).predict(raw)
  assert list(found) == ['click', 'conversion']
  np.testing.assert_allclose(
    np.stack(list(found.values()), axis=1),
    [expected[row] for row in rows],
    rtol=0.0,
    atol=1e-6,
  )
  # Not all rows alike: the model has learnt something of the item.
  assert np.ptp(found['click']) > 0.05


def test_a_mapping_of_numpy_and_no_rows(run_dir):
  loaded = rmtl_jax.load(run_dir)
  raw = table_run.table()
  columns = {name: raw[name].to_numpy() for name in table_run.FEATURES}
  np.testing.assert_array_equal(
    loaded.predict(columns)['click'], loaded.predict(raw)['click']
  )
  listed = loaded.predict(raw.to_pylist())
  np.testing.assert_array_equal(listed['click'], loaded.predict(raw)['click'])
  empty = loaded.predict(raw.slice(0, 0))
  assert {k: v.shape for k, v in empty.items()} == {
    'click': (0,),
    'conversion': (0,),
  }


def test_tables_that_are_refused(run_dir):
  loaded = rmtl_jax.load(run_dir)
  columns = {name: [1, 2] for name in table_run.FEATURES} | {'tags': ['', '']}
  with pytest.raises(types.InputError, match="table: no column 'price'"):
    loaded.predict({k: v for k, v in columns.items() if k != 'price'})
  with pytest.raises(types.InputError, match='table: not usable'):
    loaded.predict({**columns, 'price': [1]})
  with pytest.raises(types.InputError, match="table: row 2, column 'price'"):
    loaded.predict({**columns, 'price': ['1', 'x']})
  assert len(loaded.predict(columns)['click']) == 2


def test_the_last_finished_stage_is_used(run_dir, tmp_path):
  run = shutil.copytree(run_dir, tmp_path / 'run')
  for name in ('constant', 'finetune'):
    shutil.rmtree(run / 'checkpoints' / name)
  assert rmtl_jax.load(run).stage == 'pretrain'
  with pytest.raises(types.InputError, match='finetune has not been trained'):
    rmtl_jax.load(run, 'finetune')
  shutil.rmtree(run / 'checkpoints')
  with pytest.raises(types.InputError, match='no stage has been trained'):
    rmtl_jax.load(run)


def test_what_is_no_run_is_refused(tmp_path, run_dir):
  with pytest.raises(types.InputError, match='is not a run'):
    rmtl_jax.load(tmp_path)
  with pytest.raises(types.InputError, match="'last' is not one of"):
    rmtl_jax.load(run_dir, 'last')
