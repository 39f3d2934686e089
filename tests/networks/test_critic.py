from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rmtl_jax import config as config_lib
from rmtl_jax.config import values as config_values
from rmtl_jax.networks import critic, factory
from tests import tiers
from tests.networks import small


@pytest.mark.parametrize(
  ('head', 'expected'),
  [
    ('neg_softplus', [-np.log(1.5), -np.log(2.0), -np.log(3.0)]),
    ('linear', [-np.log(2.0), 0.0, np.log(2.0)]),
    ('neg_relu', [0.0, 0.0, -np.log(2.0)]),
  ],
)
def test_heads_by_hand(head, expected):
  z = jnp.log(jnp.array([0.5, 1.0, 2.0]))
  np.testing.assert_allclose(
    critic.apply_head(z, head), expected, rtol=1e-6, atol=1e-7
  )


def test_the_default_head_is_alive_everywhere():
  z = jnp.array([-30.0, -5.0, 0.0, 5.0, 30.0])
  slope = jax.vmap(jax.grad(lambda z: critic.apply_head(z, 'neg_softplus')))(z)
  assert (np.asarray(slope) < 0).all()
  dead = jax.vmap(jax.grad(lambda z: critic.apply_head(z, 'neg_relu')))(z)
  np.testing.assert_array_equal(dead, [0, 0, 0, -1, -1])


@pytest.mark.parametrize('form', ['shared', 'separate'])
def test_a_fresh_critic_is_a_little_negative(form):
  spec = small.spec()
  config = config_lib.CriticConfig(form=form)
  network = factory.make_critic(spec, small.CONFIG, config)
  params = network.init(jax.random.key(0))
  bias = np.asarray(params['towers']['heads']['linear']['bias'])
  np.testing.assert_array_equal(bias, -1.0)
  rows = small.inputs(spec, lanes=2)
  values = small.run(network, params, rows, small.actions(2))
  assert (values < -0.05).all()
  assert (values > -1.5).all()


@pytest.mark.parametrize('head', ['linear', 'neg_relu'])
def test_other_heads_start_without_bias(head):
  config = config_lib.CriticConfig(head=head)
  network = factory.make_critic(small.spec(), small.CONFIG, config)
  bias = network.init(jax.random.key(0))['towers']['heads']['linear']['bias']
  np.testing.assert_array_equal(bias, np.zeros((2, 1)))


def test_remaining_by_hand():
  segment = jnp.array([0, 0, 0, 3, 5, 5, -1, -1])
  np.testing.assert_allclose(
    critic.remaining(segment), np.log([3, 2, 1, 1, 2, 1, 1, 1]), rtol=1e-6
  )
  with pytest.raises(ValueError, match='segments'):
    critic.remaining(None)


def test_a_critic_can_be_told_what_remains():
  """The same row at the start and at the end of a session."""
  config = config_lib.CriticConfig(sees_remaining=True)
  network = factory.make_critic(small.spec(), small.CONFIG, config)
  params = small.params(network)
  rows = small.inputs(small.spec())
  rows = jax.tree.map(lambda x: np.repeat(x[:, :1], 3, axis=1), rows)
  actions = np.full((small.LANES, 3, 2), 0.5, np.float32)

  def values(*segment):
    lanes = np.tile(np.array(segment, np.int32), (small.LANES, 1))
    return small.run(network, params, rows._replace(segment=lanes), actions)

  together, apart = values(4, 4, 4), values(4, 5, 6)
  assert (np.abs(np.diff(together, axis=1)) > 1e-4).all()
  np.testing.assert_allclose(together[:, 2:], apart[:, 2:], rtol=1e-5)
  np.testing.assert_allclose(np.diff(apart, axis=1), 0.0, atol=1e-6)


@pytest.mark.parametrize('head', config_values.choices('critic.head'))
@pytest.mark.parametrize('form', config_values.choices('critic.form'))
@pytest.mark.parametrize('members', tiers.some((1, 3), (1,)))
def test_initial_values_are_what_a_fresh_critic_says(head, form, members):
  config = config_lib.CriticConfig(head=head, form=form, members=members)
  spec = small.spec()
  network = factory.make_critic(spec, small.CONFIG, config)
  shapes = jax.eval_shape(network.init, jax.random.key(0))
  zeros = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)
  wanted = np.array([-2.5, -0.25], np.float32)
  params = critic.with_initial_values(zeros, wanted, head)
  values = small.run(network, params, small.inputs(spec), small.actions(2))
  assert values.shape == (small.LANES, small.SLOTS, 2 * members)
  expected = np.broadcast_to(np.tile(wanted, members), values.shape)
  np.testing.assert_allclose(values, expected, rtol=1e-5)


def test_members_are_critics_of_their_own():
  spec = small.spec()
  one = factory.make_critic(spec, small.CONFIG, config_lib.CriticConfig())
  three = factory.make_critic(
    spec, small.CONFIG, config_lib.CriticConfig(members=3)
  )
  assert (one.members, three.members) == (1, 3)
  params = three.init(jax.random.key(0))
  rows, actions = small.inputs(spec), small.actions(2)
  found = small.run(three, params, rows, actions)
  for m in range(3):
    alone = jax.tree.map(lambda leaf, m=m: leaf[m], params)
    expected = small.run(one, alone, rows, actions)
    np.testing.assert_allclose(
      found[..., 2 * m : 2 * m + 2], expected, rtol=1e-5, atol=1e-6
    )
  assert np.abs(found[..., :2] - found[..., 2:4]).max() > 1e-3


@pytest.mark.parametrize('form', config_values.choices('critic.form'))
@pytest.mark.parametrize('backbone', ['shared_bottom', 'single_task'])
def test_all_members_start_from_the_actors_tables(form, backbone):
  spec = small.spec()
  config = config_lib.CriticConfig(form=form, members=3)
  shapes = jax.eval_shape(
    factory.make_critic(spec, small.CONFIG, config).init, jax.random.key(0)
  )
  fresh = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)
  actor = factory.make_actor(spec, backbone, small.CONFIG)
  actor_params = small.params(actor)
  table = np.asarray(actor_params['first']['table'])
  if form == 'separate' and backbone == 'shared_bottom':
    table = np.stack([table, table])
  if form == 'shared' and backbone == 'single_task':
    table = table[0]
  found = factory.critic_from_actor(fresh, actor_params, 3)
  np.testing.assert_array_equal(found['first']['table'], np.stack([table] * 3))
