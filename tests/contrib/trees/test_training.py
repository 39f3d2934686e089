"""Runs whose networks have trees, on tiny data."""

from __future__ import annotations

import numpy as np
import pytest

from rmtl_jax import run
from rmtl_jax.config import values as config_values
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.data import manifest_file
from rmtl_jax.results import evaluate
from rmtl_jax.runtime import progress
from rmtl_jax.training import actor_stage, context, models, stage, trainer
from rmtl_jax.training import splits as splits_lib
from tests import signals, test_run, tiny

CONFIG = config_values.from_dict(
  {
    'backbone': 'linear',
    'control': False,
    'network': {'trees': 20},
    'evaluation': {'monitor': 'logloss'},
  },
  test_run.CONFIG,
)
QUIET = progress.Progress(quiet=True)


@pytest.fixture(scope='module')
def data_dir(tmp_path_factory):
  path = tmp_path_factory.mktemp('data')
  tiny.write_prepared(path, sessions=300)
  return path


@pytest.fixture(scope='module')
def shared(data_dir):
  manifest = manifest_file.read(data_dir)
  rows = [
    splits_lib.read(data_dir, manifest, name, CONFIG.batch)
    for name in manifest_lib.SPLITS[:2]
  ]
  return (*rows, models.Models(manifest.feature_spec()))


def trained(data_dir, path, config=CONFIG, **keys):
  return run.train(config, path, data_dir, live=QUIET, **keys)


def leaves(params):
  return np.asarray(params['trees']['frozen']['leaves'])


def test_stage_1_begins_with_trees_as_a_candidate(shared):
  """A rate that only harms leaves them as they are, better than the rate."""
  config = config_values.from_dict(
    {'pretrain': {'learning_rate': 1.0, 'patience': 1}}, CONFIG
  )
  of_run = context.Context(config, tiny.TASKS, *shared, QUIET)
  found = actor_stage.pretrain(of_run)
  (arm,) = found.arms.values()
  assert arm.stopping.best_epoch == 0
  assert arm.stopping.best > -1  # the relative logloss of the task's rate
  assert np.any(leaves(arm.best_params))
  left = stage.run(found)['pretrain']
  assert left.epoch == 0
  again = actor_stage.pretrain(of_run).arms['pretrain'].best_params
  np.testing.assert_array_equal(leaves(left.params), leaves(again))


def test_seeds_grow_other_trees(shared):
  grown = []
  for seed in (0, 0, 1):
    config = config_values.from_dict({'seed': seed}, CONFIG)
    of_run = context.Context(config, tiny.TASKS, *shared, QUIET)
    grown.append(leaves(of_run.init_actor()))
  np.testing.assert_array_equal(grown[0], grown[1])
  assert np.any(grown[0] != grown[2])


def test_a_run_that_was_cut_off_ends_with_the_same_bits(data_dir, tmp_path):
  whole = trained(data_dir, tmp_path / 'whole')
  calls = iter([0, 0, 0, 15])
  with pytest.raises(trainer.Interrupted):
    trained(data_dir, tmp_path / 'cut', interrupted=lambda: next(calls, 15))
  cut = trained(data_dir, tmp_path / 'cut')
  assert signals.without_times(whole) == signals.without_times(cut)
  assert evaluate.evaluate(tmp_path / 'cut')['tasks'] == whole['tasks']


def test_a_split_on_disk_grows_the_same_trees(data_dir, shared):
  manifest = manifest_file.read(data_dir)
  batch = config_values.from_dict({'batch': {'input': 'streaming'}}, CONFIG)
  streamed = [
    splits_lib.read(data_dir, manifest, name, batch.batch)
    for name in manifest_lib.SPLITS[:2]
  ]
  assert streamed[0].device is None
  grown = [
    leaves(context.Context(CONFIG, tiny.TASKS, *rows, QUIET).init_actor())
    for rows in (shared, (*streamed, shared[2]))
  ]
  np.testing.assert_array_equal(*grown)


def test_of_many_rows_a_sample_is_taken(shared, monkeypatch):
  monkeypatch.setattr(splits_lib, '_MOST_SAMPLED', 100)
  found, again = (splits_lib.sampled(shared[0]) for _ in range(2))
  assert found.labels.shape == (100, 2) and found.weight is None
  assert found.inputs.numeric.shape == (100, 1)
  np.testing.assert_array_equal(found.labels, again.labels)
  host = shared[0].host
  rows = [
    np.flatnonzero(host.numeric[:, 0] == price)[0]
    for price in found.inputs.numeric[:, 0]
  ]
  assert len(set(rows)) == 100
  np.testing.assert_array_equal(found.labels, host.labels[rows])
