"""A table in, a model out, in four lines."""

import copy
import json
import pickle

import numpy as np
import pandas
import polars
import pyarrow as pa
import pytest

import rmtl_jax
from rmtl_jax import types
from rmtl_jax.results import run_record
from rmtl_jax.serving import predictor
from tests.library import small

TASKS = small.TASKS
CONFIG = {'backbone': 'shared_bottom', **small.SETTINGS}


def ranker(**more):
  return rmtl_jax.Ranker(
    **{
      'tasks': TASKS,
      'prepare': {'as_of': ()},
      'fine_tune': False,
      'config': CONFIG,
      **more,
    }
  )


def without_labels(table, rows=slice(None)):
  return {k: v[rows] for k, v in table.items() if k not in TASKS}


@pytest.fixture(scope='module')
def model(recommended_run):
  return rmtl_jax.load(recommended_run)


def test_a_fitted_model_describes_itself(model):
  assert model.tasks_ == TASKS and list(model.metrics_) == list(TASKS)
  assert model.metrics_ == model.record_['stages']['pretrain']
  assert model.schema_['user'] == 'user_id' and model.left_out_ == {}
  assert {*model.feature_names_in_} >= {'user_id', 'item_id', 'tags', 'price'}
  shown = repr(model).splitlines()
  assert shown[0] == 'Ranker: ple, stage pretrain, seed 0'
  assert shown[1] == '  rows: 240 train, 80 validation, 80 test'
  assert shown[-1] == f'  {model.run_dir_}'
  # The item determines the rate of clicks.
  assert model.metrics_['click']['auc'] > 0.55


def test_probabilities_are_those_of_the_run(model):
  new, log = small.new_rows(), small.table()
  found = model.predict_proba(new)
  assert found.shape == (6, 2) and found.dtype == np.float32
  loaded = predictor.load(model.run_dir_)
  expected = loaded.predict(pa.table(new), pa.table(log))
  for k, task in enumerate(TASKS):
    np.testing.assert_array_equal(found[:, k], expected[task])
    np.testing.assert_array_equal(model.predict(new)[task], expected[task])


@pytest.mark.parametrize(
  'form',
  [
    pandas.DataFrame,
    polars.DataFrame,
    pa.table,
    lambda rows: pa.table(rows).to_reader(),
    small.rows_of,
  ],
)
def test_all_forms_are_predicted_for(model, form):
  new = small.new_rows()
  np.testing.assert_array_equal(
    model.predict_proba(form(new)), model.predict_proba(new)
  )


@pytest.mark.slow
def test_a_frame_is_fitted_as_the_table_is():
  table = small.table()
  frame = pandas.DataFrame(table).assign(
    timestamp=pandas.to_datetime(table['timestamp'], unit='s'),
    user_id=pandas.Categorical(table['user_id']),
  )
  fitted = small.quietly(ranker().fit, frame)
  # Only the formats of times and users differ.
  assert fitted.schema_['time']['unit'] == 'iso'
  assert fitted.metrics_ == small.quietly(ranker().fit, table).metrics_


def test_copies_share_the_model_and_pickles_contain_its_files(model):
  rows = small.new_rows()
  expected = model.predict_proba(rows)
  assert copy.copy(model).run_dir_ == model.run_dir_
  for work in (copy.copy, lambda one: pickle.loads(pickle.dumps(one))):
    np.testing.assert_array_equal(work(model).predict_proba(rows), expected)
    unfitted = ranker(config={'seed': 3})
    assert work(unfitted).get_params() == unfitted.get_params()


def test_a_saved_model_is_the_model(model, tmp_path):
  model.save(tmp_path / 'saved')
  loaded = rmtl_jax.load(tmp_path / 'saved')
  assert isinstance(loaded, rmtl_jax.Ranker)
  new = small.new_rows()
  np.testing.assert_array_equal(
    loaded.predict_proba(new), model.predict_proba(new)
  )
  assert repr(loaded).splitlines()[:4] == repr(model).splitlines()[:4]
  # JSON has lists in place of tuples.
  kept = json.loads(json.dumps(model.get_params()))
  assert loaded.get_params() == {**kept, 'tracker': ('tensorboard',)}
  assert not (tmp_path / 'saved' / 'checkpoints' / 'state').exists()
  # Commands accept it as a run.
  assert rmtl_jax.load(tmp_path / 'saved', 'pretrain').stage == 'pretrain'
  with pytest.raises(types.InputError, match='overwrite=True replaces it'):
    model.save(tmp_path / 'saved')
  model.save(tmp_path / 'saved', overwrite=True)
  (tmp_path / 'other').mkdir()
  (tmp_path / 'other' / 'mine.txt').write_text('mine')
  with pytest.raises(types.InputError, match='and no saved Ranker'):
    model.save(tmp_path / 'other', overwrite=True)
  with pytest.raises(types.InputError, match='it was fitted there'):
    model.save(model.run_dir_, overwrite=True)


