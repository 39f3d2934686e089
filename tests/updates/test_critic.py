import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rmtl_jax import config as config_lib
from rmtl_jax.config import values as config_values
from rmtl_jax.networks import factory, functional
from rmtl_jax.ops import rewards
from rmtl_jax.updates import critic as critic_lib
from rmtl_jax.updates import state
from tests.updates import problem, reference

ROWS = problem.columns()
NOTHING = jnp.zeros((problem.ROWS, 2))
# The policy's own action, so that numpy needs no random numbers.
QUIET = config_lib.CriticConfig(behaviour_noise=0.0)
KEY = jax.random.key(0)
POLICY = np.random.default_rng(7).random((problem.ROWS, 2), np.float32)
TARGET_POLICY = np.random.default_rng(8).random((problem.ROWS, 2), np.float32)


def in_batch(batch):
  return problem.in_slots(POLICY, batch), problem.in_slots(TARGET_POLICY, batch)


@pytest.mark.parametrize('form', config_values.choices('critic.form'))
@pytest.mark.parametrize(
  'estimate, head',
  [
    ('target', 'neg_softplus'),
    ('minimum', 'linear'),
    pytest.param(*('minimum', 'neg_relu'), marks=pytest.mark.slow),
  ],
)
def test_step_agrees_with_numpy(form, estimate, head):
  config = dataclasses.replace(
    QUIET, form=form, estimate=estimate, head=head, discount=0.9
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
  if estimate == 'minimum':
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


def test_three_official_updates_agree_with_numpy():
  """Losses summed over critics, Adam without L2, targets after 1 and 3."""
  official = config_lib.preset('official').critic
  config = dataclasses.replace(official, target_noise=0.0, target_dropout=False)
  network = problem.critic('separate', 'neg_relu')
  online = problem.critic_params(network, 'separate')
  target = problem.critic_params(network, 'separate', 'target')
  optimizer = state.make_optimizer(config)
  step = jax.jit(critic_lib.make_critic_step(network, optimizer, config))
  critic = state.init_critic(online, optimizer)._replace(target_params=target)
  batch = problem.batch(ROWS)
  values = problem.critic_outputs('separate', 'neg_relu')
  pieces = reference.pieces(problem.LENGTHS, problem.LANE_LENGTH)
  zeros = jax.tree.map(lambda x: np.zeros(x.shape), online)
  means, squares = zeros, zeros
  for number in (1, 2, 3):
    critic, _ = step(critic, batch, KEY, *in_batch(batch))
    q, _ = values(online, ROWS, NOTHING, POLICY)
    estimates = [
      values(params, ROWS, NOTHING, TARGET_POLICY)[0]
      for params in (target, online)
    ]
    td = reference.critic_loss(
      pieces, q, estimates, POLICY, ROWS.labels, 0.9, 'log_likelihood'
    )
    # The reference's loss is the mean over two tasks.
    _, gradient = values(online, ROWS, jnp.float32(2 * td.gradient), POLICY)
    means = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, means, gradient)
    squares = jax.tree.map(
      lambda v, g: 0.999 * v + 0.001 * np.square(g), squares, gradient
    )
    online = jax.tree.map(
      lambda p, m, v, n=number: np.float32(
        p - 1e-3 * (m / (1 - 0.9**n)) / (np.sqrt(v / (1 - 0.999**n)) + 1e-8)
      ),
      online,
      means,
      squares,
    )
    if number != 2:
      target = jax.tree.map(lambda t, p: 0.8 * t + 0.2 * p, target, online)
    problem.assert_trees_close(critic.params, online, rtol=1e-4, atol=2e-5)
    problem.assert_trees_close(
      critic.target_params, target, rtol=1e-4, atol=2e-5
    )


