import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rmtl_jax.config import values as config_values
from rmtl_jax.updates import critic as critic_lib
from rmtl_jax.updates import state
from tests import paper
from tests.updates import problem, reference

ROWS = problem.columns()
NOTHING = jnp.zeros((problem.ROWS, 2))
CONFIG = paper.critic()
KEY = jax.random.key(0)
POLICY = np.random.default_rng(7).random((problem.ROWS, 2), np.float32)
TARGET_POLICY = np.random.default_rng(8).random((problem.ROWS, 2), np.float32)


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
  """The policy's own action, so that numpy needs no random numbers."""
  monkeypatch.setattr(critic_lib, 'BEHAVIOUR_NOISE', 0.0)
  monkeypatch.setattr(critic_lib, 'TARGET_NOISE', 0.0)


def td_losses(network, params, target, batch, actions, target_actions, config):
  """Squared TD errors of a batch, and where there are any."""
  errors = critic_lib.make_td_errors(network, config)
  return errors(params, target, batch, actions, target_actions, KEY)


def in_batch(batch):
  return problem.in_slots(POLICY, batch), problem.in_slots(TARGET_POLICY, batch)


@pytest.mark.parametrize('form', config_values.choices('critic.form'))
@pytest.mark.parametrize(
  'official, head',
  [
    (False, 'neg_softplus'),
    (True, 'linear'),
    pytest.param(*(True, 'neg_relu'), marks=pytest.mark.slow),
  ],
)
def test_step_agrees_with_numpy(form, official, head):
  config = dataclasses.replace(
    CONFIG, form=form, official_targets=official, head=head, discount=0.9
  )
  network = problem.critic(form, head)
  online = problem.critic_params(network, form)
  target = problem.critic_params(network, form, 'target')
  optimizer = problem.recorder()
  step = jax.jit(critic_lib.make_critic_step(network, optimizer, config))
  critic = state.init_critic(online, optimizer)._replace(target_params=target)
  batch = problem.batch(ROWS)
  new_critic, metrics = step(critic, batch, KEY, *in_batch(batch))

  values = problem.critic_outputs(form, head)
  q, _ = values(online, ROWS, NOTHING, POLICY)
  estimates = [values(target, ROWS, NOTHING, TARGET_POLICY)[0]]
  if official:
    estimates.append(values(online, ROWS, NOTHING, TARGET_POLICY)[0])
  problem.assert_varies(q)
  problem.assert_varies(np.min(estimates, axis=0))
  td = reference.critic_loss(
    reference.pieces(problem.LENGTHS, problem.LANE_LENGTH),
    q,
    estimates,
    POLICY,
    ROWS.labels,
    0.9,
  )
  # Cuts: one of 9 and 7 and 12, two of 14.
  assert td.rows == problem.ROWS - 5 == float(metrics['td_rows'])
  np.testing.assert_allclose(
    metrics['td_error'] / metrics['td_rows'], td.loss, rtol=1e-5
  )
  # The mean over tasks; separate critics descend the sum of theirs.
  gradient = td.gradient * (2 if form == 'separate' else 1)
  _, expected = values(online, ROWS, jnp.float32(gradient), POLICY)
  problem.assert_trees_close(
    new_critic.opt_state, expected, rtol=1e-5, atol=2e-6
  )


def test_lanes_and_padding_change_nothing():
  """No session is cut, so sessions and not lanes decide the loss."""
  network = problem.critic()
  params = problem.critic_params(network, 'shared')
  target = problem.critic_params(network, 'shared', 'target')

  @jax.jit
  def losses(batch):
    errors, valid = td_losses(
      network, params, target, batch, *in_batch(batch), CONFIG
    )
    return jnp.sum(errors), jnp.sum(valid)

  total, rows = losses(problem.batch(ROWS, 4, 40))
  for lanes, lane_length in ((7, 14), (9, 22)):
    other_total, other_rows = losses(problem.batch(ROWS, lanes, lane_length))
    assert rows == other_rows == problem.ROWS
    np.testing.assert_allclose(other_total, total, rtol=1e-6)


def test_soft_update_by_hand():
  config = paper.critic(soft_update=0.25, update_period=3)
  online, target = {'w': jnp.array([4.0, 0.0])}, {'w': jnp.array([0.0, 8.0])}
  update = jax.jit(
    lambda step: critic_lib.soft_update(online, target, step, config)
  )
  for step, expected in ((1, [1, 6]), (2, [0, 8]), (3, [0, 8]), (7, [1, 6])):
    np.testing.assert_array_equal(update(step)['w'], expected)


def test_the_noise_enters_the_reward_and_the_value(monkeypatch):
  """The critic sees the behaviour's action, not the policy's."""
  monkeypatch.setattr(critic_lib, 'BEHAVIOUR_NOISE', 0.5)
  network = problem.critic()
  optimizer = problem.recorder()
  step = jax.jit(critic_lib.make_critic_step(network, optimizer, CONFIG))
  critic = state.init_critic(
    problem.critic_params(network, 'shared'), optimizer
  )
  batch = problem.batch(ROWS)
  policy, target_policy = in_batch(batch)
  _, metrics = step(critic, batch, KEY, policy, target_policy)
  _, again = step(critic, batch, KEY, policy, target_policy)
  _, other = step(critic, batch, jax.random.key(1), policy, target_policy)
  assert metrics['td_error'] == again['td_error'] != other['td_error']
  _, moved = step(critic, batch, KEY, policy, 1 - target_policy)
  assert moved['td_error'] != metrics['td_error']