def test_the_past_is_the_fitted_table_unless_one_is_given(model, tmp_path):
  table, new = small.table(), small.new_rows()
  found = model.predict_proba(new)
  np.testing.assert_array_equal(found, model.predict_proba(new, table))
  first = {name: values[:40] for name, values in table.items()}
  assert not np.array_equal(found, model.predict_proba(new, first))
  kept = model.model_.keep_history(table)
  np.testing.assert_array_equal(found, model.predict_proba(new, kept))
  model.save(tmp_path / 'without', with_log=False)
  loaded = rmtl_jax.load(tmp_path / 'without')
  np.testing.assert_array_equal(loaded.predict_proba(new, table), found)
  with pytest.raises(types.InputError, match='give a history'):
    loaded.predict_proba(new)


@pytest.mark.slow
def test_a_named_directory_is_a_run_that_resumes(tmp_path):
  path = tmp_path / 'run'
  fitted = small.quietly(ranker(workdir=path).fit, small.table())
  assert fitted.run_dir_ == path and fitted.data_dir_ == path / 'data'
  record = run_record.evaluate(path)
  assert record['stages']['pretrain'] == fitted.metrics_
  assert isinstance(rmtl_jax.load(path), rmtl_jax.Ranker)
  # Nothing is prepared or trained again.
  before = (path / 'data' / 'manifest.json').stat().st_mtime_ns
  again = small.quietly(ranker(workdir=path).fit, small.table())
  assert again.metrics_ == fitted.metrics_
  assert (path / 'data' / 'manifest.json').stat().st_mtime_ns == before
  for more, table, told in (
    ({}, small.table(200), 'with another table'),
    ({'schema': {'item': None}}, small.table(), 'with another schema'),
    ({'prepare': {'min_count': 1}}, small.table(), 'with another prepare'),
    (
      {'config': {**CONFIG, 'seed': 3}},
      small.table(),
      'this run has config.seed=0',
    ),
  ):
    with pytest.raises(types.InputError, match=told):
      small.quietly(ranker(workdir=path, **more).fit, table)
  assert small.quietly(ranker(workdir=path).fit, small.table()).metrics_


def test_faults_leave_nothing_behind(tmp_path):
  table = small.table()
  broken = {**table, 'click': [2, *table['click'][1:]]}
  path = tmp_path / 'run'
  with pytest.raises(
    types.InputError, match=r"^table: row 1, column 'click': 2"
  ):
    ranker(workdir=path).fit(broken)
  assert not path.exists()
  odd = pa.table({**table, 'odd': pa.array([{}] * 400, pa.struct([]))})
  with pytest.raises(types.InputError, match=r'^table: not usable'):
    ranker(workdir=path).fit(odd)
  assert not path.exists()
  path.write_text('a file')
  with pytest.raises(types.InputError, match='not writable: File exists'):
    ranker(workdir=path).fit(table)
  path.unlink()
  path.mkdir()
  (path / 'log.parquet').write_text('mine')
  with pytest.raises(types.InputError, match=r"contains 'log\.parquet', no"):
    ranker(workdir=path).fit(table)
  assert [entry.name for entry in path.iterdir()] == ['log.parquet']


@pytest.mark.parametrize(
  ('more', 'told'),
  [
    ({'config': {'pretrain.lerning_rate': 1}}, 'config.pretrain.lerning'),
    ({'config': {'backbone': 'mmoo'}}, 'did you mean mmoe'),
    ({'config': {'preset': 'mine'}}, 'preset'),
    ({'prepare': {'splits': (1, 1, 1)}}, 'did you mean split'),
    ({'prepare': {'raw_dir': 'x'}}, 'prepare.raw_dir: no such setting'),
    ({'prepare': {'as_of': ('ratess',)}}, 'ratess'),
    ({'config': 'a=1'}, "config: expected a dict, found 'a=1'"),
    ({'prepare': ['split']}, r"prepare: expected a dict, found \['split'\]"),
  ],
)
def test_parameters_are_checked_before_anything_is_written(
  more, told, tmp_path
):
  with pytest.raises(types.InputError, match=told):
    ranker(workdir=tmp_path / 'run', **more).fit(small.table())
  assert not (tmp_path / 'run').exists()


def test_unfitted_use_is_one_clear_error(tmp_path):
  for use in (
    lambda: ranker().predict_proba(small.table()),
    lambda: ranker().score(small.table()),
    lambda: ranker().save(tmp_path / 'saved'),
  ):
    for kind in (ValueError, AttributeError):
      with pytest.raises(kind, match=r'call fit\(table\) first'):
        use()
  assert repr(rmtl_jax.Ranker(tasks=TASKS, verbose=True)) == (
    "Ranker(tasks=('click', 'buy'), verbose=True)"
  )
