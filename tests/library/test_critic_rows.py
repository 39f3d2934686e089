"""Q-values and returns of a run's rows."""

import dataclasses

import numpy as np
import pyarrow.parquet as pq
import pytest

import rmtl_jax
from tests import tiny


@pytest.fixture(scope='module')
def ensemble(tmp_path_factory, data_dir):
  """(RUN, its metrics) of two members after stages 1 and 2."""
  path = tmp_path_factory.mktemp('ensemble') / 'run'
  config = dataclasses.replace(tiny.CONFIG, ensemble=2)
  stages = ['pretrain', 'critic']
  return path, rmtl_jax.train(config, path, data_dir, stages, tiny.QUIET)


def test_returns_are_discounted_sums_of_log_likelihoods(paper_run, data_dir):
  run, _ = paper_run
  found = rmtl_jax.row_values(run)
  rows = pq.read_table(data_dir / 'validation')
  labels = np.stack([rows[f'y_{task}'].to_numpy() for task in tiny.TASKS], 1)
  reward = np.log(np.where(labels > 0.5, found.policy, 1.0 - found.policy))
  session, step = (rows[n].to_numpy() for n in ('session_id', 'step'))
  discount = tiny.CONFIG.critic.discount
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
  run, record = ensemble
  found = rmtl_jax.row_values(run)
  members = [rmtl_jax.row_values(run / 'members' / str(m)) for m in range(2)]
  for name in ('policy', 'q_values', 'returns'):
    mean = np.mean([getattr(one, name) for one in members], axis=0)
    np.testing.assert_allclose(getattr(found, name), mean, rtol=1e-6)
  said = [record['critic']['mean_q'][task] for task in tiny.TASKS]
  np.testing.assert_allclose(found.q_values.mean(0), said, rtol=1e-4)
