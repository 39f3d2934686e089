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


def test_remaining_by_hand():
  segment = jnp.array([0, 0, 0, 3, 5, 5, -1, -1])
  np.testing.assert_allclose(
    critic.remaining(segment), np.log([3, 2, 1, 1, 2, 1, 1, 1]), rtol=1e-6
  )
  with pytest.raises(ValueError, match='segments'):
    critic.remaining(None)


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