def test_rows_that_no_batch_has_keep_their_embeddings():
  """Critics start from the actor's; L2 inside of Adam would erase these."""
  config = config_lib.CriticConfig()
  network = problem.critic()
  optimizer = state.make_optimizer(config)
  step = jax.jit(critic_lib.make_critic_step(network, optimizer, config))
  start = problem.critic_params(network, 'shared')
  critic = state.init_critic(start, optimizer)
  one = problem.batch(ROWS)
  without = one._replace(
    inputs=one.inputs._replace(
      categorical=jnp.where(
        jnp.arange(2) == 0, 1, one.inputs.categorical
      ).astype(jnp.int32)
    )
  )
  for i in range(3):
    critic, _ = step(critic, without, jax.random.key(i), *in_batch(one))
  old, new = (x['first']['table'] for x in (start, critic.params))
  np.testing.assert_array_equal(new[2:7], old[2:7])
  assert np.all(np.asarray(new[1]) != np.asarray(old[1]))


def test_lanes_and_padding_change_nothing():
  """No session is cut, so sessions and not lanes decide the loss."""
  network = problem.critic()
  params = problem.critic_params(network, 'shared')
  target = problem.critic_params(network, 'shared', 'target')

  @jax.jit
  def losses(batch):
    errors, valid = critic_lib.td_losses(
      network, params, target, batch, *in_batch(batch), QUIET
    )
    return jnp.sum(errors), jnp.sum(valid)

  total, rows = losses(problem.batch(ROWS, 4, 40))
  for lanes, lane_length in ((7, 14), (9, 22)):
    other_total, other_rows = losses(problem.batch(ROWS, lanes, lane_length))
    assert rows == other_rows == problem.ROWS
    np.testing.assert_allclose(other_total, total, rtol=1e-6)


def test_members_have_targets_of_their_own():
  """Losses of two members are those of two critics by themselves."""
  config = dataclasses.replace(QUIET, members=2, td_lambda=0.5)
  one = problem.critic()
  both = factory.make_critic(problem.SPEC, problem.NETWORK, config)
  pairs = [
    [problem.critic_params(one, 'shared', which) for which in order]
    for order in (('online', 'target'), ('target', 'online'))
  ]
  batch = problem.batch(ROWS)

  @jax.jit
  def losses():
    together = [jax.tree.map(lambda *x: jnp.stack(x), *p) for p in pairs]
    found, _ = critic_lib.td_losses(
      both, *together, batch, *in_batch(batch), config
    )
    alone = [
      critic_lib.td_losses(one, a, b, batch, *in_batch(batch), config)[0]
      for a, b in zip(*pairs, strict=True)
    ]
    return found, jnp.concatenate(alone, axis=-1)

  found, alone = losses()
  np.testing.assert_allclose(found, alone, rtol=1e-5, atol=1e-6)


