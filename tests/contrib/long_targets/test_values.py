"""Longer targets: by hand, against realised returns, in the critics' loss."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rmtl_jax.contrib.long_targets import values
from rmtl_jax.evaluation import critic_statistics
from rmtl_jax.ops import rewards, targets
from rmtl_jax.updates import critic as critic_lib
from rmtl_jax.updates import forward
from tests.ops import test_targets as common
from tests.updates import problem
from tests.updates import test_critic as steps_common


@pytest.mark.parametrize(
  'steps, expected',
  [
    (1, [-10, -20, -30, -40, -50, -60]),
    # r + 0.5 Q of the next row; r at a session's end; Q at a cut.
    (2, [-1 - 10, -2 - 15, -4, -8, -16 - 30, -60]),
    (3, [-1 - 0.5 * 17, -2 - 2, -4, -8, -46, -60]),
    (9, [-1 - 0.5 * 4, -4, -4, -8, -46, -60]),
  ],
)
@common.VARIANTS
def test_n_step_values_by_hand(variant, steps, expected):
  function = variant(
    lambda *args: values.n_step_values(*args, discount=0.5, steps=steps)
  )
  value = function(
    common.REWARD, common.VALUE, common.IS_LAST, targets.goes_on(common.SEGMENT)
  )
  np.testing.assert_allclose(value[:, 0], expected)


@common.VARIANTS
def test_lambda_values_by_hand(variant):
  function = variant(
    lambda *args: values.lambda_values(*args, discount=0.5, td_lambda=0.5)
  )
  value = function(
    common.REWARD, common.VALUE, common.IS_LAST, targets.goes_on(common.SEGMENT)
  )
  third = 0.5 * -30 + 0.5 * -4
  second = 0.5 * -20 + 0.5 * (-2 + 0.5 * third)
  first = 0.5 * -10 + 0.5 * (-1 + 0.5 * second)
  cut = 0.5 * -50 + 0.5 * (-16 + 0.5 * -60)
  np.testing.assert_allclose(
    value[:, 0], [first, second, third, 0.5 * -40 + 0.5 * -8, cut, -60]
  )


@settings(deadline=None, max_examples=30)
@given(
  st.lists(st.integers(1, 6), min_size=3, max_size=3),
  st.floats(0, 1, width=32),
  st.integers(0, 2**31 - 1),
)
def test_the_ends_of_lambda_are_one_step_and_the_return(
  lengths, discount, seed
):
  """And as many steps as the longest session has give the return as well."""
  rng = np.random.default_rng(seed)
  reward, q = -rng.random((2, sum(lengths), 2)).astype(np.float32)
  segment = np.repeat(np.arange(3), lengths)
  is_last = np.append(segment[1:] != segment[:-1], True)
  args = (reward, q, is_last, targets.goes_on(jnp.asarray(segment)), discount)
  np.testing.assert_array_equal(values.lambda_values(*args, td_lambda=0.0), q)
  returns = critic_statistics.discounted_returns(reward, segment, discount)
  for value in (
    values.lambda_values(*args, td_lambda=1.0),
    values.n_step_values(*args, steps=7),
  ):
    np.testing.assert_allclose(value, returns, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize('changes', [{'td_lambda': 0.7}, {'n_steps': 3}])
def test_longer_targets_take_the_target_policys_rewards(changes):
  config = dataclasses.replace(steps_common.QUIET, **changes)
  network = problem.critic()
  params = problem.critic_params(network, 'shared')
  target = problem.critic_params(network, 'shared', 'target')
  batch = problem.batch(steps_common.ROWS)
  actions, target_actions = steps_common.in_batch(batch)

  @jax.jit
  def both():
    found, valid = critic_lib.td_losses(
      network, params, target, batch, actions, target_actions, config
    )
    q = forward.values(network, params, batch.inputs, actions)
    ahead = forward.values(network, target, batch.inputs, target_actions)
    earned = rewards.log_likelihood(target_actions, batch.labels)
    args = (
      earned,
      ahead,
      batch.is_last,
      jax.vmap(targets.goes_on)(batch.segment),
    )
    if 'n_steps' in changes:
      look_ahead = lambda *a: values.n_step_values(*a, 0.95, 3)
    else:
      look_ahead = lambda *a: values.lambda_values(*a, 0.95, 0.7)
    target_t = jax.vmap(targets.lane_targets, (0, 0, 0, None))(
      rewards.log_likelihood(actions, batch.labels),
      jax.vmap(look_ahead)(*args),
      batch.is_last,
      0.95,
    )
    return found, jnp.square(q - target_t), valid

  found, expected, valid = (np.asarray(x) for x in both())
  np.testing.assert_allclose(found[valid], expected[valid], rtol=1e-5)
  plain, _ = critic_lib.td_losses(
    network, params, target, batch, actions, target_actions, steps_common.QUIET
  )
  assert np.abs(found - plain)[valid].max() > 0.01
