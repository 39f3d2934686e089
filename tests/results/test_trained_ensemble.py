"""Whole ensembles on tiny data: members, resume, records."""

import dataclasses
import functools

import jax
import numpy as np
import pytest
from scipy import special

from rmtl_jax import run
from rmtl_jax.config import values as config_values
from rmtl_jax.data import columns as columns_lib
from rmtl_jax.evaluation import mixing
from rmtl_jax.results import run_record, trained_ensemble
from rmtl_jax.runtime import progress, workdir, writers
from rmtl_jax.training import models, split_data
from tests import paper, signals, tiny

pytestmark = pytest.mark.slow

QUIET = progress.Progress(quiet=True)
ONE = config_values.from_dict(
  {
    'backbone': 'shared_bottom',
    'network': {
      'embedding_dim': 4,
      'bottom_units': [8],
      'tower_units': [6],
    },
    'batch': {'lanes': 4, 'lane_length': 8, 'steps_per_dispatch': 4},
    'pretrain': {'max_epochs': 2, 'learning_rate': 0.01},
    'critic': {'max_passes': 2},
    'finetune': {'max_epochs': 1, 'learning_rate': 0.01},
    'evaluation': {'bootstrap': 0},
  },
  paper.PAPER,
)
COUNT = 2
SEEDS = [0, 1_000_003]
CONFIG = dataclasses.replace(ONE, ensemble=COUNT)


def member(number):
  """A member's settings."""
  return dataclasses.replace(ONE, seed=SEEDS[number])


@pytest.fixture(scope='module')
def data_dir(tmp_path_factory):
  path = tmp_path_factory.mktemp('data')
  tiny.write_prepared(path, sessions=60)
  return path


@pytest.fixture(scope='module')
def trained(tmp_path_factory, data_dir):
  path = tmp_path_factory.mktemp('run')
  return path, run.train(CONFIG, path, data_dir, live=QUIET)


def history(path):
  return [signals.without_times(entry) for entry in writers.read_history(path)]


def test_a_member_is_the_model_of_its_seed(tmp_path, data_dir, trained):
  """All three stages of it, to the last bit; member 0's seed is the run's."""
  path, record = trained
  alone = run.train(member(1), tmp_path, data_dir, live=QUIET)
  assert 'members' not in alone and 'ensemble' not in alone
  for stage, by_task in record['members'].items():
    assert record['best_epoch'][stage][1] == alone['best_epoch'][stage]
    for task, metrics in by_task.items():
      for name, values in metrics.items():
        assert values[1] == alone['stages'][stage][task][name]
  assert history(tmp_path) == [
    {k: v for k, v in entry.items() if k != 'member'}
    for entry in history(path)
    if entry['member'] == 1
  ]


def test_predicts_the_mean_of_the_members_probabilities(trained, data_dir):
  path, record = trained
  saved = workdir.read(path)
  made = models.Models(saved.manifest.feature_spec())
  host = columns_lib.read_split(data_dir, saved.manifest, 'test')
  split = split_data.place(host, CONFIG.batch)
  params = trained_ensemble.restore(saved, made).actors['finetune']
  members = [
    made.predict(ONE, jax.tree.map(lambda x, m=m: x[m], params), split)
    for m in range(COUNT)
  ]
  whole = made.predict(CONFIG, params, split)
  np.testing.assert_allclose(whole, np.mean(members, axis=0), atol=1e-6)
  assert np.abs(members[0] - members[1]).max() > 1e-3
  for k, task in enumerate(tiny.TASKS):
    rows = np.where(host.labels[:, k] > 0.5, whole[:, k], 1 - whole[:, k])
    logloss = -np.log(rows.astype(np.float64)).mean()
    found = record['stages']['finetune'][task]['logloss']
    assert found == pytest.approx(logloss, rel=1e-5)


def test_an_interrupted_ensemble_ends_as_an_undisturbed_one(
  tmp_path, data_dir, trained
):
  path, record = trained
  train = functools.partial(run.train, CONFIG, tmp_path, data_dir, live=QUIET)
  again, interruptions = signals.train_in_pieces(train, lambda n: 12)
  assert interruptions >= 2
  assert signals.without_times(again) == signals.without_times(record)
  assert history(tmp_path) == history(path)


def test_members_that_end_apart_resume_exactly(tmp_path, data_dir):
  """Also after one of them has finished."""
  config = config_values.from_dict(
    {'pretrain': {'max_epochs': 9, 'learning_rate': 0.03, 'patience': 1}},
    CONFIG,
  )
  stages, whole, cut = ('pretrain',), tmp_path / 'whole', tmp_path / 'cut'
  record = run.train(config, whole, data_dir, stages, QUIET)
  train = functools.partial(run.train, config, cut, data_dir, stages, QUIET)
  again, interruptions = signals.train_in_pieces(train, lambda n: 4)
  epochs = [entry['member'] for entry in history(whole)]
  assert interruptions >= 2 and epochs.count(0) != epochs.count(1)
  assert signals.without_times(again) == signals.without_times(record)
  assert history(whole) == history(cut)


def test_members_that_differ_are_weighed_on_validation(tmp_path, data_dir):
  """The weights are in the record; prediction and evaluation take them."""
  config = dataclasses.replace(
    CONFIG, variants='network.ignore=user;network.embedding_dim=3'
  )
  record = run.train(config, tmp_path, data_dir, ('pretrain',), live=QUIET)
  saved = workdir.read(tmp_path)
  made = models.Models(saved.manifest.feature_spec())
  restored = trained_ensemble.restore(saved, made)
  assert restored.is_mixture

  def probabilities(name):
    host = columns_lib.read_split(data_dir, saved.manifest, name)
    split = split_data.place(host, config.batch)
    own = [
      made.predict(one, member.results['pretrain'].params, split)
      for one, member in zip(restored.configs, restored.members, strict=True)
    ]
    whole = made.predict(config, restored.actors['pretrain'], split)
    return np.array(own, np.float64), whole, host

  own, _, validation = probabilities('validation')
  weights = mixing.fit_weights(
    own, validation.labels, session=validation.session
  )
  by_task = record['member_weights']['pretrain']
  found = np.array([by_task[task] for task in tiny.TASKS]).T
  np.testing.assert_allclose(found, weights, atol=1e-6)
  own, whole, _ = probabilities('test')
  mean = np.sum(weights[:, None] * special.logit(own), axis=0)
  np.testing.assert_allclose(whole, special.expit(mean), atol=1e-5)
  again = run_record.evaluate(tmp_path)
  assert again['stages'] == record['stages']
  assert again['member_weights'] == record['member_weights']
  # Without metrics.json (an interrupted run) they are fitted anew.
  (tmp_path / 'metrics.json').unlink()
  assert run_record.evaluate(tmp_path)['stages'] == record['stages']
