import json

import numpy as np
import pytest

from rmtl_jax.evaluation import critic_statistics


def _describe(q, rewards, session, discount=0.5):
  returns = critic_statistics.discounted_returns(
    np.asarray(rewards, np.float64)[:, None], np.asarray(session), discount
  )
  return critic_statistics.describe(np.asarray(q), returns[:, 0])


def test_returns_by_hand():
  rewards = np.array([[-1.0, -8.0], [-2.0, 0.0], [-4.0, -4.0], [-3.0, -1.0]])
  found = critic_statistics.discounted_returns(
    rewards, np.array([5, 5, 5, 9]), 0.5
  )
  np.testing.assert_allclose(
    found, [[-3.0, -9.0], [-4.0, -2.0], [-4.0, -4.0], [-3.0, -1.0]]
  )


def test_statistics_by_hand():
  # Returns: -1 - 0.5 * 2 = -2, -2, -4.
  found = _describe(
    q=[-2.0, -3.0, -4.0],
    rewards=[-1.0, -2.0, -4.0],
    session=[0, 0, 1],
  )
  assert found['mean_q'] == -3.0
  assert found['std_q'] == pytest.approx(np.sqrt(2 / 3))
  assert found['mean_return'] == pytest.approx(-8 / 3)
  assert found['r2'] == pytest.approx(1 - 1 / (8 / 3))
  assert found['collapsed'] is False


def test_a_perfect_critic():
  rewards = -np.random.default_rng(1).random((50, 1))
  session = np.repeat(np.arange(10), 5)
  q = critic_statistics.discounted_returns(rewards, session, 0.95)[:, 0]
  found = critic_statistics.describe(q, q)
  assert found['r2'] == 1.0 and not found['collapsed']
  json.dumps(found, allow_nan=False)


@pytest.mark.parametrize('value', [0.0, -0.1])
def test_a_constant_critic_is_collapsed(value):
  # 0.1 is no exact double: its mean's rounding must not look like variation.
  rows = 1001
  rewards = -np.random.default_rng(2).random(rows)
  found = _describe(np.full(rows, value), rewards, np.arange(rows) // 4)
  assert found['collapsed'] is True
  assert found['r2'] < 0.0


def test_the_bounds_of_a_collapse():
  generator = np.random.default_rng(3)
  rewards, session = -generator.random(1000), np.arange(1000)
  spread = (rewards - rewards.mean()) * 1e-3 - 1.0
  assert _describe(spread * 0.98, rewards, session)['collapsed'] is True
  wider = (rewards - rewards.mean()) * 1.1e-3 - 1.0
  assert _describe(wider, rewards, session)['collapsed'] is False


def test_the_bound_of_a_divergence():
  # Returns of -1: root mean square 1, so that an error of 10 is the bound.
  rewards, session = -np.ones(4), np.arange(4)
  assert _describe(np.full(4, -11.0), rewards, session)['diverged'] is False
  assert _describe(np.full(4, -11.1), rewards, session)['diverged'] is True
  assert _describe([-1, -1, -1, -30], rewards, session)['diverged'] is True
