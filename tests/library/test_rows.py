"""Q-values and returns of a run's rows, and its picture, from Python."""

import dataclasses

import numpy as np
import pyarrow.parquet as pq
import pytest

import rmtl_jax
from tests import tiny
from tests.studies.comparison import test_compare

QUIET = rmtl_jax.Progress(quiet=True)


def train(path, size):
  """(RUN, record, prepared data) of an ensemble after stages 1 and 2."""
  tiny.write_prepared(path / 'data')
  config = dataclasses.replace(test_compare.CONFIG, ensemble=size)
  record = rmtl_jax.train(
    config, path / 'run', path / 'data', ['pretrain', 'critic'], QUIET
  )
  return path / 'run', record, path / 'data'


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
  return train(tmp_path_factory.mktemp('rows'), 1)


@pytest.fixture(scope='module')
def ensemble(tmp_path_factory):
  return train(tmp_path_factory.mktemp('ensemble'), 2)


def test_returns_are_discounted_sums_of_log_likelihoods(trained):
  run, _, data = trained
  found = rmtl_jax.row_values(run)
  rows = pq.read_table(data / 'validation')
  labels = np.stack([rows[f'y_{task}'].to_numpy() for task in tiny.TASKS], 1)
  reward = np.log(np.where(labels > 0.5, found.policy, 1.0 - found.policy))
  session, step = (rows[n].to_numpy() for n in ('session_id', 'step'))
  discount = test_compare.CONFIG.critic.discount
  expected = np.zeros_like(found.returns)
  for row in reversed(range(len(session))):
    expected[row] = reward[row]
    if row + 1 < len(session) and session[row + 1] == session[row]:
      assert step[row + 1] == step[row] + 1
      expected[row] += discount * expected[row + 1]
  np.testing.assert_allclose(found.returns, expected, rtol=1e-4)
  _, first, count = np.unique(session, return_index=True, return_counts=True)
  assert found.rows_left[first].tolist() == (count - 1).tolist()


@pytest.mark.slow
def test_values_of_an_ensemble_are_means_over_its_members(ensemble):
  run, record, _ = ensemble
  found = rmtl_jax.row_values(run)
  members = [rmtl_jax.row_values(run / 'members' / str(m)) for m in range(2)]
  for name in ('policy', 'q_values', 'returns'):
    mean = np.mean([getattr(one, name) for one in members], axis=0)
    np.testing.assert_allclose(getattr(found, name), mean, rtol=1e-6)
  said = [record['critic']['mean_q'][task] for task in tiny.TASKS]
  np.testing.assert_allclose(found.q_values.mean(0), said, rtol=1e-4)


def test_a_picture_is_drawn_where_the_command_puts_it(trained):
  run, _, _ = trained
  picture = rmtl_jax.draw_overview(run)
  assert picture == run / 'report' / 'overview.png'
  assert picture.read_bytes().startswith(b'\x89PNG')
