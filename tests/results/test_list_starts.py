"""Rows with the past at their list's start, by hand and against predict."""

import dataclasses

import numpy as np
import pyarrow as pa
import pytest

import rmtl_jax
from rmtl_jax import types
from rmtl_jax.config import prepare_settings
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.preparation import prepare_log
from rmtl_jax.results import list_starts, trained_ensemble
from rmtl_jax.runtime import workdir
from rmtl_jax.training import split_data
from tests import paper

_SCHEMA = {
  'tasks': [{'name': 'click', 'column': 'click', 'known_after_seconds': 1}],
  'session': 'session',
  'user': 'user',
  'item': 'item',
  'time': {'column': 'time', 'unit': 's'},
  'categorical': ['user', 'item', 'brand'],
}
_AS_OF = ('counts', 'rates', 'position', 'feedback', 'tastes', 'history')


def _field(name, **details):
  return manifest_lib.Field(name, 'categorical', 100, details=details)


def _manifest(*fields):
  return manifest_lib.Manifest(
    source='table',
    fields=fields,
    tasks=(manifest_lib.Task('click'),),
    splits={},
    item_field='item',
  )


def test_values_come_from_the_row_that_knows_no_outcome_of_its_list():
  manifest = _manifest(
    _field('item'),
    _field('brand'),
    _field('asof_user_rows', as_of='counts'),
    _field('asof_item_rows', as_of='counts'),
    _field('asof_views', as_of='views'),
    _field('asof_user_click_rate', as_of='rates', key='user'),
    _field('asof_item_click_rate', as_of='rates', key='item'),
    _field(
      'asof_user_click_rate_by_brand', as_of='tastes', key='user', by='brand'
    ),
    _field('asof_since_click', as_of='feedback', key='session'),
    _field('hour', from_time='hour'),
    _field('asof_price_rank', as_of='slate'),
  )
  # Items 1, 2, 1 of brands 5, 6, 6, then another list.
  rows = np.array(
    [
      [1, 5, 10, 20, 30, 40, 50, 60, 70, 8, 90],
      [2, 6, 11, 21, 31, 41, 51, 61, 71, 9, 91],
      [1, 6, 12, 22, 32, 42, 52, 62, 72, 9, 92],
      [1, 6, 13, 23, 33, 43, 53, 63, 73, 9, 93],
    ],
    np.int32,
  )
  inputs = types.Inputs(rows, np.zeros((4, 0), int), np.zeros((4, 0)))
  found = list_starts.at_start(inputs, np.array([0, 0, 0, 7]), manifest)
  np.testing.assert_array_equal(
    found.categorical,
    [
      [1, 5, 10, 20, 30, 40, 50, 60, 70, 8, 90],
      [2, 6, 10, 21, 31, 40, 51, 61, 70, 8, 91],
      # The item as in row 0, the brand as in row 1.
      [1, 6, 10, 20, 30, 40, 50, 61, 70, 8, 92],
      [1, 6, 13, 23, 33, 43, 53, 63, 73, 9, 93],
    ],
  )
  np.testing.assert_array_equal(rows[1, 2], 11)  # not in place


def _log(sessions=120, rows=5):
  """Sessions one after the other, rows a minute apart."""
  generator = np.random.default_rng(0)
  count = sessions * rows
  session = np.repeat(np.arange(sessions), rows)
  brand = generator.integers(0, 4, count)
  click = generator.random(count) < 0.2 + 0.15 * (brand == 1)
  return pa.table(
    {
      'session': session,
      'user': session % 7,
      'item': generator.integers(0, 12, count),
      'brand': [f'b{b}' for b in brand],
      'time': 1_700_000_000
      + session * 7200
      + np.tile(np.arange(rows) * 60, sessions),
      'click': click.astype(int),
    }
  )


@pytest.fixture(scope='module')
def run(tmp_path_factory):
  place = tmp_path_factory.mktemp('lists')
  log = _log()
  config = prepare_settings.PrepareConfig(
    source='table', data_dir=str(place / 'data'), as_of=_AS_OF, min_count=1
  )
  prepare_log.prepare(config, table=log, schema=_SCHEMA)
  settings = paper.config(
    pretrain=paper.pretrain(max_epochs=2),
    network=paper.network(embedding_dim=4, bottom_units=(8,)),
    evaluation=paper.evaluation(calibration='none', bootstrap=20),
  )
  path = place / 'run'
  record = rmtl_jax.train(settings, path, place / 'data', ('pretrain',))
  return path, log, record


@pytest.mark.slow
def test_predictions_are_those_of_predict_with_frozen_times(run):
  path, log, _ = run
  model = rmtl_jax.load(path, stage='pretrain')
  own = workdir.read_run(path)
  trained = trained_ensemble.restore(own)
  split = split_data.read(own.data_dir, own.manifest, 'test', own.config.batch)
  lists = list_starts.of(split, own.manifest)
  found = trained.models.probabilities(
    own.config, trained.actors['pretrain'], lists.split
  )
  rows = log.take(split.host.row_id[lists.rows])
  session = np.asarray(rows['session'])
  starts = 1_700_000_000 + session * 7200
  asked = rows.drop_columns(['click', 'time'])
  asked = asked.append_column('time', pa.array(starts))
  for number in np.unique(session):
    own_rows = session == number
    before = np.asarray(log['time']) < starts[own_rows][0]
    expected = model.predict(
      asked.filter(pa.array(own_rows)), history=log.filter(pa.array(before))
    )
    np.testing.assert_allclose(found[own_rows, 0], expected['click'], atol=1e-6)
  # Every list is a session of five rows.
  assert len(lists.rows) == split.host.rows
  np.testing.assert_array_equal(np.bincount(lists.number), 5)


@pytest.mark.slow
def test_rows_of_one_time_are_a_list(run):
  path, _, _ = run
  own = workdir.read_run(path)
  split = split_data.read(own.data_dir, own.manifest, 'test', own.config.batch)
  # Of each session rows 0 to 2 at once, then 3 and 4.
  time = np.arange(split.host.rows) // 5 * 2 + (
    np.arange(split.host.rows) % 5 > 2
  )
  host = dataclasses.replace(
    split.host, begins_time=np.diff(time, prepend=-1) > 0
  )
  found = list_starts.of(dataclasses.replace(split, host=host), own.manifest)
  np.testing.assert_array_equal(found.number, time)
  # One row at a time: sessions are the lists again, of one row none.
  apart = dataclasses.replace(
    split.host,
    starts=np.arange(split.host.rows + 1),
    begins_time=np.ones(split.host.rows, bool),
  )
  alone = dataclasses.replace(split, host=apart)
  assert list_starts.of(alone, own.manifest) is None


@pytest.mark.slow
def test_records_judge_order_over_lists(run):
  _, _, record = run
  found = record['stages']['pretrain']['click']
  assert found['list_rows'] == found['rows']
  assert 0.0 < found['gauc'] < 1.0 and len(found['gauc_interval']) == 2
  assert 'gauc' in record['baseline']['click']