def test_members_learn_as_if_alone():
  """More members change neither L2's nor the clipping's part in a gradient."""
  config = dataclasses.replace(QUIET, l2=0.05, clip_norm=0.5)
  settings = (config, dataclasses.replace(config, members=2))
  optimizers = [state.make_optimizer(one) for one in settings]
  quiet = dataclasses.replace(problem.NETWORK, dropout=0.0)
  one, both = (
    factory.make_critic(problem.SPEC, quiet, own) for own in settings
  )
  params = [
    problem.critic_params(one, 'shared', w) for w in ('online', 'target')
  ]
  batch = problem.batch(ROWS)

  def learnt(network, setting, optimizer, params):
    step = jax.jit(critic_lib.make_critic_step(network, optimizer, setting))
    critic = state.init_critic(params, optimizer)
    critic, _ = step(critic, batch, KEY, *in_batch(batch))
    return state.moments(critic)['mu']

  alone = [learnt(one, settings[0], optimizers[0], p) for p in params]
  stacked = [jax.tree.map(lambda *x: jnp.stack(x), *p) for p in (params, alone)]
  found = learnt(both, settings[1], optimizers[1], stacked[0])
  problem.assert_trees_close(found, stacked[1], rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize(
  'preset', ['paper', pytest.param('official', marks=pytest.mark.slow)]
)
def test_two_steps_move_critics_and_targets_follow(preset):
  config = dataclasses.replace(config_lib.preset(preset).critic, l2=0.0)
  network = problem.critic(config.form, config.head, dropout=0.2)
  optimizer = state.make_optimizer(config)
  step = jax.jit(critic_lib.make_critic_step(network, optimizer, config))
  states = [
    state.init_critic(problem.critic_params(network, config.form), optimizer)
  ]
  for i, batch in enumerate(problem.two_batches(ROWS)):
    critic, metrics = step(
      states[-1], batch, jax.random.key(i), *in_batch(batch)
    )
    problem.assert_finite((critic, metrics))
    states.append(critic)
  before, between, after = states
  assert int(after.step) == 2
  problem.assert_all_moved(after.params, before.params)
  if preset == 'official':  # steps 1, 3, 5
    problem.assert_trees_close(
      after.target_params, between.target_params, rtol=0
    )
    moved = [(before, between)]
  else:
    moved = [(before, between), (between, after)]
  for old, new in moved:
    expected = jax.tree.map(
      lambda online, target: 0.2 * online + 0.8 * target,
      *jax.device_get((new.params, old.target_params)),
    )
    problem.assert_trees_close(new.target_params, expected, rtol=1e-6)
    problem.assert_all_moved(new.target_params, old.target_params)


def test_soft_update_by_hand():
  config = config_lib.CriticConfig(soft_update=0.25, update_period=3)
  online, target = {'w': jnp.array([4.0, 0.0])}, {'w': jnp.array([0.0, 8.0])}
  update = jax.jit(
    lambda step: critic_lib.soft_update(online, target, step, config)
  )
  for step, expected in ((1, [1, 6]), (2, [0, 8]), (3, [0, 8]), (7, [1, 6])):
    np.testing.assert_array_equal(update(step)['w'], expected)


def test_official_noise_is_one_draw_per_task_and_batch():
  config = config_lib.preset('official').critic
  policy = jnp.asarray(TARGET_POLICY).at[0].set(1.0).at[1].set(0.0)
  draws = np.stack(
    [
      np.asarray(critic_lib.smoothed_actions(key, policy, config) - policy)
      for key in jax.random.split(KEY, 40)
    ]
  )
  # The same for all rows, which may leave [0, 1].
  np.testing.assert_allclose(
    draws, draws[:, :1].repeat(problem.ROWS, 1), atol=1e-6
  )
  # Of standard deviation 0.4: nearly always at the clip.
  np.testing.assert_allclose(np.median(np.abs(draws)), 3e-3, atol=1e-6)
  assert np.any(draws[:, 0, 0] * draws[:, 0, 1] < 0)


def test_the_noise_enters_the_reward_and_the_value():
  """The critic sees the behaviour's action, not the policy's."""
  network = problem.critic()
  config = config_lib.CriticConfig(behaviour_noise=0.5)
  optimizer = problem.recorder()
  step = jax.jit(critic_lib.make_critic_step(network, optimizer, config))
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


def test_without_a_future_the_critics_learn_the_rows_own_loss():
  """At gamma 0 the target is the reward, whatever the target critics say."""
  network = problem.critic()
  params = problem.critic_params(network, 'shared')
  config = dataclasses.replace(QUIET, discount=0.0)
  batch = problem.batch(ROWS)
  actions, target_actions = in_batch(batch)
  errors, valid = jax.jit(
    lambda target: critic_lib.td_losses(
      network, params, target, batch, actions, target_actions, config
    )
  )(problem.critic_params(network, 'shared', 'target'))
  q = jax.jit(functools.partial(functional.apply, network))(
    params, batch.inputs, actions
  )
  loss = -rewards.log_likelihood(actions, batch.labels)
  valid = np.asarray(valid)
  np.testing.assert_allclose(
    np.asarray(errors)[valid], np.square(q + loss)[valid], rtol=1e-5
  )
